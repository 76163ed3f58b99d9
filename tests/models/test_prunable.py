"""prunable: the kernels of a layer, at any depth, and why there are none."""

from __future__ import annotations

import pytest
import tf_keras

from job.models.prunable import kernels, make_prunable, why_dense

layers = tf_keras.layers


def built(layer: tf_keras.layers.Layer, *shape: int) -> tf_keras.layers.Layer:
    """The layer, built in a model."""
    tf_keras.Sequential([layers.InputLayer(shape), layer])
    return layer


def nested() -> tf_keras.Model:
    """A model with a recurrent wrapper in it, for each of several sequences."""
    return tf_keras.Sequential(
        [layers.InputLayer((6, 4)), layers.Bidirectional(layers.GRU(8)), layers.Dense(3)]
    )


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(3), (4,), [(4, 3)]),
        (layers.TimeDistributed(layers.Dense(3)), (5, 4), [(4, 3)]),
        (layers.TimeDistributed(layers.Conv2D(8, 3)), (2, 6, 6, 4), [(3, 3, 4, 8)]),
        (layers.Bidirectional(layers.LSTM(2)), (6, 4), [(4, 8), (2, 8)] * 2),
        (layers.TimeDistributed(nested()), (2, 6, 4), [(4, 24), (8, 24)] * 2 + [(16, 3)]),
        (layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)]), (6, 4), None),
        (layers.EinsumDense("abc,cd->abd", (None, 8)), (6, 4), [(4, 8)]),
        (layers.Conv1DTranspose(8, 3), (6, 4), [(3, 8, 4)]),
        (layers.ConvLSTM2D(2, 3), (3, 6, 6, 1), [(3, 3, 1, 8), (3, 3, 2, 8)]),
    ],
)
def test_the_kernels_of_a_layer_are_found_inside_it(
    layer: tf_keras.layers.Layer, shape: tuple[int, ...], expected: list[tuple[int, ...]] | None
) -> None:
    """In wrappers, models in wrappers, and cells; not biases."""
    expected = expected or [(4, 6), (2, 6), (2, 8), (2, 8)]
    found = kernels(built(layer, *shape))
    assert [tuple(it.shape) for it in found] == expected
    assert why_dense(layer) == []
    make_prunable(layer)
    assert [id(it) for it in layer.get_prunable_weights()] == [id(it) for it in found]


def test_a_layer_that_is_used_twice_inside_is_counted_once() -> None:
    """Its kernel gets one mask."""
    shared, given = layers.Dense(4), tf_keras.Input((4,))
    twice = tf_keras.Sequential([layers.InputLayer((4,)), shared])
    model = tf_keras.Model(given, twice(shared(given)))
    assert len(kernels(built(layers.TimeDistributed(model), 3, 4))) == 1


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (layers.PReLU(), (4,), "tfmot can't prune layers of the type PReLU"),
        (
            layers.BatchNormalization(),
            (4,),
            "tfmot leaves the weights of BatchNormalization layers dense",
        ),
        (layers.TimeDistributed(layers.PReLU()), (3, 4), "layers of the type PReLU"),
        (layers.Dense(3, trainable=False), (4,), "this Dense layer is frozen"),
        (layers.Bidirectional(layers.GRU(2), trainable=False), (6, 4), "frozen"),
    ],
)
def test_a_layer_without_kernels_has_a_reason(
    layer: tf_keras.layers.Layer, shape: tuple[int, ...], reason: str
) -> None:
    """For a wrapper, the reason of the layer inside it."""
    assert kernels(built(layer, *shape)) == []
    (found,) = why_dense(layer)
    assert reason in found


def test_a_layer_without_weights_needs_no_reason() -> None:
    assert why_dense(built(layers.TimeDistributed(layers.Flatten()), 3, 4, 4)) == []
