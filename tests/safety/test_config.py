"""config: a file is judged before anything of it runs; a canary proves that nothing did."""

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
from job.safety.config import find_dangers, read_config

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
    """A saved small model whose configuration somebody has changed."""
    saved(small_model(), path)
    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    return with_config(path, json.dumps(change(config) or config))


def refused(path: Path) -> InputError:
    """The file is refused in words for the user, before Keras sees it."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in caught.value.where
    assert "Keras can't make" not in caught.value.what
    return caught.value


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that the code in the models below would write."""
    return tmp_path / "canary"


def evil_layer(canary: Path) -> tf_keras.layers.Layer:
    return layers.Lambda(
        eval(f"lambda x: (open({str(canary)!r}, 'w').write('sung'), x)[1]"),  # noqa: S307
        name="evil",
    )


def lambda_config(canary: Path) -> Config:
    """What Keras writes for the evil layer."""
    made = tf_keras.Sequential([layers.InputLayer((5, 4)), evil_layer(canary)])
    canary.unlink(missing_ok=True)
    config: Config = json.loads(made.to_json())["config"]["layers"][-1]
    assert config["class_name"] == "Lambda"
    return config


def test_the_canary_sings_where_nobody_looks(canary: Path, tmp_path: Path) -> None:
    """Keras itself runs a Lambda while loading: the tests below would see it."""
    path = edited(
        tmp_path / "m.h5", lambda it: it["config"]["layers"].append(lambda_config(canary))
    )
    assert not canary.exists()
    tf_keras.models.load_model(path, compile=False)
    assert canary.exists()


def in_sequential(canary: Path) -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer((5, 4)), evil_layer(canary)])


def in_functional(canary: Path) -> tf_keras.Model:
    given = tf_keras.Input((5, 4))
    return tf_keras.Model(given, evil_layer(canary)(given))


def in_nested_models(canary: Path) -> tf_keras.Model:
    inner = tf_keras.Sequential([layers.InputLayer((5, 4)), in_functional(canary)], name="inner")
    given = tf_keras.Input((5, 4))
    return tf_keras.Model(given, inner(given))


def in_a_wrapper(canary: Path) -> tf_keras.Model:
    return tf_keras.Sequential(
        [layers.InputLayer((5, 4)), layers.TimeDistributed(evil_layer(canary), name="each")]
    )


def in_a_wrapped_model(canary: Path) -> tf_keras.Model:
    inner = tf_keras.Sequential([layers.InputLayer((4,)), evil_layer(canary)])
    return tf_keras.Sequential([layers.InputLayer((5, 4)), layers.TimeDistributed(inner)])


@pytest.mark.parametrize(
    "place", [in_sequential, in_functional, in_nested_models, in_a_wrapper, in_a_wrapped_model]
)
def test_a_lambda_is_refused_wherever_it_is(
    place: Callable[[Path], tf_keras.Model], canary: Path, tmp_path: Path
) -> None:
    """In models, in models in models and in wrappers; the layer is named and nothing has run."""
    path = saved(place(canary), tmp_path / "m.h5")
    canary.unlink(missing_ok=True)
    error = refused(path)
    assert "Lambda" in error.what
    assert "evil" in error.where
    assert error.hint
    assert not canary.exists()


def without_name(layer: Config) -> Config:
    """Keras makes up a name where there is none."""
    return {
        "class_name": layer["class_name"],
        "config": {key: value for key, value in layer["config"].items() if key != "name"},
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_lambda_without_a_name_is_refused(wrapped: bool, canary: Path, tmp_path: Path) -> None:
    """A configuration that nobody's Keras wrote: the layer has no name to be found by."""
    evil = without_name(lambda_config(canary))
    if wrapped:
        evil = {"class_name": "TimeDistributed", "config": {"name": "each", "layer": evil}}
    path = edited(tmp_path / "m.h5", lambda it: it["config"]["layers"].append(evil))
    error = refused(path)
    assert not canary.exists()
    assert "Lambda" in error.what


def test_a_lambda_as_the_model_itself_is_refused(canary: Path, tmp_path: Path) -> None:
    """The topmost class is judged as every other."""
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
        f"open({str(canary)!r}, 'w').write('sung')\ncanary_class = sing = lambda *_: None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    evil = {
        "module": "canary_module",
        "class_name": class_name,
        "config": "sing" if class_name == "function" else {},
        "registered_name": "sing",
    }
    path = edited(
        tmp_path / "m.h5", lambda it: it["config"]["layers"][1]["config"].update({key: evil})
    )
    assert "canary_module" in refused(path).what
    assert not canary.exists()
    assert "canary_module" not in sys.modules


