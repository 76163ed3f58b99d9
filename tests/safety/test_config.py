"""config: a file is validated before any of its code runs; a canary file proves that none did."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models.load import read
from job.safety.config import find_dangers, read_config, refuse_text

layers = tf_keras.layers
Config = dict[str, Any]


def small_model() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential(
        [layers.InputLayer((5, 4), name="given"), layers.Dense(3, name="dense")], name="small"
    )


def saved(model: tf_keras.Model, path: Path) -> Path:
    model.save(path, save_format="h5")
    return path


def with_config(path: Path, text: str | bytes) -> Path:
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    return path


def edited(path: Path, change: Callable[[Config], Any]) -> Path:
    """A saved small model with a changed configuration."""
    saved(small_model(), path)
    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    return with_config(path, json.dumps(change(config) or config))


def refused(path: Path) -> InputError:
    """The error of a file that is refused before Keras loads it."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in caught.value.where
    assert "Keras can't make" not in caught.value.what
    return caught.value


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that the code in the models below writes."""
    return tmp_path / "canary"


def evil_layer(canary: Path) -> tf_keras.layers.Layer:
    return layers.Lambda(
        eval(f"lambda x: (open({str(canary)!r}, 'w').write('ran'), x)[1]"),  # noqa: S307
        name="evil",
    )


def lambda_config(canary: Path) -> Config:
    """Keras's configuration of the evil layer."""
    made = tf_keras.Sequential([layers.InputLayer((5, 4)), evil_layer(canary)])
    canary.unlink(missing_ok=True)
    config: Config = json.loads(made.to_json())["config"]["layers"][-1]
    assert config["class_name"] == "Lambda"
    return config


def test_keras_itself_runs_a_lambda_while_loading(canary: Path, tmp_path: Path) -> None:
    """So the tests below would detect it."""
    evil = lambda_config(canary)
    path = edited(tmp_path / "m.h5", lambda config: config["config"]["layers"].append(evil))
    assert not canary.exists()
    tf_keras.models.load_model(path, compile=False)
    assert canary.exists()


def in_functional(evil: tf_keras.layers.Layer) -> tf_keras.Model:
    given = tf_keras.Input((5, 4))
    return tf_keras.Model(given, evil(given))


def sequential(*some: tf_keras.layers.Layer, shape: tuple[int, ...] = (5, 4)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer(shape), *some])


