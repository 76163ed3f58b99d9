"""saved_model: Keras SavedModels, rebuilt from their configuration; the graph is never run."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models import formats, load
from job.models.compare import TOLERANCE, difference
from job.models.load import read, save
from job.safety.judge import judge
from tests.support.rare import few

layers = tf_keras.layers


def nested() -> tf_keras.Model:
    """A shared branch with BatchNormalization, an operator, recurrent layers."""
    branch = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 1)), layers.Conv2D(3, 3), layers.BatchNormalization()],
        name="branch",
    )
    left, right = tf_keras.Input((8, 8, 1), name="left"), tf_keras.Input((8, 8, 1), name="right")
    x = layers.Subtract()([branch(left), branch(right)]) * 2.0
    x = layers.Bidirectional(layers.LSTM(3))(layers.Reshape((6, 18))(x))
    return tf_keras.Model([left, right], layers.Dense(2)(x))


def sequential() -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(3), layers.Dense(2)])


def dicts() -> tf_keras.Model:
    a, b = tf_keras.Input((4,), name="a"), tf_keras.Input((3,), name="b")
    x = layers.Concatenate()([a, b])
    return tf_keras.Model({"a": a, "b": b}, {"z": layers.Dense(1)(x), "y": layers.Dense(2)(x)})


def scrambled(model: tf_keras.Model) -> tf_keras.Model:
    """A model with distinct values in every weight."""
    random = np.random.default_rng(3)
    model.set_weights([random.uniform(0.1, 1, it.shape) for it in model.get_weights()])
    return model


@pytest.mark.parametrize("make", [nested, sequential, dicts])
@pytest.mark.parametrize("traces", few([True, False]))
def test_a_saved_model_has_the_same_outputs(
    make: Callable[[], tf_keras.Model], traces: bool, tmp_path: Path
) -> None:
    """Written by Keras 2, with the traces of its layers and without."""
    model = scrambled(make())
    model.save(tmp_path / "m", save_format="tf", save_traces=traces)
    found = read(tmp_path / "m")
    assert (found.format, found.is_keras3) == ("saved_model", False)
    assert difference(model, found.model) <= TOLERANCE


@pytest.mark.parametrize("make", few([dicts, sequential, nested], 2))
def test_tensorflow_serves_the_saved_model_that_is_written(
    make: Callable[[], tf_keras.Model], tmp_path: Path
) -> None:
    """A tar without times; its signature and Keras itself give the model's outputs."""
    model = scrambled(make())
    model.save(tmp_path / "m", save_format="tf")
    found = read(tmp_path / "m")
    save(found.model, found, tmp_path / "again.savedmodel.tar")
    with tarfile.open(tmp_path / "again.savedmodel.tar") as archive:
        assert all(it.mtime == 0 and it.uid == 0 for it in archive)
        archive.extractall(tmp_path / "out", filter="data")
    assert difference(model, tf_keras.models.load_model(tmp_path / "out")) <= TOLERANCE
    serve = tf.saved_model.load(tmp_path / "out").signatures["serving_default"]
    rows = {
        name: np.random.default_rng(0).random((3, *tensor.shape[1:]), dtype=np.float32)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    served = serve(**{name: tf.constant(it) for name, it in rows.items()})
    given = tf.nest.pack_sequence_as(model.input, list(rows.values()))
    answer = model(given, training=False)
    expected = answer if isinstance(answer, dict) else {model.output_names[0]: answer}
    assert set(served) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(served[name], values, atol=1e-5)


def _zip(folder: Path, to: Path) -> None:
    with zipfile.ZipFile(to, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, f"models/mine/{path.relative_to(folder)}")


def _tar(folder: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz") as archive:
        archive.add(folder, "./")


@pytest.mark.parametrize(("pack", "name"), [(_zip, "m.zip"), (_tar, "m.tar.gz")])
def test_a_saved_model_may_be_in_an_archive(
    pack: Callable[[Path, Path], None], name: str, tmp_path: Path
) -> None:
    """In a zip with the model in a folder, and in a compressed tar."""
    model = scrambled(sequential())
    model.save(tmp_path / "m", save_format="tf")
    pack(tmp_path / "m", tmp_path / name)
    assert difference(model, read(tmp_path / name).model) <= TOLERANCE


def test_an_optimizers_state_is_counted(tmp_path: Path) -> None:
    """Adam's two moments for each weight, its step and its rate; written files have none."""
    model = sequential()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "m", save_format="tf")
    weights = sum(it.numpy().nbytes for it in model.weights)
    assert load.optimizer_bytes(judge(tmp_path / "m")) == 2 * weights + 8 + 4
    found = read(tmp_path / "m")
    save(found.model, found, tmp_path / "again.savedmodel.tar")
    assert load.optimizer_bytes(judge(tmp_path / "again.savedmodel.tar")) == 0


class Subclassed(tf_keras.Model):  # type: ignore[misc]
    """A model of Python code, which is not in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(x)


def test_a_subclassed_model_is_refused(tmp_path: Path) -> None:
    """The hint says what to do."""
    model = Subclassed()
    model(np.ones((1, 3), "float32"))
    model.save(tmp_path / "m", save_format="tf")
    with pytest.raises(InputError, match=r"subclassed.*Subclassed") as caught:
        read(tmp_path / "m")
    assert "functional API" in caught.value.hint


def test_an_exported_graph_is_refused(tmp_path: Path) -> None:
    """keras.Model.export and tf.saved_model.save write no Keras model."""
    model = sequential()
    model.export(tmp_path / "m")
    with pytest.raises(InputError, match="exported"):
        read(tmp_path / "m")


def test_missing_variables_are_refused(tmp_path: Path) -> None:
    """No variables, and those of another model."""
    sequential().save(tmp_path / "m", save_format="tf")
    other = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(3)])
    other.save(tmp_path / "other", save_format="tf")
    shutil.rmtree(tmp_path / "m" / "variables")
    with pytest.raises(InputError):
        read(tmp_path / "m")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "m" / "variables")
    with pytest.raises(InputError, match="Variables of the model are not in"):
        read(tmp_path / "m")


def test_the_bytes_do_not_depend_on_what_the_process_did_before(tmp_path: Path) -> None:
    """Also of recurrent layers, which have random names in their graphs; and TensorFlow runs the
    renamed graph.
    """
    tf_keras.utils.set_random_seed(5)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((6, 3), name="given"),
            layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both"),
            layers.LSTM(3, recurrent_dropout=0.2, name="lstm"),
            layers.Dense(2, name="out"),
        ],
        name="model",
    )
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    formats.save_saved_model(model, first)
    for _ in range(1000):
        tf.constant(1)
    formats.save_saved_model(model, second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as packed:
        packed.extractall(tmp_path / "model", filter="data")
    served = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    x = np.random.default_rng(0).normal(size=(3, 6, 3)).astype("float32")
    (answer,) = served(given=tf.constant(x)).values()
    np.testing.assert_array_equal(answer.numpy(), model(x).numpy())
