"""The outcome of a batch, as in ``summary.json``: a row for each job, and totals."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from job.errors import ParedownError
from job.result.artifact import Record

Status = Literal["succeeded", "gate_missed", "failed", "pending"]
# Exit codes, the worst first: what a retry may fix, a bug, then what a retry will not fix.
WORST = (6, 1, 4, 3, 5)


class Failure(Record):
    """Why a job has no result; recorded beside the results until it has one."""

    name: str
    exit_code: Annotated[int, Field(ge=1, le=255)]
    """What a run of this job alone would have ended with."""
    error: str
    """Its kind: ``InputError``, ``StageError``, ``StorageError``, ``ManifestError``..."""
    what: str
    where: str = ""
    to_do: str = ""
    at: str
    """UTC, ISO 8601."""
    seconds: float
    """Of work, without ``waited_s``."""
    waited_s: float = 0.0
    """Seconds that it waited for a worker."""

    @property
    def reason(self) -> str:
        """In one line."""
        return " ".join(self.what.split()) + (f" ({self.where})" if self.where else "")


class Row(Record):
    """A job of a batch."""

    name: str
    model: str = ""
    """Its URI, as the manifest or the discovery names it."""
    status: Status
    exit_code: int | None = None
    """What a run of this job alone would have ended with; null while it is pending."""
    reason: str = ""
    """Why it failed, or which gates were missed."""
    to_do: str = ""
    note: str = ""
    """Worth knowing first: that the baseline is no better than a constant answer."""
    bytes: int | None = None
    """Of the input model, without optimizer state and encoding."""
    artifact: str | None = None
    """The best one, its variant or its stage: the smallest that passes every gate that applies to
    it; if none does, the smallest of those that miss the fewest."""
    passes: bool | None = None
    """Whether that artifact passes them all."""
    path: str | None = None
    """Its smallest file, relative to the batch's destination."""
    encoding: str | None = None
    """The codec of that file; ``file`` for none."""
    smallest_bytes: int | None = None
    ratio: float | None = None
    """How many times smaller than ``bytes``."""
    metric: str | None = None
    """The first metric of the first output."""
    baseline_quality: float | None = None
    quality: float | None = None
    drop: float | None = None
    """How much worse the metric got; negative where it got better."""
    agreement: float | None = None
    """The share of the baseline's answers that are unchanged; of several outputs the lowest."""
    snr_db: float | None = None
    """The signal-to-noise ratio against the baseline's outputs; of several outputs the lowest."""
    synthetic: bool = False
    """Whether the figures are of inputs that were drawn at random."""
    sparsity: float | None = None
    """The artifact's: the fraction of zeros in its kernels."""
    latency_ms: float | None = None
    """The artifact's median for one sample on one thread, in ``runtime``, beside other jobs."""
    runtime: str | None = None
    """``litert`` or ``tensorflow``, whose latencies do not compare."""
    seconds: float | None = None
    """Of work, including what was resumed from earlier runs; without ``waited_s``."""
    waited_s: float | None = None
    """Seconds that it waited for a worker."""
    run_id: str | None = None
    settings: dict[str, Any] = Field(default={})
    """What of its manifest differs from the defaults, by JSON path; without names and locations."""


class Totals(Record):
    """What the rows add up to."""

    jobs: int
    succeeded: int
    gate_missed: int
    failed: int
    pending: int
    bytes: int
    """Of the models of the jobs that have an artifact to ship: one that passes its gates."""
    smallest_bytes: int
    """Of those artifacts."""
    ratio: float | None
    """``bytes`` divided by ``smallest_bytes``."""
    seconds: float
    """Of work, the sum over all jobs."""
    waited_s: float = 0.0
    """Of all jobs, for a worker."""
    others: int = 0
    """Folders with results that belong to none of these jobs."""


class Summary(Record):
    """``summary.json``."""

    schema_version: Literal[1] = 1
    name: str
    """The batch's."""
    made_at: str
    """UTC, ISO 8601."""
    exit_code: int
    """Of a run of the batch with these rows, if nothing were pending."""
    totals: Totals
    jobs: list[Row] = Field(default=[])
    """Sorted by name."""


def failure_of(name: str, error: ParedownError, seconds: float, waited_s: float = 0.0) -> Failure:
    """The record of the error that a job ended with, after so many seconds of work."""
    return Failure(
        name=name,
        exit_code=error.exit_code,
        error=type(error).__name__,
        what=error.what,
        where=error.where,
        to_do=error.hint,
        at=_now(),
        seconds=round(seconds, 3),
        waited_s=round(waited_s, 3),
    )


def parse_failure(content: bytes | None) -> Failure | None:
    """A recorded failure; None if the content is not one."""
    if content is None:
        return None
    try:
        return Failure.model_validate_json(content)
    except ValidationError:
        return None


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
