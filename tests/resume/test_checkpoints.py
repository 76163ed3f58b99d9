"""Pieces of the work: whole or not there, taken where they fit, and never silently wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.artifact import Record
from job.events import Event, Journal
from job.resume.checkpoints import TAKEN, Form, Kept, StoppedError, digest, read_index
from job.worker.arrays import read_arrays, write_arrays


class Length(Record):
    """A record of a file."""

    length: int


class Room:
    """A folder of pieces, as one run sees it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.events: list[Event] = []
        self.journal = Journal(self.events.append)
        self.kept = Kept(folder, self.journal, 60)
        self.made: list[str] = []

    def form(self, file: str) -> Form[str, Length]:
        """Text, kept as a file and its length."""

        def write(text: str) -> tuple[Length, Sequence[Path]]:
            (self.folder / file).write_text(text)
            return Length(length=len(text)), [self.folder / file]

        def read(record: Length, files: Mapping[str, Path]) -> str:
            text = files[file].read_text()
            if len(text) != record.length:
                raise KeyError("length")
            return text

        return Form(Length, write, read)

    def piece(self, name: str = "a", *, of: str = "1", text: str = "made") -> str:
        """A piece in a stage of its own; what is told while it is made is always the same."""

        def make() -> str:
            self.made.append(name)
            stage.decide(f"{name} is decided")
            self.journal.warn(f"mind {name}")
            return text

        with self.journal.stage("work") as stage:
            return self.kept.piece(name, of, self.form(f"{name}.txt"), make, stage)

    @property
    def kept_events(self) -> list[str]:
        """The pieces that the parent was told of."""
        return [event["piece"] for event in self.events if event["event"] == "kept"]


def test_a_piece_is_made_once_and_told_of_each_time(tmp_path: Path) -> None:
    """The next run takes it, with its decisions and warnings, and says so."""
    first = Room(tmp_path)
    assert first.piece() == "made"
    assert (first.made, first.kept_events, first.kept.taken) == (["a"], ["a"], [])
    assert first.kept.last == "a"
    later = Room(tmp_path)
    assert later.piece(text="other") == "made"
    assert (later.made, later.kept_events, later.kept.taken) == ([], [], ["a"])
    assert later.journal.warnings == first.journal.warnings == ["mind a"]
    (stage,) = later.journal.results()
    assert stage.decisions == ["a is decided", f"a: {TAKEN}"]
    resumed = [event for event in later.events if event["event"] == "stage_resumed"]
    assert resumed == [{"event": "stage_resumed", "stage": "work", "what": f"a: {TAKEN}"}]


def test_the_seconds_of_what_is_taken_are_counted(tmp_path: Path) -> None:
    """As long as it took, not as long as the taking."""
    first = Room(tmp_path)
    first.piece()
    index = json.loads((tmp_path / "index.json").read_text())
    index["pieces"]["a"]["record"]["told"]["seconds"] = 1000.5
    (tmp_path / "index.json").write_text(json.dumps(index))
    later = Room(tmp_path)
    later.piece()
    assert 1000.5 <= later.journal.stages[0].seconds < 1001.5


def test_whole_stages_are_told_again(tmp_path: Path) -> None:
    """Where a piece is made of several of them: in their order, with what was decided in each."""

    def run(room: Room) -> str:
        def make() -> str:
            for name in ("prune", "strip"):
                with room.journal.stage(name) as stage:
                    stage.decide(f"{name}: so")
            return "x"

        return room.kept.piece("both", "1", room.form("both.txt"), make, None)

    first, later = Room(tmp_path), Room(tmp_path)
    run(first)
    later = Room(tmp_path)
    assert run(later) == "x"
    assert [(it.name, it.decisions) for it in later.journal.results()] == [
        ("prune", ["prune: so", TAKEN]),
        ("strip", ["strip: so", TAKEN]),
    ]
    assert [event["event"] for event in later.events] == 2 * [
        "stage_started",
        "stage_resumed",
        "stage_finished",
    ]


def test_the_index_names_every_file_with_its_digest(tmp_path: Path) -> None:
    """And nothing else lies there; a piece that another one replaces is gone with its file."""
    room = Room(tmp_path)
    room.piece("a")
    room.piece("b")
    index = json.loads((tmp_path / "index.json").read_text())
    assert set(index) == {"pieces"}
    for name, piece in index["pieces"].items():
        assert set(piece) == {"files", "record"}
        assert piece["files"] == {f"{name}.txt": digest(tmp_path / f"{name}.txt")}
    room.kept.piece("c", "1", room.form("c.txt"), lambda: "c", None, instead_of="a")
    assert set(read_index(tmp_path).pieces) == {"b", "c"}
    assert {path.name for path in tmp_path.iterdir()} == {"index.json", "b.txt", "c.txt"}


