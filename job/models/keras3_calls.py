"""Keras 2 layers that compute by calling a Keras 3 layer, activation or operation.

Both Keras run TensorFlow's operators here. Where Keras 2 has no layer that behaves as one of
Keras 3, the Keras 3 layer itself is called inside a Keras 2 layer, on that layer's variables: the
answers are equal by construction, it can be trained, and it can be converted to ``.tflite``.
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

from job.models import precision
from job.models.keras3_functions import constraint, regularizer

# What Keras 3 calls the weights that are worth pruning.
KERNELS = ("kernel", "recurrent_kernel", "pointwise_kernel")
# tfmot leaves depthwise kernels dense.
DENSE = ("DepthwiseConv1D", "DepthwiseConv2D")


class Keras3Layer(tf_keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """A built Keras 3 layer, called with variables of Keras 2; the layer's own are never changed.

    Args:
        layer: The Keras 3 layer. What it draws in training is seeded as in layers of Keras 2.
    """

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__(name=layer.name, trainable=layer.trainable)
        self.supports_masking = True  # each call is given its masks by name
        self.activity_regularizer = regularizer(layer.activity_regularizer)
        # A function: of a layer, tf_keras would collect the variables.
        self._keras3 = partial(_itself, layer)
        self._twins = {str(index): self._twin(it) for index, it in enumerate(layer.weights)}
        known = {id(it) for it in layer.weights}
        seeds = [it for it in layer.non_trainable_variables if id(it) not in known]
        self._seeds = partial(_itself, [(it, it.numpy()) for it in seeds])
        if seeds:  # under the name by which a training finds what draws
            self._random_generator = RandomGenerator(rng_type="legacy_stateful")

    def _twin(self, variable: Any) -> tf.Variable:
        return self.add_weight(
            name=variable.name,
            shape=variable.shape,
            dtype=precision.FLOAT32 if variable.dtype in precision.OTHERS else variable.dtype,
            initializer="zeros",
            trainable=variable.trainable,
            regularizer=regularizer(getattr(variable, "regularizer", None)),
            constraint=constraint(getattr(variable, "constraint", None)),
        )

    def in_keras3(self) -> keras.Layer:
        """The Keras 3 layer, whose settings say what its values are."""
        return self._keras3()

    def pairs(self) -> Iterator[tuple[Any, tf.Variable]]:
        """The layer's variables, in Keras 3 and in Keras 2."""
        yield from zip(self._keras3().weights, self._twins.values(), strict=True)

    def prunable_kernels(self) -> list[tf.Variable]:
        """The variables that can be pruned."""
        if type(self._keras3()).__name__ in DENSE:
            return []
        found = [own for its, own in self.pairs() if its.name in KERNELS]
        return [it for it in found if it.trainable and len(it.shape) > 1]

    def call(
        self,
        inputs: Any,
        *others: Any,
        training: bool | None = None,
        mask: Any = None,
        **options: Any,
    ) -> Any:
        """What the Keras 3 layer answers; it has the masks that are arguments, and no others."""
        layer = self._keras3()
        inputs, others, options = tf.nest.map_structure(_unmasked, (inputs, others, options))
        if isinstance(layer, keras.layers.MultiHeadAttention) and "query_mask" in options:
            inputs = tf.identity(inputs)  # it asks the tensor alone
            keras.src.backend.set_keras_mask(inputs, options.pop("query_mask"))
        accepted = layer.call_signature_parameters
        if "training" in accepted:
            options["training"] = bool(training)  # its own default may be True
        if "mask" in accepted and mask is not None:
            options["mask"] = mask
        states = {id(it): (it, own) for it, own in self.pairs()}
        seeds = [(its, self._seed(start, training)) for its, start in self._seeds()]
        with (
            precision.computing_in_float32(layer),
            keras.StatelessScope([*states.values(), *seeds]) as scope,
        ):
            outputs = layer(inputs, *others, **options)
        if training:
            for its, own in states.values():
                if not its.trainable:
                    own.assign(scope.get_current_value(its))
        return outputs

    def _seed(self, start: NDArray[np.generic], training: bool | None) -> tf.Tensor:
        """The state of a layer's random numbers."""
        if not training:
            return tf.constant(start)
        top = tf.int32.max
        drawn = self._random_generator.random_uniform(start.shape, 0, top, dtype=tf.int32)
        return tf.cast(drawn, start.dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the masks of a model's calls are worked out before it is made (keras3_masks)."""


def of_layer(layer: keras.Layer) -> Keras3Layer:
    """A Keras 2 layer that calls a Keras 3 layer; its class is named as that layer's."""
    return type(type(layer).__name__, (Keras3Layer,), {})(layer)


class _Place:
    """Where a tensor stands among the arguments of an operation."""

    def __init__(self, index: int) -> None:
        self.index = index


class Keras3Operation(tf_keras.layers.Layer):  # type: ignore[misc]  # as above
    """An operation of ``keras.ops``; as in Keras 3, no mask goes through it.

    Args:
        operation: The operation.
        arguments: The positional and the named arguments of its call, with tensors of Keras 2.
    """

    def __init__(self, operation: keras.Operation, arguments: Any) -> None:
        super().__init__(name=operation.name, autocast=False)
        self.supports_masking = True
        self.tensors: tuple[Any, ...] = ()
        tensors: list[Any] = []

        def placed(value: Any) -> Any:
            if not isinstance(value, KerasTensor):
                return value
            tensors.append(value)
            return _Place(len(tensors) - 1)

        # A function: lists and dicts would become objects of tf_keras.
        self._keras3 = partial(_filled, operation, keras.tree.map_structure(placed, arguments))
        self._given = partial(_itself, tensors)

    def on_its_tensors(self) -> Any:
        """The outputs for the tensors among the arguments."""
        return self(self._given())

    def call(self, inputs: Any) -> Any:
        """What the operation answers for the tensors of a call."""
        operation, positional, named = self.in_keras3(inputs)
        return operation.call(*positional, **named)

    def in_keras3(self, inputs: Any) -> tuple[keras.Operation, Any, Any]:
        """The operation, with the positional and the named arguments of a call on tensors."""
        # Keras 2 makes a tensor of a list of one when it clones a model.
        found: tuple[keras.Operation, Any, Any] = self._keras3(tf.nest.flatten(inputs))
        return found

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None."""


def of_operation(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    """Call an operation of Keras 3 on tensors of a Keras 2 model."""
    return Keras3Operation(operation, (arguments, options)).on_its_tensors()


def _unmasked(value: Any) -> Any:
    """Both Keras attach a mask to a tensor under the same name."""
    return value if getattr(value, "_keras_mask", None) is None else tf.identity(value)


def _itself(value: Any) -> Any:
    return value


def _filled(operation: keras.Operation, arguments: Any, tensors: Any) -> Any:
    def filled(value: Any) -> Any:
        return tensors[value.index] if isinstance(value, _Place) else value

    return (operation, *keras.tree.map_structure(filled, arguments))
