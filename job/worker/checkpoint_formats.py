"""How files, arrays and measurements are saved as checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from job.metrics.artifact import Evaluator, Measured
from job.metrics.row_values import Kind as RowKind
from job.metrics.row_values import RowValues
from job.result.artifact import EncodingResult
from job.result.record import Record
from job.result.result import ArtifactResult
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy

R = TypeVar("R", bound=Record)
Array = NDArray[np.generic]


def write_arrays(path: Path, arrays: Sequence[Array]) -> None:
    """Write arrays of numbers, of any shapes, as ``.npz``.

    Raises:
        OSError: Where the file can't be written.
    """
    with path.open("wb") as file:
        np.savez(file, *arrays)


def read_arrays(path: Path) -> list[Array]:
    """The arrays of a file, in the order in which they were written.

    Raises:
        ValueError, zipfile.BadZipFile: Where it is no such file, or would have to be unpickled.
        OSError: Where it can't be read.
    """
    with np.load(path, allow_pickle=False) as content:
        return [content[f"arr_{index}"] for index in range(len(content.files))]


class _Nothing(Record):
    """The file says it all."""


def file_in(folder: Path) -> CheckpointFormat[Path, _Nothing]:
    """One file, which is restored to a folder."""

    def read(_: _Nothing, files: Mapping[str, Path]) -> Path:
        ((name, file),) = files.items()
        return link_or_copy(file, folder / name)

    return CheckpointFormat(_Nothing, lambda path: (_Nothing(), [path]), read)


def encoding_of(path: Path) -> CheckpointFormat[EncodingResult, EncodingResult]:
    """An encoding, which lies beside the file that it was made of."""

    def write(record: EncodingResult) -> tuple[EncodingResult, Sequence[Path]]:
        return record, [path.with_name(record.path)]

    def read(record: EncodingResult, files: Mapping[str, Path]) -> EncodingResult:
        link_or_copy(files[record.path], path.with_name(record.path))
        return record

    return CheckpointFormat(EncodingResult, write, read)


class MeasuredRecord(Record):
    """A file's record, and what its other arrays are: those after the outputs."""

    artifact: ArtifactResult
    rows: dict[str, RowKind]
    """By metric, in the order of the arrays."""


def measured(
    folder: Path, name: str, evaluator: Evaluator
) -> CheckpointFormat[Measured, MeasuredRecord]:
    """A record; and outputs and row values, with which files made of this one are compared."""

    def write(value: Measured) -> tuple[MeasuredRecord, Sequence[Path]]:
        path = folder / f"{name}-outputs.npz"
        write_arrays(path, [*value.outputs.values(), *(it.values for it in value.rows.values())])
        kinds = {metric: it.kind for metric, it in value.rows.items()}
        return MeasuredRecord(artifact=value.artifact, rows=kinds), [path]

    def read(record: MeasuredRecord, files: Mapping[str, Path]) -> Measured:
        (path,) = files.values()
        arrays = read_arrays(path)
        count = len(evaluator.outputs)
        outputs = [it.astype(np.float32, copy=False) for it in arrays[:count]]
        pairs = zip(record.rows.items(), arrays[count:], strict=True)
        rows = {metric: RowValues(kind, values) for (metric, kind), values in pairs}
        return Measured(record.artifact, dict(zip(evaluator.outputs, outputs, strict=True)), rows)

    return CheckpointFormat(MeasuredRecord, write, read)


def arrays_in(folder: Path, name: str) -> CheckpointFormat[Sequence[Array], _Nothing]:
    """Arrays, in their order."""

    def write(value: Sequence[Array]) -> tuple[_Nothing, Sequence[Path]]:
        path = folder / f"{name}.npz"
        write_arrays(path, value)
        return _Nothing(), [path]

    def read(_: _Nothing, files: Mapping[str, Path]) -> Sequence[Array]:
        (path,) = files.values()
        return read_arrays(path)

    return CheckpointFormat(_Nothing, write, read)


def record_of(kind: type[R]) -> CheckpointFormat[R, R]:
    """A record without files."""
    return CheckpointFormat(kind, lambda record: (record, []), lambda record, _: record)


ARTIFACT = record_of(ArtifactResult)
