"""Whole runs on models with several outputs and with open dimensions; judged by what is published,
against Keras's own ``evaluate`` and the files' own signatures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.metrics.litert import custom_operators
from tests.conftest import Run, paredown
from tests.published import Published, publish_all, run_all, write_manifest

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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models and their data."""
    folder = tmp_path_factory.mktemp("outputs")
    np.savez(folder / "data.npz", **arrays())
    (folder / "models").mkdir()
    for name in KINDS:
        kind, _, suffix = name.partition(".")
        build(kind, keras if suffix == "keras" else tf_keras).save(folder / "models" / name)
    series().save(folder / "models" / "series.h5")
    large().save(folder / "models" / "large.keras")
    return folder


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


SHAPES = {"uri": "../models/large.keras", "input_shapes": {"image": [12, 10, 1]}}
JOBS: dict[str, dict[str, Any]] = {
    **{name: both(name) for name in KINDS},
    "series": job("series.h5", ["series"], ["side", "angle"]),
    "data": job("large.keras", ["large"], ["side"]),
    "given": job("large.keras", ["large"], ["side"], model=SHAPES, prune=None),
}


@pytest.fixture(scope="module")
def published(inputs: Path, tiny: Path) -> dict[str, Published]:
    """All jobs, run."""
    return publish_all(JOBS, tiny, inputs)


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


