"""How files, arrays and measurements are saved as checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from job.artifact import EncodingResult, Record
from job.metrics.artifact import Evaluator, Measured
from job.result import ArtifactResult
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy

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


def measured(
    folder: Path, name: str, evaluator: Evaluator
) -> CheckpointFormat[Measured, ArtifactResult]:
    """A record, and the outputs for the drift of what is measured later."""

    def write(value: Measured) -> tuple[ArtifactResult, Sequence[Path]]:
        path = folder / f"{name}-outputs.npz"
        write_arrays(path, list(value.outputs.values()))
        return value.artifact, [path]

    def read(record: ArtifactResult, files: Mapping[str, Path]) -> Measured:
        (path,) = files.values()
        outputs = [it.astype(np.float32, copy=False) for it in read_arrays(path)]
        return Measured(record, dict(zip(evaluator.objectives, outputs, strict=True)))

    return CheckpointFormat(ArtifactResult, write, read)


ARTIFACT: CheckpointFormat[ArtifactResult, ArtifactResult] = CheckpointFormat(
    ArtifactResult, lambda record: (record, []), lambda record, _: record
)
