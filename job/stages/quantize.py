"""quantize: the *pruned* model to ``.tflite``.

Source: https://ai.google.dev/edge/litert/models/post_training_quantization. (The tutorial that
this pipeline comes from converts its baseline by mistake.)
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema

from job.errors import StageError, is_disk_full
from job.manifest.quantize import (
    CalibratedConfig,
    DynamicRangeConfig,
    Float16Config,
    Float32Config,
    Int8Config,
    Int16x8Config,
    QuantizeConfig,
    WeightOnlyConfig,
)
from job.stages import masks
from job.stages.prepare import is_recurrent
from job.stages.retype import Array, Function, cast_first, retype
from job.stages.serving import Names, names_for, trace, with_names_of

# One array for each input of the model, each (samples, ...), of the model's dtypes.
Calibration = tuple[Array, ...]


@dataclass(frozen=True)
class Variant:
    """How a variant is made. What its file promises: ``job/manifest/quantize.py``."""

    config: Callable[..., QuantizeConfig]
    """Its class in the manifest."""
    is_optimized: bool = True
    types: Sequence[tf.DType] = ()
    """What weights may be."""
    operators: tf.lite.OpsSet | None = None
    """The only operators that the file may have."""
    lacks: tuple[str, ...] = ()
    """Operators that LiteRT has no kernels for in this variant."""
    crashes_on: tuple[str, ...] = ()
    """Layers at which the converter ends the whole process (TensorFlow 2.21)."""


VARIANTS: dict[str, Variant] = {
    "float32": Variant(Float32Config, is_optimized=False),
    "float16": Variant(Float16Config, types=(tf.float16,)),
    "dynamic_range": Variant(DynamicRangeConfig),
    "weight_only": Variant(WeightOnlyConfig, is_optimized=False),
    "int8": Variant(Int8Config, operators=tf.lite.OpsSet.TFLITE_BUILTINS_INT8),
    "int16x8": Variant(
        Int16x8Config,
        operators=tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        lacks=("LSTM", "CAST"),
        crashes_on=("LayerNormalization",),
    ),
}

# The converter's message for an operator that it can't convert.
LACKING = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")
# The reason for a loop that is not needed where no row is padded.
MASKED = "skips padded steps, by a mask"


def quantize(
    model: tf_keras.Model, config: QuantizeConfig, calibration: Calibration, path: Path
) -> None:
    """Convert a model and write the file.

    Args:
        model: The pruned model, prepared.
        config: The variant.
        calibration: Rows of the training split, for variants that need ranges of activations.
        path: Where the file goes.

    Raises:
        StageError: Where the converter can't convert the model.
        OSError: Where the file can't be written.
    """
    path.write_bytes(convert(model, config, calibration, path.stem))


def convert(
    model: tf_keras.Model, config: QuantizeConfig, calibration: Calibration, name: str
) -> bytes:
    """Convert a model.

    Args:
        model: The pruned model, prepared.
        config: The variant.
        calibration: Rows of the training split, for variants that need ranges of activations.
        name: The file's, for messages.

    Returns:
        The file.

    Raises:
        StageError: Where the converter can't convert the model.
    """
    crashing = {
        layer.name
        for layer in model._flatten_layers()  # noqa: SLF001 - submodules fails for recurrent dropout
        if type(layer).__name__ in VARIANTS[config.type].crashes_on
    }
    if crashing:
        raise StageError(
            f"The model can't be converted to {config.type}: TensorFlow's converter crashes on "
            f"{', '.join(VARIANTS[config.type].crashes_on)} ({', '.join(sorted(crashing))}).",
            where=f"quantize, {name}",
            hint="Leave this variant out; int8 takes the layer.",
        )
    try:
        return _converted(model, config, calibration)
    except Exception as error:
        if is_disk_full(error):
            raise
        raise StageError(
            f"The model can't be converted to {config.type}: {_reason(error)}",
            where=f"quantize, {name}",
            hint="Leave this variant out, or replace the layer that the message names.",
        ) from None


def _converted(model: tf_keras.Model, config: QuantizeConfig, calibration: Calibration) -> bytes:
    names = names_for(model)
    lacks = VARIANTS[config.type].lacks
    ignores = isinstance(config, CalibratedConfig) and config.ignore_masks
    with masks.ignored(model) if ignores else contextlib.nullcontext():
        function = trace(model, names)
    variables = function.variables
    samples: list[dict[str, Array]] = []
    if isinstance(config, CalibratedConfig):
        if is_recurrent(model):
            loops = why_loops(model, ignores_masks=ignores)
            content = _converter(function, variables).convert()
            _refuse_loops(content, loops, has_lstm="LSTM" not in lacks)
        retyped = retype(function, casts_stay="CAST" not in lacks)
        function = retyped.function
        samples = _samples(names, retyped.calibration(calibration))
    else:
        function = cast_first(function)
    converter = _converter(function, variables)
    _configure(converter, config, samples)
    return with_names_of(model, names, converter.convert())


def _converter(function: Function, variables: Sequence[tf.Variable]) -> tf.lite.TFLiteConverter:
    """A converter of what the model answers.

    ``from_keras_model`` saves the model as it is first, with several functions for each layer,
    which takes longer than converting; here it is one function, and the file is the same.
    """
    owner = tf.Module()
    owner.variables_of_the_model = variables
    return tf.lite.TFLiteConverter.from_concrete_functions([function], owner)


def _refuse_loops(content: bytes, why: str, *, has_lstm: bool) -> None:
    """Check a converted file. An LSTM without a mask is one operator in it; others are loops.

    Raises:
        ValueError: Where it has loops: TFLite's calibrator would end the process by a segmentation
            fault.
    """
    codes = schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes
    if any(code.builtinCode == schema.BuiltinOperator.WHILE for code in codes):
        advice = "any layer with unroll=True is none"
        if has_lstm:
            advice = "an LSTM without a mask, and any layer with unroll=True, is none"
        if has_lstm and MASKED in why:
            advice += "; where no row is padded, set ignore_masks"
        raise ValueError(
            f"{why}: such layers are loops in the file, which can't be calibrated; {advice}"
        )


def why_loops(model: tf_keras.Model, *, ignores_masks: bool = False) -> str:
    """The recurrent layers that become loops, each with the reason."""
    found = {}
    for layer in masks.recurrent_layers(model):
        inner = getattr(layer, "forward_layer", layer)
        if getattr(inner, "unroll", False):
            continue
        if masks.is_masked(layer) and not ignores_masks:
            found[layer.name] = MASKED
        elif not isinstance(inner, tf_keras.layers.LSTM):
            found.setdefault(layer.name, f"is a {type(inner).__name__}")
    return "; ".join(f"{name} {why}" for name, why in found.items()) or "it has recurrent layers"


def _configure(
    converter: tf.lite.TFLiteConverter,
    config: QuantizeConfig,
    samples: Sequence[Mapping[str, Array]],
) -> None:
    variant = VARIANTS[config.type]
    if variant.is_optimized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant.types:
        converter.target_spec.supported_types = list(variant.types)
    if variant.operators:
        converter.target_spec.supported_ops = [variant.operators]
    if isinstance(config, CalibratedConfig):
        converter.representative_dataset = lambda: iter(samples)
        converter.inference_input_type = tf.dtypes.as_dtype(config.input_dtype)
        converter.inference_output_type = tf.dtypes.as_dtype(config.output_dtype)
    if isinstance(config, Int8Config) and not config.per_channel:
        converter._experimental_disable_per_channel = True  # noqa: SLF001 - the only switch
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001


def _samples(names: Names, calibration: Sequence[Array]) -> list[dict[str, Array]]:
    """One row at a time, by the names of the inputs, since their order may change."""
    return [
        {name: array[row : row + 1] for name, array in zip(names.inputs, calibration, strict=True)}
        for row in range(len(calibration[0]))
    ]


def _reason(error: Exception) -> str:
    lacking = sorted(set(LACKING.findall(str(error))))
    if lacking:
        return f"it needs {', '.join(lacking)} as it is used there, which LiteRT does not have"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "requires" in line] or lines
    return (telling[0] if telling else type(error).__name__)[:400]
