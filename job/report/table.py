"""The closing table: what came in, what came out, how small, how good."""

from __future__ import annotations

from job.progress import Event
from job.result import RESULT_FILE, Result, metric_key, ratio

FIXED = ("stage", "format")
SIZES = ("bytes", "smallest\nencoding", "times\nsmaller", "SHA-256")


def columns(result: Result) -> list[str]:
    """The table's head: the metrics stand between the formats and the sizes."""
    return [*FIXED, *_metrics(result), *SIZES]


def _metrics(result: Result) -> dict[str, str]:
    """Head -> name of a metric. The table has room for two, of several outputs the first ones;
    result.json has them all.
    """
    outputs = result.objective
    listed = [
        (place, output, metric)
        for output, objective in outputs.items()
        for place, metric in enumerate(objective.metrics)
    ]
    shown = sorted(listed, key=lambda it: it[0])[:2]
    return {
        metric if len(outputs) == 1 else f"{output}\n{metric}": metric_key(metric, output, outputs)
        for _, output, metric in shown
    }


def rows(result: Result) -> list[list[str]]:
    """One row for each artifact, as text."""
    return [
        [
            artifact.name,
            artifact.format,
            *(f"{artifact.metrics[name]:.4f}" for name in _metrics(result).values()),
            f"{artifact.bytes:,}",
            f"{artifact.smallest[1]:,} {artifact.smallest[0]}",
            f"{ratio(result.baseline, artifact):.1f}",
            artifact.sha256[:8],
        ]
        for artifact in result.artifacts
    ]


def messages(result: Result) -> list[str]:
    """The lines under the table: what was not done anew, and the gates."""
    resumed = f"taken from a run that was stopped: {', '.join(result.resumed)}"
    return [resumed] * bool(result.resumed) + [
        f"gate {'passed' if gate.passed else 'MISSED'}: {gate.explanation}" for gate in result.gates
    ]


def finished_event(result: Result, destination: str, *, already_done: bool) -> Event:
    """The event that a run ends with: what a machine wants to know of the result."""
    return {
        "event": "run_finished",
        "name": result.name,
        "status": result.status,
        "already_done": already_done,
        "run_id": result.run_id,
        "seconds": result.seconds,
        "resumed": result.resumed,
        "result": f"{destination}/{RESULT_FILE}",
        "warnings": result.warnings,
        "artifacts": [
            {
                "artifact": artifact.name,
                "format": artifact.format,
                "path": artifact.path,
                "bytes": artifact.bytes,
                "sha256": artifact.sha256,
                "smallest_encoding": artifact.smallest[0],
                "smallest_bytes": artifact.smallest[1],
                "ratio": round(ratio(result.baseline, artifact), 2),
                "metrics": artifact.metrics,
            }
            for artifact in result.artifacts
        ],
        "gates": [gate.model_dump(mode="json") for gate in result.gates],
    }
