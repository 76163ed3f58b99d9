"""The states of a training as checkpoints: each replaces the one before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from job.events import Stage
from job.result.record import Record
from job.result.training import EpochResult
from job.resume.checkpoints import CheckpointFormat, StoppedError
from job.stages.training_state import Saved, Saves
from job.worker.checkpoint_formats import read_arrays, write_arrays
from job.worker.context import Work

# The checkpoint of the training's last state, until the pruned model is there. Those of other
# trainings begin so.
TRAINING = "training"


class _TrainingRecord(Record):
    seconds: float
    step: int
    history: list[EpochResult]
    names: list[str]
    best: int = 0
    """How many of the arrays, at the end, are the best epoch's weights."""


class TrainingCheckpoints(Saves):
    """The states of a training: each checkpoint replaces the one before.

    Args:
        work: The job.
        stage: Reports progress.
        of: What is trained.
        name: Which training it is.
    """

    def __init__(self, work: Work, stage: Stage, of: str, name: str = TRAINING) -> None:
        self.stage = stage
        self._name = name
        self._checkpoints = work.checkpoints
        self._journal = work.journal
        self._of = of
        self._format = CheckpointFormat(_TrainingRecord, self._write, self._read)
        self._saved_at = time.monotonic()
        self._last = (0, 0)

    def latest(self) -> Saved | None:
        """What an earlier run has saved."""
        found = self._checkpoints.find(self._name, self._of, self._format)
        if found is not None:
            self._checkpoints.restored.append(self._name)
            self._last = _position(found)
        return found

    def refuse(self, why: str) -> None:
        """Discard it: the training starts again."""
        self._checkpoints.restored.remove(self._name)
        self.stage.earlier_s = 0.0
        self._last = (0, 0)
        self._checkpoints.discard(self._name, why)

    def warn(self, text: str) -> None:
        """Warn the user."""
        self._journal.warn(text)

    def running(self) -> AbstractContextManager[None]:
        """Meanwhile the training stops itself when it is asked to: after it has been saved."""
        self._saved_at = time.monotonic()
        return self._checkpoints.work_stops_itself()

    def is_due(self) -> bool:
        """At an interval, and when the run is to stop."""
        due = time.monotonic() - self._saved_at >= self._checkpoints.save_every_s
        return due or self._checkpoints.stopping.is_set()

    def save(self, state: Saved) -> None:
        """Save a state.

        Raises:
            StoppedError: Where the run is to stop.
            OSError: Where it can't be saved.
        """
        if _position(state) != self._last:  # it is the same all the while an epoch is validated
            self._checkpoints.save(self._name, self._of, self._format, state)
            self._last = _position(state)
        self._saved_at = time.monotonic()
        if self._checkpoints.stopping.is_set():
            raise StoppedError

    def _write(self, state: Saved) -> tuple[_TrainingRecord, Sequence[Path]]:
        step, epochs = _position(state)
        path = self._checkpoints.folder / f"{self._name.replace(' ', '-')}-{step}-{epochs}.npz"
        write_arrays(path, [*state.arrays, *state.best])
        record = _TrainingRecord(
            seconds=self.stage.elapsed(),
            step=state.step,
            history=list(state.history),
            names=list(state.names),
            best=len(state.best),
        )
        return record, [path]

    def _read(self, record: _TrainingRecord, files: Mapping[str, Path]) -> Saved:
        (path,) = files.values()
        self.stage.earlier_s = record.seconds
        arrays = read_arrays(path)
        own = len(arrays) - record.best
        return Saved(record.step, record.history, record.names, arrays[:own], arrays[own:])


def _position(state: Saved) -> tuple[int, int]:
    """Steps done, and epochs that are over."""
    return state.step, len(state.history)
