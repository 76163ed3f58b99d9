"""The story of a batch: plan, share, skip what is done, run the rest, one table at the end."""

from __future__ import annotations

import gc
import os
import time

from job.batch import records
from job.batch.agree import VARIABLE, agree
from job.batch.collect import collect, refuse_foreign, write_summary
from job.batch.dispatch import Dispatch, run_all
from job.batch.due import sort_out
from job.batch.last_shard import summarize_if_last
from job.batch.plan import Planned, plan
from job.batch.share import Shard, share
from job.batch.summary import Summary, row_of_done, summarize
from job.batch.workers import Limits, Workers, count_workers
from job.errors import InterruptedRunError
from job.events import Emit, Event
from job.manifest.batch import BatchConfig
from job.storage.backend import Stores
from job.storage.markers import Notes, open_notes
from job.storage.place import Place, find_place


def run_batch(
    asked: BatchConfig, base: Place, show: Emit, shard: Shard | None, *, verbose: bool
) -> Summary:
    """Run a batch, or a shard of one; jobs that are done are not done again.

    Args:
        asked: The manifest.
        base: The folder that its relative URIs are relative to.
        show: Is told what happens; a job's events have its name as ``job``.
        shard: Which share; None for the whole batch.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        What became of each job of it. That of a whole batch is also beside the results; of
        shards the one that ends last puts it there.

    Raises:
        ManifestError: Where the batch is wrong.
        InputError: Where the models can't be listed, or the destination can't be written to.
        StorageError: Where the storage fails before any job is begun.
        InterruptedRunError: What was done is kept.
    """
    try:
        return _run(asked, base, show, shard, verbose=verbose)
    except InterruptedRunError as error:
        error.hint = "Jobs that were done are published. Run the same command again; it goes on."
        raise


def _run(
    asked: BatchConfig, base: Place, show: Emit, shard: Shard | None, *, verbose: bool
) -> Summary:
    started = time.monotonic()

    def warn(message: str) -> None:
        show({"event": "warning", "message": message})

    stores = Stores(warn)
    place = find_place(asked.destination.uri, base)
    notes = open_notes(place, stores, asked.destination.storage or asked.storage)
    if shard is None:
        refuse_foreign(notes)
    planned = plan(asked, base, stores, warn)
    # What was planned stays, and is much: collecting would look at it again and again.
    gc.freeze()
    gc.enable()
    planned, shards = _shared_out(planned, shard, notes, asked)
    number = shard.number if shard else 0
    mine = [it for it in planned if shards[it.job.name] == number]
    there = records.look(notes, [it.job.name for it in mine]) if place.scheme == "s3" else {}
    due, done = sort_out(mine, there, base, stores)
    limits = Limits(asked.timeout_s, asked.memory_limit_bytes)
    # Of the whole batch: how many threads each has may change the last digits of what it makes.
    count = count_workers(asked.workers, len(planned), limits)
    show(
        {
            "event": "batch_started",
            "name": asked.name,
            "shard": str(shard) if shard else None,
            "jobs": len(mine),
            "done_already": len(done),
            "workers": count,
        }
    )
    with Workers(count, limits, verbose=verbose) as workers:
        if due:
            workers.begin()
        rows = run_all(Dispatch(base, notes, show, workers), due)
    if shard is None:
        summary = collect(notes, known=rows)
        write_summary(notes, summary)
    else:
        others = {name: it for name, it in shards.items() if it != number}
        summarize_if_last(notes, others, rows, warn)
        rows += [row_of_done(job.name, job.model.uri, status) for job, status in done]
        summary = summarize(asked.name, rows)
    show(_finished(summary, str(place), time.monotonic() - started, workers.started))
    return summary


def _shared_out(
    planned: list[Planned], shard: Shard | None, notes: Notes, asked: BatchConfig
) -> tuple[list[Planned], dict[str, int]]:
    """The jobs, and the shard of each by its name; they are written beside the results."""
    batch_id = os.environ.get(VARIABLE)
    if shard is not None and batch_id:
        planned = agree(notes, batch_id, asked, planned)
    if shard is None or shard.number == 0:
        jobs = [(it.job, it.bytes) for it in planned]
        records.write_expansion(notes, asked.name, jobs, shard)
    sizes = {it.job.name: it.bytes for it in planned}
    return planned, share(sizes, shard.count if shard else 1)


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
