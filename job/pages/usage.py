"""How to use each file of a result: the lines that load that very file, its figures filled in.

What they do is described in docs/using-the-files.md. A result of an earlier version may not say
what a file's inputs are; then there are no lines, and the note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from job.pages.cpp_lines import cpp_lines, has_cpp
from job.pages.kotlin_lines import kotlin_lines
from job.pages.literals import remark, resized, sizes
from job.pages.python_lines import decoder_of, has_names, python_lines
from job.result.artifact import TensorResult
from job.result.result import ArtifactResult, Result

PACKAGES = {"zstd": "zstandard", "brotli": "brotli", "lz4": "lz4"}
"""By decoder: what Python's standard library lacks."""


@dataclass(frozen=True)
class Snippet:
    """Lines of a language that load a file."""

    language: str
    """``python``, ``cpp`` or ``kotlin``, as fences in Markdown call it."""
    code: str


@dataclass(frozen=True)
class Usage:
    """How to use a file."""

    artifact: str
    """What gates and tables call it."""
    path: str
    """Its smallest form, relative to the destination."""
    snippets: tuple[Snippet, ...]
    """Python first; none where the result does not say enough."""
    note: str
    """What the reader needs to know, as sentences."""


def usages(result: Result) -> list[Usage]:
    """How to use each file of a result, in its order."""
    return [_usage(artifact, result) for artifact in result.artifacts]


def _usage(artifact: ArtifactResult, result: Result) -> Usage:
    snippets = tuple(_snippets(artifact, result))
    if not snippets:
        note = "This result is of an earlier version, which does not say how the file is loaded."
    else:
        note = " ".join(_notes(artifact))
    return Usage(artifact.name, artifact.smallest_path, snippets, note)


def _snippets(artifact: ArtifactResult, result: Result) -> Iterator[Snippet]:
    usage = artifact.usage
    if usage is None or not artifact.inputs or not artifact.outputs:
        return
    yield Snippet("python", python_lines(artifact, usage))
    if has_cpp(artifact):
        is_micro = artifact.variant is not None and artifact.variant in _micros(result)
        yield Snippet("cpp", cpp_lines(artifact, is_micro=is_micro, has_state=usage.has_state))
        yield Snippet("kotlin", kotlin_lines(artifact, has_state=usage.has_state))


def _micros(result: Result) -> set[str]:
    """The variants that were made for a microcontroller."""
    variants = result.manifest.get("quantize") or []
    return {it.get("name") or it["type"] for it in variants if it.get("target") == "tflm"}


def _notes(artifact: ArtifactResult) -> Iterator[str]:
    usage = artifact.usage
    loader = usage.loader if usage else ""
    packages = [loader.replace("_", "-"), PACKAGES.get(decoder_of(artifact), "")]
    yield f"Python needs {' and '.join(filter(None, packages))}, and NumPy."
    if artifact.format == "tflite" and not has_names(artifact):
        yield "Inputs and outputs are found by their position: the file may have no names."
    if usage and usage.has_state:
        yield "The file has a state, which is reset before each row."
    yield from _batches(artifact.inputs)
    for tensor in artifact.inputs:
        for step in resized(tensor):
            yield f"Give {remark(tensor.name)} {step}."


def _batches(inputs: list[TensorResult]) -> Iterator[str]:
    batch = next((it.shape[0] for it in inputs if it.shape), None)
    if batch and batch > 1:
        yield f"A call takes {batch} rows, no more and no fewer."
    for tensor in inputs:
        if None in tensor.shape[1:]:
            yield f"{remark(tensor.name)} has open sizes: {sizes(tensor.shape[1:])}."
