"""URIs -> places, and patterns of names."""

from __future__ import annotations

import re
import time
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import ManifestError
from job.storage.place import Place, find_place, fixed_part, is_pattern
from job.text import matches

BASE = Place("file", "/base/folder")
NAMES = [
    "a.npz",
    "shard-0.npz",
    "shard-1.npz",
    "shard-10.npz",
    "shard-x.npz",
    "shard-1.npz.tmp",
    ".hidden.npz",
    "Shard-1.NPZ",
    "x/shard-1.npz",
    "x/y/shard-1.npz",
    "x/y/z/shard-2.npz",
]


def local_path(uri: str, base: Place) -> Path:
    """The path that a URI names on this machine."""
    return find_place(uri, base).local


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
        ("http://example.org/m.h5", "scheme http://"),
        ("hdfs:m.h5", "scheme hdfs://"),
        ("s3:bucket/m.h5", "names no bucket"),
        ("s3://user:pass@bucket/m.h5", "names no bucket"),
        ("s3://bucket/a/../b", ". or .."),
        ("s3://bucket/./b", ". or .."),
        ("s3://bucket/" + "k" * 1025, "1024 bytes"),
        ("https://user:pass@host/m.h5", "without a user"),
        ("https://host", "no address"),
        ("https:///m.h5", "no address"),
        ("file://server/m.h5", "three slashes"),
        ("m\0.h5", "NUL"),
        ("file:///a%00b", "NUL"),
        ("s3://[x", ""),
        ("file://[x", ""),
        ("file:relative.h5", ""),
        ("~no-such-user/m.h5", ""),
    ],
)
def test_what_names_no_place_is_refused(uri: str, says: str) -> None:
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
        place = find_place(uri, BASE)
    except ManifestError:
        return
    assert "\0" not in str(place)
    assert place.scheme != "file" or place.local.is_absolute()


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    )
)
def test_every_file_uri_that_python_writes_is_read(parts: list[str]) -> None:
    """``Path.as_uri`` and this are each other's inverse."""
    path = Path("/", *parts)
    assert local_path(path.as_uri(), BASE) == path


IN_A_BUCKET = Place("s3", "jobs/night", "models")


ON_A_SERVER = Place("https", "/jobs/night", "example.org")


@pytest.mark.parametrize(
    ("uri", "base", "place"),
    [
        ("s3://b-1/a/b.h5", BASE, "s3://b-1/a/b.h5"),
        ("S3://b-1/a%20b?c#d", BASE, "s3://b-1/a%20b?c#d"),
        ("s3://b-1", BASE, "s3://b-1/"),
        ("s3://b-1/a/", BASE, "s3://b-1/a/"),
        ("m.h5", IN_A_BUCKET, "s3://models/jobs/night/m.h5"),
        ("../m.h5", IN_A_BUCKET, "s3://models/jobs/m.h5"),
        ("data/*.npz", IN_A_BUCKET, "s3://models/jobs/night/data/*.npz"),
        ("data/", IN_A_BUCKET, "s3://models/jobs/night/data/"),
        ("/abs/m.h5", IN_A_BUCKET, "/abs/m.h5"),
        ("https://Example.org:8443/m.h5?v=2", BASE, "https://example.org:8443/m.h5?v=2"),
        ("m.h5", ON_A_SERVER, "https://example.org/jobs/night/m.h5"),
        ("../m.h5", ON_A_SERVER, "https://example.org/jobs/m.h5"),
    ],
)
def test_places_elsewhere(uri: str, base: Place, place: str) -> None:
    """Relative URIs stay where the manifest is; keys are taken as they are written."""
    assert str(find_place(uri, base)) == place


@pytest.mark.parametrize("base", [IN_A_BUCKET, ON_A_SERVER])
def test_a_relative_uri_does_not_leave_the_bucket(base: Place) -> None:
    """Nor the server."""
    with pytest.raises(ManifestError, match="leads out of"):
        find_place("../../../m.h5", base)


