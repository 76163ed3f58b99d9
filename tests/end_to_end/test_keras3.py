"""A whole run on a Keras 3 file: what comes out is what went in."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from tests.conftest import MakeManifest, paredown


def test_a_keras_3_model_comes_out_as_a_smaller_keras_3_model(
    manifest: MakeManifest, tmp_path: Path, tiny: Path
) -> None:
    """Its file is read by Keras 3, has the zeros asked for, and answers as result.json says."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="dense"),
        ]
    )
    model.save(tmp_path / "model.keras")
    done = paredown("run", manifest(model={"uri": "model.keras"}))
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [it["format"] for it in result["artifacts"]] == ["keras", "keras", "tflite"]
    pruned = keras.models.load_model(tmp_path / "out" / "prune.keras")
    zeros = np.mean(pruned.get_layer("dense").get_weights()[0] == 0)
    assert abs(zeros - 0.8) < 0.01
    with np.load(tiny / "data.npz") as data:
        inputs = data["x_test"].astype("float32") * np.float32(1 / 255)
        right = np.mean(pruned.predict(inputs, verbose=0).argmax(axis=1) == data["y_test"])
    assert abs(result["artifacts"][1]["metrics"]["accuracy"] - right) < 1e-6
