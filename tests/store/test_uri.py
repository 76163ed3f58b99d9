"""URIs -> places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.errors import ManifestError
from job.store.uri import local_path

BASE = Path("/base/folder")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("m.h5", "/base/folder/m.h5"),
        ("../m.h5", "/base/folder/../m.h5"),
        ("/abs/m.h5", "/abs/m.h5"),
        ("file:///abs/m.h5", "/abs/m.h5"),
        ("FILE:///abs/m.h5", "/abs/m.h5"),
        ("file://localhost/abs/m.h5", "/abs/m.h5"),
        ("file:///with%20space/%C3%BC.h5", "/with space/ü.h5"),
        ("a b/ü.h5", "/base/folder/a b/ü.h5"),
        ("C:m.h5", "/base/folder/C:m.h5"),
        ("dir/s3:m.h5", "/base/folder/dir/s3:m.h5"),
    ],
)
def test_a_local_uri_is_a_path(uri: str, path: str) -> None:
    """Relative ones are relative to the manifest; ``file://`` ones are decoded."""
    assert local_path(uri, BASE) == Path(path)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest is no shell, and people write it nevertheless."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert local_path("~/m.h5", BASE) == Path("/home/somebody/m.h5")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://bucket/m.h5", "scheme s3://"),
        ("https://example.org/m.h5", "scheme https://"),
        ("hdfs:m.h5", "scheme hdfs://"),
        ("file://server/m.h5", "three slashes"),
        ("m\0.h5", "NUL"),
        ("file:///a%00b", "NUL"),
        ("s3://[x", ""),
        ("file://[x", ""),
        ("file:relative.h5", ""),
        ("~no-such-user/m.h5", ""),
    ],
)
def test_what_names_no_place_on_this_machine_is_refused(uri: str, says: str) -> None:
    """It is the manifest that is wrong, not the disk, and the URI is quoted."""
    with pytest.raises(ManifestError) as caught:
        local_path(uri, BASE)
    assert says in str(caught.value)


def test_two_slashes_are_answered_with_three() -> None:
    """The usual mistake is shown mended."""
    with pytest.raises(ManifestError) as caught:
        local_path("file://data/m.h5", BASE)
    assert caught.value.hint == "file:///data/m.h5"


@given(st.text(max_size=20) | st.text(max_size=20).map("file://{}".format))
def test_any_text_is_a_path_or_refused(uri: str) -> None:
    """Nothing but ManifestError is raised, and a path is one that the system can be asked for."""
    try:
        path = local_path(uri, BASE)
    except ManifestError:
        return
    assert path.is_absolute()
    assert "\0" not in str(path)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    )
)
def test_every_file_uri_that_python_writes_is_read(parts: list[str]) -> None:
    """``Path.as_uri`` and this are each other's inverse."""
    path = Path("/", *parts)
    assert local_path(path.as_uri(), BASE) == path
