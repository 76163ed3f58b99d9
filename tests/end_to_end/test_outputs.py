"""Whole runs on models with several outputs; judged by what is published, against Keras's own
``evaluate`` and the files' own signatures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from tests.support.heads import KINDS, SIDES, TESTS, TRAINING, answers, arrays, both, save_all
from tests.support.published import Published, publish_all

JOBS = {name: both(name) for name in KINDS}


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    """All jobs, run."""
    folder = tmp_path_factory.mktemp("outputs")
    save_all(folder)
    return publish_all(JOBS, tiny, folder)


def test_every_job_succeeds(published: dict[str, Published]) -> None:
    """And says nothing on standard error."""
    assert {name: it.run.code for name, it in published.items()} == dict.fromkeys(JOBS, 0)
    assert {it.run.err for it in published.values()} == {""}


def of_tests() -> tuple[dict[str, Any], dict[str, Any]]:
    """The test rows: inputs as the model takes them, and targets, both by name."""
    data = arrays()
    x = {name: data[f"{name}_test"] * np.float32(1 / 255) for name in ("picture", "hint")}
    return x, {name: data[f"{name}_test"] for name in ("side", "angle")}


def by_keras(path: Path) -> dict[str, float]:
    """What Keras's own ``evaluate`` says of a file, by the names of the outputs."""
    library: Any = keras if path.suffix == ".keras" else tf_keras
    model = library.models.load_model(path, compile=False)
    x, y = of_tests()
    sparse = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses: Any = {"side": sparse, "angle": library.losses.Huber()}
    metrics: Any = {
        "side": [
            library.metrics.SparseCategoricalAccuracy(name="accuracy"),
            library.metrics.SparseTopKCategoricalAccuracy(name="sparse_top_k_categorical_accuracy"),
        ],
        "angle": [
            library.metrics.MeanAbsoluteError(name="mean_absolute_error"),
            library.metrics.RootMeanSquaredError(name="root_mean_squared_error"),
        ],
    }
    weights: Any = {"side": 1.0, "angle": 0.01}
    targets: Any = {"side": y["side"][:, None], "angle": y["angle"][:, None]}
    if not isinstance(model.output, dict):
        losses, metrics, weights, targets = (
            [it["side"], it["angle"]] for it in (losses, metrics, weights, targets)
        )
    model.compile("sgd", losses, loss_weights=weights, metrics=metrics)
    found = model.evaluate(x, targets, batch_size=TESTS, verbose=0, return_dict=True)
    return {name.removeprefix("head_"): value for name, value in found.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["baseline", "prune"])
def test_the_metrics_of_each_output_are_keras_own(
    published: dict[str, Published], kind: str, name: str
) -> None:
    """Of the file that is published: the weighted total, and each output's loss and metrics."""
    it = published[kind]
    said = it.artifact(name)["metrics"]
    assert said == pytest.approx(by_keras(it.folder / it.artifact(name)["path"]), rel=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["float32", "dynamic_range", "int8"])
def test_the_outputs_of_a_tflite_are_told_apart_by_name(
    published: dict[str, Published], kind: str, variant: str
) -> None:
    """The file's signature has the model's names, and the metrics are of the right output."""
    it = published[kind]
    x, y = of_tests()
    found = answers(it.folder / f"{variant}.tflite", x)
    assert set(found) == {"side", "angle"}
    assert found["side"].shape == (TESTS, SIDES)
    assert found["angle"].mean() > 100 > found["side"].max()
    said = it.artifact(variant)
    assert {tensor["name"] for tensor in said["outputs"]} == {"side", "angle"}
    assert {tensor["name"] for tensor in said["inputs"]} == {"picture", "hint"}
    right = np.mean(found["side"].argmax(axis=1) == y["side"])
    assert said["metrics"]["side_accuracy"] == pytest.approx(right, abs=0.011)
    error = np.abs(found["angle"][:, 0] - y["angle"]).mean()
    assert said["metrics"]["angle_mean_absolute_error"] == pytest.approx(error, rel=1e-3)
    drift = said["drift"]
    assert set(drift["outputs"]) == {"side", "angle"}
    assert drift["max_abs"] == max(one["max_abs"] for one in drift["outputs"].values())
    if variant == "float32":
        assert drift["max_abs"] < 1e-2


def test_pruning_keeps_the_structure_of_the_outputs(published: dict[str, Published]) -> None:
    """A dict stays a dict of the same keys, a list a list, and the zeros are there."""
    for kind in KINDS:
        folder = published[kind].folder
        library: Any = keras if kind.endswith(".keras") else tf_keras
        model = library.models.load_model(folder / f"prune.{kind.split('.')[1]}", compile=False)
        if kind.startswith("dict"):
            assert set(model.output) == {"side", "angle"}
        else:
            assert len(model.output) == 2
        assert np.mean(model.get_layer("hidden").get_weights()[0] == 0) > 0.79


def test_the_result_says_what_each_output_was_trained_for(published: dict[str, Published]) -> None:
    """Loss, weight, metrics and reason, in the model's order: a dict's keys are sorted."""
    for kind in KINDS:
        objective = published[kind].result["objective"]
        order = ["angle", "side"] if kind.startswith("dict") else ["side", "angle"]
        assert list(objective) == order
        assert (objective["angle"]["loss"], objective["angle"]["weight"]) == ("huber", 0.01)
        assert objective["side"]["loss"] == "sparse_categorical_crossentropy"
        assert (objective["side"]["weight"], objective["side"]["from_logits"]) == (1, True)
        assert objective["angle"]["metrics"] == TRAINING["metrics"]["angle"]
        last = published[kind].result["epochs"][-1]["metrics"]
        names = published[kind].artifact("baseline")["metrics"]
        assert set(last) == {*names, *(f"val_{name}" for name in names)}


def test_gates_are_judged_for_an_output_for_all_or_for_the_total(
    published: dict[str, Published],
) -> None:
    """Without an output: the total loss, or each output that has the metric."""
    for kind in KINDS:
        it = published[kind]
        judged = [
            (gate["gate"]["metric"], gate["gate"]["output"], gate["artifact"])
            for gate in it.result["gates"]
        ]
        made = ("prune", "float32", "dynamic_range", "int8")
        assert judged == [
            *(("accuracy", "side", name) for name in made),
            ("loss", None, "int8"),
            ("loss", "angle", "int8"),
            ("sparse_top_k_categorical_accuracy", "side", "int8"),
            ("root_mean_squared_error", "angle", "int8"),
        ]
        metrics = it.artifact("int8")["metrics"]
        values = [gate["value"] for gate in it.result["gates"] if gate["artifact"] == "int8"]
        assert values[0] == metrics["side_accuracy"]
        before = it.artifact("baseline")["metrics"]
        assert values[1] == pytest.approx(metrics["loss"] - before["loss"])
        assert values[2] == metrics["angle_loss"]