def test_a_piece_may_have_its_file_elsewhere_too(tmp_path: Path) -> None:
    """What lies in the output is put into the folder under its name."""
    room = Room(tmp_path / "kept")
    file = tmp_path / "model.h5"
    file.write_bytes(b"model")
    form = Form(Length, lambda _: (Length(length=5), [file]), lambda record, _: record.length)
    assert room.kept.once("model", "1", form, lambda: 5) == 5
    assert (tmp_path / "kept" / "model.h5").read_bytes() == b"model"
    assert Room(tmp_path / "kept").kept.peek("model", "1", form) == 5


def damaged_file(folder: Path) -> None:
    (folder / "a.txt").write_text("MADE")


def missing_file(folder: Path) -> None:
    (folder / "a.txt").unlink()


def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        change(index["pieces"]["a"])
        (folder / "index.json").write_text(json.dumps(index))

    return spoil


def unreadable(content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "index.json").write_bytes(content)

    return spoil


MISFITS: dict[str, Callable[[Path], None]] = {
    "another byte in its file": damaged_file,
    "no file": missing_file,
    "made of something else": changed(lambda it: it["record"].update(of="2")),
    "a record of another kind": changed(lambda it: it["record"].update(value={"width": 4})),
    "an unknown field": changed(lambda it: it["record"].update(more=1)),
    "no record": changed(lambda it: it.update(record={})),
    "no files": changed(lambda it: it.update(files={})),
    "a length that is not the file's": changed(lambda it: it["record"]["value"].update(length=7)),
    "a file name that leads elsewhere": changed(lambda it: it.update(files={"../a.txt": "0"})),
    "no JSON": unreadable(b"{"),
    "not text": unreadable(b"\xff\xfe"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_piece_that_does_not_fit_is_made_again_with_a_warning(case: str, tmp_path: Path) -> None:
    """And is good the next time."""
    Room(tmp_path).piece()
    MISFITS[case](tmp_path)
    room = Room(tmp_path)
    assert room.piece() == "made"
    assert room.made == ["a"]
    assert room.kept.taken == []
    assert len([it for it in room.journal.warnings if "stopped run has kept" in it]) == 1
    later = Room(tmp_path)
    assert later.piece() == "made"
    assert later.made == []


def test_a_piece_that_does_not_fit_is_out_of_the_index_before_its_file_is_made_again(
    tmp_path: Path,
) -> None:
    """A file that an index names never changes."""
    Room(tmp_path).piece()
    room = Room(tmp_path)
    room.kept.refuse("a", "because")
    assert read_index(tmp_path).pieces == {}
    assert not (tmp_path / "a.txt").exists()
    assert room.kept_events == ["a"]


def test_the_word_to_stop_ends_the_work_at_once_or_where_it_says_itself(tmp_path: Path) -> None:
    """In between it is told at the end, where it was not seen."""
    ended: list[int] = []
    room = Room(tmp_path)
    room.kept.stop(lambda: ended.append(1))
    assert ended == [1]
    room = Room(tmp_path)

    def work() -> None:
        with room.kept.stops_itself():
            room.kept.stop(lambda: ended.append(2))
            assert room.kept.stopping.is_set()

    with pytest.raises(StoppedError):
        work()
    assert ended == [1]


def test_arrays_come_back_as_they_were_and_are_never_unpickled(tmp_path: Path) -> None:
    """Of any shape and kind of number; one of objects is refused."""
    arrays: list[Any] = [
        np.array(3, "int64"),
        np.zeros((0, 2), "float32"),
        np.array([1, np.nan], "float32"),
        np.array([True]),
    ]
    write_arrays(tmp_path / "a.npz", arrays)
    for before, after in zip(arrays, read_arrays(tmp_path / "a.npz"), strict=True):
        assert (before.dtype, before.shape) == (after.dtype, after.shape)
        assert before.tobytes() == after.tobytes()
    with (tmp_path / "b.npz").open("wb") as file:
        np.savez(file, np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(tmp_path / "b.npz")
