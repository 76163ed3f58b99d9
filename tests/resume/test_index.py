"""The index: what is written is read, and what can't be read is left out with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from job.resume.index import Checkpoint, Index, parse_index, read_index, write_index

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
