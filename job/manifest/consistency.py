"""What no single section can see: whether the sections of a valid manifest fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from job.manifest.job import JobConfig
from job.manifest.outputs import LEVELS
from job.manifest.problem import Problem

RESERVED = ("baseline", "prune")


def inconsistencies(job: JobConfig) -> list[Problem]:
    """Every contradiction between the sections, each with its JSON path."""
    return [*_stages(job), *_codecs(job), *_gates(job)]


def _stages(job: JobConfig) -> Iterator[Problem]:
    if job.prune is None and not job.quantize:
        yield Problem("prune", "prune is null and quantize asks for nothing: no work is left")
    names: set[str] = set()
    for index, variant in enumerate(job.quantize or []):
        name = variant.name or variant.type
        if name in names:
            yield Problem(f"quantize.{index}", f"{name!r} is there twice; give it another name")
        if name in RESERVED:
            yield Problem(f"quantize.{index}.name", f"{name!r} is the name of a stage")
        names.add(name)


def _codecs(job: JobConfig) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, codec in enumerate(job.codecs):
        path = f"compress.codecs.{index}"
        low, high = LEVELS[codec.type]
        if codec.type in seen:
            yield Problem(path, f"{codec.type} is there twice")
        if codec.level is not None and not low <= codec.level <= high:
            yield Problem(
                f"{path}.level", f"{codec.type} has levels {low} to {high}, not {codec.level}"
            )
        seen.add(codec.type)


def _gates(job: JobConfig) -> Iterator[Problem]:
    made = [*(["prune"] if job.prune else []), *job.variants]
    measured = ["loss", *(job.training.metrics or [])]
    for index, gate in enumerate(job.gates):
        if gate.artifact is not None and gate.artifact not in made:
            yield Problem(
                f"gates.{index}.artifact",
                f"{gate.artifact!r} is not made by this job, which makes {', '.join(made)}",
            )
        metric = getattr(gate, "metric", "loss")
        if job.training.metrics is not None and metric not in measured:
            yield Problem(
                f"gates.{index}.metric",
                f"{metric!r} is not measured, only {', '.join(measured)}; "
                "add it to training.metrics",
            )
