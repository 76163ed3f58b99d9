"""A job's row in the summary of its batch, with the figures of its best artifact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from job.errors import GATE_MISSED_EXIT_CODE
from job.manifest.gates import GateConfig
from job.manifest.job import JobConfig
from job.manifest.keras_names import lower_is_better
from job.metrics import gates, usefulness
from job.result.failure import Failure
from job.result.result import ArtifactResult, GateResult, Result, metric_key, ratio
from job.result.summary import Row

GATES: TypeAdapter[list[GateConfig]] = TypeAdapter(list[GateConfig])
# Names, locations, and what does not change the outcome.
NO_SETTINGS: Any = {
    "schema_version": True,
    "kind": True,
    "name": True,
    "model": {"uri", "sha256", "storage"},
    "dataset": {"uri", "sha256", "storage"},
    "destination": True,
    "storage": True,
    "resume": True,
    "report": True,
}


def row_of(result: Result, name: str) -> Row:
    """The row of a job that has a result, in the folder of its name."""
    is_missed = result.status == "gate_missed"
    return Row(
        name=name,
        model=result.inputs["model"].uri,
        status="gate_missed" if is_missed else "succeeded",
        exit_code=GATE_MISSED_EXIT_CODE if is_missed else 0,
        reason="; ".join(f"gate missed: {it.explanation}" for it in _missed(result)),
        note=constant_note(result),
        seconds=result.seconds,
        waited_s=result.waited_s,
        run_id=result.run_id,
        settings=settings(result),
        **figures(result, name),
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
    """The row of a job that was done before, as far as a listing shows; ``summarize`` reads the
    rest.
    """
    is_missed = status == "gate_missed"
    return Row(
        name=name,
        model=model,
        status="gate_missed" if is_missed else "succeeded",
        exit_code=GATE_MISSED_EXIT_CODE if is_missed else 0,
        reason="a gate was missed, see result.json" if is_missed else "",
    )


def pending(name: str, model: str) -> Row:
    """The row of a job that has neither a result nor failed."""
    return Row(name=name, model=model, status="pending")


def _verdicts(result: Result) -> list[GateResult]:
    """Every gate on every artifact; an earlier version judged some only on the smallest."""
    if result.chosen is not None:
        return result.gates
    asked = GATES.validate_python(result.manifest.get("gates", []))
    known = [(it.type, getattr(it, "metric", None), getattr(it, "value", None)) for it in asked]
    of_search = [
        it
        for it in result.gates
        if (it.gate.get("type"), it.gate.get("metric"), it.gate.get("value")) not in known
    ]
    return [*gates.judge(asked, result.artifacts), *of_search]


def figures(result: Result, name: str) -> dict[str, Any]:
    """The fields of a row that are about the best artifact: the chosen one, or if none passes, the
    smallest of those that miss the fewest gates.

    Args:
        result: The job's.
        name: The folder of the job, at the batch's destination.
    """
    base, metric = result.baseline, _first_metric(result)
    found: dict[str, Any] = {
        "bytes": base.reference,
        "metric": metric if metric in base.metrics else None,
        "baseline_quality": base.metrics.get(metric) if metric else None,
    }
    judged = _verdicts(result)
    best = result.chosen_artifact or gates.best(result.artifacts, judged)
    if best is None:
        return found
    encoding, size = best.smallest
    found |= {
        "artifact": best.name,
        "passes": all(it.passed for it in judged if it.artifact == best.name),
        "path": f"{name}/{best.smallest_path}",
        "encoding": encoding,
        "smallest_bytes": size,
        "ratio": round(ratio(base, best), 2),
        "sparsity": round(best.sparsity, 6),
        **_fidelity(best),
        **_latency(best),
    }
    if metric in base.metrics and metric in best.metrics:
        before, after = base.metrics[metric], best.metrics[metric]
        drop = after - before if lower_is_better(metric) else before - after
        found |= {"quality": after, "drop": round(drop, 6) + 0.0}  # and never -0.0
    return found


def _missed(result: Result) -> list[GateResult]:
    """The verdicts that a row gives as its reason: of gates that must hold whichever artifact is
    chosen, and if none passes, those of the best one.
    """
    if result.status != "gate_missed":
        return []
    judged = [it for it in result.gates if not it.passed]
    if result.chosen is not None:
        return [it for it in judged if it.is_binding]
    best = gates.best(result.artifacts, _verdicts(result))
    of_best = [it for it in judged if it.is_binding or (best and it.artifact == best.name)]
    return of_best or judged


def _first_metric(result: Result) -> str | None:
    """The first metric of the first output that has one."""
    for output, objective in result.objective.items():
        for metric in objective.metrics:
            return metric_key(metric, output, result.objective)
    return None


def constant_note(result: Result) -> str:
    """A note if the input model is no better than a constant answer; else empty."""
    found = result.baseline.useless_outputs
    several = len(result.objective) > 1
    what = [f"{output}: {text}" if several else text for output, text in found.items()]
    how = usefulness.against_constant(result.baseline)
    return f"the baseline is {how} ({'; '.join(what)})" if what else ""


def settings(result: Result) -> dict[str, Any]:
    """What of the job's manifest differs from the defaults, without names and locations: JSON path
    -> value; empty if the manifest is of another version.
    """
    try:
        job = JobConfig.model_validate(result.manifest)
    except ValidationError:
        return {}
    document = job.model_dump(mode="json", exclude_defaults=True, exclude=NO_SETTINGS)
    return dict(_leaves(document, ""))


def _leaves(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _fidelity(artifact: ArtifactResult) -> dict[str, Any]:
    """The lowest figures of all outputs."""
    outputs = artifact.fidelity.values()
    found: dict[str, Any] = {"synthetic": any(it.synthetic for it in outputs)}
    for figure in ("agreement", "snr_db"):
        values = [value for it in outputs if (value := getattr(it, figure)) is not None]
        if values:
            found[figure] = round(min(values), 6)
    return found


def _latency(artifact: ArtifactResult) -> dict[str, Any]:
    found = artifact.latency_ms.get("one_thread")
    return {"latency_ms": found.median, "runtime": found.runtime} if found else {}
