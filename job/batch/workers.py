"""Warm workers: child processes that keep TensorFlow imported from job to job.

One that crashes, hangs, or exceeds a limit is ended and replaced, and so is one whose job failed or
that has run code embedded in a model: nothing of it may reach the next job. The thread that waits
for it gets the reason.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from job import machine
from job.errors import InterruptedRunError, StageError
from job.run.process import Child
from job.storage import local
from job.worker.protocol import Task

# TensorFlow takes half a gigabyte; the rest is for a model and its data.
WORKER_BYTES = 3 << 29
# A worker's memory grows a little with each job (``benchmarks/warm.py``).
MOST_TASKS = 50
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Limits:
    """What one job may take."""

    timeout_s: float | None
    memory_bytes: int | None
    """Resident memory of its worker, including TensorFlow's own."""


def count_workers(asked: int | str, jobs: int, limits: Limits) -> int:
    """The number of workers: one for each core if memory suffices.

    Args:
        asked: A number, or ``auto``.
        jobs: The number of jobs.
        limits: What one job may take.
    """
    if isinstance(asked, int):
        return max(1, min(asked, jobs))
    room = machine.memory_bytes() // (limits.memory_bytes or WORKER_BYTES)
    return max(1, min(machine.cores(), room, jobs))


class _Seat:
    """A slot for one child at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.child: Child | None = None
        self.tasks = 0
        """How many its child was given."""

    def close(self) -> None:
        if self.child is not None:
            self.child.close()
        self.child, self.tasks = None, 0


class JobWorkers:
    """The workers, as one job uses them: with the time that the job has waited for one."""

    def __init__(self, workers: Workers) -> None:
        """Nothing was waited for yet."""
        self.waited_s = 0.0
        self._workers = workers

    @property
    def folder(self) -> Path | None:
        """Holds all files of the batch on this disk."""
        return self._workers.folder

    def child(self, task: Task, settings: dict[str, str]) -> AbstractContextManager[Child]:
        """A worker, once one is free."""
        return self._workers.child(task, settings, self._wait)

    def _wait(self, seconds: float) -> None:
        self.waited_s += seconds


class Workers:
    """The children of a batch's jobs; a context manager, which ends them all."""

    def __init__(self, count: int, limits: Limits, *, verbose: bool) -> None:
        """Make room for workers; each is started when a job needs it.

        Args:
            count: How many.
            limits: What one job may take.
            verbose: Whether TensorFlow's own messages are shown.
        """
        self.count = count
        self.folder: Path | None = None
        """Holds all files of the batch on this disk; a worker removes it if this process dies."""
        self.started = 0
        """How many were started, including replacements."""
        self.waited_s = 0.0
        """Seconds that all tasks together have waited for a worker."""
        self._limits = limits
        self._verbose = verbose
        self._cores = max(1, machine.cores() // count)
        self._is_stopping = False
        self._busy: dict[Child, float] = {}
        """Since when, by ``time.monotonic``."""
        self._changing = threading.Lock()
        self._free: queue.SimpleQueue[_Seat | None] = queue.SimpleQueue()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._scratch = contextlib.ExitStack()
        self.folder = self._scratch.enter_context(local.scratch())
        self._seats = [_Seat(self.folder / str(number)) for number in range(self.count)]
        for seat in self._seats:
            seat.folder.mkdir()
            self._free.put(seat)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        for seat in self._seats:
            seat.close()
        self._scratch.close()

    def begin(self) -> None:
        """Start the first one before any job fills ``folder``, which it removes if this process is
        killed.

        Raises:
            StorageError: If the disk is full, or the machine has no room for a process.
        """
        self._start(self._seats[0], {})

    def of_a_job(self) -> JobWorkers:
        """The workers, as one job uses them."""
        return JobWorkers(self)

    @contextlib.contextmanager
    def child(
        self, task: Task, settings: dict[str, str], waited: Callable[[float], None] | None = None
    ) -> Iterator[Child]:
        """A worker, once one is free; ``waited`` is given the seconds until then.

        Raises:
            InterruptedRunError: If the batch is stopping.
        """
        asked = time.monotonic()
        seat, is_as_before = self._take(), False
        seconds = time.monotonic() - asked
        with self._changing:
            self.waited_s += seconds
        if waited is not None:
            waited(seconds)
        try:
            if settings or seat.tasks >= MOST_TASKS:
                seat.close()
            child = seat.child
            if child is None or not child.is_alive:
                child = self._start(seat, settings)
            seat.tasks += 1
            with self._limited(child):
                yield child
                # If the task has ended it, the next one notices.
                is_as_before = not (settings or task.trust)
        finally:
            if not is_as_before:
                seat.close()
            self._free.put(seat)

    def stop(self, grace_s: float) -> None:
        """Tell every worker to save a checkpoint and to end.

        Args:
            grace_s: How long they may take, in seconds.
        """
        with self._changing:
            self._is_stopping = True
            busy = list(self._busy)
        for child in busy:
            child.stop()
            deadline = threading.Timer(grace_s, child.end, [InterruptedRunError(signal.SIGTERM)])
            deadline.daemon = True
            deadline.start()
        self._free.put(None)

    def _start(self, seat: _Seat, settings: dict[str, str]) -> Child:
        seat.close()
        seat.child = Child(
            seat.folder, settings, verbose=self._verbose, cores=self._cores, whole=self.folder
        )
        self.started += 1
        return seat.child

    def _take(self) -> _Seat:
        seat = self._free.get()
        if seat is None or self._is_stopping:
            self._free.put(seat)  # for the others that wait
            raise InterruptedRunError(signal.SIGTERM)
        return seat

    @contextlib.contextmanager
    def _limited(self, child: Child) -> Iterator[None]:
        with self._changing:
            self._busy[child] = time.monotonic()
            if self._is_stopping:
                child.end(InterruptedRunError(signal.SIGTERM))
        try:
            yield
        finally:
            with self._changing:
                del self._busy[child]

    def _watch(self) -> None:
        """End those that take too long, or too much memory."""
        while not self._over.wait(LOOK_EVERY_S):
            with self._changing:
                for child, since in self._busy.items():
                    verdict = self._verdict(child, time.monotonic() - since)
                    if verdict is not None:
                        child.end(verdict)

    def _verdict(self, child: Child, seconds: float) -> StageError | None:
        timeout_s, memory_bytes = self._limits.timeout_s, self._limits.memory_bytes
        if timeout_s is not None and seconds > timeout_s:
            return StageError(
                f"The job took more than the {timeout_s:g} s that it may take.",
                hint="Raise the batch's timeout_s, or ask less of this job.",
            )
        taken = machine.resident_bytes(child.pid) if memory_bytes is not None else 0
        if memory_bytes is not None and taken > memory_bytes:
            return StageError(
                f"The job took {taken:,} bytes of memory, more than the {memory_bytes:,} that it "
                "may take.",
                hint="Raise the batch's memory_limit_bytes, or lower this job's batch_size.",
            )
        return None
