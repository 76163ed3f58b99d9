"""free_batch: a fixed batch size is removed if nothing in the model depends on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models.load import read, save

BATCH = 4


def sequential(kit: Any) -> Any:
    layers = kit.layers
    return kit.Sequential(
        [kit.Input((6,), batch_size=BATCH), layers.Dense(5), layers.BatchNormalization()]
    )


def nested(kit: Any) -> Any:
    """Two inputs, one of which goes through a nested model with the same batch size."""
    layers = kit.layers
    inner = kit.Sequential([kit.Input((6,), batch_size=BATCH), layers.Dense(5)], name="inner")
    first, second = kit.Input((6,), batch_size=BATCH), kit.Input((4,), batch_size=BATCH)
    merged = layers.Concatenate()([inner(first), second])
    return kit.Model([first, second], [layers.Dense(3)(merged), layers.Dense(2)(second)])


def recurrent(kit: Any) -> Any:
    layers = kit.layers
    return kit.Sequential(
        [
            kit.Input((3, 6), batch_size=BATCH),
            layers.TimeDistributed(layers.Dense(4)),
            layers.Bidirectional(layers.SimpleRNN(3)),
        ]
    )


def stateful(kit: Any) -> Any:
    layers = kit.layers
    given = kit.Input((3, 6), batch_size=BATCH)
    return kit.Sequential([given, layers.SimpleRNN(4, stateful=True, name="memory")])


def reshaped(kit: Any) -> Any:
    """The batch size is a number in a reshape."""
    reshape = tf.reshape if kit is tf_keras else keras.ops.reshape
    given = kit.Input((6,), batch_size=BATCH)
    pairs = reshape(given, (2 * BATCH, 3))
    return kit.Model(given, reshape(kit.layers.Dense(2)(pairs), (BATCH, 4)))


def centred(kit: Any) -> Any:
    """Each row is compared with the others of its batch; every shape is right."""
    mean = tf.reduce_mean if kit is tf_keras else keras.ops.mean
    given = kit.Input((6,), batch_size=BATCH)
    return kit.Model(given, kit.layers.Dense(2)(given - mean(given, axis=0, keepdims=True)))


KITS = [tf_keras, keras]
FREE = [
    (tf_keras, sequential, "model"),
    (tf_keras, nested, "model.keras"),
    (tf_keras, recurrent, "model.h5"),
    (keras, nested, "model.keras"),
    (keras, recurrent, "model.keras"),
]


@pytest.mark.parametrize(("kit", "make", "name"), FREE)
def test_outputs_for_any_batch_size_are_those_of_the_model(
    kit: Any, make: Callable[[Any], Any], name: str, tmp_path: Path
) -> None:
    """Also for the file that is written."""
    kit.utils.set_random_seed(5)
    model = make(kit)
    path = tmp_path / name
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    found = read(path)
    assert "fixed batch size, 4, was taken out" in found.notes[0]
    written = tmp_path / ("again" + (path.suffix or ".tar"))
    again = save(found.model, found, written)
    assert again.notes == ()
    assert all(tensor.shape[0] is None for tensor in again.model.inputs)
    random = np.random.default_rng(3)
    rows = [random.normal(size=(7, *it.shape[1:])).astype("float32") for it in model.inputs]

    def answers(of: Any, some: slice) -> list[Any]:
        given = [it[some] for it in rows]
        return [np.asarray(it) for it in tf.nest.flatten(of(given if len(rows) > 1 else given[0]))]

    first, last = answers(model, slice(0, 4)), answers(model, slice(3, 7))
    wanted = [np.concatenate([a, b[1:]]) for a, b in zip(first, last, strict=True)]
    for given, want in zip(answers(again.original, slice(0, 7)), wanted, strict=True):
        np.testing.assert_allclose(given, want, atol=1e-6)


@pytest.mark.parametrize("kit", KITS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (stateful, "memory is stateful"),
        (reshaped, "depends on it: with a batch of 5 it fails .*reshape"),
        (centred, "depends on it: the outputs for batches of another size differ"),
    ],
)
def test_a_model_that_depends_on_its_batch_size_is_refused_with_the_reason(
    kit: Any, make: Callable[[Any], Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    make(kit).save(path)
    with pytest.raises(InputError, match=f"(?is){reason}"):
        read(path)
