"""A snapshot is complete, while the child goes on replacing its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from job.resume import transfer
from job.resume.index import INDEX_FILE
from job.resume.transfer import link_or_copy


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
    assert not transfer.snapshot(folder, now)
    write(folder, "training-1.npz")
    assert transfer.snapshot(folder, now)
    (folder / "training-1.npz").unlink()
    write(folder, "training-2.npz")
    assert set(transfer.read(now)[1]) == {"training-1.npz"}
    assert (now / "training-1.npz").read_text() == "training-1.npz"


def test_a_file_may_be_replaced_while_the_snapshot_is_made(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is then made of the new index."""
    folder, now = folders
    write(folder, "training-1.npz")

    def replace_first(file: Path, target: Path) -> Path:
        monkeypatch.setattr(transfer, "link_or_copy", link_or_copy)
        write(folder, "training-2.npz")
        file.unlink()
        return link_or_copy(file, target)

    monkeypatch.setattr(transfer, "link_or_copy", replace_first)
    assert transfer.snapshot(folder, now)
    assert set(transfer.read(now)[1]) == {"training-2.npz"}


def test_a_file_that_is_not_there_is_not_waited_for(folders: tuple[Path, Path]) -> None:
    """The index that names it is the last one."""
    folder, now = folders
    write(folder, "training-1.npz")
    (folder / "training-1.npz").unlink()
    with pytest.raises(FileNotFoundError):
        transfer.snapshot(folder, now)
