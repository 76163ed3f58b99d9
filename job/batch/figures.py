"""What a batch's row says of a job's result: its best artifact's figures, passed or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from job.manifest.gates import GateConfig
from job.manifest.job import JobConfig
from job.manifest.keras_names import lower_is_better
from job.metrics import gates
from job.result import ArtifactResult, GateResult, Result, metric_key, ratio

GATES: TypeAdapter[list[GateConfig]] = TypeAdapter(list[GateConfig])
# Names and places; how a run is kept does not change what comes out.
NO_SETTINGS: Any = {
    "schema_version": True,
    "kind": True,
    "name": True,
    "model": {"uri", "sha256", "storage"},
    "dataset": {"uri", "sha256", "storage"},
    "destination": True,
    "storage": True,
    "resume": True,
}


def verdicts(result: Result) -> list[GateResult]:
    """Every gate on every artifact; an earlier version judged some on the smallest alone."""
    if result.chosen is not None:
        return result.gates
    asked = GATES.validate_python(result.manifest.get("gates", []))
    return gates.judge(asked, result.artifacts) or result.gates


def figures(result: Result, name: str) -> dict[str, Any]:
    """The fields of a row that are about the best artifact: the one that is chosen, or where none
    passes the smallest of those that miss the fewest gates.

    Args:
        result: The job's.
        name: The folder of the job, at the batch's destination.
    """
    base, metric = result.baseline, first_metric(result)
    found: dict[str, Any] = {
        "bytes": base.reference,
        "metric": metric,
        "baseline_quality": base.metrics.get(metric) if metric else None,
    }
    judged = verdicts(result)
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
        **_latency(best),
    }
    if metric in base.metrics and metric in best.metrics:
        before, after = base.metrics[metric], best.metrics[metric]
        drop = after - before if lower_is_better(metric) else before - after
        found |= {"quality": after, "drop": round(drop, 6) + 0.0}  # and never -0.0
    return found


def missed(result: Result) -> list[GateResult]:
    """The verdicts that a job's row gives as its reason: of gates that must hold whichever artifact
    is chosen, and where none passes those of the best one.
    """
    if result.status != "gate_missed":
        return []
    judged = [it for it in result.gates if not it.passed]
    if result.chosen is not None:
        return [it for it in judged if gates.is_binding(it)]
    best = gates.best(result.artifacts, verdicts(result))
    of_best = [it for it in judged if gates.is_binding(it) or (best and it.artifact == best.name)]
    return of_best or judged


def first_metric(result: Result) -> str | None:
    """The first metric of the first output that has one."""
    for output, objective in result.objective.items():
        for metric in objective.metrics:
            return metric_key(metric, output, result.objective)
    return None


def constant_note(result: Result) -> str:
    """That the model that came in is no better than a constant answer; empty where it is."""
    found = result.baseline.useless_outputs
    several = len(result.objective) > 1
    what = [f"{output}: {text}" if several else text for output, text in found.items()]
    return f"the baseline is no better than a constant answer ({'; '.join(what)})" if what else ""


def settings(result: Result) -> dict[str, Any]:
    """What of the job's manifest differs from the defaults, without names and places: JSON path ->
    value; empty where the manifest is of another version.
    """
    try:
        job = JobConfig.model_validate(result.manifest)
    except ValidationError:
        return {}
    document = job.model_dump(mode="json", exclude_defaults=True, exclude=NO_SETTINGS)
    return dict(_leaves(document, ""))


def _leaves(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _latency(artifact: ArtifactResult) -> dict[str, Any]:
    found = artifact.latency_ms.get("one_thread")
    return {"latency_ms": found.median, "runtime": found.runtime} if found else {}
