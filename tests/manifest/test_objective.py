"""What a model is trained to do: left out by what the data set has, or as asked where it can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from job.manifest.datasets import NpzConfig
from job.manifest.job import JobConfig
from job.manifest.objective import DistillConfig, NoTrainingConfig, SupervisedConfig
from tests.conftest import paredown
from tests.manifest.test_consistency import MINIMAL, gate, problems

INPUTS = {"uri": "d.npz", "train": {"inputs": "x_train"}}
NO_DATA: dict[str, Any] = {"dataset": None}
UNLABELLED: dict[str, Any] = {"dataset": INPUTS}
# Targets of training rows alone, and of test rows alone.
TRAIN_LABELLED: dict[str, Any] = {
    "dataset": {
        "uri": "d.npz",
        "train": {"inputs": "x", "targets": "y"},
        "test": {"inputs": "other_x"},
    }
}
TEST_LABELLED: dict[str, Any] = {
    "dataset": INPUTS | {"test": {"inputs": "x_test", "targets": "y_test"}}
}


def training(objective: Any, **fields: Any) -> dict[str, Any]:
    """A section on training with an objective."""
    return {"training": {"objective": objective, **fields}}


def job(**sections: Any) -> JobConfig:
    """A minimal job with other sections."""
    return JobConfig.model_validate(MINIMAL | sections)


def test_left_out_the_objective_follows_the_data_set() -> None:
    """Targets, inputs alone, no data."""
    assert job().objective == SupervisedConfig(type="supervised")
    assert job(**UNLABELLED).objective == DistillConfig(type="distill")
    assert job(**TEST_LABELLED).objective == DistillConfig(type="distill")
    assert job(**NO_DATA).objective == NoTrainingConfig(type="none")
    assert job(training={"epochs": 3}).training.objective is None


def test_an_objective_is_a_name_or_an_object() -> None:
    """A name has the defaults: no labels mixed in, temperature 1."""
    assert job(**training("distill")).objective == job(**training({"type": "distill"})).objective
    asked = {"type": "distill", "temperature": 4, "label_weight": 0.25, "cache_bytes": 0}
    found = job(**training(asked)).objective
    assert found == DistillConfig(type="distill", temperature=4, label_weight=0.25, cache_bytes=0)
    assert job(**training({"type": "none"})).objective.type == "none"


@pytest.mark.parametrize(
    ("objective", "path"),
    [
        ("distil", "training.objective"),
        ({"type": "teach"}, "training.objective"),
        ({"type": "distill", "temperature": 0}, "training.objective.temperature"),
        ({"type": "distill", "label_weight": 1.1}, "training.objective.label_weight"),
        ({"type": "distill", "label_weight": -0.1}, "training.objective.label_weight"),
        ({"type": "distill", "cache_bytes": -1}, "training.objective.cache_bytes"),
        ({"type": "supervised", "temperature": 2}, "training.objective.temperature"),
        ({}, "training.objective"),
        (3, "training.objective"),
    ],
)
def test_no_other_objective_is_taken(objective: Any, path: str) -> None:
    """One problem, at the path of what is wrong."""
    (found,) = problems(**training(objective))
    assert found.startswith(f"{path}: ")


def test_which_arrays_are_tested_on_follows_from_those_that_are_trained_on() -> None:
    """The usual names have usual test rows; others, and a share that is asked for, have none."""

    def tested(**fields: Any) -> tuple[Any, Any] | None:
        test = NpzConfig.model_validate({"uri": "d.npz"} | fields).test
        return None if test is None else (test.inputs, test.targets)

    assert tested() == ("x_test", "y_test")
    assert tested(train={"inputs": "x_train", "targets": "y_train"}) == ("x_test", "y_test")
    assert tested(train={"inputs": "x_train"}) == ("x_test", None)
    assert tested(train={"inputs": "x_train", "targets": None}) == ("x_test", None)
    assert tested(train={"inputs": "pictures"}) is None
    assert tested(test=None) is None
    assert tested(test_split=0.3) is None
    assert tested(test={"inputs": "a"}, train={"inputs": "b", "targets": "c"}) == ("a", None)


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_a_share_that_leaves_no_row_is_refused(share: float) -> None:
    """It is more than nothing and less than all."""
    (found,) = problems(dataset={"uri": "d.npz", "test_split": share})
    assert found.startswith("dataset.test_split: ")


def test_a_share_beside_the_names_of_test_rows_is_refused() -> None:
    """One of them has to go."""
    dataset = {"uri": "d.npz", "test_split": 0.2, "test": {"inputs": "x_test"}}
    (found,) = problems(dataset=dataset)
    assert found.startswith("dataset: test_split is for a test split that is held out")


# The name of a manifest, its sections, and its problems: paths and the words that they begin with.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "labels that are not there": (
        UNLABELLED | training({"type": "distill", "label_weight": 0.5}),
        ["training.objective.label_weight: 0.5 of the loss would be that of targets"],
    ),
    "supervised by nothing": (
        UNLABELLED | training("supervised"),
        ["training.objective: supervised needs targets, and dataset.train has none"],
    ),
    "supervised without data": (
        NO_DATA | training("supervised"),
        ["training.objective: supervised needs inputs to train on, and dataset is null"],
    ),
    "distill without data": (
        NO_DATA | training("distill"),
        ["training.objective: distill needs inputs to train on, and dataset is null"],
    ),
    "gates on labels": (
        UNLABELLED
        | {
            "gates": [
                gate(),
                {"type": "min_value", "metric": "accuracy", "value": 0.9},
                {"type": "beats_constant"},
                {"type": "min_class_recall", "value": 0.5},
            ]
        },
        [
            "gates.0: max_drop judges a metric, which needs targets",
            "gates.1: min_value judges a metric, which needs targets",
            "gates.2: beats_constant judges a metric, which needs targets",
            "gates.3: min_class_recall judges a metric, which needs targets",
        ],
    ),
    "a drop without test targets": (
        TRAIN_LABELLED | {"gates": [gate(metric="loss")]},
        ["gates.0: max_drop judges a metric, which needs targets, and the test rows have none"],
    ),
    "a drop without data": (
        NO_DATA | {"gates": [gate()]},
        ["gates.0: max_drop judges a metric, which needs targets"],
    ),
    "metrics without labels": (
        UNLABELLED | {"training": {"metrics": ["accuracy"]}},
        ["training.metrics: a metric is asked for, which needs targets"],
    ),
    "integers without data": (
        NO_DATA | {"quantize": [{"type": "float32"}, {"type": "int8"}, {"type": "int16x8"}]},
        [
            "quantize.1: int8 is calibrated on rows of data, and dataset is null",
            "quantize.2: int16x8 is calibrated on rows of data, and dataset is null",
        ],
    ),
    "random ranges beside data": (
        {"quantize": [{"type": "int8", "calibration": "synthetic"}]},
        ["quantize.0.calibration: synthetic is for a job whose dataset is null"],
    ),
    "ranges of inputs beside data": (
        {"model": {"uri": "m.h5", "input_ranges": {"x": [0, 1]}}},
        ["model.input_ranges: inputs are only drawn where dataset is null"],
    ),
    "a range upside down": (
        NO_DATA | {"model": {"uri": "m.h5", "input_ranges": {"x": [1, 1]}}},
        ["model.input_ranges.x: the lowest value, 1, is not below the highest, 1"],
    ),
    "classes without labels": (
        training("distill", class_weights="balanced"),
        ["training.class_weights: classes are those of the targets"],
    ),
    "too much confidence": (
        {"gates": [gate(confidence=1)]},
        ["gates.0.confidence: "],
    ),
}


def test_what_contradicts_the_data_set_is_found_by_validate(tmp_path: Path) -> None:
    """Every problem of each manifest, with its JSON path, and exit code 2."""
    paths = []
    for index, (sections, _) in enumerate(CASES.values()):
        paths.append(tmp_path / f"{index}.json")
        paths[-1].write_text(json.dumps(MINIMAL | sections))
    done = paredown("validate", *paths)
    assert (done.code, done.out) == (2, "")
    for sections, says in CASES.values():
        found = problems(**sections)
        assert len(found) == len(says), found
        for problem, begins in zip(found, says, strict=True):
            assert problem.startswith(begins)
            assert problem in done.err


@pytest.mark.parametrize(
    "sections",
    [
        NO_DATA,
        NO_DATA | {"quantize": [{"type": "int8", "calibration": "synthetic"}]},
        NO_DATA | {"model": {"uri": "m.h5", "input_ranges": {"x": [-1, 1]}}},
        NO_DATA | {"gates": [{"type": "min_agreement", "value": 0.9, "confidence": 0.95}]},
        NO_DATA | training("none"),
        UNLABELLED | {"quantize": [{"type": "int8"}, {"type": "dynamic_range"}]},
        UNLABELLED | {"gates": [{"type": "min_snr_db", "value": 20}]},
        UNLABELLED | training("none"),
        UNLABELLED | training({"type": "distill", "label_weight": 0}),
        TRAIN_LABELLED | training({"type": "distill", "label_weight": 1}),
        TRAIN_LABELLED | training("supervised", class_weights="balanced"),
        TEST_LABELLED | {"gates": [gate()], "training": {"metrics": ["accuracy"]}},
        training({"type": "distill", "label_weight": 0.5}, class_weights={"1": 2}),
        {"gates": [gate(confidence=0.95), {"type": "min_snr_db", "value": 0, "confidence": 0.5}]},
        {"dataset": {"uri": "d.npz", "test": None, "train": {"inputs": "a", "targets": "b"}}}
        | {"gates": [gate()]},
    ],
)
def test_what_fits_the_data_set_has_no_problem(sections: dict[str, Any]) -> None:
    """Labels of training rows and of test rows count where each is needed."""
    assert problems(**sections) == []


def test_the_manifest_with_its_defaults_is_the_same_job() -> None:
    """As it is written beside the results, and read by a run that goes on."""
    for sections in (NO_DATA, UNLABELLED, TRAIN_LABELLED, training("distill"), {}):
        first = job(**sections)
        again = JobConfig.model_validate(first.model_dump(mode="json"))
        assert again == first
        assert again.objective == first.objective
    with pytest.raises(ValidationError, match="frozen"):
        job().training.objective = "none"  # type: ignore[misc]
