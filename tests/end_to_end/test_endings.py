"""Whole runs on a model whose last layer is not its sigmoid, and on labels that it can't answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from tests.support.published import read_result, run_all, write_manifest

layers = tf_keras.layers
TESTS = 60


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bright spots in noise, masks of them, and a model that ends in a Reshape."""
    folder = tmp_path_factory.mktemp("endings")
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for which, rows in (("train", 240), ("test", TESTS)):
        masks = random.random((rows, 8, 8)) < 0.15
        arrays |= {
            f"x_{which}": (masks * 2 + random.normal(0, 0.4, masks.shape)).astype("float32"),
            f"y_{which}": masks,
            f"signs_{which}": masks * 2 - 1,
        }
    np.savez(folder / "data.npz", **arrays)
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 1, activation="sigmoid"),
            layers.Reshape((8, 8), name="mask"),
        ]
    )
    model.compile(tf_keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(arrays["x_train"], arrays["y_train"] * 1.0, epochs=6, verbose=0)
    model.save(folder / "model.h5")
    model.compile()
    model.save(folder / "plain.h5", include_optimizer=False)
    return folder


def test_probabilities_behind_a_reshape_are_none_the_less(segmented: Path) -> None:
    """The accuracy of every file is what NumPy counts at 0.5; -1 and 1 are refused in time."""
    data = {"type": "npz", "uri": str(segmented / "data.npz")}
    signs = {
        which: {"inputs": f"x_{which}", "targets": f"signs_{which}"} for which in ("train", "test")
    }
    sections: dict[str, Any] = {"quantize": [{"type": "float32"}], "compress": None}
    jobs: dict[str, Any] = {
        "masks": {"model": {"uri": str(segmented / "plain.h5")}, "dataset": data},
        "signs": {"model": {"uri": str(segmented / "model.h5")}, "dataset": data | signs},
    }
    manifests = {
        name: write_manifest(segmented / name, segmented, **sections, **job)
        for name, job in jobs.items()
    }
    runs = run_all({name: ["run", path] for name, path in manifests.items()})
    assert {name: run.code for name, run in runs.items()} == {"masks": 0, "signs": 3}
    error = runs["signs"].error
    assert "The targets are -1 and 1, and the model ends in sigmoid" in str(error)
    result = read_result(segmented / "masks" / "out")
    objective = result["objective"]["mask"]
    assert (objective["loss"], objective["from_logits"]) == ("binary_crossentropy", False)
    assert "sigmoid, kept by Reshape mask" in objective["reason"]
    with np.load(segmented / "data.npz") as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    runner = Interpreter(str(segmented / "masks" / "out" / "float32.tflite")).get_signature_runner()
    (name,) = runner.get_input_details()
    answers = np.concatenate([runner(**{name: x[row : row + 1]})["mask"] for row in range(TESTS)])
    said = {it["variant"] or it["stage"]: it["metrics"] for it in result["artifacts"]}
    wanted = np.mean((answers > 0.5) == y)
    assert said["float32"]["accuracy"] == pytest.approx(wanted, abs=1e-6)
    loss = -np.log(np.clip(np.where(y, answers, 1 - answers), 1e-7, 1)).mean()
    assert said["float32"]["loss"] == pytest.approx(loss, rel=1e-4)
    assert said["baseline"]["accuracy"] > 0.95
