"""Keras 2 layers that call a Keras 3 layer, activation or operation.

Both Keras run TensorFlow's operators here. If Keras 2 has no layer that behaves like one of Keras
3, the Keras 3 layer itself is called inside a Keras 2 layer, with that layer's variables: so the
outputs are equal, the layer can be trained, and it can be converted to ``.tflite``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src.backend import RandomGenerator
from tf_keras.src.engine.keras_tensor import KerasTensor

from job.models import reconfigure

# The weights in Keras 3 that are worth pruning.
KERNELS = ("kernel", "recurrent_kernel", "pointwise_kernel")
# tfmot leaves depthwise kernels dense.
DENSE = ("DepthwiseConv1D", "DepthwiseConv2D")


def constraint(found: Any) -> Any:
    """The same constraint in Keras 2; a trusted custom one is used as it is."""
    return _same(keras.constraints, tf_keras.constraints, found)


def regularizer(found: Any) -> Any:
    """The same regularizer in Keras 2; a trusted custom one is used as it is."""
    return _same(keras.regularizers, tf_keras.regularizers, found)


def _same(keras3: Any, keras2: Any, found: Any) -> Any:
    found = keras3.get(found)
    name = type(found).__name__
    if found is None or type(found) is not getattr(keras3, name, None):
        return found
    return getattr(keras2, name)(**found.get_config())


def float_dtype(dtype: str) -> str:
    """The dtype of a tensor or variable of Keras 3 in the counterpart."""
    return reconfigure.FLOAT32 if dtype in reconfigure.OTHERS else dtype


def is_masked(tensor: Any) -> bool:
    """Whether a mask is attached to a tensor; both Keras do it under the same name."""
    return getattr(tensor, "_keras_mask", None) is not None


def unmasked(tensor: Any) -> Any:
    """A tensor of ``tf_keras`` without an attached mask."""
    return tf.identity(tensor) if is_masked(tensor) else tensor


class Keras3Layer(tf_keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """A built Keras 3 layer, called with variables of Keras 2; its own variables never change.

    Its random numbers in training are seeded as in Keras 2.
    """

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__(name=layer.name, trainable=layer.trainable)
        self.supports_masking = True  # each call gets its masks by name
        self.activity_regularizer = regularizer(layer.activity_regularizer)
        # A function, since tf_keras would track a layer's variables.
        self._keras3 = partial(_itself, layer)
        self._variables = {str(index): self._variable(it) for index, it in enumerate(layer.weights)}
        known = {id(it) for it in layer.weights}
        seeds = [it for it in layer.non_trainable_variables if id(it) not in known]
        self._seeds = partial(_itself, [(it, it.numpy()) for it in seeds])
        if seeds:  # training finds random layers by this attribute
            self._random_generator = RandomGenerator(rng_type="legacy_stateful")

    def _variable(self, variable: Any) -> tf.Variable:
        return self.add_weight(
            name=variable.name,
            shape=variable.shape,
            dtype=float_dtype(variable.dtype),
            initializer="zeros",
            trainable=variable.trainable,
            regularizer=regularizer(getattr(variable, "regularizer", None)),
            constraint=constraint(getattr(variable, "constraint", None)),
        )

    def in_keras3(self) -> keras.Layer:
        """The Keras 3 layer, for its settings."""
        return self._keras3()

    def pairs(self) -> Iterator[tuple[Any, tf.Variable]]:
        """The layer's variables, in Keras 3 and in Keras 2."""
        yield from zip(self._keras3().weights, self._variables.values(), strict=True)

    def prunable_kernels(self) -> list[tf.Variable]:
        """The variables that can be pruned."""
        if type(self._keras3()).__name__ in DENSE:
            return []
        found = [variable for weight, variable in self.pairs() if weight.name in KERNELS]
        return [it for it in found if it.trainable and len(it.shape) > 1]

    def call(
        self,
        inputs: Any,
        *others: Any,
        training: bool | None = None,
        mask: Any = None,
        **options: Any,
    ) -> Any:
        """The Keras 3 layer's output; it gets the masks among the arguments, and no others."""
        layer = self._keras3()
        inputs, others, options = tf.nest.map_structure(unmasked, (inputs, others, options))
        if isinstance(layer, keras.layers.MultiHeadAttention) and "query_mask" in options:
            inputs = tf.identity(inputs)  # this layer only uses the attached mask
            keras.src.backend.set_keras_mask(inputs, options.pop("query_mask"))
        accepted = layer.call_signature_parameters
        if "training" in accepted:
            options["training"] = bool(training)  # its own default may be True
        if "mask" in accepted and mask is not None:
            options["mask"] = mask
        states = list(self.pairs())
        seeds = [(seed, self._seed(start, training)) for seed, start in self._seeds()]
        with (
            reconfigure.computing_in_float32(layer),
            keras.StatelessScope([*states, *seeds]) as scope,
        ):
            outputs = layer(inputs, *others, **options)
        if training:
            for weight, variable in states:
                if not weight.trainable:
                    variable.assign(scope.get_current_value(weight))
        return outputs

    def _seed(self, start: NDArray[np.generic], training: bool | None) -> tf.Tensor:
        """The state of a layer's random numbers."""
        if not training:
            return tf.constant(start)
        top = tf.int32.max
        drawn = self._random_generator.random_uniform(start.shape, 0, top, dtype=tf.int32)
        return tf.cast(drawn, start.dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the masks of a model's calls are computed while it is rebuilt (keras3_masks)."""


def of_layer(layer: keras.Layer) -> Keras3Layer:
    """A Keras 2 layer that calls a Keras 3 layer; its class has the name of that layer's."""
    return type(type(layer).__name__, (Keras3Layer,), {})(layer)


class _Place:
    """The index of a tensor among the arguments of an operation."""

    def __init__(self, index: int) -> None:
        self.index = index


class Keras3Operation(tf_keras.layers.Layer):  # type: ignore[misc]  # as above
    """An operation of ``keras.ops``; as in Keras 3, no mask goes through it.

    ``arguments`` are the positional and the named ones of its call, with tensors of Keras 2.
    """

    def __init__(self, operation: keras.Operation, arguments: Any) -> None:
        super().__init__(name=operation.name, autocast=False)
        self.supports_masking = True
        tensors: list[Any] = []

        def placed(value: Any) -> Any:
            if not isinstance(value, KerasTensor):
                return value
            tensors.append(value)
            return _Place(len(tensors) - 1)

        # A function, since tf_keras would wrap lists and dicts.
        self._keras3 = partial(_filled, operation, keras.tree.map_structure(placed, arguments))
        self._given = partial(_itself, tensors)

    def on_its_tensors(self) -> Any:
        """The outputs for the tensors among the arguments."""
        return self(self._given())

    def call(self, inputs: Any) -> Any:
        """The operation's output for the tensors of a call."""
        operation, positional, named = self.filled(inputs)
        return operation.call(*positional, **named)

    def filled(self, inputs: Any) -> tuple[keras.Operation, Any, Any]:
        """The operation and its arguments, positional and named, with tensors of a call."""
        # Keras 2 makes a tensor of a list of one when it clones a model.
        found: tuple[keras.Operation, Any, Any] = self._keras3(tf.nest.flatten(inputs))
        return found

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None."""


def of_operation(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    """Call an operation of Keras 3 on tensors of a Keras 2 model."""
    return Keras3Operation(operation, (arguments, options)).on_its_tensors()


def _itself(value: Any) -> Any:
    return value


def _filled(operation: keras.Operation, arguments: Any, tensors: Any) -> Any:
    def filled(value: Any) -> Any:
        return tensors[value.index] if isinstance(value, _Place) else value

    return (operation, *keras.tree.map_structure(filled, arguments))
