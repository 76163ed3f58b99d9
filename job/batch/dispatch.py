"""Running jobs in parallel: threads of this process run each as ``pipeline.py`` runs one.

There are twice as many threads as workers, so that one job is fetched and another published while
the workers compute. The outcome of a job is recorded beside the results, and affects no other job.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from job.batch import records
from job.batch.records import Due
from job.batch.rows import row_of, row_of_failure
from job.batch.workers import Workers
from job.errors import BugError, InterruptedRunError, ParedownError, from_os_error
from job.events import Emit, Event
from job.manifest.storage import ResumeConfig
from job.pipeline import run_job
from job.result.failure import Failure, failure_of
from job.result.result import Result
from job.result.summary import Row
from job.storage.destination import Notes
from job.storage.place import Place

THREADS_PER_WORKER = 2


@dataclass(frozen=True)
class Dispatch:
    """What all jobs of a batch have in common."""

    base: Place
    """The folder that relative URIs are relative to."""
    notes: Notes
    """Where the outcome of each is recorded."""
    show: Emit
    workers: Workers


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Adds to an interruption how a batch is resumed."""
    try:
        yield
    except InterruptedRunError as error:
        error.hint = "Jobs that were done are published. Run the same command again; it goes on."
        raise


def run_all(dispatch: Dispatch, due: list[Due]) -> list[Row]:
    """Run jobs until all are done, or the batch is interrupted.

    Returns:
        The row of each, in the order in which they ended.

    Raises:
        StorageError: If the machine has no room for a worker.
        InterruptedRunError: What was done is published.
        OSError: If events can't be shown; what was done is published.
    """
    if due:
        dispatch.workers.begin()
    threads = _Threads(dispatch, due)
    try:
        return threads.rows()
    except (InterruptedRunError, OSError) as error:
        threads.stop(max(((it.job.resume or ResumeConfig()).grace_s for it in due), default=0.0))
        if isinstance(error, InterruptedRunError):
            error.where = f"batch, {threads.done()} of {len(due)} jobs were done"
        raise


class _Threads:
    """Threads that run jobs until there are no more."""

    def __init__(self, dispatch: Dispatch, due: list[Due]) -> None:
        self._dispatch = replace(dispatch, show=self._show)
        self._show_event = dispatch.show
        self._waiting = deque(due)
        self._ended: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        """A row for each job, and None for each thread."""
        self._rows: list[Row] = []
        self._broken: list[OSError] = []
        self._threads = [
            threading.Thread(target=self._work, daemon=True)  # the process ends without them
            for _ in range(min(len(due), THREADS_PER_WORKER * dispatch.workers.count))
        ]
        for thread in self._threads:
            thread.start()

    def rows(self) -> list[Row]:
        """The rows of all jobs, once they are done; or what ``run_all`` raises."""
        running = len(self._threads)
        while running:
            row = self._ended.get()
            if row is None:
                running -= 1
            else:
                self._rows.append(row)
            if self._broken:
                raise self._broken[0]
        return self._rows

    def stop(self, grace_s: float) -> None:
        """Give jobs time to save checkpoints and to finish publishing."""
        deadline = time.monotonic() + grace_s
        self._waiting.clear()
        self._dispatch.workers.stop(grace_s / 2)  # the rest is for storing the checkpoints
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def done(self) -> int:
        """How many jobs have ended by now."""
        while not self._ended.empty():
            self._rows += [row for row in [self._ended.get()] if row is not None]
        return len(self._rows)

    def _work(self) -> None:
        try:
            while self._waiting:
                self._ended.put(_run_one(self._dispatch, self._waiting.popleft()))
        except (InterruptedRunError, IndexError):  # another thread was faster
            pass
        finally:
            self._ended.put(None)

    def _show(self, event: Event) -> None:
        try:
            self._show_event(event)
        except OSError as error:  # whoever read the log is gone, or its disk is full
            self._broken.append(error)
            raise InterruptedRunError(signal.SIGPIPE) from None


def _run_one(dispatch: Dispatch, due: Due) -> Row:
    job, started, workers = due.job, time.monotonic(), dispatch.workers.of_a_job()

    def show(event: Event) -> None:
        dispatch.show({**event, "job": job.name})

    try:
        result = run_job(job, dispatch.base, show, workers)
        row = row_of(result, job.name)
    except InterruptedRunError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug in one job affects no other
        seconds = time.monotonic() - started - workers.waited_s
        failure = failure_of(job.name, _reported(error), seconds, workers.waited_s)
        _record(show, lambda: records.mark_failed(dispatch.notes, failure))
        show(_failed(failure))
        return row_of_failure(failure, job.model.uri)
    _record(show, lambda: _mark_done(dispatch.notes, due, result))
    return row


def _reported(error: Exception) -> ParedownError:
    if isinstance(error, ParedownError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, "Running the job", writing=False)
    return BugError(
        f"{type(error).__name__}: {error}",
        hint="This is a bug in paredown: please report it, with the job's manifest.",
    )


def _mark_done(notes: Notes, due: Due, result: Result) -> None:
    """Record what was asked too, if the inputs are still those that were listed."""
    same = all(
        it is not None and it.mark == result.inputs[name].mark for name, it in due.listed.items()
    )
    records.mark_done(notes, due.job.name, result.status, due.asked if same else None)


def _record(show: Emit, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as error:  # noqa: BLE001 - the outcome stands, and the next run checks
        message = f"What became of the job could not be written: {_reported(error)}"
        show({"event": "warning", "message": message})


def _failed(failure: Failure) -> Event:
    said = {"what": failure.what, "where": failure.where, "to_do": failure.to_do}
    return {
        "event": "job_failed",
        "exit_code": failure.exit_code,
        "error": failure.error,
        **{key: text for key, text in said.items() if text},
    }
