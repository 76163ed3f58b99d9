"""The totals of a batch, and its exit code; see ``result/summary.py``."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

from job.result.summary import Row, Summary, Totals

# Exit codes, the worst first: what a retry may fix, a bug, then what a retry will not fix.
WORST = (6, 1, 4, 3, 5)


def summarize(name: str, rows: Iterable[Row], others: int = 0) -> Summary:
    """Rows and totals, the rows sorted by name."""
    jobs = sorted(rows, key=lambda row: row.name)
    count: Mapping[str, int] = Counter(it.status for it in jobs)
    shipped = [it for it in jobs if it.passes and it.smallest_bytes]
    before = sum(it.bytes or 0 for it in shipped)
    after = sum(it.smallest_bytes or 0 for it in shipped)
    return Summary(
        name=name,
        made_at=_now(),
        exit_code=exit_code(jobs),
        totals=Totals(
            jobs=len(jobs),
            succeeded=count["succeeded"],
            gate_missed=count["gate_missed"],
            failed=count["failed"],
            pending=count["pending"],
            bytes=before,
            smallest_bytes=after,
            ratio=round(before / after, 2) if after else None,
            seconds=round(sum(it.seconds or 0 for it in jobs), 3),
            waited_s=round(sum(it.waited_s or 0 for it in jobs), 3),
            others=others,
        ),
        jobs=jobs,
    )


def exit_code(rows: Iterable[Row]) -> int:
    """Of a batch: 0 if all is well, else that of its worst job. A wrong manifest of a single job
    counts as a refused input: what is wrong with the batch itself is reported before.
    """
    codes = {3 if it.exit_code == 2 else it.exit_code for it in rows}
    return next((code for code in WORST if code in codes), 0)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