def answers(path: Path, x: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a file answers row by row, by its signature's names, as real numbers."""
    runner = Interpreter(str(path)).get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()
    rows = []
    for row in range(TESTS):
        fed = {}
        for name, values in x.items():
            value = values[row : row + 1]
            if taken[name]["dtype"] is np.int8:
                scale, zero = taken[name]["quantization"]
                value = np.clip(np.rint(value / scale) + zero, -128, 127).astype(np.int8)
            fed[name] = value
        rows.append(runner(**fed))
    found = {}
    for name, detail in given.items():
        values = np.concatenate([row[name] for row in rows]).astype(np.float32)
        if detail["dtype"] is np.int8:
            values = (values - detail["quantization"][1]) * np.float32(detail["quantization"][0])
        found[name] = values
    return found


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
        values = [gate["value"] for gate in it.result["gates"]]
        assert values[3] == metrics["side_accuracy"]
        before = it.artifact("baseline")["metrics"]
        assert values[4] == pytest.approx(metrics["loss"] - before["loss"])
        assert values[5] == metrics["angle_loss"]


def decisions(published: Published, stage: str) -> list[str]:
    """What was decided in a stage."""
    (found,) = [it for it in published.result["stages"] if it["name"] == stage]
    return list(found["decisions"])


def test_a_recurrent_model_of_open_length_is_fixed_in_the_tflite_alone(
    published: dict[str, Published],
) -> None:
    """Builtin operators, one row, the data's length; the Keras file still takes any length."""
    it = published["series"]
    path = it.folder / "dynamic_range.tflite"
    assert custom_operators(path) == []
    (taken,) = it.artifact("dynamic_range")["inputs"]
    assert (taken["name"], taken["shape"]) == ("series", [1, 9, 4])
    assert {one["name"] for one in it.artifact("dynamic_range")["outputs"]} == {"side", "angle"}
    (open_input,) = it.artifact("prune")["inputs"]
    assert open_input["shape"] == [None, None, 4]
    model = tf_keras.models.load_model(it.folder / "prune.h5", compile=False)
    assert model.input_shape == (None, None, 4)
    x = arrays()["series_test"] * np.float32(1 / 255)
    found = answers(path, {"series": x[:1].repeat(TESTS, axis=0)})
    wanted = dict(zip(("side", "angle"), model(x[:1]), strict=True))
    for name, answer in wanted.items():
        np.testing.assert_allclose(found[name][:1], answer.numpy(), atol=0.05)
    said = decisions(it, "load")
    assert "series: (None, 4) is taken as (9, 4), from the data" in said
    said = decisions(it, "quantize")
    assert "the .tflite files take series as (9, 4) only" in said
    assert "the .tflite files take one row at a time, for the recurrent layers" in said


@pytest.mark.parametrize(
    ("name", "source"), [("data", "the data"), ("given", "model.input_shapes (image)")]
)
def test_open_dimensions_are_taken_from_the_manifest_or_the_data(
    published: dict[str, Published], name: str, source: str
) -> None:
    """Which of them is said; a model of one output, in a dict, has the plain metrics."""
    it = published[name]
    assert f"image: (None, None, 1) is taken as (12, 10, 1), from {source}" in decisions(it, "load")
    tflite = it.artifact("dynamic_range")
    assert tflite["inputs"][0]["shape"] == [None, 12, 10, 1]
    assert tflite["outputs"][0]["name"] == "where"
    assert it.artifact("baseline")["inputs"][0]["shape"] == [None, None, None, 1]
    assert set(tflite["metrics"]) == {"loss", "accuracy"}
    assert list(it.result["objective"]) == ["where"]


def shapes(*sizes: int, name: str = "image") -> dict[str, Any]:
    """The job on pictures of any size, with sizes given."""
    model = {"uri": "../models/large.keras", "input_shapes": {name: list(sizes)}}
    return job("large.keras", ["large"], ["side"], model=model)


def changed(**training: Any) -> dict[str, Any]:
    """The job on the model in a dict, with another training."""
    return both("dict.h5") | {"training": TRAINING | training}


def gated(**gate: Any) -> dict[str, Any]:
    """The same with one gate."""
    return both("dict.h5") | {"gates": [{"type": "min_value", "value": 0} | gate]}


NO_OUTPUT = "no output sied; its outputs: angle, side"
REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "shape against model": (shapes(12, 10, 3), "is (12, 10, 3), the model takes", "input_shapes"),
    "rank against model": (shapes(12, 10), "is (12, 10), the model takes", "input_shapes"),
    "shape against data": (shapes(10, 12, 1), "(12, 10, 1), and image is taken", "dataset.train"),
    "no such input": (shapes(12, 10, 1, name="img"), "no input img; its inputs: image", "shapes"),
    "loss": (changed(loss={"sied": "huber"}), NO_OUTPUT, "training.loss"),
    "metrics": (changed(metrics={"sied": ["auc"]}), NO_OUTPUT, "training.metrics"),
    "weights": (changed(loss_weights={"sied": 1}), NO_OUTPUT, "training.loss_weights"),
    "gate": (gated(metric="loss", output="sied"), NO_OUTPUT, "gates.0.output"),
    "gate of none": (gated(metric="auc"), "measured for none of the outputs", "gates.0.metric"),
    "one metric for all": (
        changed(metrics=["accuracy"]) | {"gates": []},
        "accuracy has no meaning for the loss huber",
        "training.metrics (angle)",
    ),
    "targets": (
        job("series.h5", ["series"], ["side"]),
        "names 1 arrays; the model has 2 outputs: side, angle",
        "dataset.train.targets",
    ),
    "labels of one": (
        job("series.h5", ["series"], ["side", "picture"]),
        "the model answers with (1)",
        "dataset.train.targets (angle)",
    ),
}


@pytest.fixture(scope="module")
def refused(inputs: Path, tiny: Path) -> dict[str, Run]:
    """All refusals, run."""
    return run_all(
        {
            case: ["run", write_manifest(inputs / case, tiny, **sections)]
            for case, (sections, *_) in REFUSALS.items()
        }
    )


@pytest.mark.parametrize("case", REFUSALS)
def test_what_contradicts_the_model_is_refused_when_it_is_read(
    refused: dict[str, Run], case: str
) -> None:
    """What was named and what there is, and where."""
    _, what, where = REFUSALS[case]
    error = refused[case].error
    assert (refused[case].code, error["exit_code"]) == (3, 3)
    assert what in error["what"], error
    assert where in error["where"], error
    assert error["to_do"]


def test_other_shapes_are_another_run(published: dict[str, Published]) -> None:
    """A run that is done is not done again; one with other input_shapes is none of it."""
    manifest = published["given"].manifest
    assert paredown("run", manifest).events[-1]["already_done"] is True
    again = paredown("run", manifest, "--set", "model.input_shapes={}")
    assert (again.code, "another run" in again.error["what"]) == (2, True)
