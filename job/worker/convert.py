"""Whether a model can be converted to ``.tflite`` files that run, which only trying shows.

The converter makes files that the interpreter can't run (with more than one row, or at all), and
what it can't convert would show only at the end of a job. So every variant is tried on the original
model, before hours are spent on training it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras

from job.errors import InputError, StageError
from job.manifest.quantize import Float32Config, PackedConfig, QuantizeConfig
from job.metrics import litert, promises
from job.models.layers import layers_of, scope_name
from job.models.random_layers import is_random
from job.result.specs import TensorSpec
from job.stages.prepare import is_recurrent, prepare
from job.stages.quantize import Calibration
from job.stages.small_file import Making, small_file

# Layers that every variant converts, with any number of rows: models of nothing else are not tried.
CERTAIN = frozenset(
    """
    InputLayer Dense Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D
    GlobalAveragePooling2D GlobalMaxPooling2D Flatten Reshape Dropout BatchNormalization
    ReLU Softmax Add Concatenate ZeroPadding2D Rescaling
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)
# Only with these settings, where a layer has them.
CERTAIN_SETTINGS: dict[str, tuple[object, ...]] = {
    "activation": ("linear", "relu", "sigmoid", "softmax", "tanh"),
    "data_format": ("channels_last",),
    "dilation_rate": (1, (1, 1)),
    "groups": (1,),
    "keepdims": (False,),
    "max_value": (None, 6),
    "negative_slope": (0,),
    "noise_shape": (None,),
    "renorm": (False,),
    "threshold": (0,),
}
# Not all operators take tensors of more dimensions; the batch is counted.
MAX_RANK = 4


@dataclass(frozen=True)
class Conversion:
    """How a model is converted."""

    inputs: Sequence[TensorSpec]
    """The model's inputs, without open dimensions."""
    outputs: Sequence[TensorSpec]
    one_row: bool
    """Whether the files take one row at a time."""
    decided: Sequence[str] = ()
    """What was fixed, for the result."""

    def prepared(self, model: tf_keras.Model) -> tf_keras.Model:
        """The model to convert."""
        return prepare(model, self.inputs, self.outputs, one_row=self.one_row)[0]


def plan(
    model: tf_keras.Model,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    rows: Calibration,
) -> Conversion:
    """Decide how many rows the files take at a time: as many as run.

    Args:
        model: The original model.
        inputs: Its inputs, with the sizes that open dimensions get.
        outputs: Its outputs.
        rows: Two rows of data, or more.

    Raises:
        InputError: Where the model does not take inputs of these sizes.
    """
    decided = _prepared(model, inputs, outputs)
    found = Conversion(inputs, outputs, one_row=is_recurrent(model), decided=decided)
    if found.one_row or is_certain(model):
        return found
    try:
        attempt(model, found, Float32Config(type="float32"), rows)
    except StageError as error:
        _, decided = prepare(model, inputs, outputs, one_row=True)
        return Conversion(inputs, outputs, True, [*decided, f"several rows: {error.what}"])
    return found


def _prepared(
    model: tf_keras.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Sequence[str]:
    """What has to be fixed in a model, which takes inputs of these sizes."""
    try:
        return prepare(model, inputs, outputs)[1]
    except (ValueError, TypeError, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((it for it in lines if "encountered when calling" not in it), "")
        raise InputError(
            f"The model does not take inputs of these sizes: {reason[:200]}",
            where=", ".join(f"{it.name} {it.shape}" for it in inputs),
            hint="Give rows of sizes that it takes; model.input_shapes pins them.",
        ) from None


def attempt(
    model: tf_keras.Model, how: Conversion, variant: QuantizeConfig, rows: Calibration
) -> list[str]:
    """Convert a model, check the file and run it, and leave nothing behind.

    Args:
        model: The model.
        how: How it is converted.
        variant: To what.
        rows: Some rows: what is calibrated with, and run.

    Returns:
        What the user should know of such a file.

    Raises:
        StageError: Where it can't be converted, breaks its promise, or does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{variant.name or variant.type}.tflite"
        tried = untrained(variant)
        small_file(how.prepared(model), tried, rows, path, Making(calibration=rows, proves=False))
        names = [it.name for it in how.inputs], [it.name for it in how.outputs]
        notes = promises.check(tried, path, *litert.describe_file(path, *names))
        try:
            litert.predictor(path, *names, threads=1)(rows)
        except (RuntimeError, ValueError) as error:
            raise StageError(
                f"The file that the converter makes does not run: {str(error).strip()[:200]}",
                where=f"quantize, {path.name}",
                hint="Leave this variant out, or replace the layer.",
            ) from None
        return notes


def untrained(variant: QuantizeConfig) -> QuantizeConfig:
    """The variant with 8 bits, which weights need no training for."""
    if not isinstance(variant, PackedConfig):
        return variant
    return variant.model_copy(update={"weight_bits": 8, "layers": ()})


def is_certain(model: tf_keras.Model) -> bool:
    """Whether every variant is known to convert the model: by its layers, their settings, their
    names and dtypes.
    """
    ends = [*model.inputs, *model.outputs]
    if is_random(model):
        return False
    if any(it.dtype != "float32" or None in tuple(it.shape[1:]) for it in ends):
        return False
    return all(
        _is_known(layer)
        and (isinstance(layer, tf_keras.layers.InputLayer) or scope_name(layer.name) == layer.name)
        and _is_usual(layer)
        and all(_is_plain(layer, call) for call in range(len(layer.inbound_nodes)))
        for _, layer in layers_of(model)
    )


def _is_known(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is a certain one; one that calls a layer of Keras 3 has that layer's name."""
    kind = type(layer).__name__
    return kind in CERTAIN and type(layer) is getattr(tf_keras.layers, kind)


def _is_usual(layer: tf_keras.layers.Layer) -> bool:
    """Whether all settings of a layer are those that every variant is known to convert."""
    config = layer.get_config()
    return all(
        (tuple(config[key]) if isinstance(config[key], list) else config[key]) in usual
        for key, usual in CERTAIN_SETTINGS.items()
        if key in config
    )


def _is_plain(layer: tf_keras.layers.Layer, call: int) -> bool:
    """Whether a call of a layer has only tensors of few axes, and is along the last axis."""
    shapes = layer.get_output_shape_at(call)
    rank = max(len(it) for it in (shapes if isinstance(shapes, list) else [shapes]))
    axis = layer.get_config().get("axis", -1)
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    last = all(it in (-1, rank - 1) for it in axes)
    options = layer.inbound_nodes[call].call_kwargs
    return rank <= MAX_RANK and last and not options.get("training")
