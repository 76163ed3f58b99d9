"""The story of a batch: plan, share, skip what is done, run the rest, summarize."""

from __future__ import annotations

import gc
import time

from job.batch.collect import collect, refuse_foreign, summarize_if_last, write_summary
from job.batch.dispatch import Dispatch, resumable, run_all
from job.batch.plan import plan
from job.batch.records import sort_out
from job.batch.rows import row_of_done
from job.batch.share import Shard, share_out
from job.batch.totals import summarize
from job.batch.workers import Limits, Workers, count_workers
from job.events import Emit, Event
from job.manifest.batch import BatchConfig
from job.result.summary import Summary
from job.storage.backend import Stores
from job.storage.destination import Notes
from job.storage.place import Place, find_place


@resumable()
def run_batch(
    asked: BatchConfig, base: Place, show: Emit, shard: Shard | None, *, verbose: bool
) -> Summary:
    """Run a batch, or a shard of one; jobs that are done are not done again.

    Args:
        asked: The manifest.
        base: The folder that its relative URIs are relative to.
        show: Receives the events; a job's events have its name as ``job``.
        shard: Which shard; None for the whole batch.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        The outcome of each job. It is also written beside the results, by the shard that ends last.

    Raises:
        ManifestError: If the batch is wrong.
        InputError: If the models can't be listed, or the destination can't be written to.
        StorageError: If the storage fails before any job starts.
    """
    started = time.monotonic()

    def warn(message: str) -> None:
        show({"event": "warning", "message": message})

    stores = Stores(warn)
    place = find_place(asked.destination.uri, base)
    notes = Notes(place, stores, asked.destination.storage or asked.storage)
    if shard is None:
        refuse_foreign(notes)
    planned = plan(asked, base, stores, warn)
    # What was planned stays, and is much: the collector need not traverse it again and again.
    gc.freeze()
    gc.enable()
    planned, shards = share_out(planned, shard, notes, asked)
    number = shard.number if shard else 0
    mine = [it for it in planned if shards[it.job.name] == number]
    due, done = sort_out(mine, notes, base, stores)
    limits = Limits(asked.timeout_s, asked.memory_limit_bytes)
    # Of the whole batch: the number of threads of each may change the last digits of its results.
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
        rows = run_all(Dispatch(base, notes, show, workers), due)
    if shard is None:
        summary = collect(notes, known=rows)
        write_summary(notes, summary, warn)
    else:
        others = {name: it for name, it in shards.items() if it != number}
        summarize_if_last(notes, others, rows, warn)
        rows += [row_of_done(job.name, job.model.uri, status) for job, status in done]
        summary = summarize(asked.name, rows)
    show(_finished(summary, place, time.monotonic() - started, workers.started))
    return summary


def _finished(summary: Summary, place: Place, seconds: float, started: int) -> Event:
    return {
        "event": "batch_finished",
        "name": summary.name,
        "exit_code": summary.exit_code,
        "seconds": round(seconds, 3),
        "workers_started": started,
        "results": str(place),
        **summary.totals.model_dump(exclude={"seconds"}),
    }
