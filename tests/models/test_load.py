"""load: a model is the same, bit by bit, after it is saved and read; anything else is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tf_keras

from job.errors import InputError, StageError
from job.models import formats, load
from job.models.load import ModelFile
from job.safety.judge import judge

layers = tf_keras.layers


def functional() -> tf_keras.Model:
    """Two inputs, a nested model, a shared layer, normalization and a wrapper."""
    tf_keras.utils.set_random_seed(1)
    left, right = tf_keras.Input((6, 4), name="left"), tf_keras.Input((6, 4), name="right")
    shared = layers.TimeDistributed(layers.Dense(5, name="inner"), name="each")
    nested = tf_keras.Sequential(
        [layers.InputLayer((6, 5)), layers.Conv1D(3, 2), layers.BatchNormalization()], name="nested"
    )
    merged = layers.Add()([nested(shared(left)), nested(shared(right))])
    return tf_keras.Model([left, right], layers.Dense(2, name="out")(layers.Flatten()(merged)))


def deferred() -> tf_keras.Model:
    """A model that got its shape from ``build``."""
    model = tf_keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    model.build((None, 4))
    return model


def of_its_first_layer() -> tf_keras.Model:
    """A model whose first layer has the input shape; there is no InputLayer."""
    inner = tf_keras.Sequential([layers.Conv1D(3, 2, batch_input_shape=(None, 6, 4))])
    return tf_keras.Sequential([inner, layers.Bidirectional(layers.GRU(3)), layers.Dense(2)])


def of_its_data() -> tf_keras.Model:
    """A model that got its shape from its first call."""
    model = tf_keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    model(np.zeros((1, 4), "float32"))
    return model


def random_inputs(model: tf_keras.Model) -> list[Any]:
    random = np.random.default_rng(0)
    shapes = [(3, *tensor.shape[1:]) for tensor in model.inputs]
    return [random.normal(size=shape).astype("float32") for shape in shapes]


def scramble(model: tf_keras.Model) -> None:
    """Give every weight distinct values, and some that are easily lost."""
    random = np.random.default_rng(2)
    for weight in model.weights:
        values = random.uniform(0.1, 2, weight.shape).astype("float32")
        values.ravel()[:2] = [-0.0, 1e-42][: values.size]
        weight.assign(values)


def save(model: tf_keras.Model, path: Path) -> tf_keras.Model:
    """Save a model as one from a Keras 2 file, and return the model that is read back."""
    return load.save(model, ModelFile("h5", "2.21.0", model, model), path).model


@pytest.mark.parametrize("make", [functional, deferred, of_its_first_layer, of_its_data])
def test_a_saved_model_is_the_same_when_it_is_read(make: Any, tmp_path: Path) -> None:
    """Weights bit by bit, layers, input names, and outputs."""
    model = make()
    scramble(model)
    reloaded = save(model, tmp_path / "m.h5")
    assert reloaded is not model
    assert reloaded.input_names == model.input_names
    assert [type(it) for it in reloaded.layers] == [type(it) for it in model.layers]
    assert len(reloaded.weights) == len(model.weights)
    for before, after in zip(model.weights, reloaded.weights, strict=True):
        assert before.numpy().tobytes() == after.numpy().tobytes()
    x = random_inputs(model)
    given = x if len(x) > 1 else x[0]
    np.testing.assert_array_equal(reloaded(given).numpy(), model(given).numpy())


def test_the_optimizer_is_not_saved(tmp_path: Path) -> None:
    """Its state would make the file three times larger; its size in a file is known."""
    model = functional()
    model.compile("adam", "mean_squared_error")
    x = random_inputs(model)
    model.fit(x, np.zeros((3, 2)), verbose=0)
    full, lean = tmp_path / "full.h5", tmp_path / "lean.h5"
    model.save(full, save_format="h5")
    reloaded = save(model, lean)
    trained = sum(weight.numpy().nbytes for weight in model.trainable_weights)
    assert load.optimizer_bytes(judge(full)) == 2 * trained + 8  # Adam's two moments, and its step
    assert load.optimizer_bytes(judge(lean)) == 0
    assert lean.stat().st_size < full.stat().st_size - 2 * trained
    with h5py.File(lean) as file:
        assert "training_config" not in file.attrs
    assert not hasattr(reloaded, "optimizer") or reloaded.optimizer is None
    assert len(load.read(full).model.weights) == len(model.weights)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Twice in one process; HDF5 writes no times here."""
    model = functional()
    save(model, tmp_path / "a.h5")
    save(model, tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_model_without_an_input_shape_is_refused(tmp_path: Path) -> None:
    """The hint says how to build it."""
    model = tf_keras.Sequential([layers.Flatten()])  # without weights, which would need a shape
    model.build((None, 4))
    path = tmp_path / "m.h5"
    model.save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"].pop("build_input_shape", None)
        config["config"]["layers"] = config["config"]["layers"][-1:]
        config["config"]["layers"][0]["config"].pop("batch_input_shape", None)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="shape") as caught:
        load.read(path)
    assert "model.build" in caught.value.hint


