"""What became of a batch: a row for each job, and totals. What ``summary.json`` holds."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from job.errors import ParedownError
from job.manifest.keras_names import lower_is_better
from job.manifest.outputs import GateConfig
from job.metrics.gates import keeps_all
from job.result import Record, Result, metric_key, ratio

Status = Literal["succeeded", "gate_missed", "failed", "pending"]
# How bad an outcome is: what a retry may mend before what it will not, and a bug before both.
WORST = (6, 1, 4, 3, 5)
GATE_MISSED = 5
GATES: TypeAdapter[list[GateConfig]] = TypeAdapter(list[GateConfig])


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
    bytes: int | None = None
    """Of the model that came in, alone and plain."""
    artifact: str | None = None
    """The smallest one that passes every gate: its variant, or its stage."""
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
    seconds: float | None = None
    run_id: str | None = None


class Totals(Record):
    """What the rows add up to."""

    jobs: int
    succeeded: int
    gate_missed: int
    failed: int
    pending: int
    bytes: int
    """Of the models of the jobs that have an artifact to ship."""
    smallest_bytes: int
    """Of those artifacts."""
    ratio: float | None
    """The one by the other."""
    seconds: float
    """Of all jobs, one after another."""
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
    missed = [gate for gate in result.gates if not gate.passed]
    base = result.baseline
    metric = _metric(result)
    row = Row(
        name=name,
        model=result.inputs["model"].uri,
        status="gate_missed" if result.status == "gate_missed" else "succeeded",
        exit_code=GATE_MISSED if result.status == "gate_missed" else 0,
        reason="; ".join(f"gate missed: {gate.explanation}" for gate in missed),
        bytes=base.reference,
        metric=metric,
        baseline_quality=base.metrics.get(metric) if metric else None,
        seconds=result.seconds,
        run_id=result.run_id,
    )
    gates = GATES.validate_python(result.manifest.get("gates", []))
    passing = [it for it in result.artifacts[1:] if keeps_all(gates, base, it)]
    if not passing:
        return row
    best = min(passing, key=lambda it: it.smallest[1])
    codec, size = best.smallest
    path = best.path if codec == "file" else best.encoded[codec].path
    found: dict[str, Any] = {
        "artifact": best.name,
        "path": f"{name}/{path}",
        "encoding": codec,
        "smallest_bytes": size,
        "ratio": round(ratio(base, best), 2),
    }
    if metric in base.metrics and metric in best.metrics:
        before, after = base.metrics[metric], best.metrics[metric]
        drop = after - before if lower_is_better(metric) else before - after
        found |= {"quality": after, "drop": round(drop, 6)}
    return row.model_copy(update=found)


def _metric(result: Result) -> str | None:
    for output, objective in result.objective.items():
        for metric in objective.metrics:
            return metric_key(metric, output, result.objective)
    return None


def failure_of(name: str, error: ParedownError, seconds: float) -> Failure:
    """What to keep of the error that a job ended with."""
    return Failure(
        name=name,
        exit_code=error.exit_code,
        error=type(error).__name__,
        what=error.what,
        where=error.where,
        to_do=error.hint,
        at=_now(),
        seconds=round(seconds, 3),
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
    shipped = [it for it in jobs if it.smallest_bytes]
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
    """The rows, with a head; what a spreadsheet would take for a formula begins with ``'``."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Row.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in summary.jobs:
        writer.writerow({key: _cell(value) for key, value in row.model_dump().items()})
    return out.getvalue()


def _cell(value: object) -> object:
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
