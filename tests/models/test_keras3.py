"""keras3: Keras 3 models are rebuilt exactly, pruned, and written as Keras 3 files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.models.compare import TOLERANCE, difference
from job.models.load import load, read, save
from job.safety.judge import judge
from tests.support.rare import few

layers = keras.layers


def cnn() -> keras.Model:
    given = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, activation="relu")(given)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.SeparableConv2D(5, 3)(x)
    return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def recurrent() -> keras.Model:
    given = keras.Input((7,))
    x = layers.Embedding(30, 8, mask_zero=True)(given)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    return keras.Model(given, layers.Dense(1)(layers.GRU(5)(x)))


def cells() -> keras.Model:
    """Masked steps, cells, and two directions that differ."""
    given = keras.Input((5, 4))
    x = layers.RNN(layers.LSTMCell(6), return_sequences=True)(layers.Masking()(given))
    back = layers.GRU(5, go_backwards=True)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=False), backward_layer=back)(x)
    x = layers.RepeatVector(3)(x)
    return keras.Model(given, layers.RNN([layers.GRUCell(4), layers.SimpleRNNCell(3)])(x))


def transformer() -> keras.Model:
    given = keras.Input((10, 16))
    attended = layers.MultiHeadAttention(2, 8)(given, given)
    x = layers.LayerNormalization()(layers.Add()([given, attended]))
    return keras.Model(given, layers.TimeDistributed(layers.Dense(4))(x))


def siamese() -> keras.Model:
    branch = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(4)], name="branch")
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    return keras.Model(
        [left, right], layers.Dense(1)(layers.Subtract()([branch(left), branch(right)]))
    )


def nested() -> keras.Model:
    backbone = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, include_top=False
    )
    given = keras.Input((32, 32, 3))
    x = backbone(layers.Rescaling(1 / 255)(given), training=False)
    return keras.Model(given, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def by_name() -> keras.Model:
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((5,), name="b")}
    return keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(list(inputs.values()))))


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3)]
    )


def deferred() -> keras.Model:
    """No InputLayer: the shape is known from ``build``, of a nested model too."""
    inner = keras.Sequential([layers.Dense(5)])
    model = keras.Sequential([layers.Dense(8, activation="relu"), inner, layers.Dense(3)])
    model.build((None, 6))
    return model


def of_its_first_layer() -> keras.Model:
    return keras.Sequential([layers.Dense(8, input_shape=(6,)), layers.Dense(3)])


def of_its_data() -> keras.Model:
    model = keras.Sequential([layers.Dense(8), layers.Dense(3)])
    model(np.zeros((1, 6), "float32"))
    return model


MODELS = [sequential, cnn, recurrent, transformer, siamese, nested, by_name]
MODELS += [cells, deferred, of_its_first_layer, of_its_data]


@pytest.mark.parametrize("make", MODELS)
def test_a_keras_3_file_becomes_the_same_model_in_keras_2(
    make: Callable[[], keras.Model], tmp_path: Path
) -> None:
    """Layers by name, weights, and outputs within 1e-5."""
    keras.utils.set_random_seed(3)
    model = make()
    model.save(tmp_path / "m.keras")
    found = read(tmp_path / "m.keras")
    assert found.is_keras3
    assert isinstance(found.model, tf_keras.Model)
    assert found.model.count_params() == model.count_params()
    assert difference(model, found.model) <= TOLERANCE


@pytest.mark.parametrize("make", few(MODELS, 2))
def test_a_pruned_model_is_written_as_a_keras_3_file(
    make: Callable[[], keras.Model], tmp_path: Path
) -> None:
    """Keras 3 reads the pruned weights; the file is reproducible."""
    keras.utils.set_random_seed(3)
    make().save(tmp_path / "m.keras")
    found = read(tmp_path / "m.keras")
    found.model.set_weights([np.where(np.abs(it) < 0.1, 0, it) for it in found.model.get_weights()])
    saved = save(found.model, found, tmp_path / "pruned.keras")
    again = keras.models.load_model(tmp_path / "pruned.keras")
    assert difference(again, found.model) <= TOLERANCE
    assert saved.is_keras3
    first = (tmp_path / "pruned.keras").read_bytes()
    save(found.model, found, tmp_path / "pruned.keras")
    assert (tmp_path / "pruned.keras").read_bytes() == first


def test_dropout_and_augmentation_are_only_on_in_training(tmp_path: Path) -> None:
    """Whatever Keras 3 stores with their calls; a backbone called with training=False is not."""
    norm = layers.BatchNormalization(momentum=0.0)
    backbone = keras.Sequential([keras.Input((8, 8, 3)), norm], name="backbone")
    given = keras.Input((8, 8, 3))
    for name, answer, changes in (
        ("dropout", layers.Dropout(0.5)(given), True),
        ("flip", layers.RandomFlip(seed=1)(given), True),
        ("backbone", backbone(given, training=False), False),
    ):
        path = tmp_path / f"{name}.keras"
        keras.Model(given, answer).save(path)
        model = read(path).model
        x = np.random.default_rng(0).random((9, 8, 8, 3)).astype("float32")
        answers = [model(x, training=training).numpy() for training in (False, False, True)]
        np.testing.assert_array_equal(answers[0], answers[1])
        assert (np.abs(answers[2] - answers[0]).max() > 0.1) == changes, name


def test_a_lambda_in_a_keras_3_file_does_not_run(tmp_path: Path) -> None:
    """It is refused by its configuration; a canary file proves that nothing ran."""
    canary = tmp_path / "canary"
    path = tmp_path / "m.keras"
    run: Any = f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]"
    evil = layers.Lambda(eval(run), name="evil")  # noqa: S307 - the attack itself
    keras.Sequential([keras.Input((4,)), evil]).save(path)
    canary.unlink(missing_ok=True)
    with pytest.raises(InputError, match="Lambda"):
        read(path)
    assert not canary.exists()


def test_a_module_that_is_not_keras_is_not_imported(tmp_path: Path) -> None:
    """The pattern of CVE-2025-1550, in a Keras 3 file."""
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save(path)
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    config = json.loads(contents["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, json.dumps(config) if name == "config.json" else content)
    with pytest.raises(InputError, match="'os'"):
        read(path)


def test_a_keras_2_archive_is_read_and_written(tmp_path: Path) -> None:
    """The .keras format of Keras 2.12 to 2.15, and of tf_keras."""
    model = tf_keras.Sequential(
        [tf_keras.layers.InputLayer((4,)), tf_keras.layers.Dense(3, name="dense")]
    )
    model.save(tmp_path / "m.keras")
    found = read(tmp_path / "m.keras")
    assert (found.format, found.is_keras3) == ("keras", False)
    saved = save(found.model, found, tmp_path / "pruned.keras")
    for before, after in zip(model.get_weights(), saved.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_lists_among_the_settings_in_an_h5_file_are_written_back(tmp_path: Path) -> None:
    """Keras 3 makes lists of its own of them, which it can't copy; also inside other layers."""
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomContrast(0.2)], name="inner")
    given = keras.Input((8, 8, 3))
    x = layers.RandomErasing()(layers.RandomHue(0.1)(inner(given)))
    x = layers.RandAugment()(layers.RandomColorJitter()(x))
    keras.Model(given, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "m.h5")
    found = load(judge(tmp_path / "m.h5"))
    saved = save(found.model, found, tmp_path / "pruned.h5")
    ranges = [it.value_range for it in saved.original.layers if hasattr(it, "value_range")]
    assert [list(it) for it in ranges] == [[0, 255]] * 4
    again = keras.models.load_model(tmp_path / "pruned.h5", compile=False)
    assert difference(again, found.model) <= TOLERANCE


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Softmax(axis=(1, 2)),
        lambda: layers.UnitNormalization(axis=(1, 2)),
        lambda: layers.LayerNormalization(axis=(1, 2), center=False, scale=False),
    ],
)
def test_axes_that_keras_drops_from_an_h5_file_are_named(
    layer: Callable[[], Any], tmp_path: Path
) -> None:
    """Keras computes over another axis, without a word; .keras files hold them."""
    model = keras.Sequential([keras.Input((5, 4)), layer(), layers.Dense(2)])
    model.save(tmp_path / "m.h5")
    with pytest.raises(InputError, match=r"drops the axes \[1, 2\]") as caught:
        read(tmp_path / "m.h5")
    assert model.layers[0].name in caught.value.what
    assert ".keras" in caught.value.hint
    model.save(tmp_path / "m.keras")
    assert difference(model, read(tmp_path / "m.keras").model) <= TOLERANCE


def test_a_grouped_query_attention_is_read_from_an_h5_file(tmp_path: Path) -> None:
    """There it has the name of its class, which is not the one that Keras exports."""
    given = keras.Input((5, 8))
    model = keras.Model(given, layers.GroupQueryAttention(4, 2, 1)(given, given))
    model.save(tmp_path / "m.h5")
    assert difference(model, read(tmp_path / "m.h5").model) <= TOLERANCE
