"""A trial: what its job is, what it leaves as it was, and what becomes of one that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.manifest.quantize import DynamicRangeConfig, WeightOnlyConfig
from job.manifest.training import CosineDecayConfig
from job.models.prunable import fits
from job.result.search import with_front
from job.worker.next_trial import choose
from job.worker.trial import run_trial, sections_of, settings_of, small_layers
from job.worker.verdict import MOST_DROP
from tests.support import unlabelled
from tests.support.manifests import read_job
from tests.support.searching import asked, bench_of, job_of, save_model

layers = tf_keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trials")
    save_model(place)
    return place


def test_a_trial_is_a_job_without_a_search(folder: Path) -> None:
    """Its settings are in the sections that an ordinary manifest has."""
    job = settings_of(job_of(folder), asked(sparsity=0.9, weight_bits=8, clusters=16, seed=9), [])
    assert job.search is None
    assert job.prune is not None
    schedule = job.prune.schedule
    assert schedule.type == "polynomial_decay"
    assert (job.prune.allocation, schedule.final_sparsity, schedule.end_step) == ("lamp", 0.9, 0.75)
    assert job.cluster is not None
    assert job.cluster.number_of_clusters == 16
    (variant,) = job.variants.values()
    assert variant.model_dump(include={"weight_bits", "slim", "per_channel", "layers"}) == {
        "weight_bits": 8, "slim": True, "per_channel": False, "layers": (),
    }  # fmt: skip
    training = job.training
    assert (training.epochs, training.seed, training.shuffle_seed) == (2, 7, 9)
    assert training.optimizer.learning_rate == 0.002
    assert isinstance(training.optimizer.learning_rate_schedule, CosineDecayConfig)


def test_outputs_that_are_to_stay_are_learned(folder: Path) -> None:
    """And not the labels, if there are any and the manifest does not say so; nor is a teacher
    trained for a file that is not.
    """
    fidelity: dict[str, Any] = {"search": {"min_agreement": 0.9}}

    def objective(**sections: Any) -> str:
        given = job_of(folder, **sections)
        job = settings_of(given, asked(), [])
        assert job.objective == given.objective
        return job.objective.type

    assert objective(**fidelity) == "distill"
    assert objective(**fidelity, training={"objective": "supervised"}) == "supervised"
    assert objective() == "supervised"
    taught = job_of(folder, **fidelity, training={"teacher": {"epochs": 2}},
                    quantize=[{"type": "weight_only"}])  # fmt: skip
    job = settings_of(taught, asked(), [])
    assert job.training.teacher is not None
    assert job.objective == taught.objective
    every = settings_of(taught, asked(sparsity=-1, weight_bits=8, is_careful=True), [])
    assert every.training.teacher is None
    assert not every.is_trained


def test_a_trial_of_outputs_that_are_to_stay_keeps_what_it_can(folder: Path) -> None:
    """Batch statistics, a scale for each channel, and training on the grid at 8 bits, too."""
    given = job_of(folder, search={"min_agreement": 0.9}, quantize=[{"type": "weight_only"}])
    settings = asked(sparsity=0.2, weight_bits=8, is_careful=True)
    job = settings_of(given, settings, [])
    assert job.training.freeze_batch_normalization is True
    (variant,) = job.aware_variants.values()
    assert isinstance(variant, WeightOnlyConfig)
    assert (variant.per_channel, variant.epochs, variant.weight_bits) == (True, 1, 8)
    own = job_of(folder, search={"min_agreement": 0.9},
                 training={"epochs": 2, "freeze_batch_normalization": False})  # fmt: skip
    assert settings_of(own, settings, []).training.freeze_batch_normalization is False
    assert settings_of(job_of(folder), asked(), []).training.freeze_batch_normalization is None


def test_where_no_weight_is_pruned_there_is_no_pruning(folder: Path) -> None:
    """Wide layers are in float16 beside 8 bits, or in 8 beside 4; all in float16: no training."""
    given = job_of(folder, search={"min_agreement": 0.9}, quantize=[{"type": "weight_only"}])
    some = settings_of(given, asked(sparsity=-0.3, weight_bits=8, is_careful=True), [], ["first"])
    assert some.prune is None
    (variant,) = some.variants.values()
    assert isinstance(variant, WeightOnlyConfig)
    assert (variant.aware, variant.epochs) == (True, 2)
    assert [(it.name, it.weight_bits) for it in variant.rules] == [("first", 16)]
    four = settings_of(given, asked(sparsity=-0.3, weight_bits=4, is_careful=True), [], ["first"])
    (variant,) = four.variants.values()
    assert isinstance(variant, WeightOnlyConfig)
    assert (variant.weight_bits, variant.epochs) == (4, 2)
    assert [(it.name, it.weight_bits) for it in variant.rules] == [("first", 8)]
    every = settings_of(given, asked(sparsity=-1, weight_bits=8, is_careful=True), [], ["first"])
    assert not every.is_trained
    (variant,) = every.variants.values()
    assert isinstance(variant, WeightOnlyConfig)
    assert (variant.weight_bits, variant.rules) == (16, ())


def test_two_bits_leave_small_layers_at_four(folder: Path) -> None:
    """By a rule for each of them, whatever is in its name; no other width has rules."""
    small = ["first", "odd[1]*"]
    (variant,) = settings_of(job_of(folder), asked(weight_bits=2), small).variants.values()
    assert isinstance(variant, DynamicRangeConfig)
    rules = variant.rules
    assert [it.weight_bits for it in rules] == [4, 4]
    assert [fits(rules[1], it, "Dense") for it in ("odd[1]*", "odd1", "odd[1]x")] == [
        *(True, False, False)
    ]
    (variant,) = settings_of(job_of(folder), asked(weight_bits=4), small).variants.values()
    assert isinstance(variant, DynamicRangeConfig)
    assert variant.rules == ()
    every = ["first", "in/first"]
    (variant,) = settings_of(
        job_of(folder), asked(weight_bits=2), small, names=every
    ).variants.values()
    assert isinstance(variant, DynamicRangeConfig)
    assert [fits(variant.rules[0], it, "Dense") for it in every] == [True, False]


def test_a_layer_is_small_by_its_share_of_the_weights() -> None:
    """Under a fiftieth, of nested models, too; layers without kernels are none."""
    inner = tf_keras.Sequential(
        [layers.InputLayer((4,)), layers.Dense(2, name="tiny"), layers.Dense(50, name="mid")],
        name="inner",
    )
    model = tf_keras.Sequential(
        [layers.InputLayer((4,)), inner, layers.ReLU(), layers.Dense(20, name="large")]
    )
    assert small_layers(model) == ["inner/tiny"]  # 8 of 1,108


def test_what_the_manifest_says_stays(folder: Path) -> None:
    """Its optimizer, the layers that are not pruned, the file's name and its target."""
    given = job_of(
        folder,
        training={"optimizer": {"type": "sgd", "learning_rate": 0.5}, "validation_split": 0.3},
        prune={"layers": [{"name": "wide", "skip": True}], "min_weights": 5},
        quantize=[{"type": "dynamic_range", "name": "small", "target": "tflite-2.14",
                   "batch_size": 1, "c_array": True}],
    )  # fmt: skip
    job = settings_of(given, asked(), [])
    assert job.training.optimizer == given.training.optimizer
    assert job.training.shuffle_seed is None  # it is the manifest's own seed
    assert given.prune is not None
    assert job.prune is not None
    assert (job.prune.layers, job.prune.min_weights) == (given.prune.layers, 5)
    assert job.cluster is None
    (variant,) = job.variants.values()
    told = (variant.name, variant.target, variant.batch_size, variant.c_array)
    assert told == ("small", "tflite-2.14", 1, True)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"training": {"objective": "none"}},
        {"training": {"teacher": {"epochs": 2}, "seed": 3}},
        {"search": {"min_agreement": 0.9}},
        {"search": {"min_agreement": 0.9}, "training": {"teacher": {"epochs": 2}}},
        {"prune": {"layers": [{"name": "wide", "skip": True}]}},
        {"quantize": [{"type": "dynamic_range", "target": "tflite-2.14", "c_array": True}]},
    ],
)
@pytest.mark.parametrize(
    "settings", [{"weight_bits": 2}, {"weight_bits": 8, "clusters": 8, "seed": 9}]
)
def test_the_sections_are_those_of_a_manifest(
    folder: Path, sections: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Which is valid, and says the same job."""
    given = job_of(folder, **sections)
    if given.objective.type == "none":
        settings = settings | {"weight_bits": 8, "epochs": 0}
    job = settings_of(given, asked(**settings), ["wide"])
    plain = {"name": "plain", "model": {"uri": "m.h5"}}
    document = plain | {"dataset": given.model_dump(mode="json")["dataset"]} | sections_of(job)
    again = read_job(json.dumps(document))
    for name in ("training", "prune", "cluster", "quantize"):
        assert getattr(again, name) == getattr(job, name)


def test_a_trial_leaves_the_model_as_it_was(folder: Path, tmp_path: Path) -> None:
    """Its file is judged on held-out rows, and the next trial of the same settings is the same."""
    bench = bench_of(job_of(folder), tmp_path)
    model = bench.loaded.file.model
    before = [it.copy() for it in model.get_weights()]
    found = run_trial(bench, asked(), 3)
    assert all(np.array_equal(*it) for it in zip(before, model.get_weights(), strict=True))
    assert list((tmp_path / "output").iterdir()) == [bench.loaded.baseline.path]
    assert (found.number, found.settings, found.failure) == (3, asked(), "")
    assert found.value is not None
    assert found.margin == pytest.approx(0.2 - found.value)
    drop = bench.judgement.baseline.artifact.metrics["accuracy"] - found.metrics["accuracy"]
    assert found.value == pytest.approx(drop)
    assert found.passed == (found.margin > -1e-6)
    assert 0 < found.trained_s < found.seconds
    run_trial(bench, asked(seed=8, sparsity=0.7), 4)
    again = run_trial(bench, asked(), 5)
    assert (again.sha256, again.bytes, again.margin) == (found.sha256, found.bytes, found.margin)


def test_a_model_of_keras_3_stays_as_it_was(tmp_path: Path) -> None:
    """It is what small models are saved with, and the teacher of all trials."""
    unlabelled.force().save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", **unlabelled.arrays()["force"])
    dataset = {"type": "npz", "uri": str(tmp_path / "data.npz"), **unlabelled.DATA["force"]}
    job = job_of(
        tmp_path,
        model={"uri": str(tmp_path / "model.keras")},
        dataset=dataset,
        training={"epochs": 1, "batch_size": 128},
        search={"min_snr_db": 5},
    )
    bench = bench_of(job, tmp_path / "work")
    teacher = bench.teacher.model
    before = [it.copy() for it in teacher.get_weights()]
    run_trial(bench, asked(epochs=1), 1)
    assert all(np.array_equal(*it) for it in zip(before, teacher.get_weights(), strict=True))


def test_a_trial_that_diverges_has_not_passed(folder: Path, tmp_path: Path) -> None:
    """It says why, and the next one is not disturbed by it."""
    training = {"batch_size": 32, "validation_split": 0.3,
                "optimizer": {"type": "sgd", "learning_rate": 1e30}}  # fmt: skip
    bench = bench_of(job_of(folder, training=training), tmp_path)
    found = run_trial(bench, asked(), 1)
    assert "diverged" in found.failure
    assert not found.passed
    assert (found.bytes, found.sha256, found.value, found.margin) == (0, "", None, -MOST_DROP)
    assert all(np.isfinite(it).all() for it in bench.loaded.file.model.get_weights())
    assert json.loads(found.model_dump_json())["failure"] == found.failure


def test_trials_that_made_no_file_are_neither_chosen_nor_on_the_front(
    folder: Path, tmp_path: Path
) -> None:
    """However far the others are from the limit."""
    bench = bench_of(job_of(folder, search={"max_drop": 0.0}), tmp_path)
    made = run_trial(bench, asked(sparsity=0.95), 1)
    failed = made.model_copy(
        update={"number": 2, "failure": "why", "bytes": 0, "margin": -MOST_DROP, "passed": False}
    )
    missed = made.model_copy(update={"margin": -MOST_DROP, "passed": False})
    assert choose([failed, missed]).number == 1
    assert choose([missed, failed]).number == 1
    assert choose([failed]).number == 2
    assert [it.is_on_front for it in with_front([missed, failed])] == [True, False]


def test_without_training_nothing_is_trained(folder: Path, tmp_path: Path) -> None:
    """Four bits are then rounded to, once."""
    job = job_of(folder, training={"objective": "none"})
    settled = settings_of(job, asked(epochs=0), [])
    assert not settled.aware_variants
    assert settled.training.optimizer == job.training.optimizer
    found = run_trial(bench_of(job, tmp_path), asked(epochs=0, sparsity=0.3), 1)
    assert found.failure == ""
    assert found.bytes > 0
    sparse = run_trial(bench_of(job, tmp_path / "sparse"), asked(epochs=0, sparsity=0.9), 1)
    assert sparse.bytes < found.bytes  # weights are zero without training, too
    assert sparse.metrics != found.metrics
