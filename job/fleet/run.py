"""The story of a batch: plan, share, skip what is done, run the rest, one table at the end.

Jobs are run by threads of this process, as ``pipeline.py`` runs one, so that one is fetched and
another published while the workers compute. There are twice as many threads as workers.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from job.errors import BugError, InterruptedRunError, ParedownError
from job.fleet import records
from job.fleet.agree import VARIABLE, agree
from job.fleet.collect import collect, refuse_foreign, write_summary
from job.fleet.plan import Planned, plan
from job.fleet.records import JobFolder, asked_digest
from job.fleet.share import Shard, share
from job.fleet.summary import Failure, Row, Summary, failure_of, row_of, row_of_failure, summarize
from job.fleet.workers import Limits, Workers, count_workers
from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.storage import ResumeConfig
from job.pipeline import run_job
from job.progress import Event, Screen
from job.result import InputResult
from job.store.found import Found
from job.store.notes import Notes, open_notes
from job.store.sources import source
from job.store.stores import Stores
from job.store.uri import Place, find_place

THREADS_PER_WORKER = 2


@dataclass(frozen=True)
class _Batch:
    """A batch that is under way."""

    asked: BatchConfig
    base: Place
    screen: Screen
    notes: Notes
    stores: Stores

    def warn(self, message: str) -> None:
        self.screen.show({"event": "warning", "message": message})


@dataclass(frozen=True)
class _Due:
    """A job that has to be run."""

    planned: Planned
    data: Found | None
    """Its data set, as it was found when the batch began."""

    @property
    def job(self) -> JobConfig:
        return self.planned.job

    @property
    def asked(self) -> str | None:
        return asked_digest(self.job, {"model": _as_found(self.planned), "dataset": self.data})


def run_batch(
    asked: BatchConfig, base: Place, screen: Screen, shard: Shard | None, *, verbose: bool
) -> Summary:
    """Run a batch, or a shard of one; jobs that are done are not done again.

    Args:
        asked: The manifest.
        base: The folder that its relative URIs are relative to.
        screen: Where progress is shown.
        shard: Which share; None for the whole batch.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        What became of each job of it. Of a whole batch it is also beside the results.

    Raises:
        ManifestError: Where the batch is wrong.
        InputError: Where the models can't be listed, or the destination can't be written to.
        StorageError: Where the storage fails before any job is begun.
        InterruptedRunError: What was done is kept.
    """
    started = time.monotonic()
    stores = Stores(lambda message: screen.show({"event": "warning", "message": message}))
    place = find_place(asked.destination.uri, base)
    notes = open_notes(place, stores, asked.destination.storage or asked.storage)
    batch = _Batch(asked, base, screen, notes, stores)
    if shard is None:
        refuse_foreign(notes)
    planned = plan(asked, base, stores, batch.warn)
    batch_id = os.environ.get(VARIABLE)
    if shard is not None and batch_id:
        planned = agree(notes, batch_id, asked, planned)
    mine = _share(planned, shard)
    if shard is None or shard.number == 0:
        sizes = [(it.job, it.bytes) for it in planned]
        records.write_expansion(notes, asked.name, sizes, shard)
    there = records.look(notes, [it.job.name for it in mine]) if place.scheme == "s3" else {}
    due, done = _split(batch, mine, there)
    limits = Limits(asked.timeout_s, asked.memory_limit_bytes)
    # Of the whole batch: how many threads each has may change the last digits of what it makes.
    count = count_workers(asked.workers, len(planned), limits)
    screen.show(
        {
            "event": "batch_started",
            "name": asked.name,
            "shard": str(shard) if shard else None,
            "jobs": len(mine),
            "done_already": len(done),
            "workers": count,
        }
    )
    rows = [_row_of_done(it, status) for it, status in done]
    with Workers(count, limits, verbose=verbose) as workers:
        rows += _run_all(batch, due, workers)
    if shard is None:
        summary = collect(notes, lambda _: None)
        write_summary(notes, summary)
    else:
        summary = summarize(asked.name, rows)
    screen.show(_finished(summary, str(place), time.monotonic() - started, workers.started))
    return summary


def _share(planned: list[Planned], shard: Shard | None) -> list[Planned]:
    if shard is None:
        return planned
    where = share({it.job.name: it.bytes for it in planned}, shard.count)
    return [it for it in planned if where[it.job.name] == shard.number]


def _split(
    batch: _Batch, mine: list[Planned], there: Mapping[str, JobFolder]
) -> tuple[list[_Due], list[tuple[JobConfig, str]]]:
    """What is to be run, the largest first; and what is done, with its status."""
    data = _DataSets(batch)
    due, done = [], []
    for it in sorted(mine, key=lambda it: (-it.bytes, it.job.name)):
        job = _Due(it, data.find(it.job))
        asked = job.asked
        folder = there.get(it.job.name)
        status = folder.status(asked) if folder and asked else None
        if status is None:
            due.append(job)
        else:
            done.append((it.job, status))
    return due, done


class _DataSets:
    """Finds each data set once."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._found: dict[object, Found | None] = {}

    def find(self, job: JobConfig) -> Found | None:
        """None where it can't be found: the job itself will tell why."""
        config = job.dataset.storage or job.storage
        key = (job.dataset.uri, config)
        if key not in self._found:
            try:
                place = find_place(job.dataset.uri, self._batch.base)
                base, stores = self._batch.base, self._batch.stores
                self._found[key] = source(place).find_data(place, base, stores, config)
            except ParedownError:
                self._found[key] = None
        return self._found[key]


