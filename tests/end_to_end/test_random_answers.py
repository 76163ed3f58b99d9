"""A whole run on a model with all at once: random answers, a fixed batch size, a penalty on
activities, a constraint. What is published is judged by NumPy and a plain interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tests.support.published import Published, publish_all

layers = tf_keras.layers
DRAWS = 20
ROWS = 200


def save_model(folder: Path) -> dict[str, NDArray[Any]]:
    """``random.h5``, and ``data.npz`` beside it."""
    tf_keras.utils.set_random_seed(6)
    given = tf_keras.Input((16,), batch_size=8)
    x = layers.Dense(64, activation="relu", activity_regularizer="l2", name="hidden")(given)
    x = layers.Dropout(0.5, name="drop")(x, training=True)
    rule = tf_keras.constraints.NonNeg()
    out = layers.Dense(1, kernel_constraint=rule, kernel_initializer="random_uniform", name="out")
    tf_keras.Model(given, out(x)).save(folder / "random.h5")
    random = np.random.default_rng(9)
    x = random.normal(size=(ROWS, 16)).astype("float32")
    y = np.abs(x[:, 0]) + 0.1 * random.normal(size=ROWS)
    arrays = {"x_train": x, "y_train": y[:, None].astype("float32")}
    arrays |= {"x_test": x, "y_test": arrays["y_train"]}
    np.savez(folder / "data.npz", **arrays)
    return arrays


@pytest.fixture(scope="module")
def data() -> dict[str, NDArray[Any]]:
    return {}


@pytest.fixture(scope="module")
def published(
    data: dict[str, NDArray[Any]], tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    folder = tmp_path_factory.mktemp("random")
    data.update(save_model(folder))
    job = {
        "model": {"uri": str(folder / "random.h5"), "draws": DRAWS},
        "dataset": {"uri": str(folder / "data.npz")},
        "training": {"epochs": 6, "batch_size": 32},
        "quantize": [{"type": "dynamic_range"}, {"type": "int8"}],
        "compress": {"codecs": ["zip"]},
    }
    return publish_all({"random": job}, tiny, folder)["random"]


def test_the_result_says_what_was_found(published: Published) -> None:
    assert published.run.code == 0, published.run.err
    assert any("answers at random (at drop" in it for it in published.result["warnings"])
    decided = " ".join(text for stage in published.result["stages"] for text in stage["decisions"])
    assert "the file's fixed batch size, 8, was taken out" in decided
    assert "penalties of hidden (activity)" in decided
    for name in ("dynamic_range", "int8"):
        assert f"{name}: out/kernel:0 NonNeg holds, with weights that are rounded" in decided
    assert "constraints hold in prune.h5, after the masks: out/kernel:0 NonNeg" in decided


def test_the_files_have_a_free_batch_and_keep_the_constraint(published: Published) -> None:
    model = tf_keras.models.load_model(published.folder / "prune.h5", compile=False)
    assert model.input_shape == (None, 16)
    assert (model.get_layer("out").get_weights()[0] >= 0).all()
    assert np.mean(model.get_layer("hidden").get_weights()[0] == 0) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("name", ["prune", "dynamic_range", "int8"])
def test_metrics_are_means_of_random_answers(
    name: str, published: Published, data: dict[str, NDArray[Any]]
) -> None:
    """The same as of masks that NumPy draws, within six standard errors."""
    model = tf_keras.models.load_model(published.folder / "prune.h5", compile=False)
    (kernel, bias), (out, last) = (model.get_layer(it).get_weights() for it in ("hidden", "out"))
    random = np.random.default_rng(1)
    hidden = np.maximum(data["x_test"] @ kernel + bias, 0)
    masks = random.random((200, *hidden.shape)) < 0.5
    errors = np.square((2 * hidden * masks) @ out + last - data["y_test"]).mean(axis=(1, 2))
    if name != "prune":  # the file itself draws anew at every call
        plain = Interpreter(model_path=str(published.folder / f"{name}.tflite"))
        (given,), (answer,) = plain.get_input_details(), plain.get_output_details()
        plain.resize_tensor_input(given["index"], [ROWS, 16])
        plain.allocate_tensors()
        drawn = []
        for _ in range(2):
            plain.set_tensor(given["index"], as_input(data["x_test"], given))
            plain.invoke()
            drawn.append(as_output(plain.get_tensor(answer["index"]), answer))
        assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    loss = published.artifact(name)["metrics"]["loss"]
    tolerance = 6 * errors.std() / np.sqrt(DRAWS) + (0.05 * errors.mean() if name == "int8" else 0)
    assert loss == pytest.approx(errors.mean(), abs=tolerance)


def as_input(rows: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if detail["dtype"] == np.float32:
        return rows
    return np.asarray(np.clip(np.round(rows / scale) + zero, -128, 127), np.int8)


def as_output(rows: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if detail["dtype"] == np.float32:
        return rows
    return np.asarray((rows.astype(np.float32) - zero) * scale)
