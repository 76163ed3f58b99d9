"""The job that a trial is: an ordinary one, whose sections make the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tf_keras

from job.manifest.quantize import DynamicRangeConfig, WeightOnlyConfig
from job.manifest.training import CosineDecayConfig
from job.models.prunable import fits
from job.worker.trial_job import sections_of, settings_of, small_layers
from tests.support.manifests import read_job
from tests.support.searching import asked, job_of

layers = tf_keras.layers


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
    few = settings_of(given, asked(weight_bits=8, clusters=8, is_careful=True), [])
    (clustered,) = few.variants.values()
    assert isinstance(clustered, WeightOnlyConfig)
    assert clustered.per_channel is False
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
