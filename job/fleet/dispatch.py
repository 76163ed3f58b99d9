"""Running jobs at once: threads of this process run them as ``pipeline.py`` runs one.

There are twice as many threads as workers, so that one job is fetched and another published while
the workers compute. Whatever becomes of a job is kept beside the results, and hurts no other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from job.errors import BugError, InterruptedRunError, ParedownError
from job.fleet import records
from job.fleet.due import Due
from job.fleet.summary import Failure, Row, failure_of, row_of, row_of_failure
from job.fleet.workers import Workers
from job.manifest.storage import ResumeConfig
from job.pipeline import run_job
from job.progress import Emit, Event
from job.result import Result
from job.store.notes import Notes
from job.store.uri import Place

THREADS_PER_WORKER = 2


@dataclass(frozen=True)
class Dispatch:
    """What all jobs of a batch have in common."""

    base: Place
    """The folder that relative URIs are relative to."""
    notes: Notes
    """Where it is kept what became of each."""
    show: Emit
    workers: Workers


def run_all(it: Dispatch, due: list[Due]) -> list[Row]:
    """Run jobs until all are done, or the batch is interrupted.

    Returns:
        The row of each, in the order in which they ended.

    Raises:
        InterruptedRunError: What was done is kept.
    """
    waiting, rows = deque(due), queue.SimpleQueue[Row | None]()

    def work() -> None:
        try:
            while waiting:
                rows.put(_run_one(it, waiting.popleft()))
        except (InterruptedRunError, IndexError):  # another thread was faster
            pass
        finally:
            rows.put(None)

    threads = [
        threading.Thread(target=work, daemon=True)  # an interrupted batch waits for none for ever
        for _ in range(min(len(due), THREADS_PER_WORKER * it.workers.count))
    ]
    for thread in threads:
        thread.start()
    found: list[Row] = []
    running = len(threads)
    try:
        while running:
            row = rows.get()
            if row is None:
                running -= 1
            else:
                found.append(row)
    except InterruptedRunError as error:
        waiting.clear()
        _stop(it.workers, threads, max((_grace_s(one) for one in due), default=0.0))
        done = f"{len(found)} of {len(due)} jobs are done"
        raise InterruptedRunError(error.number, f"batch, {done}", kept=True) from None
    return found


def _stop(workers: Workers, threads: list[threading.Thread], grace_s: float) -> None:
    """Let jobs save what they are doing, and what is being published get there."""
    deadline = time.monotonic() + grace_s
    workers.stop(grace_s / 2)  # the other half is for what was saved to get to the destination
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _grace_s(due: Due) -> float:
    return (due.job.resume or ResumeConfig()).grace_s


def _run_one(it: Dispatch, due: Due) -> Row:
    job, started = due.job, time.monotonic()

    def show(event: Event) -> None:
        it.show({**event, "job": job.name})

    try:
        result = run_job(job, it.base, show, it.workers)
        row = row_of(result, job.name)
    except InterruptedRunError:
        raise
    except Exception as error:  # noqa: BLE001 - one job's bug hurts no other
        failure = failure_of(job.name, _told(error), time.monotonic() - started)
        _keep(show, lambda: records.mark_failed(it.notes, failure))
        show(_failed(failure))
        return row_of_failure(failure, job.model.uri)
    _keep(show, lambda: _mark_done(it.notes, due, result))
    return row


def _told(error: Exception) -> ParedownError:
    if isinstance(error, ParedownError):
        return error
    return BugError(
        f"{type(error).__name__}: {error}",
        hint="This is a bug in paredown: please report it, with the job's manifest.",
    )


def _mark_done(notes: Notes, due: Due, result: Result) -> None:
    """With what was asked, if the inputs are still those that were listed."""
    same = all(
        it is not None and it.mark == result.inputs[name].mark for name, it in due.listed.items()
    )
    records.mark_done(notes, due.job.name, result.status, due.asked if same else None)


def _keep(show: Emit, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as error:  # noqa: BLE001 - the job's outcome stands, and the next run looks
        message = f"What became of the job could not be written: {_told(error)}"
        show({"event": "warning", "message": message})


def _failed(failure: Failure) -> Event:
    said = {"what": failure.what, "where": failure.where, "to_do": failure.to_do}
    return {
        "event": "job_failed",
        "exit_code": failure.exit_code,
        "error": failure.error,
        **{key: text for key, text in said.items() if text},
    }
