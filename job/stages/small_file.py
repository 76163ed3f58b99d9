"""A model's smallest ``.tflite`` of a variant: converted, packed, made slim, and run.

Variants that ask for none of that are the converter's files, byte for byte (``quantize``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tf_keras

from job.manifest.quantize import (
    DynamicRangeConfig,
    Float32Config,
    PackedConfig,
    QuantizeConfig,
    WeightOnlyConfig,
)
from job.result.packed import PackedResult
from job.stages import pack, packings
from job.stages.kernel_records import block_notes, other_record, record
from job.stages.kernels import kernels, layers_in, others
from job.stages.prepare import with_batch
from job.stages.prove import SECONDS, kinds, prove, refuse_disagreement
from job.stages.quantize import Calibration, convert
from job.stages.slim import slim, without
from job.stages.weight_only import weight_only
from job.tflite import flat
from job.tflite.interpret import one_call
from job.tflite.runtimes import CHANNELS, WEIGHTS
from job.tflite.weights import SMALL

FLOATS = Float32Config(type="float32")
# What the converter makes of operators whose kernels are not packed here.
CONVERTED = DynamicRangeConfig(type="dynamic_range")
# Rows that outputs are compared for, before and after a file was made slim.
COMPARED = 256
COMPUTED = "weights are stored small, and computed with in float32: no activation is rounded"
HALVES = (
    "scales and biases are rounded to bfloat16 values: at most 2**-8 of the value off, and 2**-7 "
    "for scales that weights are rounded with"
)


def is_rewritten(config: QuantizeConfig) -> bool:
    """Whether a variant's file is more than the converter's."""
    return config.slim or is_packed(config)


def is_packed(config: QuantizeConfig) -> bool:
    """Whether kernels are packed here, not quantized by the converter."""
    return isinstance(config, PackedConfig) and (
        isinstance(config, WeightOnlyConfig)
        or config.weight_bits < 8
        or bool(config.layers)
        or not config.per_channel
        or config.slim
        or config.target is not None
    )


@dataclass(frozen=True)
class Making:
    """What a file is made with, beside the model, the variant and rows."""

    bits: Mapping[str, int] = field(default_factory=dict)
    """By layer, the bits of its kernels; others have the variant's ``weight_bits``."""
    layers: Mapping[str, tf_keras.layers.Layer] | None = None
    """The model's layers by the names that ``bits`` and the result have. Left out: those at any
    depth by their own names."""
    calibration: Calibration = ()
    """Rows that ranges of activations are taken from, for variants that need them."""
    proves: bool = True
    """Whether plain interpreters run a rewritten file in processes of their own."""


DEFAULTS = Making()


def small_file(
    model: tf_keras.Model,
    config: QuantizeConfig,
    rows: Calibration,
    path: Path,
    making: Making = DEFAULTS,
) -> PackedResult | None:
    """Write the file of a variant, the smallest where it is packed.

    Args:
        model: The trained model, whose kernels lie on their grids.
        config: The variant.
        rows: Rows of the model's inputs, which outputs are compared for; one at least.
        path: Where the file goes.
        making: What else it is made with.

    Returns:
        What was done, for the result; None where it is the converter's file.

    Raises:
        StageError: Where it can't be converted, packed, made slim or run.
        OSError: Where the file can't be written.
    """
    if config.rows_at_once:
        model = with_batch(model, config.rows_at_once)
    if not is_rewritten(config):
        path.write_bytes(convert(model, config, making.calibration, path.stem))
        return None
    found = PackedResult()
    plans: Sequence[pack.Plan] = ()
    if isinstance(config, WeightOnlyConfig):
        content, found, plans = _weight_only(model, config, making, path.stem)
    elif is_packed(config):
        assert isinstance(config, DynamicRangeConfig)
        content, found, plans = _packed(model, config, making, path.stem)
    else:
        content = convert(model, config, making.calibration, path.stem)
    notes = list(found.notes)
    if config.slim:
        compared = tuple(it[:COMPARED] for it in rows)
        content, said = slim(content, model.input_names, model.output_names, compared)
        notes += said
    path.write_bytes(content)
    opened_by = {}
    if making.proves:
        is_blockwise = any(it.grid.block is not None for it in plans)
        given = one_call(content, model.input_names, rows)
        opened_by = prove(path, given, is_blockwise=is_blockwise)
        if len(opened_by) < len(kinds(is_blockwise=is_blockwise)):
            notes.append(f"the reference kernels, which take over {SECONDS} s, are not compared")
        if is_blockwise:
            names = model.input_names, model.output_names
            refuse_disagreement(path, *names, tuple(it[:COMPARED] for it in rows))
    written = flat.read(content)
    there = [*(record(written, it) for it in plans), *found.kernels]
    if isinstance(config, DynamicRangeConfig) and config.blockwise is not None:
        notes += block_notes(there, plans, config.blockwise)
    return found.model_copy(update={"kernels": there, "notes": notes, "opened_by": opened_by})


def _packed(
    model: tf_keras.Model, config: DynamicRangeConfig, making: Making, name: str
) -> tuple[bytes, PackedResult, Sequence[pack.Plan]]:
    """The file with its kernels packed in the smallest way, with its names; what is said of it, but
    of those kernels; and how they were packed.
    """
    bits = making.bits
    layers = layers_in(model) if making.layers is None else making.layers
    floats = convert(model, FLOATS, (), name)
    content = floats if _packs_all(floats) else convert(model, CONVERTED, (), name)
    plans = pack.plan(kernels(content, floats, layers), config, bits)
    halves = pack.rounds_scales(config, bits)

    def finish(packed: bytes) -> bytes:
        return without(packed, model.input_names, model.output_names) if config.slim else packed

    best = packings.smallest(content, plans, halves=halves, finish=finish)
    file = pack.write(content, plans, best.bits, halves=halves)
    found = PackedResult(
        kernels=[other_record(it, config, bits) for it in others(file, layers)],
        tried=dict(best.tried),
        encoder="zopfli" if len(best.content) <= packings.ZOPFLI_BYTES else "xz",
        notes=[HALVES] if halves else [],
    )
    return file, found, plans


def _weight_only(
    model: tf_keras.Model, config: WeightOnlyConfig, making: Making, name: str
) -> tuple[bytes, PackedResult, Sequence[pack.Plan]]:
    """As above, of a file that is computed with in float."""
    bits = making.bits
    layers = layers_in(model) if making.layers is None else making.layers
    halves = pack.rounds_scales(config, bits)
    file, plans = weight_only(convert(model, FLOATS, (), name), config, layers, bits, halves=halves)
    found = PackedResult(
        kernels=[other_record(it, config, bits) for it in others(file, layers)],
        notes=[COMPUTED, *([HALVES] if halves else [])],
    )
    return file, found, plans


def _packs_all(content: bytes) -> bool:
    """Whether all that is worth quantizing in a float file are kernels that are packed here."""
    model = flat.read(content)
    if len(model.subgraphs) > 1:
        return False
    (graph,) = model.subgraphs
    packed = {
        int(it.inputs[WEIGHTS])
        for it in graph.operators or []
        if flat.kind(model, it) in CHANNELS and len(it.inputs) > WEIGHTS
    }
    return not any(
        _is_large(model, tensor) and index not in packed
        for index, tensor in enumerate(graph.tensors)
    )


def _is_large(model: Any, tensor: Any) -> bool:
    values = flat.constant(model, tensor)
    return values is not None and values.dtype == "float32" and values.size >= SMALL
