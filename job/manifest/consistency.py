"""What no single section can see: whether the sections of a valid manifest fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from job.manifest.job import JobConfig
from job.manifest.problems import Problem


def inconsistencies(job: JobConfig) -> list[Problem]:
    """Every contradiction between the sections, each with its JSON path."""
    return [*_work(job), *_uris(job), *_gates(job)]


def _work(job: JobConfig) -> Iterator[Problem]:
    if job.prune is None and not job.quantize:
        yield Problem("prune", "prune is null and quantize asks for nothing: no work is left")


def _uris(job: JobConfig) -> Iterator[Problem]:
    uris = {"model": job.model.uri, "dataset": job.dataset.uri, "destination": job.destination.uri}
    for section, uri in uris.items():
        known = ("file", "s3") if section == "destination" else ("file", "s3", "https")
        yield from unsupported(f"{section}.uri", uri, known)


def unsupported(path: str, uri: str, known: tuple[str, ...]) -> Iterator[Problem]:
    """The problem of a URI at ``path`` whose scheme is none of those that are known there."""
    scheme, colon, _ = uri.partition("://")
    if colon and scheme.lower() not in known:
        yield Problem(
            path,
            f"{scheme}:// is not supported here; use a path, or a URI that begins with "
            + ", ".join(f"{it}://" for it in known),
        )


def _gates(job: JobConfig) -> Iterator[Problem]:
    made = [*(["prune"] if job.prune else []), *job.variants]
    for index, gate in enumerate(job.gates):
        if gate.artifact not in (None, "*", *made):
            yield Problem(
                f"gates.{index}.artifact",
                f"{gate.artifact!r} is not made by this job, which makes {', '.join(made)}",
            )
        measured = _measured(job, getattr(gate, "output", None))
        metric = getattr(gate, "metric", None) or "loss"
        if measured is not None and metric not in measured:
            yield Problem(
                f"gates.{index}.metric",
                f"{metric!r} is not measured, only {', '.join(measured)}; "
                "add it to training.metrics",
            )


def _measured(job: JobConfig, output: str | None) -> list[str] | None:
    """The metrics of an output, or of all; None where the model decides what is measured."""
    metrics = job.training.metrics
    if isinstance(metrics, dict):  # outputs that it does not name have metrics too
        metrics = metrics.get(output or "")
    return None if metrics is None else ["loss", *metrics]
