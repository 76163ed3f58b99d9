"""What became of a batch: a row for each job, and totals. What ``summary.json`` holds."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from job.artifact import Record
from job.batch.figures import constant_note, figures, missed, settings
from job.errors import ParedownError
from job.result import Result
from job.text import printable

Status = Literal["succeeded", "gate_missed", "failed", "pending"]
# How bad an outcome is: what a retry may mend before what it will not, and a bug before both.
WORST = (6, 1, 4, 3, 5)
GATE_MISSED = 5


class Failure(Record):
    """Why a job has no result: kept beside the results until it has one."""

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
    """What to know of it first: that the baseline is no better than a constant answer."""
    bytes: int | None = None
    """Of the model that came in, alone and plain."""
    artifact: str | None = None
    """The best one, its variant or its stage: the smallest that passes every gate that applies to
    it; where none does, the smallest of those that miss the fewest."""
    passes: bool | None = None
    """Whether that artifact passes them all."""
    path: str | None = None
    """Its smallest form's file, relative to the batch's destination."""
    encoding: str | None = None
    """The codec of that form; ``file`` for none."""
    smallest_bytes: int | None = None
    ratio: float | None = None
    """How many times smaller than ``bytes``."""
    metric: str | None = None
    """The first metric of the first output."""
    baseline_quality: float | None = None
    quality: float | None = None
    drop: float | None = None
    """How much worse the metric got; negative where it got better."""
    sparsity: float | None = None
    """The artifact's: the fraction of zeros in its kernels."""
    latency_ms: float | None = None
    """The artifact's median for one sample on one thread, in ``runtime``, beside other jobs."""
    runtime: str | None = None
    """``litert`` or ``tensorflow``, whose latencies do not compare."""
    seconds: float | None = None
    """Of work, that of earlier runs which was taken over among it; without ``waited_s``."""
    waited_s: float | None = None
    """Seconds that it waited for a worker."""
    run_id: str | None = None
    settings: dict[str, Any] = Field(default={})
    """What of its manifest differs from the defaults, by JSON path; names and places left out."""


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
    """The one by the other."""
    seconds: float
    """Of work, of all jobs, one after another."""
    waited_s: float = 0.0
    """Of all jobs, for a worker."""
    others: int = 0
    """Folders with results there that are of none of these jobs."""


class Summary(Record):
    """``summary.json``."""

    schema_version: Literal[1] = 1
    name: str
    """The batch's."""
    made_at: str
    """UTC, ISO 8601."""
    exit_code: int
    """What a run of the batch ends with by these rows, were nothing pending."""
    totals: Totals
    jobs: list[Row] = Field(default=[])
    """Sorted by name."""


def row_of(result: Result, name: str) -> Row:
    """The row of a job that has a result, in the folder of its name."""
    is_missed = result.status == "gate_missed"
    return Row(
        name=name,
        model=result.inputs["model"].uri,
        status="gate_missed" if is_missed else "succeeded",
        exit_code=GATE_MISSED if is_missed else 0,
        reason="; ".join(f"gate missed: {it.explanation}" for it in missed(result)),
        note=constant_note(result),
        seconds=result.seconds,
        waited_s=result.waited_s,
        run_id=result.run_id,
        settings=settings(result),
        **figures(result, name),
    )


def failure_of(name: str, error: ParedownError, seconds: float, waited_s: float = 0.0) -> Failure:
    """What to keep of the error that a job ended with, after so many seconds of work."""
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


def row_of_failure(failure: Failure, model: str) -> Row:
    """The row of a job that failed."""
    return Row(
        name=failure.name,
        model=model,
        status="failed",
        exit_code=failure.exit_code,
        reason=failure.reason,
        to_do=failure.to_do,
        seconds=failure.seconds,
        waited_s=failure.waited_s,
    )


def row_of_done(name: str, model: str, status: str) -> Row:
    """The row of a job that was done before, as far as a listing tells; ``summarize`` tells the
    rest.
    """
    missed = status == "gate_missed"
    return Row(
        name=name,
        model=model,
        status="gate_missed" if missed else "succeeded",
        exit_code=GATE_MISSED if missed else 0,
        reason="a gate was missed, see result.json" if missed else "",
    )


def pending(name: str, model: str) -> Row:
    """The row of a job that has neither a result nor failed."""
    return Row(name=name, model=model, status="pending")


def parse_failure(content: bytes | None) -> Failure | None:
    """A failure that was kept; None where the content is none."""
    if content is None:
        return None
    try:
        return Failure.model_validate_json(content)
    except ValidationError:
        return None


def summarize(name: str, rows: Iterable[Row], others: int = 0) -> Summary:
    """Rows and totals, the rows sorted by name."""
    jobs = sorted(rows, key=lambda it: it.name)
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
    """Of a batch: 0 where all is well, else that of its worst job. A job's own refusal of its
    destination counts as one of its input: what is wrong with the batch itself is told before.
    """
    codes = {3 if it.exit_code == 2 else it.exit_code for it in rows}
    return next((code for code in WORST if code in codes), 0)


def as_csv(summary: Summary) -> str:
    """The rows, with a head: the fields of a row, and then a column for each setting that differs
    from the defaults in any of them, as JSON where it is no text or number. What a spreadsheet
    would take for a formula begins with ``'``.
    """
    fields = [name for name in Row.model_fields if name != "settings"]
    paths = sorted({path for row in summary.jobs for path in row.settings})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*fields, *map(_cell, paths)])
    for row in summary.jobs:
        told = [_cell(getattr(row, name)) for name in fields]
        chosen = [_setting(row.settings[it]) if it in row.settings else "" for it in paths]
        writer.writerow([*told, *chosen])
    return out.getvalue()


# What spreadsheets begin a formula with; the wide ones are what some make of them.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _setting(value: object) -> object:
    """A stage that is skipped is null, which an empty cell would not tell from the default."""
    return "null" if value is None else _cell(value)


def _cell(value: object) -> object:
    if isinstance(value, bool | list | dict):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    # Blanks and control characters before it do not hide it.
    bare = value.lstrip("".join(map(chr, range(33))) + "\ufeff\u00a0")
    is_formula = bare.startswith(FORMULA) or value.startswith(("\t", "\r", "\n"))
    plain = printable(value)  # a carriage return would end the row
    return f"'{plain}" if is_formula else plain


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
