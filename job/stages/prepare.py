"""The model that is converted: with sizes and names that the file has."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from job.errors import StageError
from job.result.specs import TensorSpec
from job.stages import masks


def is_recurrent(model: tf_keras.Model) -> bool:
    """Whether a layer of the model, at any depth, is recurrent."""
    return bool(masks.recurrent_layers(model))


def prepare(
    model: tf_keras.Model,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    one_row: bool = False,
) -> tuple[tf_keras.Model, list[str]]:
    """The model to convert: the same one, unless something has to be fixed for a ``.tflite``.

    A model with recurrent layers gets a batch of one: with another, the converter needs operators
    that the plain interpreter lacks. Open dimensions get their sizes. The file's signature calls
    outputs by the names that a dict gives them.

    Args:
        model: The pruned model; the result shares its weights.
        inputs: Its inputs, with the sizes that open dimensions get.
        outputs: Its outputs.
        one_row: Whether the file takes one row at a time, whatever the layers.

    Returns:
        The model, and what was fixed, as messages.
    """
    recurrent = is_recurrent(model)
    decided = [
        f"the .tflite files take {spec.name} as {spec.shape} only"
        for spec, tensor in zip(inputs, model.inputs, strict=True)
        if None in tensor.shape[1:]
    ]
    if recurrent:
        decided.append("the .tflite files take one row at a time, for the recurrent layers")
    elif one_row:
        decided.append("the .tflite files take one row at a time")
    names = [spec.name for spec in outputs]
    if not decided and names == list(model.output_names):
        return model, decided
    return _rebuilt(model, inputs, names, 1 if recurrent or one_row else None), decided


def with_batch(model: tf_keras.Model, rows: int) -> tf_keras.Model:
    """The model for so many rows at once, always; it shares the weights of the given one.

    Raises:
        StageError: Where the model does not take so many.
    """
    inputs = [
        TensorSpec(name, tuple(tensor.shape[1:]), tensor.dtype.name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    try:
        return _rebuilt(model, inputs, list(model.output_names), rows)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StageError(
            f"The model does not take {rows} rows at once: {reason[:200]}",
            where="quantize",
            hint="Leave batch_size out.",
        ) from None


def _rebuilt(
    model: tf_keras.Model, inputs: Sequence[TensorSpec], outputs: list[str], batch: int | None
) -> tf_keras.Model:
    given = [tf_keras.Input(it.shape, batch, dtype=it.dtype, name=it.name) for it in inputs]
    answer = model(tf.nest.pack_sequence_as(model.input, given), training=False)
    # Its own name would count the models of this process, and is a part of the file.
    fixed = tf_keras.Model(given, tf.nest.flatten(answer), name=model.name)
    fixed.output_names = outputs
    return fixed
