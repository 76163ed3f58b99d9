"""layers: a model's inputs and outputs, and those that are refused."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models.layers import signature
from job.result import TensorSpec

layers = tf_keras.layers


def test_the_signature_is_of_all_inputs_and_outputs_in_the_models_order() -> None:
    """A list's outputs are called by their layers; None is an open dimension."""
    zeta, alpha = tf_keras.Input((None, 4), name="zeta"), tf_keras.Input((6,), name="alpha")
    merged = layers.Concatenate()([layers.GlobalAveragePooling1D()(zeta), alpha])
    two, one = layers.Dense(2, name="two")(merged), layers.Dense(1, name="one")(merged)
    inputs, outputs = signature(tf_keras.Model([zeta, alpha], [two, one]), "m.h5")
    assert [(it.name, it.shape) for it in inputs] == [("zeta", (None, 4)), ("alpha", (6,))]
    assert [(it.name, it.shape) for it in outputs] == [("two", (2,)), ("one", (1,))]
    assert {it.dtype for it in [*inputs, *outputs]} == {"float32"}


def test_truth_values_go_in_and_not_out() -> None:
    """A mask may be an input; the job measures no such outputs."""
    seen = tf_keras.Input((4,), dtype="bool", name="seen")
    x = layers.Lambda(lambda it: tf.cast(it, "float32"))(seen)
    (found,), _ = signature(tf_keras.Model(seen, x), "m.h5")
    assert found == TensorSpec("seen", (4,), "bool")
    with pytest.raises(InputError, match="of bool"):
        signature(tf_keras.Model(seen, layers.Reshape((2, 2))(seen)), "m.h5")


@pytest.mark.parametrize("keys", [("zulu", "echo"), ("echo", "zulu")])
def test_a_dicts_outputs_are_called_by_its_keys(keys: tuple[str, str]) -> None:
    """In the order that Keras flattens them in, which is the alphabet's; one is enough."""
    given = tf_keras.Input((4,), name="given")
    made = {"zulu": layers.Dense(2)(given), "echo": layers.Dense(3)(given)}
    _, outputs = signature(tf_keras.Model(given, {key: made[key] for key in keys}), "m.h5")
    assert [(it.name, it.shape) for it in outputs] == [("echo", (3,)), ("zulu", (2,))]
    _, outputs = signature(tf_keras.Model(given, {"zulu": made["zulu"]}), "m.h5")
    assert [it.name for it in outputs] == ["zulu"]
    _, outputs = signature(tf_keras.Model(given, [layers.Dense(2, name="only")(given)]), "m.h5")
    assert [it.name for it in outputs] == ["only"]


def test_what_the_job_can_not_measure_is_refused() -> None:
    """Outputs in several layers of lists and dicts, texts, ragged rows, a fixed batch."""
    given = tf_keras.Input((4,), name="given")
    one, two = layers.Dense(2, name="one")(given), layers.Dense(2)(given)
    texts = tf_keras.Input((1,), dtype="string", name="texts")
    ragged = tf_keras.Input((None,), ragged=True, name="ragged")
    fixed = tf_keras.Input((4,), batch_size=3, name="fixed")
    models = {
        "inside of others": tf_keras.Model(given, {"a": [one, two]}),
        "lists or dicts": tf_keras.Model(given, [one, {"b": two}]),
        "texts is a TensorSpec of string": tf_keras.Model(
            texts, layers.StringLookup(vocabulary=["a"])(texts)
        ),
        "ragged is a RaggedTensorSpec": tf_keras.Model(ragged, ragged),
        "fixed has the fixed batch size 3": tf_keras.Model(fixed, layers.Dense(2)(fixed)),
    }
    for says, model in models.items():
        with pytest.raises(InputError) as caught:
            signature(model, "m.h5")
        assert says in caught.value.what
        assert caught.value.where == "m.h5"
        assert caught.value.hint
