"""Checkpoints: complete or not there, restored where they fit, and never silently wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.events import Event, Journal
from job.result.artifact import file_digest
from job.result.record import Record
from job.resume.checkpoints import RESTORED, CheckpointFormat, Checkpoints, StoppedError
from job.resume.index import read_index
from job.worker.checkpoint_formats import read_arrays, write_arrays


class Length(Record):
    """A record of a file."""

    length: int


class OneRun:
    """A folder of checkpoints, and a run that uses it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.events: list[Event] = []
        self.journal = Journal(self.events.append)
        self.checkpoints = Checkpoints(folder, self.journal, 60)
        self.made: list[str] = []

    def form(self, file: str) -> CheckpointFormat[str, Length]:
        """Text, saved as a file and its length."""

        def write(text: str) -> tuple[Length, Sequence[Path]]:
            (self.folder / file).write_text(text)
            return Length(length=len(text)), [self.folder / file]

        def read(record: Length, files: Mapping[str, Path]) -> str:
            text = files[file].read_text()
            if len(text) != record.length:
                raise KeyError("length")
            return text

        return CheckpointFormat(Length, write, read)

    def make(self, name: str = "a", *, of: str = "1", text: str = "made") -> str:
        """A checkpoint in a stage of its own, with the same reports each time."""

        def make() -> str:
            self.made.append(name)
            stage.decide(f"{name} is decided")
            self.journal.warn(f"mind {name}")
            return text

        with self.journal.stage("work") as stage:
            return self.checkpoints.restore_or_make(name, of, self.form(f"{name}.txt"), make, stage)

    @property
    def saved(self) -> list[str]:
        """The checkpoints that were reported to the parent."""
        return [event["piece"] for event in self.events if event["event"] == "kept"]


def test_a_value_is_made_once_and_reported_each_time(tmp_path: Path) -> None:
    """The next run restores it with its decisions and warnings, and says so."""
    first = OneRun(tmp_path)
    assert first.make() == "made"
    assert (first.made, first.saved, first.checkpoints.restored) == (["a"], ["a"], [])
    assert first.checkpoints.last_saved == "a"
    later = OneRun(tmp_path)
    assert later.make(text="other") == "made"
    assert (later.made, later.saved, later.checkpoints.restored) == ([], [], ["a"])
    assert later.journal.warnings == first.journal.warnings == ["mind a"]
    (stage,) = later.journal.results()
    assert stage.decisions == ["a is decided", f"a: {RESTORED}"]
    resumed = [event for event in later.events if event["event"] == "stage_resumed"]
    assert resumed == [{"event": "stage_resumed", "stage": "work", "what": f"a: {RESTORED}"}]


def test_the_seconds_of_what_is_restored_are_counted(tmp_path: Path) -> None:
    """Those of making it, not those of restoring it."""
    first = OneRun(tmp_path)
    first.make()
    index = json.loads((tmp_path / "index.json").read_text())
    index["pieces"]["a"]["record"]["told"]["seconds"] = 1000.5
    (tmp_path / "index.json").write_text(json.dumps(index))
    later = OneRun(tmp_path)
    later.make()
    assert 1000.5 <= later.journal.stages[0].seconds < 1001.5


def test_whole_stages_are_replayed(tmp_path: Path) -> None:
    """Where a checkpoint covers several of them: in their order, with their decisions."""

    def run(run: OneRun) -> str:
        def make() -> str:
            for name in ("prune", "strip"):
                with run.journal.stage(name) as stage:
                    stage.decide(f"{name}: so")
            return "x"

        return run.checkpoints.restore_or_make("both", "1", run.form("both.txt"), make, None)

    first, later = OneRun(tmp_path), OneRun(tmp_path)
    run(first)
    later = OneRun(tmp_path)
    assert run(later) == "x"
    assert [(it.name, it.decisions) for it in later.journal.results()] == [
        ("prune", ["prune: so", RESTORED]),
        ("strip", ["strip: so", RESTORED]),
    ]
    assert [event["event"] for event in later.events] == 2 * [
        "stage_started",
        "stage_resumed",
        "stage_finished",
    ]


def test_the_index_names_every_file_with_its_digest(tmp_path: Path) -> None:
    """There is nothing else; a checkpoint that another one replaces is gone with its file."""
    run = OneRun(tmp_path)
    run.make("a")
    run.make("b")
    index = json.loads((tmp_path / "index.json").read_text())
    assert set(index) == {"pieces"}
    for name, piece in index["pieces"].items():
        assert set(piece) == {"files", "record"}
        assert piece["files"] == {f"{name}.txt": file_digest(tmp_path / f"{name}.txt")[1]}
    run.checkpoints.restore_or_make("c", "1", run.form("c.txt"), lambda: "c", None, replaces="a")
    assert set(read_index(tmp_path).pieces) == {"b", "c"}
    assert {path.name for path in tmp_path.iterdir()} == {"index.json", "b.txt", "c.txt"}


def test_the_file_of_a_checkpoint_may_lie_elsewhere(tmp_path: Path) -> None:
    """A file of the output is linked into the folder under its name."""
    run = OneRun(tmp_path / "checkpoints")
    file = tmp_path / "model.h5"
    file.write_bytes(b"model")
    form = CheckpointFormat(
        Length, lambda _: (Length(length=5), [file]), lambda record, _: record.length
    )
    assert run.checkpoints.restore_or_make_quietly("model", "1", form, lambda: 5) == 5
    assert (tmp_path / "checkpoints" / "model.h5").read_bytes() == b"model"
    assert OneRun(tmp_path / "checkpoints").checkpoints.find("model", "1", form) == 5


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
def test_a_checkpoint_that_does_not_fit_is_made_again_with_a_warning(
    case: str, tmp_path: Path
) -> None:
    """And is good the next time."""
    OneRun(tmp_path).make()
    MISFITS[case](tmp_path)
    run = OneRun(tmp_path)
    assert run.make() == "made"
    assert run.made == ["a"]
    assert run.checkpoints.restored == []
    assert len([it for it in run.journal.warnings if "stopped run has kept" in it]) == 1
    later = OneRun(tmp_path)
    assert later.make() == "made"
    assert later.made == []


def test_a_checkpoint_that_does_not_fit_leaves_the_index_before_its_file_is_made_again(
    tmp_path: Path,
) -> None:
    """A file that an index names never changes."""
    OneRun(tmp_path).make()
    run = OneRun(tmp_path)
    run.checkpoints.discard("a", "because")
    assert read_index(tmp_path).pieces == {}
    assert not (tmp_path / "a.txt").exists()
    assert run.saved == ["a"]


def test_stopping_ends_the_work_at_once_or_where_it_stops_itself(tmp_path: Path) -> None:
    """A request that the work did not see ends it when it leaves the block."""
    ended: list[int] = []
    run = OneRun(tmp_path)
    run.checkpoints.stop(lambda: ended.append(1))
    assert ended == [1]
    run = OneRun(tmp_path)

    def work() -> None:
        with run.checkpoints.work_stops_itself():
            run.checkpoints.stop(lambda: ended.append(2))
            assert run.checkpoints.stopping.is_set()

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