def _as_found(it: Planned) -> Found | None:
    return Found(it.model.place, (it.model,)) if it.model else None


def _run_all(batch: _Batch, due: list[_Due], workers: Workers) -> list[Row]:
    """Run jobs until all are done, or the batch is interrupted."""
    waiting, rows = deque(due), queue.SimpleQueue[Row | None]()

    def work() -> None:
        try:
            while waiting:
                rows.put(_run_one(batch, waiting.popleft(), workers))
        except (InterruptedRunError, IndexError):  # another thread was faster
            pass
        finally:
            rows.put(None)

    threads = [
        threading.Thread(target=work, daemon=True)  # an interrupted batch waits for none for ever
        for _ in range(min(len(due), THREADS_PER_WORKER * workers.count))
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
        grace_s = max((_grace_s(it.job) for it in due), default=0.0)
        workers.stop(grace_s / 2)  # the other half is for what was saved to get to the destination
        deadline = time.monotonic() + grace_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        done = f"{len(found)} of {len(due)} jobs are done"
        raise InterruptedRunError(error.number, f"batch, {done}", kept=True) from None
    return found


def _grace_s(job: JobConfig) -> float:
    return (job.resume or ResumeConfig()).grace_s


def _run_one(batch: _Batch, due: _Due, workers: Workers) -> Row:
    """Run a job; whatever becomes of it is kept, and hurts no other."""
    job, started = due.job, time.monotonic()

    def show(event: Event) -> None:
        batch.screen.show({**event, "job": job.name})

    try:
        result = run_job(job, batch.base, show, workers)
        _keep(batch, lambda: _mark_done(batch, due, result.status, result.inputs))
        return row_of(result, job.name)
    except InterruptedRunError:
        raise
    except ParedownError as error:
        failure = failure_of(job.name, error, time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - one job's bug hurts no other
        bug = BugError(f"{type(error).__name__}: {error}", hint="Please report this.")
        failure = failure_of(job.name, bug, time.monotonic() - started)
    _keep(batch, lambda: records.mark_failed(batch.notes, failure))
    show(_failed(failure))
    return row_of_failure(failure, job.model.uri)


def _mark_done(batch: _Batch, due: _Due, status: str, inputs: Mapping[str, InputResult]) -> None:
    """If the inputs are still those that were listed."""
    listed = {"model": _as_found(due.planned), "dataset": due.data}
    same = all(it is not None and it.mark == inputs[name].mark for name, it in listed.items())
    records.mark_done(batch.notes, due.job.name, status, due.asked if same else None)


def _keep(batch: _Batch, write: Callable[[], None]) -> None:
    try:
        write()
    except ParedownError as error:
        batch.warn(f"What became of a job could not be written: {error}")


def _row_of_done(job: JobConfig, status: str) -> Row:
    """What one listing tells; ``summarize`` tells the rest."""
    missed = status == "gate_missed"
    return Row(
        name=job.name,
        model=job.model.uri,
        status="gate_missed" if missed else "succeeded",
        exit_code=5 if missed else 0,
        reason="a gate was missed, see result.json" if missed else "",
    )


def _failed(failure: Failure) -> Event:
    said = {"what": failure.what, "where": failure.where, "to_do": failure.to_do}
    return {
        "event": "job_failed",
        "exit_code": failure.exit_code,
        "error": failure.error,
        **{key: text for key, text in said.items() if text},
    }


def _finished(summary: Summary, where: str, seconds: float, started: int) -> Event:
    return {
        "event": "batch_finished",
        "name": summary.name,
        "exit_code": summary.exit_code,
        "seconds": round(seconds, 3),
        "workers_started": started,
        "results": where,
        **summary.totals.model_dump(exclude={"seconds"}),
    }
