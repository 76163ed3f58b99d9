"""measure: the figures are those that NumPy gives, and the model is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.events import Journal
from job.manifest.job import JobConfig
from job.manifest.sensitivity import SensitivityConfig
from job.result.layer_trials import SensitivityResult
from job.safety.judge import judge
from job.stages.trial_weights import pruned, rounded
from job.worker.context import Files, Loaded
from job.worker.load_inputs import load
from job.worker.sensitivity import channel_axes, measure
from tests.support.manifests import read_job
from tests.support.rare import marked
from tests.support.resuming import begins, interrupt, keeps, kill, run
from tests.support.sources import array, fresh

layers = tf_keras.layers
CONFIG = SensitivityConfig(sparsities=(0.5, 0.9), weight_bits=(8, 4, 2), rows=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data.npz``, with classes, numbers and no targets; the two layers of ``model.h5``."""
    place = tmp_path_factory.mktemp("sensitive")
    random = np.random.default_rng(0)
    x = random.normal(size=(160, 6)).astype(np.float32)
    y = (x @ random.normal(size=(6, 3))).argmax(axis=1)
    z = (x[:, :2] * 3).astype(np.float32)
    split = {"x_train": x[:100], "y_train": y[:100], "z_train": z[:100]}
    np.savez(place / "data.npz", **split, x_test=x[100:], y_test=y[100:], z_test=z[100:])
    tf_keras.utils.set_random_seed(1)
    classes = tf_keras.Sequential(
        [layers.InputLayer((6,)), layers.Dense(20, activation="relu", name="wide")]
    )
    numbers = tf_keras.models.clone_model(classes)
    classes.add(layers.Dense(3, name="answer"))
    numbers.add(layers.Dense(2, name="answer"))
    classes.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classes.fit(x[:100], y[:100], epochs=60, verbose=0)
    classes.save(place / "classes.h5", include_optimizer=False)
    numbers.save(place / "numbers.h5", include_optimizer=False)
    return place


def loaded(
    folder: Path,
    tmp_path: Path,
    model: str = "classes",
    *,
    labelled: bool = True,
    **sections: Any,
) -> Loaded:
    """The inputs of a job."""
    name = {"classes": "y", "numbers": "z"}[model]
    data = {
        split: {"inputs": f"x_{split}", "targets": f"{name}_{split}" if labelled else None}
        for split in ("train", "test")
    }
    asked = {
        "name": "sensitive",
        "model": {"uri": str(folder / f"{model}.h5")},
        "dataset": {"type": "npz", "uri": str(folder / "data.npz"), **data},
        "training": {"epochs": 3, "validation_split": 0.3},
    } | sections
    job: JobConfig = read_job(json.dumps(asked))
    files = Files(
        judge(folder / f"{model}.h5"), {"data.npz": folder / "data.npz"}, tmp_path, fresh(tmp_path)
    )
    return load(job, files, Journal(lambda _: None))


def measured(found: Loaded, config: SensitivityConfig = CONFIG) -> SensitivityResult:
    events: list[dict[str, Any]] = []
    with Journal(events.append).stage("sensitivity") as stage:
        result = measure(config, found, 7, stage)
    assert events[-2]["event"] == "progress"
    assert events[-2]["done"] == events[-2]["total"] > 0
    return result


