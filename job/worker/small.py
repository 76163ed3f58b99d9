"""A variant's file: converted, packed, made slim; and what is said of it in the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tf_keras
from pydantic import Field

from job.manifest.quantize import PackedConfig, QuantizeConfig
from job.models.layers import layers_of, users_name
from job.result.artifact import CArrayResult
from job.result.packed import PackedResult
from job.result.record import Record
from job.result.result import ArtifactResult
from job.resume.checkpoints import CheckpointFormat
from job.resume.index import link_or_copy
from job.stages.c_array import c_array
from job.stages.quantize import Calibration
from job.stages.small_file import Making, small_file
from job.worker.aware import weight_bits
from job.worker.layer_bits import tflite_bits


class VariantRecord(Record):
    """What is known of a variant's file when it is made."""

    packed: PackedResult | None = None
    c_array: CArrayResult | None = None
    layer_bits: dict[str, int] = Field(default={})
    """By layer, of a weight of its kernels."""


@dataclass(frozen=True)
class VariantFile:
    """A variant's file."""

    path: Path
    record: VariantRecord

    def described(self, artifact: ArtifactResult) -> ArtifactResult:
        """The file's measurements, with how it was made."""
        return artifact.model_copy(update=dict(self.record))

    def says(self) -> list[str]:
        """How it was made, as sentences."""
        packed = self.record.packed
        if packed is None:
            return []
        listed = [
            f"{it.layer} has {it.bits}-bit weights, not {it.asked_bits}: {it.reason}"
            for it in packed.kernels
            if it.bits > it.asked_bits
        ]
        return [*packed.notes, *listed]


def making_of(
    model: tf_keras.Model, config: QuantizeConfig, calibration: Calibration, *, proves: bool
) -> Making:
    """What a variant's file is made with.

    Args:
        model: The model as it was read, whose layers rules are for.
        config: The variant.
        calibration: Rows of the training split.
        proves: Whether plain interpreters run a rewritten file.
    """
    layers = {users_name(path): layer for path, layer in layers_of(model)}
    return Making(bits_of(config, layers), layers, calibration, proves)


def make_file(
    model: tf_keras.Model, config: QuantizeConfig, rows: Calibration, path: Path, making: Making
) -> VariantFile:
    """Make a variant's file.

    Args:
        model: The model to convert, prepared.
        config: The variant.
        rows: Rows of the test split, which outputs are compared for.
        path: Where the file goes; a C array goes beside it.
        making: What it is made with.

    Raises:
        StageError: Where it can't be made.
        OSError: Where it can't be written.
    """
    packed = small_file(model, config, rows, path, making)
    array = c_array(path) if config.c_array else None
    bits = tflite_bits(path.read_bytes(), model.name, making.layers or {}, packed)
    return VariantFile(path, VariantRecord(packed=packed, c_array=array, layer_bits=bits))


def bits_of(config: QuantizeConfig, layers: Mapping[str, tf_keras.layers.Layer]) -> dict[str, int]:
    """By layer, the bits that the variant's rules ask for."""
    if not isinstance(config, PackedConfig):
        return {}
    return {name: weight_bits(config, name, type(layer).__name__) for name, layer in layers.items()}


def variant_in(folder: Path) -> CheckpointFormat[VariantFile, VariantRecord]:
    """A variant's file and its C array, which are restored to a folder."""

    def write(value: VariantFile) -> tuple[VariantRecord, Sequence[Path]]:
        array = value.record.c_array
        beside = [] if array is None else [value.path.with_name(array.path)]
        return value.record, [value.path, *beside]

    def read(record: VariantRecord, files: Mapping[str, Path]) -> VariantFile:
        there = {name: link_or_copy(file, folder / name) for name, file in files.items()}
        array = record.c_array
        (path,) = [it for name, it in there.items() if array is None or name != array.path]
        return VariantFile(path, record)

    return CheckpointFormat(VariantRecord, write, read)
