"""quantize: the *pruned* model to ``.tflite``.

Source: https://ai.google.dev/edge/litert/models/post_training_quantization. (The tutorial that
this pipeline comes from converts its baseline in the listing; here there is one model to convert.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.errors import StageError, is_disk_full
from job.manifest.outputs import Int8Config, Int16x8Config, QuantizeConfig

# One array for each input of the model, each (samples, ...), of the model's dtypes.
Calibration = tuple[NDArray[np.generic], ...]


# Their loops become TFLite's own operators only where the batch is known.
RECURRENT = (
    tf_keras.layers.RNN,
    tf_keras.layers.Bidirectional,
    tf_keras.layers.ConvLSTM1D,
    tf_keras.layers.ConvLSTM2D,
)


def is_recurrent(model: tf_keras.Model) -> bool:
    """Whether a layer of the model, at any depth, is recurrent."""
    return any(isinstance(part, RECURRENT) for part in model.submodules)


def quantize(
    model: tf_keras.Model,
    config: QuantizeConfig,
    calibration: Calibration,
    path: Path,
    sample: Calibration | None = None,
) -> None:
    """Convert a model and write the file.

    A model with recurrent layers gets a fixed batch of one: with another, the converter needs
    operators that the plain interpreter lacks.

    Args:
        model: The pruned model.
        config: The variant.
        calibration: Rows of the training split, for variants that need ranges of activations.
        path: Where the file goes.
        sample: One row, for the sizes that a fixed batch needs and the model leaves open.

    Raises:
        StageError: Where the converter can't convert the model.
        OSError: Where the file can't be written.
    """
    try:
        if is_recurrent(model):
            if isinstance(config, Int8Config | Int16x8Config):
                _refuse_loops(_with_fixed_batch(model, sample).convert())
            converter = _with_fixed_batch(model, sample)
        else:
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
        _configure(converter, model, config, calibration)
        content = converter.convert()
    except Exception as error:
        if is_disk_full(error):
            raise
        raise StageError(
            f"The model can't be converted to {config.type}: {_reason(error)}",
            where=f"quantize, {path.stem}",
            hint="Leave this variant out, or replace the layer that the message names.",
        ) from None
    path.write_bytes(content)


def _with_fixed_batch(model: tf_keras.Model, sample: Calibration | None) -> tf.lite.TFLiteConverter:
    specs = [
        tf.TensorSpec([1, *known.shape[1:]], tensor.dtype, name=name)
        for name, tensor, known in zip(
            model.input_names, model.inputs, sample or model.inputs, strict=True
        )
    ]

    @tf.function(input_signature=specs)
    def forward(*inputs: tf.Tensor) -> tf.Tensor:
        given = tf.nest.pack_sequence_as(model.input, inputs)
        return model(given, training=False)

    return tf.lite.TFLiteConverter.from_concrete_functions([forward.get_concrete_function()], model)


def _refuse_loops(content: bytes) -> None:
    """Check a converted file. An LSTM is one operator in it; a GRU, a SimpleRNN are loops.

    Raises:
        ValueError: Where it has loops: TFLite's calibrator would end the process by a segmentation
            fault.
    """
    codes = schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes
    if any(code.builtinCode == schema.BuiltinOperator.WHILE for code in codes):
        raise ValueError(
            "its recurrent layers are loops in the file, which can't be calibrated; an LSTM, and "
            "any layer with unroll=True, is none"
        )


def _configure(
    converter: tf.lite.TFLiteConverter,
    model: tf_keras.Model,
    config: QuantizeConfig,
    calibration: Calibration,
) -> None:
    if config.type != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if config.type == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if isinstance(config, Int8Config | Int16x8Config):
        converter.representative_dataset = lambda: _samples(model, calibration)
        converter.inference_input_type = tf.dtypes.as_dtype(config.input_dtype)
        converter.inference_output_type = tf.dtypes.as_dtype(config.output_dtype)
    if isinstance(config, Int8Config):
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if not config.per_channel:
            converter._experimental_disable_per_channel = True  # noqa: SLF001 - the only switch
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
    if isinstance(config, Int16x8Config):
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]


def _samples(model: tf_keras.Model, calibration: Calibration) -> Iterator[object]:
    """One row at a time: by the names of the model's inputs, since their order may change; of a
    model with a fixed batch in the order of its inputs, which then is the file's.
    """
    names = model.input_names
    for row in range(len(calibration[0])):
        yield {name: array[row : row + 1] for name, array in zip(names, calibration, strict=True)}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "requires" in line] or lines
    return (telling[0] if telling else type(error).__name__)[:400]
