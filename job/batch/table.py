"""A batch's closing table."""

from __future__ import annotations

from job.batch.summary import Row, Summary

COLUMNS = (
    *("job", "status", "bytes", "smallest\nbytes", "times\nsmaller"),
    *("artifact", "metric", "quality", "drop", "seconds"),
)
MARKS = {"succeeded": "ready", "gate_missed": "gate missed", "failed": "failed", "pending": "-"}
# More are not read by a person; summary.csv has them all.
MOST_ROWS = 200


def rows(summary: Summary) -> list[list[str]]:
    """One row for each job, as text; of very many, those that are not ready come first."""
    jobs = summary.jobs
    if len(jobs) > MOST_ROWS:
        jobs = sorted(jobs, key=lambda it: it.status == "succeeded")[:MOST_ROWS]
    return [_row(it) for it in jobs]


def _row(it: Row) -> list[str]:
    return [
        it.name,
        MARKS[it.status] + (" (!)" if it.note else ""),
        _number(it.bytes, ","),
        _number(it.smallest_bytes, ","),
        _number(it.ratio, ".1f"),
        it.artifact or "",
        it.metric or "",
        _number(it.quality, ".4f"),
        _number(it.drop, "+z.4f"),
        _number(it.seconds, ".1f"),
    ]


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)


def messages(summary: Summary) -> list[str]:
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
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    lines.append(f"{totals.jobs} jobs: {told}")
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
    lines += [f"(!) {it.name}: {it.note}" for it in summary.jobs if it.note][:MOST_ROWS]
    not_ready = [it for it in summary.jobs if it.reason][:MOST_ROWS]
    return lines + [f"{it.name} (exit code {it.exit_code}): {it.reason}" for it in not_ready]