# Where a Lambda may be: a function that makes a model with it.
PLACES: dict[str, Callable[[tf_keras.layers.Layer], tf_keras.Model]] = {
    "sequential": sequential,
    "functional": in_functional,
    "nested models": lambda evil: in_functional(sequential(in_functional(evil))),
    "wrapper": lambda evil: sequential(layers.TimeDistributed(evil, name="each")),
    "wrapped model": lambda evil: sequential(layers.TimeDistributed(sequential(evil, shape=(4,)))),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_lambda_is_refused_wherever_it_is(place: str, canary: Path, tmp_path: Path) -> None:
    """In models, nested models and wrappers; the layer is named and nothing has run."""
    path = saved(PLACES[place](evil_layer(canary)), tmp_path / "m.h5")
    canary.unlink(missing_ok=True)
    error = refused(path)
    assert "Lambda" in error.what
    assert "evil" in error.where
    assert error.hint
    assert not canary.exists()


def without_name(layer: Config) -> Config:
    """A layer for which Keras makes up a name."""
    return {
        "class_name": layer["class_name"],
        "config": {key: value for key, value in layer["config"].items() if key != "name"},
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_lambda_without_a_name_is_refused(wrapped: bool, canary: Path, tmp_path: Path) -> None:
    """In a configuration that no Keras wrote."""
    evil = without_name(lambda_config(canary))
    if wrapped:
        evil = {"class_name": "TimeDistributed", "config": {"name": "each", "layer": evil}}
    path = edited(tmp_path / "m.h5", lambda config: config["config"]["layers"].append(evil))
    error = refused(path)
    assert not canary.exists()
    assert "Lambda" in error.what


def test_a_lambda_as_the_model_itself_is_refused(canary: Path, tmp_path: Path) -> None:
    """The outermost class is validated like any other."""
    path = edited(tmp_path / "m.h5", lambda _: without_name(lambda_config(canary)))
    assert "Lambda" in refused(path).what
    assert not canary.exists()


@pytest.mark.parametrize("key", ["activation", "kernel_initializer", "units", "dtype"])
@pytest.mark.parametrize("class_name", ["function", "canary_class", "Dense"])
def test_no_module_that_a_file_names_is_imported(
    key: str, class_name: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An activation or initializer from another module (CVE-2025-1550) imports nothing."""
    (tmp_path / "canary_module.py").write_text(
        f"open({str(canary)!r}, 'w').write('ran')\ncanary_class = run = lambda *_: None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    evil = {
        "module": "canary_module",
        "class_name": class_name,
        "config": "run" if class_name == "function" else {},
        "registered_name": "run",
    }
    path = edited(
        tmp_path / "m.h5",
        lambda config: config["config"]["layers"][1]["config"].update({key: evil}),
    )
    assert "canary_module" in refused(path).what
    assert not canary.exists()
    assert "canary_module" not in sys.modules


@pytest.mark.parametrize("class_name", ["Custom>Layer", "MyAttention", "Normalise", "os"])
def test_a_class_that_is_not_built_in_is_refused_by_name(class_name: str, tmp_path: Path) -> None:
    """The message names the class, and the layer."""
    named = {"class_name": class_name}
    path = edited(tmp_path / "m.h5", lambda config: config["config"]["layers"][1].update(named))
    error = refused(path)
    assert class_name in error.what
    assert "small/dense" in error.where


def test_only_functions_that_compute_are_allowed(tmp_path: Path) -> None:
    """``x * 2`` in a functional model is a call of math.multiply."""
    given = tf_keras.Input((4,))
    model = tf_keras.Model(given, given * 2.0)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(read(saved(model, tmp_path / "good.h5")).model(x).numpy(), x * 2)
    name = tf_keras.Input((), dtype="string")
    reads = tf_keras.Model(name, tf.io.decode_raw(name, "uint8", fixed_length=4))
    assert "io.decode_raw" in refused(saved(reads, tmp_path / "bad.h5")).what


def test_built_in_layers_wrappers_and_nested_models_are_allowed(tmp_path: Path) -> None:
    """With their initializers, regularizers and activations; the outputs are unchanged."""
    inner = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(3, activation="relu")])
    model = tf_keras.Sequential(
        [
            layers.InputLayer((5, 4)),
            layers.TimeDistributed(inner),
            layers.Bidirectional(layers.LSTM(3)),
            layers.BatchNormalization(),
            layers.Dense(2, kernel_regularizer="l2", kernel_constraint="non_neg"),
        ]
    )
    path = saved(model, tmp_path / "m.h5")
    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    assert read_config(json.dumps(config), str(path)) == config
    assert find_dangers(config, str(path)) == []
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    np.testing.assert_array_equal(read(path).model(x).numpy(), model(x).numpy())


def own_loss(wanted: Any, given: Any) -> Any:
    return tf_keras.backend.mean(wanted - given)


@pytest.mark.parametrize("kit", [tf_keras, keras])
def test_compile_settings_of_nested_models_are_removed(kit: Any, tmp_path: Path) -> None:
    """As for the outermost model: a custom loss is not needed to run it."""
    inner = kit.Sequential([kit.Input((4,)), kit.layers.Dense(3)], name="inner")
    inner.compile("adam", own_loss)
    outer = kit.Sequential([kit.Input((4,)), inner, kit.layers.Dense(2)])
    outer.compile("adam", "mse")
    path = tmp_path / "m.keras"
    outer.save(path)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(read(path).model(x), outer(x), atol=1e-6)


def test_compile_settings_in_an_hdf5_file_are_validated(tmp_path: Path) -> None:
    """Keras itself reads that file, and would deserialize them."""
    model = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(2)])
    path = saved(model, tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        evil = {"class_name": "function", "config": "system", "module": "os"}
        config["config"]["layers"][1]["compile_config"] = {"loss": evil}
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="module 'os'"):
        read(path)


NODES: dict[str, tuple[dict[str, Any], str]] = {
    "Keras 2": ({"class_name": "MyPkg>Scale"}, "custom class 'MyPkg>Scale'"),
    "Keras 3": (
        {"class_name": "Scale", "module": "my.layers", "registered_name": "MyPkg>Scale"},
        "custom class 'MyPkg>Scale' of the module 'my.layers'",
    ),
    "not registered": ({"class_name": "Scale", "registered_name": "Scale"}, "class 'Scale'"),
}


TEXT: dict[str, tuple[str, dict[str, str | bool]]] = {
    "TextVectorization": ("TextVectorization", {}),
    "StringLookup": ("StringLookup", {"invert": True, "dtype": "int64"}),
    "an input": ("InputLayer", {"dtype": "string"}),
    "Hashing": ("Hashing", {"dtype": "string"}),
}


def model(layer: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one layer in a nested model."""
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer]}}
    return {"class_name": "Functional", "config": {"name": "outer", "layers": [inner]}}


@pytest.mark.parametrize("case", NODES)
def test_a_custom_class_is_named(case: str) -> None:
    """With its layer, and that trust does not help."""
    node, said = NODES[case]
    (danger,) = find_dangers(model(node | {"config": {"name": "x"}}), "m.keras")
    assert said in danger.what
    assert danger.layer == "outer/inner/x"
    assert not danger.is_code
    assert '"trust"' in danger.to_do


@pytest.mark.parametrize("case", TEXT)
def test_a_model_of_text_is_refused(case: str) -> None:
    """Wherever its layer is."""
    kind, config = TEXT[case]
    with pytest.raises(InputError, match="takes or gives text") as caught:
        refuse_text(model({"class_name": kind, "config": {**config, "name": "t"}}), "m.keras")
    assert caught.value.where == "m.keras, layer t"
    numbers = {"class_name": "Hashing", "config": {"name": "t", "dtype": "int64"}}
    refuse_text(model(numbers), "m.keras")


def test_a_class_name_that_is_not_text_is_reported_as_damage() -> None:
    """A fuzzer made such files."""
    with pytest.raises(InputError, match="a class is named"):
        find_dangers(model({"class_name": {"a": 1}, "config": {"name": "t"}}), "m.keras")
