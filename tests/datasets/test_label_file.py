"""A CSV of labels names files of the data set and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from job.datasets.label_file import Columns, read_label_file
from job.errors import InputError
from tests.support.pictures import image_source


def read(root: Path, content: str | bytes, name: str = "labels.csv") -> dict[str, str]:
    folder = root / "data"
    for image in ("in/a.png", "in/b.png", "in/ü, 猫.png", "out.png"):
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "secret.png").touch()
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "labels.csv").write_bytes(data)
    source = image_source(folder, root / "scratch")
    found = read_label_file(source, name, "in/", "train", Columns("file", "label"))
    lines = data.splitlines()
    assert all(label.text.encode() in lines[label.line - 1] for label in found.values())
    return {image: label.text for image, label in found.items()}


def refused(root: Path, content: str | bytes, name: str = "labels.csv") -> InputError:
    with pytest.raises(InputError) as caught:
        read(root, content, name)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_labels_are_read_by_their_columns(end: str, tmp_path: Path) -> None:
    """In quotation marks, of any script, with a byte order mark and blank lines."""
    lines = ["\ufefflabel,extra,file", " cat ,1,a.png", "", '"a, b",2,"ü, 猫.png"', ""]
    assert read(tmp_path, end.join(lines)) == {"in/a.png": "cat", "in/ü, 猫.png": "a, b"}


@pytest.mark.parametrize(
    "name",
    ["../out.png", "/etc/passwd", "in/a.png", "c.png", "./a.png", "", "../../secret.png", "a.png/"],
)
def test_a_file_that_is_not_in_the_folder_is_refused_with_its_line(
    name: str, tmp_path: Path
) -> None:
    """Paths are names in a list; none is followed."""
    error = refused(tmp_path, f"file,label\na.png,1\n{name},2\n")
    assert error.where.endswith("labels.csv, line 3")
    assert "no file" in error.what


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("file,label\na.png,1\n\na.png,1\n", 4, "already"),
        ("file,label\na.png, \n", 2, "no label"),
        ("file,label\na.png,1,2\n", 2, "3 cells"),
        ("file,label\na.png\n", 2, "1 cells"),
        ("name,label\na.png,1\n", 1, "no columns 'file'"),
        ("file,label,label\na.png,1,2\n", 1, "2 columns 'label'"),
        ("", 1, "no columns"),
        ('file,label\na.png,"1\n', 2, "can't be read"),
        ('file,label\na.png,"1"2\n', 2, "can't be read"),
        (f"file,label\na.png,{'x' * (1 << 20)}\n", 2, "more than 1,048,576 bytes"),
        ("x" * (1 << 21), 1, "more than 1,048,576 bytes"),
    ],
)
def test_a_line_that_is_wrong_is_named(content: str, line: int, what: str, tmp_path: Path) -> None:
    """Files twice, cells that lack or are too many, columns, quotation marks, sizes."""
    error = refused(tmp_path, content)
    assert error.where.endswith(f"labels.csv, line {line}")
    assert what in error.what


def test_a_csv_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    """Or has no lines but the first."""
    assert "UTF-8" in refused(tmp_path, b"file,label\n\xff\xfe,1\n").what
    assert refused(tmp_path, b"\x89PNG\x00\x00\n").where.endswith("labels.csv, line 1")
    assert "names no images" in refused(tmp_path, "file,label\n").what
    for name in ("../secret.png", "labels.txt", "/etc/passwd"):
        error = refused(tmp_path, "file,label\n", name)
        assert error.where == "dataset.train.labels"
        assert name in error.what
