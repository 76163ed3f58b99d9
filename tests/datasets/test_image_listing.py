"""The images of a split are found by name; what is left out is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from job.datasets.image_listing import Listing, list_images
from job.datasets.label_file import Columns
from job.errors import InputError
from job.manifest.data_fields import ImageSplitConfig
from tests.support.pictures import image_source


def listed(root: Path, *names: str, folder: str = ".", labels: str | None = "folders") -> Listing:
    for name in names:
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    split = ImageSplitConfig(folder=folder, labels=labels)
    source = image_source(root / "data", root / "scratch")
    return list_images(source, split, "train", Columns("file", "label"))


def refused(
    root: Path, *names: str, folder: str = ".", labels: str | None = "folders"
) -> InputError:
    with pytest.raises(InputError) as caught:
        listed(root, *names, folder=folder, labels=labels)
    assert caught.value.hint
    return caught.value


def names_of(found: Listing) -> list[str]:
    return [file.name for file in found.files]


def test_the_first_folder_is_the_class(tmp_path: Path) -> None:
    """Whatever is below it; names are sorted, suffixes of any case, letters of any script."""
    found = listed(tmp_path, "b/2.JPG", "b/1.jpeg", "a/deep/x.Png", "猫/ü 1.gif", "b/3.bmp")
    assert names_of(found) == ["a/deep/x.Png", "b/1.jpeg", "b/2.JPG", "b/3.bmp", "猫/ü 1.gif"]
    assert found.labels == ["a", "b", "b", "b", "猫"]
    assert found.decisions == ()


@pytest.mark.parametrize("folder", ["train", "train/", "./train", "./train/"])
def test_a_folder_is_a_whole_name(folder: str, tmp_path: Path) -> None:
    """Not the start of another."""
    names = ("train/a/1.png", "train2/b/1.png", "c/train/1.png")
    assert names_of(listed(tmp_path, *names, folder=folder)) == ["train/a/1.png"]


@pytest.mark.parametrize("folder", ["/train", "../data/train", "train/../train", "nowhere", "tr"])
def test_a_folder_without_images_is_refused(folder: str, tmp_path: Path) -> None:
    """Names are compared; no path is followed."""
    error = refused(tmp_path, "train/a/1.png", folder=folder)
    assert error.where == "dataset.train.folder"
    assert folder in error.what


def test_what_is_left_out_is_counted_by_suffix(tmp_path: Path) -> None:
    """Hidden files and folders, and what is no image."""
    found = listed(
        tmp_path, "a/1.png", "a/.2.png", ".git/b/3.png", "a/notes.txt", "TWO.TXT", "a/README"
    )
    assert names_of(found) == ["a/1.png"]
    assert found.decisions == (
        "train: files that are no images are left out: 2 .txt, 2 hidden, 1 without a suffix",
    )


def test_many_suffixes_are_not_all_listed(tmp_path: Path) -> None:
    """Twenty of them."""
    (text,) = listed(tmp_path, "a/1.png", *(f"a/x.s{i:03}" for i in range(50))).decisions
    assert ".s019, and 30 more" in text


@pytest.mark.parametrize("other", ["b/notes.txt", "b/.gitkeep", "b/deep/x.webp"])
def test_a_folder_without_images_is_no_silent_class(other: str, tmp_path: Path) -> None:
    """Keras would count it, which moves the others' indices."""
    error = refused(tmp_path, "a/1.png", other)
    assert "without images: b" in error.what


def test_an_image_outside_a_class_is_refused(tmp_path: Path) -> None:
    """The hint has the other ways to give labels."""
    error = refused(tmp_path, "a/1.png", "2.png")
    assert error.where.endswith("data/2.png")
    assert "labels" in error.hint


def test_without_labels_all_images_are_found(tmp_path: Path) -> None:
    """At any depth."""
    found = listed(tmp_path, "2.png", "a/1.png", "x.txt", labels=None)
    assert names_of(found) == ["2.png", "a/1.png"]
    assert found.labels is None


def test_a_csv_names_the_images(tmp_path: Path) -> None:
    """Of any suffix; those that it does not name are left out."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").write_text("file,label\nb.png,x\na/0001,y\n")
    names = ("in/b.png", "in/a/0001", "in/c.png", "in/d.png")
    found = listed(tmp_path, *names, folder="in", labels="labels.csv")
    assert names_of(found) == ["in/a/0001", "in/b.png"]
    assert found.labels == ["y", "x"]
    assert not found.is_by_folder
    places = [found.place_of(index) for index in range(2)]
    assert places == [f"{tmp_path / 'data' / 'labels.csv'}, line {line}" for line in (3, 2)]
    assert "train: images that labels.csv does not name are left out: 2" in found.decisions
