"""layers: their paths and names, and the inputs and outputs of a model."""

from __future__ import annotations

import string
from pathlib import Path

import keras
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import InputError
from job.manifest.prune import PruneConfig
from job.models.layers import (
    SCOPE,
    layers_of,
    scales_inputs,
    scope_name,
    signature,
    users_name,
)
from job.models.load import read, save
from job.models.prunable import plan_layers, results
from job.result.specs import TensorSpec

layers = tf_keras.layers


def test_the_signature_has_all_inputs_and_outputs_in_the_models_order() -> None:
    """A list's outputs are named by their layers; None is an open dimension."""
    zeta, alpha = tf_keras.Input((None, 4), name="zeta"), tf_keras.Input((6,), name="alpha")
    merged = layers.Concatenate()([layers.GlobalAveragePooling1D()(zeta), alpha])
    two, one = layers.Dense(2, name="two")(merged), layers.Dense(1, name="one")(merged)
    inputs, outputs = signature(tf_keras.Model([zeta, alpha], [two, one]), "m.h5")
    assert [(it.name, it.shape) for it in inputs] == [("zeta", (None, 4)), ("alpha", (6,))]
    assert [(it.name, it.shape) for it in outputs] == [("two", (2,)), ("one", (1,))]
    assert {it.dtype for it in [*inputs, *outputs]} == {"float32"}


def test_booleans_may_be_inputs_but_not_outputs() -> None:
    """An input may be a mask; there are no metrics for such outputs."""
    seen = tf_keras.Input((4,), dtype="bool", name="seen")
    x = layers.Lambda(lambda x: tf.cast(x, "float32"))(seen)
    (found,), _ = signature(tf_keras.Model(seen, x), "m.h5")
    assert found == TensorSpec("seen", (4,), "bool")
    with pytest.raises(InputError, match="of bool"):
        signature(tf_keras.Model(seen, layers.Reshape((2, 2))(seen)), "m.h5")


@pytest.mark.parametrize("keys", [("zulu", "echo"), ("echo", "zulu")])
def test_a_dicts_outputs_are_named_by_its_keys(keys: tuple[str, str]) -> None:
    """In alphabetical order, as Keras flattens them; also a single one."""
    given = tf_keras.Input((4,), name="given")
    made = {"zulu": layers.Dense(2)(given), "echo": layers.Dense(3)(given)}
    _, outputs = signature(tf_keras.Model(given, {key: made[key] for key in keys}), "m.h5")
    assert [(it.name, it.shape) for it in outputs] == [("echo", (3,)), ("zulu", (2,))]
    _, outputs = signature(tf_keras.Model(given, {"zulu": made["zulu"]}), "m.h5")
    assert [it.name for it in outputs] == ["zulu"]
    _, outputs = signature(tf_keras.Model(given, [layers.Dense(2, name="only")(given)]), "m.h5")
    assert [it.name for it in outputs] == ["only"]


def test_unsupported_inputs_and_outputs_are_refused() -> None:
    """Nested lists and dicts, strings, ragged rows, a fixed batch."""
    given = tf_keras.Input((4,), name="given")
    one, two = layers.Dense(2, name="one")(given), layers.Dense(2)(given)
    texts = tf_keras.Input((1,), dtype="string", name="texts")
    ragged = tf_keras.Input((None,), ragged=True, name="ragged")
    fixed = tf_keras.Input((4,), batch_size=3, name="fixed")
    models = {
        "nested lists or dicts": tf_keras.Model(given, {"a": [one, two]}),
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


def test_a_model_that_scales_its_inputs_is_recognized() -> None:
    """By a Rescaling or Normalization layer, in a nested model too."""
    plain = tf_keras.Sequential([layers.InputLayer((4,)), layers.BatchNormalization()])
    assert not scales_inputs(plain)
    for layer in (layers.Rescaling(1 / 255), layers.Normalization(mean=0.0, variance=1.0)):
        scaling = tf_keras.Sequential([layers.InputLayer((4,)), layer])
        assert scales_inputs(scaling)
        assert scales_inputs(tf_keras.Sequential([layers.InputLayer((4,)), scaling, plain]))


@given(st.lists(st.text(min_size=1).filter(lambda name: "/" not in name), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_every_name_can_be_a_scope_and_is_decoded(parts: list[str]) -> None:
    """Also in a path."""
    scopes = [scope_name(it) for it in parts]
    assert all(SCOPE.fullmatch(it) for it in scopes)
    assert users_name("/".join(scopes)) == "/".join(parts)


@pytest.mark.parametrize("name", ["dense", "conv2d_1", "A.b-c", string.ascii_letters])
def test_usual_names_are_unchanged(name: str) -> None:
    assert scope_name(name) == users_name(name) == name


def test_a_keras3_model_keeps_its_names(tmp_path: Path) -> None:
    """Of inputs, layers, nested models and outputs; also in the file that is written."""
    x = taken = keras.Input((8,), name="Größe [cm]")
    inner_given = keras.Input((8,), name="in ner")
    inner = keras.Model(
        inner_given, keras.layers.Dense(16, name="b c")(inner_given), name="my inner"
    )
    x = keras.layers.Dense(8, name="_hidden (1)")(inner(x))
    built = keras.Model(taken, keras.layers.Dense(2, name="ja/nein".replace("/", " ÷ "))(x))
    built.save(tmp_path / "m.keras")
    file = read(tmp_path / "m.keras")
    inputs, outputs = signature(file.model, "here")
    assert [it.name for it in inputs] == ["Größe [cm]"]
    assert [it.name for it in outputs] == ["ja ÷ nein"]
    rules = PruneConfig.model_validate(
        {
            "layers": [
                {"name": "_hidden (1)", "skip": True},
                {"name": "my inner/*", "target_sparsity": 0.5},
            ]
        }
    )
    plans = plan_layers(file.model, rules)
    assert len(plans) == len([it for _, it in layers_of(file.model) if it.weights])
    found = results(plans, file.model)
    assert [it.name for it in found] == ["my inner/b c", "_hidden (1)", "ja ÷ nein"]
    assert ["a rule" in it.reason for it in found] == [True, True, False]
    save(file.model, file, tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    assert [it.name for it in again.layers] == [it.name for it in built.layers]
    assert [it.name for it in again.get_layer("my inner").layers] == ["in ner", "b c"]


@pytest.mark.parametrize("name", ["\"q' & 'x'", "<script>", "卷积卷积", "a>>b", "b>_c", "_\u202e-"])
def test_the_name_of_a_scope_is_one_for_nodes_of_a_graph(name: str) -> None:
    """With characters that stand beside each other, at either end, and what TensorFlow appends."""
    with tf.Graph().as_default() as graph, tf.name_scope(scope_name(name)):
        tf.constant(1.0)
        tf.constant(2.0)
    definition = graph.as_graph_def()
    for node in definition.node:
        node.name += "_1"
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(definition, name="again")
    assert users_name(scope_name(name)) == name