def test_a_configuration_that_does_not_fit_its_weights_is_refused(tmp_path: Path) -> None:
    """Keras's own message is quoted in one line, and the file is named."""
    path = tmp_path / "m.h5"
    deferred().save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"]
        file.attrs["model_config"] = config.replace('"units": 3', '"units": 8')
    with pytest.raises(InputError, match="weights do not fit the model's configuration") as caught:
        load.read(path)
    assert caught.value.where == str(path)
    assert "\n" not in caught.value.what


class Scale(tf_keras.layers.Layer):  # type: ignore[misc]
    """A custom layer: it can be saved, but not loaded without its class."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2.0


def test_a_saved_model_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    """Of the stage, not of the input; the class is named."""
    model = tf_keras.Sequential([layers.InputLayer((3,)), Scale()])
    with pytest.raises(StageError, match=r"does not load again.*Scale"):
        save(model, tmp_path / "m.h5")


def test_different_weights_after_saving_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process replaces the file, this is detected."""
    model, other, path = deferred(), deferred(), tmp_path / "m.h5"
    original = formats.load_h5

    def replaced(read: Path) -> tf_keras.Model:
        other.save(read, include_optimizer=False, save_format="h5")
        return original(read)

    monkeypatch.setattr(formats, "load_h5", replaced)
    with pytest.raises(StageError, match="other weights"):
        save(model, path)


def test_different_outputs_after_saving_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights in a model that computes something else."""
    model = deferred()
    original = formats.load_h5

    def bent(read: Path) -> tf_keras.Model:
        loaded = original(read)
        config = json.loads(loaded.to_json())
        config["config"]["layers"][-1]["config"]["activation"] = "exponential"
        other = tf_keras.models.model_from_json(json.dumps(config))
        other.set_weights(loaded.get_weights())
        return other

    monkeypatch.setattr(formats, "load_h5", bent)
    with pytest.raises(StageError, match="outputs differ"):
        save(model, tmp_path / "m.h5")


def test_a_file_of_keras_2_0_is_read(tmp_path: Path) -> None:
    """Its Sequential is a list of layers without an InputLayer, its texts are bytes."""
    path = tmp_path / "m.h5"
    model = tf_keras.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dense(2)])
    model.save(path, save_format="h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"] = config["config"]["layers"][1:]
        config["config"][0]["config"]["batch_input_shape"] = [None, 4]
        for layer in config["config"]:
            for name in ("module", "registered_name", "build_config"):
                layer.pop(name, None)
            initializer = {"class_name": "VarianceScaling", "config": {"mode": "fan_avg"}}
            layer["config"] |= {"kernel_initializer": initializer, "activity_regularizer": None}
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.0.8"
        file.attrs["backend"] = b"tensorflow"
    found = load.read(path)
    assert found.keras_version == "2.0.8"
    rows = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    np.testing.assert_array_equal(found.model(rows).numpy(), model(rows).numpy())


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_model_that_keras_can_not_write_back_is_refused_when_it_is_loaded(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any training, with what Keras says."""

    def fails(*_: Any, **__: Any) -> None:
        raise ValueError("Unable to create dataset (name already exists)")

    path = tmp_path / f"m.{suffix}"
    deferred().save(path)
    monkeypatch.setattr(tf_keras.Model, "save", fails)
    with pytest.raises(InputError, match=r"can't write it back.*name already exists") as caught:
        load.load(judge(path))
    assert caught.value.where == str(path)