def test_the_folder_of_a_manifest() -> None:
    """It is what its relative URIs are relative to; a query is no part of it."""
    assert str(find_place("s3://b-1/a/m.json", BASE).folder) == "s3://b-1/a"
    assert str(find_place("s3://b-1/m.json", BASE).folder) == "s3://b-1/"
    assert str(find_place("https://h/a/m.json?x=/y", BASE).folder) == "https://h/a"
    assert str(find_place("m.json", BASE).folder) == "/base/folder"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("shard-*.npz", ["shard-0.npz", "shard-1.npz", "shard-10.npz", "shard-x.npz"]),
        ("shard-?.npz", ["shard-0.npz", "shard-1.npz", "shard-x.npz"]),
        ("shard-[0-9].npz", ["shard-0.npz", "shard-1.npz"]),
        ("shard-[!0-9].npz", ["shard-x.npz"]),
        ("shard-[1x].npz", ["shard-1.npz", "shard-x.npz"]),
        ("*/shard-1.npz", ["x/shard-1.npz"]),
        ("**/shard-1.npz", ["shard-1.npz", "x/shard-1.npz", "x/y/shard-1.npz"]),
        ("x/**/shard-?.npz", ["x/shard-1.npz", "x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("**/y/**/shard-?.npz", ["x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("**/**/z/*", ["x/y/z/shard-2.npz"]),
        ("x/**", ["x/shard-1.npz", "x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("x/y/shard-1.npz/**", []),
        ("x*1.npz", []),
        ("x**1.npz", []),
        ("**", sorted(NAMES)),
        (".*", [".hidden.npz"]),
        ("*hidden.npz", [".hidden.npz"]),
        ("shard-1.npz", ["shard-1.npz"]),
        ("shard", []),
        ("", []),
        ("/shard-1.npz", []),
        ("./shard-1.npz", []),
        ("x//shard-1.npz", []),
    ],
)
def test_a_pattern_names_some_names(pattern: str, found: list[str]) -> None:
    """Wildcards stay in their part, case counts, and the whole name has to match."""
    assert matches(NAMES, pattern) == found
    assert matches(reversed([*NAMES, *NAMES]), pattern) == found


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//a", ".", "..", "./a", "a/..", "../a"])
def test_names_that_may_be_another_place_never_match(name: str) -> None:
    """An empty part, a dot, two dots, whatever the pattern."""
    for pattern in ("**", "*", "*/*", "**/*", "?", "??", "?/?", "??/?", "[.]/?", name, "*/", "/*"):
        assert matches([name], pattern) == []


def test_what_looks_like_a_set_and_is_none_is_itself() -> None:
    """A ``[`` that is not closed in its part, and an empty set."""
    for text in ("a[b", "a[b/c]", "[]", "[!]", "a]b"):
        assert not is_pattern(text)
        assert matches([text, "ab", "a"], text) == [text]
    for text in ("*", "a?", "a/[b]", "[]]", "[!]]", "[[]", "a[[b]"):
        assert is_pattern(text)
    assert matches(["[1].npz", "1.npz"], "[[]1].npz") == ["[1].npz"]


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("data/shard-*.npz", "data/"),
        ("data/a[b/*.npz", "data/a[b/"),
        ("*.npz", ""),
        ("a/b/**/c", "a/b/"),
        ("a/b[12]/c", "a/"),
        ("/a/b?", "/a/"),
        ("a/b.npz", "a/"),
        ("a/", "a/"),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_part_before_the_wildcards_is_what_to_list(pattern: str, part: str) -> None:
    """Whole folders, with the last slash."""
    assert fixed_part(pattern) == part


def naive(parts: list[str], wanted: list[str]) -> bool:
    """By trying all ways."""
    if not wanted:
        return not parts
    if wanted == ["**"]:
        return bool(parts)
    if wanted[0] == "**":
        return any(naive(parts[skipped:], wanted[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and naive(parts[1:], wanted[1:])


PARTS = st.text("ab.", max_size=3)


WANTED = st.one_of(st.just("**"), st.text("ab.*?[]!-", max_size=5))


@given(names=st.lists(st.lists(PARTS, max_size=4)), wanted=st.lists(WANTED, min_size=1, max_size=5))
@settings(max_examples=500, deadline=None)
def test_it_finds_what_trying_all_ways_finds(names: list[list[str]], wanted: list[str]) -> None:
    """And a name that matches begins with the fixed part, and is itself what it names."""
    pattern = "/".join(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = matches(map("/".join, names), pattern)
    good = [it for it in names if it and not {"", ".", ".."} & set(it)]
    assert found == sorted({"/".join(it) for it in good if naive(it, pattern.split("/"))})
    for name in found:
        assert name.startswith(fixed_part(pattern))
        assert is_pattern(pattern) or name == pattern


@given(pattern=st.text(max_size=30), name=st.text(max_size=10))
@settings(deadline=None)
def test_no_pattern_is_refused(pattern: str, name: str) -> None:
    """Whatever is in it: what is no wildcard is itself."""
    for pat in (pattern, f"[{pattern}]", f"{pattern}/*[{name}"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert set(matches([name, pattern], pat)) <= {name, pattern}
    assert re.match(re.escape(fixed_part(pattern)), pattern)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 200 + "b", "a" * 5000),
        ("**/a/" * 200 + "b", "a/" * 500 + "a"),
        ("**/" * 3000 + "b", "a/" * 500 + "a"),
        ("**/*a*a*a*a/" * 50 + "b", "aaaaaaaaaaaa/" * 200 + "a"),
        ("[" * 2000, "[" * 5000),
        ("[!" * 5000 + "]*" * 5000, "a" * 5000),
    ],
)
def test_hostile_patterns_take_no_time(pattern: str, name: str) -> None:
    """Where trying all ways would take longer than the sun will shine."""
    started = time.process_time()
    assert matches([name], pattern) == []
    is_pattern(pattern)
    fixed_part(pattern)
    assert time.process_time() - started < 5