@pytest.mark.parametrize("class_name", ["Custom>Layer", "MyAttention", "Normalise", "os"])
def test_a_class_that_is_not_built_in_is_refused_by_name(class_name: str, tmp_path: Path) -> None:
    """The message names the class, and the layer."""
    path = edited(
        tmp_path / "m.h5", lambda it: it["config"]["layers"][1].update({"class_name": class_name})
    )
    error = refused(path)
    assert class_name in error.what
    assert "small/dense" in error.where


def test_functions_that_only_compute_pass_and_others_do_not(tmp_path: Path) -> None:
    """``x * 2`` in a functional model is a call of math.multiply; io.read_file is another thing."""
    given = tf_keras.Input((4,))
    model = tf_keras.Model(given, given * 2.0)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(read(saved(model, tmp_path / "good.h5")).model(x).numpy(), x * 2)
    name = tf_keras.Input((), dtype="string")
    reads = tf_keras.Model(name, tf.io.decode_raw(name, "uint8", fixed_length=4))
    assert "io.decode_raw" in refused(saved(reads, tmp_path / "bad.h5")).what


def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    """Neither text, nor nothing, nor a folder, nor a file that is not there."""
    path = tmp_path / "m.h5"
    for content in (b"", b"not a model\n" * 500):
        path.write_bytes(content)
        assert "HDF5" in refused(path).what
    path.write_bytes(b"PK\x03\x04" + bytes(5000))
    assert "truncated" in refused(path).what
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(5000))
    assert "converted already" in refused(path).what
    assert refused(tmp_path / "absent.h5").exit_code == 3
    assert refused(tmp_path).exit_code == 3


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_said_to_be_truncated(fraction: float, tmp_path: Path) -> None:
    """Wherever it ends."""
    path = saved(small_model(), tmp_path / "m.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    error = refused(path)
    assert "truncated" in error.what
    assert "sha256" in error.hint


def test_weights_without_a_model_are_refused(tmp_path: Path) -> None:
    """save_weights writes no architecture; the hint says what to call instead."""
    path = tmp_path / "m.h5"
    small_model().save_weights(path)
    error = refused(path)
    assert "weights only" in error.what
    assert "model.save(" in error.hint


@pytest.mark.parametrize("version", ["4.0.0", "1.2.2", None])
def test_a_file_of_another_keras_is_refused(version: str | None, tmp_path: Path) -> None:
    """By the version that the file itself gives; a file without one is from before Keras 2."""
    path = saved(small_model(), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        assert file.attrs["keras_version"].startswith("2.")
        del file.attrs["keras_version"]
        if version is not None:
            file.attrs["keras_version"] = version
    error = refused(path)
    assert f"Keras {version or 1}" in error.what


@pytest.mark.parametrize(
    "text",
    [
        '{"class_name": "Seq',
        "",
        b"\xff\xfe\xfa",
        "NaN" * 3,
        '["class_name"]',
        '"Sequential"',
        "17",
        "null",
        "{}",
        "[" * 100_000,
    ],
    ids=lambda it: repr(it)[:20],
)
def test_a_configuration_that_is_none_is_refused(text: str | bytes, tmp_path: Path) -> None:
    """Cut off, not text, not JSON, JSON that is no model, and JSON too deep to be one."""
    refused(with_config(saved(small_model(), tmp_path / "m.h5"), text))


def test_built_in_layers_wrappers_and_nested_models_pass(tmp_path: Path) -> None:
    """With their initializers, regularizers and activations; the model answers as before."""
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
def test_how_nested_models_were_compiled_is_set_aside(kit: Any, tmp_path: Path) -> None:
    """As of the outermost model: a loss of somebody's own is not needed to run it."""
    inner = kit.Sequential([kit.Input((4,)), kit.layers.Dense(3)], name="inner")
    inner.compile("adam", own_loss)
    outer = kit.Sequential([kit.Input((4,)), inner, kit.layers.Dense(2)])
    outer.compile("adam", "mse")
    path = tmp_path / "m.keras"
    outer.save(path)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(read(path).model(x), outer(x), atol=1e-6)


def test_compile_settings_in_an_hdf5_file_are_judged(tmp_path: Path) -> None:
    """Keras reads that file itself, and would deserialize them."""
    model = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(2)])
    path = saved(model, tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        evil = {"class_name": "function", "config": "system", "module": "os"}
        config["config"]["layers"][1]["compile_config"] = {"loss": evil}
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="module 'os'"):
        read(path)
