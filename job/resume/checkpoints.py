"""What the child process saves while it works, and restores of an earlier run: checkpoints.

A checkpoint is a finished part of the work, in a flat folder with an index (see ``index.py``). The
parent process copies the folder to storage and back. What does not fit is made again, with a
warning.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from job.events import Journal, Report, Stage
from job.result.artifact import file_digest
from job.result.record import Record
from job.resume.index import Checkpoint, Index, link_or_copy, read_index, write_index
from job.text import first_line

RESTORED = "taken from a run that was stopped"

V = TypeVar("V")
R = TypeVar("R", bound=BaseModel)


class StoppedError(Exception):
    """The work has stopped, as the parent asked; what was done is saved."""


@dataclass(frozen=True)
class CheckpointFormat(Generic[V, R]):
    """How a value is saved: as a record and files."""

    kind: type[R]
    write: Callable[[V], tuple[R, Sequence[Path]]]
    """Value -> record and files; files elsewhere are copied to the folder under their names."""
    read: Callable[[R, Mapping[str, Path]], V]
    """Record and files (name -> path) -> value; may raise anything where they do not fit."""


class _Entry(Record):
    """The record of a checkpoint, with the names of the file format."""

    of: str
    """What it was made of."""
    value: dict[str, Any]
    told: Report | None = None
    """What was reported while it was made."""


class Checkpoints:
    """The checkpoints of one job.

    Args:
        folder: A folder that is empty, or holds the checkpoints of an earlier run of the same job.
        journal: Receives what was restored, and what did not fit.
        save_every_s: How often the training's state is to be saved, in seconds.
    """

    def __init__(self, folder: Path, journal: Journal, save_every_s: float) -> None:
        self.folder = folder
        self.save_every_s = save_every_s
        self.restored: list[str] = []
        """The checkpoints that were restored."""
        self.stopping = threading.Event()
        """Set when the parent has asked the work to stop."""
        self.last_saved = ""
        """The checkpoint that was saved last; empty where none was."""
        self._journal = journal
        self._lock = threading.RLock()  # encodings are saved by threads of their own
        self._work_stops_itself = False
        self._current: dict[str, Checkpoint] = {}
        try:
            self._current = dict(read_index(folder).pieces)
        except (ValueError, OSError) as error:
            journal.warn(f"What a stopped run has kept can't be read: {_reason(error)}")

    def restore_or_make(
        self,
        name: str,
        of: str,
        form: CheckpointFormat[V, R],
        make: Callable[[], V],
        stage: Stage | None,
        *,
        replaces: str = "",
    ) -> V:
        """A part of the work: restored from its checkpoint, or made and saved.

        What is reported while it is made is saved with it, and replayed when it is restored.

        Args:
            name: The checkpoint's name.
            of: What the value is made of, for instance a digest: another checkpoint does not fit.
            form: How the value is saved.
            make: Makes it.
            stage: The running stage; None where ``make`` runs whole stages.
            replaces: A checkpoint that this one makes useless.

        Raises:
            OSError: Where it can't be saved.
        """
        found = self._find(name, of, form)
        if found is not None:
            value, report = found
            self.restored.append(name)
            self._journal.replay(report, stage, f"{name}: {RESTORED}" if stage else RESTORED)
            return value
        with self._journal.recorded(stage) as reports:
            value = make()
        self._save(name, form, value, _Entry(of=of, value={}, told=reports[0]), replaces)
        return value

    def restore_or_make_quietly(
        self, name: str, of: str, form: CheckpointFormat[V, R], make: Callable[[], V]
    ) -> V:
        """The same for work in the background, which reports nothing."""
        found = self._find(name, of, form)
        if found is not None:
            self.restored.append(name)
            return found[0]
        value = make()
        self.save(name, of, form, value)
        return value

    def find(self, name: str, of: str, form: CheckpointFormat[V, R]) -> V | None:
        """The value of a checkpoint, if it is there and fits."""
        found = self._find(name, of, form)
        return None if found is None else found[0]

    def save(self, name: str, of: str, form: CheckpointFormat[V, R], value: V) -> None:
        """Save a checkpoint; it replaces an earlier one of that name."""
        self._save(name, form, value, _Entry(of=of, value={}))

    def discard(self, name: str, why: str) -> None:
        """Remove a checkpoint that does not fit, with a warning."""
        self._journal.warn(f"What a stopped run has kept of {name} is made again: {why}")
        with self._lock:
            self._replace({key: it for key, it in self._current.items() if key != name}, name)

    @contextlib.contextmanager
    def work_stops_itself(self) -> Iterator[None]:
        """While this lasts, the work looks at ``stopping`` and ends itself by a StoppedError."""
        with self._lock:
            self._work_stops_itself = True
        yield
        with self._lock:
            self._work_stops_itself = False
        if self.stopping.is_set():
            raise StoppedError

    def stop(self, end: Callable[[], None]) -> None:
        """Stop the work: at once by ``end``, which does not return, unless it stops itself."""
        with self._lock:  # no checkpoint is half written
            self.stopping.set()
            if not self._work_stops_itself:
                end()

    def _find(self, name: str, of: str, form: CheckpointFormat[V, R]) -> tuple[V, Report] | None:
        checkpoint = self._current.get(name)
        if checkpoint is None:
            return None
        try:
            entry = self._checked(checkpoint, of)
            files = {file: self.folder / file for file in checkpoint.files}
            value = form.read(form.kind.model_validate(entry.value), files)
        except Exception as error:  # noqa: BLE001 - whatever does not fit is made again
            self.discard(name, _reason(error))
            return None
        return value, entry.told or Report(seconds=0)

    def _checked(self, checkpoint: Checkpoint, of: str) -> _Entry:
        """A checkpoint's record; a ValueError or OSError where the checkpoint does not fit."""
        entry = _Entry.model_validate(checkpoint.record)
        if entry.of != of:
            raise ValueError("it was made of something else.")
        for file, expected in checkpoint.files.items():
            if file_digest(self.folder / file)[1] != expected:
                raise ValueError(f"{file} is damaged.")
        return entry

    def _save(
        self, name: str, form: CheckpointFormat[V, R], value: V, entry: _Entry, replaces: str = ""
    ) -> None:
        record, files = form.write(value)
        entry = entry.model_copy(update={"value": record.model_dump(mode="json")})
        for file in files:
            if file.parent != self.folder:
                link_or_copy(file, self.folder / file.name)
        digests = {file.name: file_digest(self.folder / file.name)[1] for file in files}
        checkpoint = Checkpoint(files=digests, record=entry.model_dump(mode="json"))
        with self._lock:
            others = {key: it for key, it in self._current.items() if key not in (name, replaces)}
            self._replace(others | {name: checkpoint}, name)

    def _replace(self, checkpoints: dict[str, Checkpoint], changed: str) -> None:
        """Write a new index, and then delete the files that it no longer names."""
        before, after = Index(pieces=self._current), Index(pieces=checkpoints)
        write_index(self.folder, after)
        for file in before.files.keys() - after.files.keys():
            (self.folder / file).unlink(missing_ok=True)
        self._current, self.last_saved = checkpoints, changed
        self._journal.emit({"event": "kept", "piece": changed})


def _reason(error: Exception) -> str:
    """Why a checkpoint does not fit, in one line."""
    if isinstance(error, ValidationError):
        return f"its record is of another kind ({error.error_count()} fields)."
    return first_line(error, 200)
