"""What the commands do with a batch: run it, summarize what is there of it, show its table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from job.console import absolute, say_data, warn, writing_output
from job.errors import ManifestError
from job.report.screen import Screen, ScreenKind, Table, open_screen
from job.text import legible_json, one_line

if TYPE_CHECKING:
    from job.manifest.batch import BatchConfig
    from job.result.summary import Row, Summary
    from job.storage.place import Place


COLUMNS = (
    *("job", "status", "bytes", "smallest\nbytes", "times\nsmaller"),
    *("artifact", "metric", "quality", "drop", "seconds"),
)
MARKS = {"succeeded": "ready", "gate_missed": "gate missed", "failed": "failed", "pending": "-"}
# Nobody reads more; summary.csv has them all.
MOST_ROWS = 200


def run_batch(
    asked: BatchConfig, base: Place, screen: Screen, shard: str | None, *, verbose: bool
) -> int:
    """Run a batch, and show its table.

    Returns:
        The exit code.

    Raises:
        ParedownError: If no job could be started, or the batch was interrupted.
    """
    from job.batch import run
    from job.batch.share import find_shard
    from job.run import termination

    summary = run.run_batch(
        asked, base, screen.show, find_shard(shard, os.environ), verbose=verbose
    )
    not_ready = [
        f"{one_line(it.name)}: {it.reason or it.status}" for it in summary.jobs if it.exit_code
    ]
    termination.batch_finished(
        summary.name,
        summary.exit_code,
        summary.totals.model_dump(),
        not_ready,
        lambda message: screen.show({"event": "warning", "message": message}),
    )
    screen.table(table(summary))
    return summary.exit_code


def summarize(
    results: Annotated[
        str, typer.Argument(help="The destination of a batch: a folder, or s3://bucket/prefix.")
    ],
    output: Annotated[
        str | None,
        typer.Option(help="Where summary.json, .csv and .html go, too: a folder or a prefix."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead.")] = False,
) -> None:
    """Show which jobs of a batch are ready, from what is there; also while it runs."""
    from job.batch.collect import collect, refuse_foreign, write_summary
    from job.manifest.storage import StorageConfig
    from job.storage.backend import Stores
    from job.storage.destination import Notes
    from job.storage.place import find_place, here

    stores = Stores(warn)

    def open_at(uri: str) -> Notes:
        return Notes(find_place(absolute(uri), here()), stores, StorageConfig())

    if not results:
        raise ManifestError("The destination is empty.", hint="Name a folder, or a prefix.")
    target = None if output is None else open_at(output)
    if target is not None:
        refuse_foreign(target)
    summary = collect(open_at(results))
    if target is not None:
        write_summary(target, summary, warn)
    if as_json:
        say_data(legible_json(summary.model_dump_json(indent=2)))
    else:
        with writing_output():
            open_screen(ScreenKind.TEXT).table(table(summary))


def table(summary: Summary) -> Table:
    """A batch's closing table."""
    return Table(one_line(summary.name), COLUMNS, table_rows(summary), table_notes(summary))


def table_rows(summary: Summary) -> list[list[str]]:
    """One row for each job, as text; of very many, only so many, those that are not ready first."""
    jobs = summary.jobs
    if len(jobs) > MOST_ROWS:
        jobs = sorted(jobs, key=lambda row: row.status == "succeeded")[:MOST_ROWS]
    return [_row(it) for it in jobs]


def _row(row: Row) -> list[str]:
    metric, quality = row.metric, row.quality
    if metric is None and row.agreement is not None:
        metric, quality = "agreement", row.agreement
    elif metric is None and row.snr_db is not None:
        metric, quality = "SNR dB", row.snr_db
    return [
        one_line(row.name),
        MARKS[row.status] + (" (!)" if row.note else ""),
        _number(row.bytes, ","),
        _number(row.smallest_bytes, ","),
        _number(row.ratio, ".1f"),
        one_line(row.artifact or ""),
        one_line(metric or ""),
        _number(quality, ".4f"),
        _number(row.drop, "+z.4f"),
        _number(row.seconds, ".1f"),
    ]


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)


def table_notes(summary: Summary) -> list[str]:
    """The lines under the table: totals, and why some are not ready."""
    totals = summary.totals
    left_out = [f"{len(summary.jobs) - MOST_ROWS} more are in summary.csv"]
    lines = left_out if len(summary.jobs) > MOST_ROWS else []
    counts = {
        "ready": totals.succeeded,
        "with a missed gate": totals.gate_missed,
        "failed": totals.failed,
        "pending": totals.pending,
    }
    counted = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    lines.append(f"{totals.jobs} jobs: {counted}")
    if totals.waited_s >= 1:
        lines.append(
            f"{totals.seconds:,.0f} seconds of work; {totals.waited_s:,.0f} waited for a worker"
        )
    if totals.ratio is not None:
        lines.append(
            f"{totals.bytes:,} bytes became {totals.smallest_bytes:,}: {totals.ratio} times smaller"
        )
    if totals.others:
        lines.append(f"{totals.others} more folders there are of none of these jobs")
    lines += [f"(!) {one_line(it.name)}: {it.note}" for it in summary.jobs if it.note][:MOST_ROWS]
    not_ready = [it for it in summary.jobs if it.reason][:MOST_ROWS]
    return lines + [
        f"{one_line(it.name)} (exit code {it.exit_code}): {it.reason}" for it in not_ready
    ]
