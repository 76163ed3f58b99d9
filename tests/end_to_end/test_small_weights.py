"""Whole runs that train small weights: shared sparsities, clusters, grids, and a teacher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from tests.conftest import MakeManifest, Run, paredown
from tests.support.rare import marked

layers = tf_keras.layers


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def kernels_of(path: Path) -> dict[str, np.ndarray]:
    """The kernels of an ``.h5`` file, by their paths in it."""
    found = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "kernel" in name:
            found[name] = item[()]

    with h5py.File(path) as file:
        file["model_weights"].visititems(visit)
    return found


def integers_of(path: Path) -> list[np.ndarray]:
    """The integers of a ``.tflite`` file's quantized kernels."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return [
        interpreter.get_tensor(it["index"])
        for it in interpreter.get_tensor_details()
        if it["dtype"] == np.int8 and len(it["shape"]) > 1
    ]


@pytest.fixture(scope="module")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Everything at once, of the tiny model."""
    folder = tmp_path_factory.mktemp("small")
    manifest = {
        "name": "small",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 4, "batch_size": 16, "validation_split": 0.1,
                     "teacher": {"epochs": 3}, "optimizer": {"learning_rate": 0.005}},
        "prune": {"allocation": "lamp",
                  "schedule": {"type": "polynomial_decay", "initial_sparsity": 0.2,
                               "final_sparsity": 0.7, "end_step": 0.5}},
        "cluster": {"number_of_clusters": 8, "epochs": 2},
        "compress": {"codecs": ["zip"]},
        "quantize": [
            {"type": "float32"},
            {"type": "dynamic_range", "aware": True, "epochs": 1},
            {"type": "dynamic_range", "name": "ternary", "weight_bits": 2, "epochs": 3},
            {"type": "int8", "aware": True, "epochs": 1, "calibration_samples": 40},
        ],
        "gates": [{"type": "max_drop", "metric": "accuracy", "value": 0.1, "artifact": "cluster"}],
        "destination": {"uri": str(folder / "out")},
    }  # fmt: skip
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    return paredown("run", path), folder / "out"


def test_every_file_is_measured_and_works(small: tuple[Run, Path]) -> None:
    """The clustered model is an artifact beside the pruned one; gates name it."""
    run, out = small
    assert run.code == 0, run.err
    found = result_of(out)
    names = ["baseline", "prune", "cluster", None, None, None, None]
    assert [it["variant"] or it["stage"] for it in found["artifacts"]][:3] == names[:3]
    assert all(it["metrics"]["accuracy"] > 0.85 for it in found["artifacts"])
    assert {it["artifact"] for it in found["gates"]} == {"cluster"}
    assert found["trainings"].keys() == {"teacher", "cluster", "dynamic_range", "ternary", "int8"}
    assert len(found["trainings"]["ternary"]["epochs"]) == 3
    assert found["trained_for"]["objective"] == "distill"
    assert found["trained_for"]["label_weight"] == 0.5
    stages = [it["name"] for it in found["stages"]]
    order = ["baseline", "teacher", "prune", "strip", "cluster", "train dynamic_range"]
    assert [it for it in stages if it in order] == order


def test_a_sparsity_is_shared_and_zeros_stay(small: tuple[Run, Path]) -> None:
    """All kernels together have it, each its own part; clustering keeps every zero."""
    _, out = small
    pruned, clustered = (kernels_of(out / f"{name}.h5") for name in ("prune", "cluster"))
    zeros = sum((it == 0).sum() for it in pruned.values())
    assert zeros / sum(it.size for it in pruned.values()) == pytest.approx(0.7, abs=1e-3)
    assert len({round(float((it == 0).mean()), 2) for it in pruned.values()}) == 2
    assert result_of(out)["layers"][0]["target_sparsity"] is None
    for name, it in clustered.items():
        assert np.unique(it).size <= 8
        assert (it[pruned[name] == 0] == 0).all()
    told = {it["name"]: it["distinct_values"] for it in result_of(out)["clusters"]}
    assert told.keys() == {"conv", "dense"}
    assert all(5 <= it <= 8 for it in told.values())


def test_ternary_weights_are_in_the_file(small: tuple[Run, Path]) -> None:
    """Three values for each kernel, and zeros where the pruned model has them."""
    _, out = small
    pruned = kernels_of(out / "prune.h5")
    zeros = sorted(int((it == 0).sum()) for it in pruned.values())
    found = [it for it in integers_of(out / "ternary.tflite") if it.size > 1000]
    assert found
    for it in found:
        assert np.unique(it).size <= 3
        assert (it == 0).sum() == zeros[-1]


def nested(folder: Path) -> str:
    inner = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten()],
        name="inner",
    )
    model = tf_keras.Sequential(
        [layers.InputLayer((8, 8)), layers.Reshape((8, 8, 1)), inner, layers.Dense(4)]
    )
    model.save(folder / "nested.h5")
    return "nested.h5"


def lstm(folder: Path) -> str:
    tf_keras.Sequential(
        [layers.InputLayer((8, 8)), layers.LSTM(12), layers.Dense(16), layers.Dense(4)]
    ).save(folder / "lstm.h5")
    return "lstm.h5"


def separable(folder: Path) -> str:
    tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv2D(12, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    ).save(folder / "separable.h5")
    return "separable.h5"


def keras_3(folder: Path) -> str:
    keras.utils.set_random_seed(5)
    kit = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            kit.Reshape((8, 8, 1)),
            kit.Conv2D(8, 3, activation="relu", name="conv"),
            kit.Flatten(),
            kit.Dense(4, name="dense"),
        ]
    )
    model.save(folder / "model.keras")
    return "model.keras"


@pytest.mark.parametrize("make", [nested, lstm, keras_3, marked(separable)])
def test_models_of_other_layers(
    make: Callable[[Path], str], manifest: MakeManifest, tmp_path: Path
) -> None:
    """Nested models, recurrent and separable layers, and files of Keras 3: the same promises."""
    tf_keras.utils.set_random_seed(2)
    done = paredown(
        "run",
        manifest(
            model={"uri": make(tmp_path)},
            training={"epochs": 2, "batch_size": 32, "validation_split": 0.1},
            prune={"allocation": "global", "min_weights": 1},
            cluster={"number_of_clusters": 6, "min_weights": 1, "epochs": 1},
            compress=None,
            quantize=[{"type": "dynamic_range", "weight_bits": 4, "epochs": 1}],
        ),
    )
    assert done.code == 0, done.err
    found = result_of(tmp_path / "out")
    sharing = [it for it in found["clusters"] if it["type"] != "BatchNormalization"]
    assert all(it["clustered"] and it["distinct_values"] <= 6 for it in sharing)
    shared = [it for it in found["layers"] if it["pruned"]]
    weights = sum(it["prunable_weights"] for it in shared)
    zeros = sum(it["prunable_weights"] * it["achieved_sparsity"] for it in shared)
    assert zeros / weights == pytest.approx(0.8, abs=len(shared) / weights)
    clustered = found["artifacts"][2]
    assert clustered["stage"] == "cluster"
    assert clustered["sparsity"] >= found["artifacts"][1]["sparsity"] > 0.5


def test_without_training_clusters_are_found_once(manifest: MakeManifest, tmp_path: Path) -> None:
    """With the objective none: masks by shared scores, k-means, and a warning."""
    done = paredown(
        "run",
        manifest(
            training={"objective": "none"},
            prune={"allocation": "lamp", "schedule": {"type": "constant", "target_sparsity": 0.4}},
            cluster={"number_of_clusters": 16},
            compress=None,
        ),
    )
    assert done.code == 0, done.err
    found = result_of(tmp_path / "out")
    assert any("found and not trained" in it for it in found["warnings"])
    assert not found["trainings"]
    assert all(np.unique(it).size <= 16 for it in kernels_of(tmp_path / "out/cluster.h5").values())


def test_a_grid_is_trained_without_pruning(manifest: MakeManifest, tmp_path: Path) -> None:
    """From the baseline, whose file and figures stay as they are."""
    done = paredown(
        "run",
        manifest(
            prune=None,
            compress=None,
            quantize=[
                {"type": "dynamic_range", "weight_bits": 2, "epochs": 3},
                {"type": "float32"},
            ],
        ),
    )
    assert done.code == 0, done.err
    found = result_of(tmp_path / "out")
    base, ternary, plain = found["artifacts"]
    assert plain["metrics"]["accuracy"] == base["metrics"]["accuracy"]
    assert ternary["metrics"]["accuracy"] > 0.8
    assert found["trainings"].keys() == {"dynamic_range"}


def test_a_teacher_that_is_worse_is_not_used(manifest: MakeManifest, tmp_path: Path) -> None:
    """The baseline is the teacher then, and the result says so."""
    done = paredown(
        "run",
        manifest(
            training={
                "epochs": 1,
                "batch_size": 16,
                "teacher": {"epochs": 1},
                "optimizer": {"type": "sgd", "learning_rate": 1e-9},
            },
            prune={"schedule": {"type": "polynomial_decay", "final_sparsity": 0.5}},
            compress=None,
            quantize=None,
        ),
    )
    assert done.code == 0, done.err
    found = result_of(tmp_path / "out")
    assert any("The teacher's loss on held-out rows is not lower" in it for it in found["warnings"])
