"""Models with several outputs and with open dimensions, their data and their jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from tests.support.conversion import fed_row, real

ROWS, TESTS, SIDES = 400, 100, 4
KINDS = ("dict.h5", "dict.keras", "list.h5", "list.keras")
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 32,
    "optimizer": {"learning_rate": 0.01},
    "loss": {"angle": "huber"},
    "metrics": {"angle": ["mean_absolute_error", "root_mean_squared_error"]},
    "loss_weights": {"angle": 0.01},
}
MAPPED = {
    which: {
        "inputs": {"picture": f"picture_{which}", "hint": f"hint_{which}"},
        "targets": {"side": f"side_{which}", "angle": f"angle_{which}"},
    }
    for which in ("train", "test")
}
GATES = [
    {"type": "min_value", "metric": "accuracy", "value": 0.3, "artifact": "*"},
    {"type": "max_drop", "metric": "loss", "value": 1e9, "artifact": "int8"},
    {"type": "min_value", "metric": "loss", "value": 1e9, "output": "angle", "artifact": "int8"},
    {
        "type": "min_value",
        "metric": "sparse_top_k_categorical_accuracy",
        "value": 0.9,
        "output": "side",
        "artifact": "int8",
    },
    {"type": "max_drop", "metric": "root_mean_squared_error", "value": 1e9, "artifact": "int8"},
]


def arrays() -> dict[str, Any]:
    """Pictures that are bright on a side, with a hint; which side it is, and angles near 900."""
    random = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for which, rows in (("train", ROWS), ("test", TESTS)):
        side = random.integers(0, SIDES, rows)
        pictures = random.integers(0, 120, (rows, 8, 8), dtype=np.uint8)
        for picture, turns in zip(pictures, side, strict=True):
            np.rot90(picture, turns)[:3] += 100
        hint = random.normal(size=(rows, 2)).astype("float32")
        found |= {
            f"picture_{which}": pictures,
            f"hint_{which}": hint,
            f"side_{which}": side,
            f"angle_{which}": (900 + 3 * hint[:, 0] + side).astype("float32"),
            f"series_{which}": random.normal(size=(rows, 9, 4)).astype("float32"),
            f"large_{which}": random.normal(size=(rows, 12, 10, 1)).astype("float32"),
        }
    return found


def build(kind: str, library: Any) -> Any:
    """A model of two inputs and two outputs, whose names and places are in different orders."""
    library.utils.set_random_seed(1)
    layers = library.layers
    picture, hint = library.Input((8, 8), name="picture"), library.Input((2,), name="hint")
    hidden = layers.Dense(32, activation="relu", name="hidden")(layers.Flatten()(picture))
    merged = layers.Concatenate()([hidden, hint])
    near_900 = library.initializers.Constant(900)
    prefix = "head_" if kind == "dict" else ""  # the dict's keys then are other names
    side = layers.Dense(SIDES, name=f"{prefix}side")(merged)
    angle = layers.Dense(1, name=f"{prefix}angle", bias_initializer=near_900)(merged)
    if kind == "dict":
        return library.Model({"picture": picture, "hint": hint}, {"side": side, "angle": angle})
    return library.Model([picture, hint], [side, angle])


def series() -> tf_keras.Model:
    """A recurrent model of two outputs that takes sequences of any length."""
    tf_keras.utils.set_random_seed(1)
    given = tf_keras.Input((None, 4), name="series")
    hidden = tf_keras.layers.LSTM(16, name="lstm")(given)
    side = tf_keras.layers.Dense(SIDES, name="side")(hidden)
    return tf_keras.Model(given, [side, tf_keras.layers.Dense(1, name="angle")(hidden)])


def large() -> tf_keras.Model:
    """A model of one output, in a dict, that takes pictures of any size."""
    tf_keras.utils.set_random_seed(1)
    given = tf_keras.Input((None, None, 1), name="image")
    hidden = tf_keras.layers.Conv2D(16, 3, activation="relu", name="conv")(given)
    pooled = tf_keras.layers.GlobalAveragePooling2D()(hidden)
    return tf_keras.Model(given, {"where": tf_keras.layers.Dense(SIDES, name="dense")(pooled)})


def save_all(folder: Path) -> None:
    """Put the data and every model into a folder."""
    np.savez(folder / "data.npz", **arrays())
    (folder / "models").mkdir()
    for name in KINDS:
        kind, _, suffix = name.partition(".")
        build(kind, keras if suffix == "keras" else tf_keras).save(folder / "models" / name)
    series().save(folder / "models" / "series.h5")
    large().save(folder / "models" / "large.keras")


def job(file: str, inputs: Any, targets: Any, **sections: Any) -> dict[str, Any]:
    """A manifest's sections; ``inputs`` and ``targets`` are the arrays' names without the split."""
    split = {
        which: {
            "inputs": [f"{it}_{which}" for it in inputs],
            "targets": [f"{it}_{which}" for it in targets],
        }
        for which in ("train", "test")
    }
    return {
        "model": {"uri": f"../models/{file}"},
        "dataset": {"type": "npz", "uri": "../data.npz", "scale": 1 / 255, **split},
        "training": {"epochs": 1, "batch_size": 32},
        "compress": {"codecs": ["zip"]},
    } | sections


def both(model: str) -> dict[str, Any]:
    """The job for a model of two inputs and two outputs."""
    found = job(model, [], [], training=TRAINING, gates=GATES)
    found["dataset"] |= MAPPED
    found["quantize"] = [{"type": "float32"}, {"type": "dynamic_range"}, {"type": "int8"}]
    return found


def answers(path: Path, x: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a file answers row by row, by its signature's names, as real numbers."""
    runner = Interpreter(str(path)).get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()
    rows = [runner(**fed_row(taken, x, row)) for row in range(TESTS)]
    return {name: real([row[name] for row in rows], detail) for name, detail in given.items()}