def forward(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The model, in NumPy."""
    return np.asarray(
        np.maximum(x @ weights[0] + weights[1], 0) @ weights[2] + weights[3], np.float64
    )


def test_accuracies_are_those_of_numpy_on_the_held_out_rows(folder: Path, tmp_path: Path) -> None:
    """Each layer alone: its kernel is pruned or rounded, and its bias is not."""
    given = loaded(folder, tmp_path)
    held_out = given.dataset.validation
    assert held_out is not None
    found = measured(given)
    assert (found.split, found.rows, found.metric) == ("validation", 30, "accuracy")
    x, y = array(held_out.inputs[0]), held_out.targets[0].reshape(-1)
    weights = given.file.model.get_weights()

    def accuracy(changed: list[np.ndarray]) -> float:
        return float(np.mean(forward(changed, x).argmax(axis=1) == y))

    before = forward(weights, x)
    assert found.baseline == pytest.approx(accuracy(weights))
    assert [it.name for it in found.layers] == ["wide", "answer"]
    assert [it.weights for it in found.layers] == [120, 60]
    assert [it.share for it in found.layers] == [140 / 203, 63 / 203]
    for place, layer in zip((0, 2), found.layers, strict=True):
        assert [it.sparsity for it in layer.sparsities] == [0.5, 0.9]
        assert [it.weight_bits for it in layer.weight_bits] == [8, 4, 2]
        for trial in [*layer.sparsities, *layer.weight_bits]:
            changed = list(weights)
            if trial.sparsity is not None:
                changed[place] = pruned(weights[place], trial.sparsity)
            else:
                changed[place] = rounded(weights[place], trial.weight_bits or 0, (-1,))
            drop = accuracy(weights) - accuracy(changed)
            assert trial.drop == pytest.approx(drop, abs=1e-6)
            assert trial.metrics["accuracy"] == pytest.approx(accuracy(changed))
            after = forward(changed, x)
            same = np.mean(before.argmax(axis=1) == after.argmax(axis=1))
            assert trial.agreement == pytest.approx(same)
    assert any((it.drop or 0) > 0.05 for it in found.layers[0].sparsities)


def test_the_model_is_as_it_was(folder: Path, tmp_path: Path) -> None:
    """Bit for bit, so that the job's other files do not change; and twice is the same."""
    given = loaded(folder, tmp_path)
    before = given.file.model.get_weights()
    first = measured(given)
    for was, now in zip(before, given.file.model.get_weights(), strict=True):
        assert np.array_equal(was, now)
    assert measured(given) == first


def test_rows_are_a_sample_and_never_test_rows(folder: Path, tmp_path: Path) -> None:
    """Without held-out rows they are of the training rows; at most so many as asked for."""
    given = loaded(folder, tmp_path, prune=None)
    assert given.dataset.validation is None
    found = measured(given)
    assert (found.split, found.rows) == ("training", 50)
    few = measured(loaded(folder, tmp_path), CONFIG.model_copy(update={"rows": 20}))
    assert (few.split, few.rows) == ("validation", 20)
    drawn = loaded(folder, tmp_path, dataset=None)
    assert measured(drawn).split == "synthetic"


def test_without_labels_it_is_the_agreement_that_drops(folder: Path, tmp_path: Path) -> None:
    """With the unchanged model, whose agreement with itself is 1."""
    loss = {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": True}}
    training = {"epochs": 3, "validation_split": 0.3, **loss}
    found = measured(loaded(folder, tmp_path, labelled=False, training=training))
    assert (found.metric, found.baseline, found.small_drop) == ("agreement", 1.0, 0.01)
    trials = [it for layer in found.layers for it in layer.sparsities]
    assert all(it.drop == pytest.approx(1 - (it.agreement or 0)) for it in trials)
    assert all(it.metrics == {} for it in trials)


def test_of_numbers_without_labels_it_is_the_noise_that_grows(folder: Path, tmp_path: Path) -> None:
    """The mean squared difference as a share of the variance, by hand."""
    given = loaded(folder, tmp_path, model="numbers", labelled=False)
    found = measured(given)
    assert (found.metric, found.baseline) == ("noise", 0.0)
    assert given.dataset.validation is not None
    x, weights = array(given.dataset.validation.inputs[0]), given.file.model.get_weights()
    before = forward(weights, x)
    after = forward([*weights[:2], pruned(weights[2], 0.9), weights[3]], x)
    noise = np.mean((after - before) ** 2) / np.mean(before.var(axis=0))
    assert found.layers[1].sparsities[1].drop == pytest.approx(noise, rel=1e-4)


def test_an_error_gets_worse_upwards(folder: Path, tmp_path: Path) -> None:
    """With numbers as labels; a small loss is a share of it."""
    training = {"epochs": 3, "loss": "mean_squared_error", "metrics": ["mean_absolute_error"]}
    given = loaded(folder, tmp_path, model="numbers", training=training)
    found = measured(given)
    assert found.metric == "mean_absolute_error"
    assert found.small_drop == pytest.approx(0.05 * found.baseline)
    trial = found.layers[0].sparsities[1]
    assert trial.drop == pytest.approx(trial.metrics["mean_absolute_error"] - found.baseline)


def test_each_kind_of_kernel_has_its_channels() -> None:
    """As a ``.tflite`` has scales: an embedding one, a depthwise kernel one for each channel."""
    given = tf_keras.Input((8, 8, 4))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(given)
    x = layers.SeparableConv2D(5, 3, name="separable")(x)
    model = tf_keras.Model(given, layers.Conv2DTranspose(3, 2, name="transpose")(x))
    axes = {
        weight.name.split("/")[-1].split(":")[0]: channel_axes(layer, weight)
        for layer in model.layers
        for weight in layer.weights
        if len(weight.shape) > 1
    }
    assert axes == {
        "depthwise_kernel": (-2, -1),
        "pointwise_kernel": (-1,),
        "kernel": (-2,),
    }
    embedding = layers.Embedding(9, 4)
    embedding.build((None, 3))
    assert channel_axes(embedding, embedding.embeddings) == ()


def test_a_depthwise_and_a_frozen_layer_are_rounded_and_not_pruned(tmp_path: Path) -> None:
    """They are quantized all the same; layers without kernels are not listed."""
    given = tf_keras.Input((8, 8, 4), name="image")
    x = layers.DepthwiseConv2D(3, name="depthwise")(given)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(5, 3, name="frozen", trainable=False)(x)
    x = layers.Dense(16, name="dense")(layers.Flatten()(x))
    tf_keras.Model(given, layers.Softmax()(x)).save(tmp_path / "m.h5")
    job = read_job(
        json.dumps({"name": "m", "model": {"uri": str(tmp_path / "m.h5")}, "dataset": None})
    )
    files = Files(judge(tmp_path / "m.h5"), {}, tmp_path, fresh(tmp_path))
    found = measured(load(job, files, Journal(lambda _: None)))
    assert [it.name for it in found.layers] == ["depthwise", "frozen", "dense"]
    assert [len(it.sparsities) for it in found.layers] == [0, 0, 2]
    assert [len(it.weight_bits) for it in found.layers] == [3, 3, 3]


@pytest.mark.parametrize("how", [kill, marked(interrupt)])
def test_it_is_restored_from_its_checkpoint(
    how: Callable[[], None], tiny: Path, tmp_path: Path
) -> None:
    """A run that was killed after it, or stopped in it, ends with the same record and files."""
    asked = {
        "name": "tiny",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 2, "batch_size": 32},
        "sensitivity": {"sparsities": [0.5, 0.9], "weight_bits": [4]},
    }
    manifest = read_job(json.dumps(asked), "here.json").model_dump(mode="json")
    whole = run(manifest, tmp_path / "whole")
    where = keeps("sensitivity") if how is kill else begins("sensitivity")
    stopped = run(manifest, tmp_path / "stopped", disturb=where, by=how)
    ended = run(manifest, tmp_path / "ended", kept=stopped.kept)
    assert ("sensitivity" in ended.result["resumed"]) == (how is kill)
    assert ended.result["sensitivity"] == whole.result["sensitivity"]
    assert ended.files == whole.files
    without = run(manifest | {"sensitivity": None}, tmp_path / "without")
    assert without.result["sensitivity"] is None
    assert without.files == whole.files


def test_outputs_that_overflow_have_no_drop(tmp_path: Path) -> None:
    """Two weights that cancel each other, before an exponential: one alone is infinite."""
    model = tf_keras.Sequential(
        [layers.InputLayer((2,)), layers.Dense(1, activation="exponential", name="rate")]
    )
    model.set_weights([np.array([[-200], [200]], np.float32), np.zeros(1, np.float32)])
    model.save(tmp_path / "m.h5")
    x = np.ones((20, 2), np.float32)
    np.savez(tmp_path / "data.npz", x_train=x, x_test=x)
    unlabelled = {"inputs": "x_train", "targets": None}, {"inputs": "x_test", "targets": None}
    data = dict(zip(("train", "test"), unlabelled, strict=True))
    asked = {
        "name": "m",
        "model": {"uri": str(tmp_path / "m.h5")},
        "dataset": {"type": "npz", "uri": str(tmp_path / "data.npz"), **data},
    }
    files = Files(
        judge(tmp_path / "m.h5"), {"data.npz": tmp_path / "data.npz"}, tmp_path, fresh(tmp_path)
    )
    found = measured(load(read_job(json.dumps(asked)), files, Journal(lambda _: None)))
    (layer,) = found.layers
    assert [(it.drop, it.snr_db) for it in layer.sparsities[:1]] == [(None, None)]
    assert [it.drop for it in layer.weight_bits] == [0, 0, 0]
