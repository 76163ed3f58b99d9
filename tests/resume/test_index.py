"""``index.json``, and checkpoints on their way to storage and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from job.resume import index
from job.resume.index import (
    INDEX_FILE,
    Checkpoint,
    Index,
    link_or_copy,
    parse_index,
    read_index,
    write_index,
)

GOOD = {"files": {"a.txt": "0"}, "record": {"of": "1"}}


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Under the names of the file format; there is no other file in the folder."""
    index = Index(pieces={"a": Checkpoint(files={"a.txt": "0"}, record={"of": "1"})})
    write_index(tmp_path, index)
    assert json.loads((tmp_path / "index.json").read_bytes()) == {"pieces": {"a": GOOD}}
    assert read_index(tmp_path) == index
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


def test_a_folder_without_an_index_has_no_checkpoints(tmp_path: Path) -> None:
    """Which is not an error."""
    assert read_index(tmp_path) == Index()


@pytest.mark.parametrize(
    "entry",
    [None, [], {"files": ["a"]}, {"files": {"../a": "0"}}, {"files": {"a": 1}}, {"more": 1}],
    ids=str,
)
def test_an_entry_that_can_not_be_read_is_left_out(entry: object, tmp_path: Path) -> None:
    """The others are read; a folder that was written here has no such entry."""
    content = json.dumps({"pieces": {"bad": entry, "good": GOOD}}).encode()
    index, left_out = parse_index(content)
    assert list(index.pieces) == ["good"]
    assert left_out == ["bad: its entry can't be read"]
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(ValueError, match="bad: its entry"):
        read_index(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"pieces": 1}', b"\xff"])
def test_no_index_is_reported(content: bytes) -> None:
    """Instead of an error."""
    assert parse_index(content) == (Index(), ["the index: it can't be read"])


def write(folder: Path, *names: str) -> None:
    """As the child does: files with their name as content, and then their index."""
    for name in names:
        (folder / name).write_text(name)
    index = {"pieces": {"training": {"files": dict.fromkeys(names, "0")}}}
    (folder / INDEX_FILE).write_text(json.dumps(index))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The child's folder, and one for the snapshot."""
    made = tmp_path / "checkpoints", tmp_path / "now"
    for folder in made:
        folder.mkdir()
    return made


def test_a_snapshot_outlives_what_it_was_made_of(folders: tuple[Path, Path]) -> None:
    """Files that are replaced, and the index that named them."""
    folder, now = folders
    assert not index.snapshot(folder, now)
    write(folder, "training-1.npz")
    assert index.snapshot(folder, now)
    (folder / "training-1.npz").unlink()
    write(folder, "training-2.npz")
    assert set(index.read_content(now)[1]) == {"training-1.npz"}
    assert (now / "training-1.npz").read_text() == "training-1.npz"


def test_a_file_may_be_replaced_while_the_snapshot_is_made(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is then made of the new index."""
    folder, now = folders
    write(folder, "training-1.npz")

    def replace_first(file: Path, target: Path) -> Path:
        monkeypatch.setattr(index, "link_or_copy", link_or_copy)
        write(folder, "training-2.npz")
        file.unlink()
        return link_or_copy(file, target)

    monkeypatch.setattr(index, "link_or_copy", replace_first)
    assert index.snapshot(folder, now)
    assert set(index.read_content(now)[1]) == {"training-2.npz"}


def test_a_file_that_is_not_there_is_not_waited_for(folders: tuple[Path, Path]) -> None:
    """The index that names it is the last one."""
    folder, now = folders
    write(folder, "training-1.npz")
    (folder / "training-1.npz").unlink()
    with pytest.raises(FileNotFoundError):
        index.snapshot(folder, now)
