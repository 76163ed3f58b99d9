"""Links to folders, empty classes and names that are no text are refused, each with its path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError
from job.manifest.job import JobConfig
from job.run.inputs import find_dataset
from job.storage.backend import Stores
from job.storage.place import Place

IMAGES = {"type": "image_folder", "uri": "d", "train": {"folder": "."}}
TEXTS = {
    "type": "text",
    "uri": "d",
    "vocabulary": "v.txt",
    "sequence_length": 4,
    "train": {"files": "*.txt", "inputs": "lines", "targets": "labels.txt"},
}


def found(folder: Path, dataset: dict[str, Any]) -> list[str]:
    """The names of the files of a data set."""
    given = {"name": "j", "model": {"uri": "m.h5"}, "dataset": dataset}
    job = JobConfig.model_validate(given | {"destination": {"uri": "out"}})
    inputs = find_dataset(job, Place("file", str(folder)), Stores(pytest.fail))
    return [item.name for item in inputs["dataset"].found.items]


def refused(folder: Path, dataset: dict[str, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        found(folder, dataset)
    assert caught.value.hint
    assert not any(0xD800 <= ord(it) < 0xE000 for it in str(caught.value))
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set ``d`` of the classes a and c, two images each; nothing opens them."""
    for name in ("a/1.png", "a/2.png", "c/1.png", "c/2.png"):
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return tmp_path


@pytest.mark.parametrize("dataset", [IMAGES, IMAGES | {"uri": "d/**/*.png"}, TEXTS])
@pytest.mark.parametrize("target", ["outside", "d/a"])
@pytest.mark.parametrize("link", ["b", "a/deep"])
def test_a_link_to_a_folder_is_refused(
    dataset: dict[str, Any], target: str, link: str, folder: Path
) -> None:
    """Inside of the data set or out of it, a class or deeper: it is not followed."""
    (folder / "outside").mkdir()
    (folder / "outside" / "1.png").write_bytes(b"image")
    (folder / "d" / link).symlink_to(folder / target)
    error = refused(folder, dataset)
    assert error.where == str(folder / "d" / link)
    assert "is a link" in error.what


def test_a_data_set_of_links_only_is_refused_with_the_first(folder: Path) -> None:
    """Not as one without files."""
    (folder / "e").mkdir()
    for name in "ca":
        (folder / "e" / name).symlink_to(folder / "d" / name)
    assert refused(folder, IMAGES | {"uri": "e"}).where == str(folder / "e" / "a")


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    """It is the one that was named. Folders below that no pattern reaches may be links, too."""
    (folder / "link").symlink_to("d")
    assert len(found(folder, IMAGES | {"uri": "link"})) == 4
    (folder / "d" / "a.csv").write_text("x,y\n1,2\n")
    (folder / "d" / "b").symlink_to(folder / "d" / "a")
    table = {"type": "csv", "uri": "d", "train": {"inputs": "x", "targets": "y"}}
    assert found(folder, table) == ["a.csv"]


@pytest.mark.parametrize("uri", ["d", "d/**/*.png", "d/*/*.png", "d/[a-c]/*"])
def test_a_class_without_files_is_refused(uri: str, folder: Path) -> None:
    """Else c would be class 1."""
    (folder / "d" / "b" / "deep").mkdir(parents=True)
    error = refused(folder, IMAGES | {"uri": uri})
    assert error.where == str(folder / "d" / "b")
    assert "The train split has folders without files: b" in error.what


@pytest.mark.parametrize("name", [".git", "b"])
def test_a_folder_that_is_no_class_may_be_empty(name: str, folder: Path) -> None:
    """A hidden one; one that the pattern leaves out; all, where labels are in a CSV or nowhere."""
    (folder / "d" / name).mkdir()
    (folder / "d" / "labels.csv").write_text("file,label\na/1.png,1\n")
    for train in ({"labels": None}, {"labels": "labels.csv"}):
        assert len(found(folder, IMAGES | {"train": train})) == 5
    assert len(found(folder, IMAGES | {"uri": "d/[ac]*/*"})) == 4
    if name == ".git":
        assert len(found(folder, IMAGES)) == 5


def test_the_classes_of_each_split_are_below_its_folder(folder: Path) -> None:
    """An empty folder beside the splits is no class; one of the test split is."""
    for split, name in (("train", "a"), ("test", "c")):
        (folder / "e" / split).mkdir(parents=True)
        (folder / "d" / name).rename(folder / "e" / split / name)
    (folder / "e" / "more").mkdir()
    splits = {"train": {"folder": "./train/"}, "test": {"folder": "test"}}
    dataset = IMAGES | {"uri": "e"} | splits
    assert len(found(folder, dataset)) == 4
    (folder / "e" / "test" / "b").mkdir()
    error = refused(folder, dataset)
    assert error.where == str(folder / "e" / "test" / "b")
    assert "The test split" in error.what


@pytest.mark.parametrize("dataset", [IMAGES, IMAGES | {"uri": "d/*/*"}, TEXTS])
@pytest.mark.parametrize("name", [b"b\xff/1.png", b"a/\xe4.png"])
def test_a_name_that_is_not_utf8_is_refused(
    dataset: dict[str, Any], name: bytes, folder: Path
) -> None:
    """Of a folder or a file; the error names it with its bytes escaped."""
    path = folder / "d" / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"image")
    error = refused(folder, dataset)
    assert "not UTF-8" in error.what
    assert "\\udc" in error.where


def test_a_folder_that_can_not_be_read_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    """Such as one whose name is too long."""
    assert "too long" in refused(tmp_path, IMAGES | {"uri": "a" * 300}).what


def test_a_mounted_config_map_is_no_linked_folder(tmp_path: Path) -> None:
    """Kubernetes mounts one as links to files in a folder that is linked itself."""
    folder = tmp_path / "d"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026" / "a.txt").write_text("words")
    (folder / "..data").symlink_to("..2026")
    (folder / "a.txt").symlink_to("..data/a.txt")
    assert "a.txt" in found(tmp_path, TEXTS)
