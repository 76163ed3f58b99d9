"""find: which local files a path names, and one digest of them all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from job.errors import InputError
from job.storage import local
from job.storage.find import find, measure_together
from job.storage.local import Local
from job.storage.place import Place

NAMES = ["a.npz", "b.npz", "c.txt", "sub/a.npz", "sub/deep/d.npz", "x[1].npz", "x1.npz"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with files in it, whose own name looks like a pattern."""
    base = tmp_path / "run[1]*"
    for name in NAMES:
        (base / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "data" / name).write_text(name)
    return base


def found(path: Path, base: Path) -> list[str]:
    places = Place("file", str(path)), Place("file", str(base))
    items = find(*places, "*.npz", Local(), "Reading the data set").items
    folders = {it.place.path.removesuffix(it.name) for it in items}
    assert len(folders) == 1  # all names are relative to one folder
    names = [it.name for it in items]
    assert names == sorted(names)
    return names


def listed(folder: Path, pattern: str) -> list[str]:
    """The names in a folder, where only those that match are asked for."""
    return [it.name for it in Local().listing(Place("file", str(folder)), "", pattern=pattern)]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("data/a.npz", ["a.npz"]),
        ("data/x[1].npz", ["x[1].npz"]),
        ("data/x[1]*", ["x1.npz"]),
        ("data", ["a.npz", "b.npz", "x1.npz", "x[1].npz"]),
        ("data/sub/../[ab].npz", ["a.npz", "b.npz"]),
        ("data/*/a.npz", ["sub/a.npz"]),
        ("d*/**/[ad].npz", ["data/a.npz", "data/sub/a.npz", "data/sub/deep/d.npz"]),
        ("data/sub/**", ["a.npz", "deep/d.npz"]),
        ("**/c.*", ["data/c.txt"]),
    ],
)
def test_a_path_names_files(path: str, names: list[str], base: Path) -> None:
    """One, those of a folder, or those that match; what is there is no pattern."""
    assert found(base / path, base) == names


def test_a_path_elsewhere_may_be_a_pattern_too(base: Path, tmp_path: Path) -> None:
    """It is then one from its beginning."""
    other = tmp_path / "other"
    shutil.copytree(base / "data", other)
    assert found(other / "?.npz", base) == ["a.npz", "b.npz"]
    assert found(other, base) == ["a.npz", "b.npz", "x1.npz", "x[1].npz"]


@pytest.mark.parametrize(
    ("path", "says", "where"),
    [
        ("data/y*.npz", "no file there matches y*.npz", "data"),
        ("data/sub/deep/*/*.npz", "no file there matches */*.npz", "data/sub/deep"),
        ("data/*/deep", "no file there matches */deep", "data"),
        ("data/*/../a.npz", "no file there matches", "data"),
        ("nowhere/*.npz", "there is no such file", "nowhere"),
        ("data/nowhere.npz", "there is no such file", "data/nowhere.npz"),
        ("data/a.npz/*", "Not a directory", "data/a.npz"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused(
    path: str, says: str, where: str, base: Path
) -> None:
    """With the folder that was looked in; folders are no files."""
    with pytest.raises(InputError, match="Reading the data set failed: ") as caught:
        found(base / path, base)
    assert says in caught.value.what
    assert caught.value.where == str(base / where)


def test_a_folder_without_data_is_refused(base: Path) -> None:
    """The message says which files are looked for."""
    (base / "empty").mkdir()
    with pytest.raises(InputError, match=r"no file there matches \*\.npz"):
        found(base / "empty", base)


def test_links_to_files_are_files_and_loops_end(base: Path) -> None:
    """A mounted folder is often made of links; ``**`` follows none to a folder."""
    (base / "data" / "z.npz").symlink_to("sub/a.npz")
    (base / "data" / "loop").symlink_to(".")
    assert found(base / "data" / "z*", base) == ["z.npz"]
    assert found(base / "data" / "loop" / "[ab].npz", base) == ["a.npz", "b.npz"]
    assert found(base / "data" / "*" / "b.npz", base) == ["loop/b.npz"]
    assert found(base / "data" / "**" / "b.npz", base) == ["b.npz"]


def test_no_more_is_listed_than_the_pattern_can_name(base: Path) -> None:
    """A folder of a whole bucket's depth is not gone through for what lies on top."""
    assert sorted(listed(base / "data", "*.npz")) == sorted(NAMES[:3] + NAMES[5:])
    assert len(listed(base / "data", "*/*.npz")) == len(NAMES) - 1
    assert len(listed(base / "data", "**/*.npz")) == len(NAMES)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(base: Path) -> None:
    """Otherwise files would be missing silently."""
    (base / "data" / "sub").chmod(0)
    with pytest.raises(InputError, match="denied"):
        found(base / "data" / "**" / "a.npz", base)
    (base / "data" / "sub").chmod(0o700)


@pytest.mark.parametrize(
    "names", [["b", "a"], ["x/b", "x.b", "x-b"], ["ü", "z", "Z"], ["a\nb", "a", "a\\nb", "c\rd"]]
)
def test_the_digest_of_several_is_what_sha256sum_prints(names: list[str], tmp_path: Path) -> None:
    """Sorted by name, whatever order they come in; the sizes are added up."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name * 3)
    measured = {name: local.measure(tmp_path / name, "Reading") for name in names}
    command = ["sha256sum", *sorted(names)]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    size, digest = measure_together(measured)
    assert digest == hashlib.sha256(printed).hexdigest()
    assert size == sum(3 * len(name.encode()) for name in names)


def test_the_digest_of_one_is_its_own() -> None:
    """However it was named."""
    assert measure_together({"a.npz": (7, "0" * 64)}) == (7, "0" * 64)
