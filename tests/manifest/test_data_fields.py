"""What is asked of all data sets: splits, shares, preprocessing; contradictions are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from job.manifest.data_fields import FeatureConfig, SplitSharesConfig
from job.manifest.datasets import ArraysConfig, NpyConfig, NpzConfig
from tests.manifest.test_consistency import MINIMAL, problems
from tests.support.manifests import read_job

TRAIN = {"inputs": "x", "targets": "y"}
RECORDS = {"type": "tfrecord", "uri": "data/", "train": TRAIN}


def dataset(**fields: Any) -> Any:
    """As a manifest in JSON is read."""
    asked = MINIMAL | {"dataset": {"uri": "d.npz", **fields}}
    return read_job(json.dumps(asked), "here.json").dataset


def problem(**fields: Any) -> str:
    """The only problem of a data set."""
    (found,) = problems(dataset={"uri": "d.npz", **fields})
    return found


@pytest.mark.parametrize(
    ("fields", "test_share", "validation_share"),
    [
        ({}, None, None),
        ({"train": TRAIN}, None, None),
        ({"train": TRAIN, "test_split": 0.3}, 0.3, None),
        ({"train": TRAIN, "split": {"test": 0.3}}, 0.3, None),
        ({"train": TRAIN, "split": {"test": 0.3, "validation": 0.1}}, 0.3, 0.1),
        ({"split": {"validation": 0.1}}, None, 0.1),
        ({"split": {"validation": 0}}, None, 0),
    ],
)
def test_shares_are_asked_for_in_two_ways(
    fields: dict[str, Any], test_share: float | None, validation_share: float | None
) -> None:
    """``test_split`` is the older name of ``split.test``."""
    found = dataset(**fields)
    assert (found.test_share, found.validation_share) == (test_share, validation_share)


@pytest.mark.parametrize(
    ("fields", "names_test"),
    [
        ({}, "x_test"),
        ({"split": {"validation": 0.2}}, "x_test"),
        ({"train": {"inputs": "x_train"}}, "x_test"),
        ({"train": TRAIN}, None),
        ({"test_split": 0.2}, None),
        ({"split": {"test": 0.2}}, None),
        ({"test": None}, None),
        ({"train": TRAIN, "test": {"inputs": "t"}}, "t"),
    ],
)
def test_the_usual_test_arrays_go_with_the_usual_training_arrays(
    fields: dict[str, Any], names_test: str | None
) -> None:
    """Not where rows are held out, or others are trained on."""
    found = dataset(**fields)
    assert (found.test and found.test.inputs) == names_test


def test_test_arrays_have_targets_where_training_arrays_have() -> None:
    """And only there."""
    assert dataset(train={"inputs": "x_train", "targets": "l"}).test.targets == "y_test"
    assert not dataset(train={"inputs": "x_train"}).test.has_targets


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"test": TRAIN, "test_split": 0.2}, "test_split is for a test split that is held out"),
        ({"test": TRAIN, "split": {"test": 0.2}}, "split.test is for a test split that is held"),
        ({"test_split": 0.2, "split": {"seed": 3}}, "write split.test"),
        (
            {"validation": TRAIN, "split": {"validation": 0.1}},
            "split.validation is for rows that are held out, and validation names a split",
        ),
        ({"split": {"test": 0.5, "validation": 0.5}}, "test (0.5) and validation (0.5) leave no"),
        ({"split": {"test": 0}}, "greater than 0, not 0"),
        ({"split": {"test": 1}}, "less than 1, not 1"),
        ({"split": {"validation": 1}}, "less than 1, not 1"),
        ({"split": {"seed": -1}}, "dataset.split.seed: this must be"),
        ({"test_split": 1.0}, "less than 1, not 1.0"),
        ({"scale": 2, "preprocess": [{"scale": 2}]}, "leave out one"),
        ({"preprocess": [{"scale": 2}, {"mean": 2}]}, "two entries for one input"),
        ({"preprocess": [{"input": "a", "scale": 2}, {"input": "a", "mean": 1}]}, "two entries"),
        ({"preprocess": [{"input": "a", "scale": 2}, {"mean": 1}]}, "two entries"),
        ({"memory_bytes": -1}, "not -1"),
        ({"cache_bytes": 1 << 47}, "less than or equal to"),
        ({"train": {"inputs": ""}}, "dataset.train.inputs"),
        ({"train": {"inputs": "x", "weights": 3}}, "dataset.train.weights"),
        ({"test": {"inputs": "x", "weights": "w"}}, "dataset.test.weights: unknown field"),
        ({"validation": {"inputs": "x", "weights": "w"}}, "dataset.validation.weights: unknown"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], says: str) -> None:
    """Once, at a path of the data set."""
    found = problem(**fields)
    assert found.startswith("dataset")
    assert says in found


def test_a_data_set_that_is_written_out_reads_back_as_the_same() -> None:
    """With defaults filled in, as in the result."""
    full: dict[str, Any] = {
        "train": {"inputs": {"a": "x", "b": "z"}, "targets": ["y"], "weights": {"out": "w"}},
        "validation": {"inputs": ["x", "z"], "targets": ["y"]},
        "split": {"test": 0.2, "seed": 3, "stratify": False},
        "preprocess": [{"input": "a", "resize": [8, 8]}, {"input": "b", "mean": [1, 2]}],
        "memory_bytes": 0,
    }
    for fields in ({}, full):
        found = dataset(**fields)
        again = dataset(**found.model_dump(mode="json"))
        assert again == found
    assert dataset(**full).split == SplitSharesConfig(test=0.2, seed=3, stratify=False)


def test_npz_is_the_type_of_a_data_set_without_one() -> None:
    """npy asks for the same arrays."""
    for kind, config in (("npz", NpzConfig), ("npy", NpyConfig)):
        found = dataset(type=kind)
        assert isinstance(found, config)
        assert isinstance(found, ArraysConfig)
        assert found.train.inputs == "x_train"
    assert isinstance(dataset(), NpzConfig)


@pytest.mark.parametrize(
    "fields",
    [
        {"train": {}},
        {"train": {"labels": None}},
        {"train": {"folder": "train"}, "test": {"folder": "test", "labels": "test.csv"}},
    ],
)
def test_images_have_labels_unless_they_are_null(fields: dict[str, Any]) -> None:
    """By their folders, or a list."""
    found = dataset(type="image_folder", image_size=[8, 6], **fields)
    assert found.image_size == (8, 6)
    assert found.train.has_targets == (fields["train"].get("labels", "folders") is not None)
    assert dataset(**found.model_dump(mode="json")) == found


def test_a_data_set_of_keras_is_preprocessed_and_has_the_address_of_keras() -> None:
    """Lists are lists also behind what fills in the address."""
    asked = {"type": "keras", "name": "cifar10", "preprocess": [{"resize": [16, 16]}]}
    found = read_job(json.dumps(MINIMAL | {"dataset": asked}), "here.json").dataset
    assert found is not None
    assert found.uri.endswith("cifar-10-python.tar.gz")
    assert found.preprocess[0].resize == (16, 16)
    assert dataset(**found.model_dump(mode="json")) == found
    for wrong in (3, "abc", {"a": 1}, None):
        assert "dataset.preprocess: this must be a list" in problem(preprocess=wrong)


def test_bytes_of_a_record_are_decoded_in_one_way() -> None:
    """As numbers, or as an image; other features in none."""
    good: dict[str, Any] = {
        "x": {"dtype": "bytes", "raw": "uint8", "shape": [8, 8]},
        "i": {"dtype": "bytes", "image": {"image_size": [4, 4], "color_mode": "grayscale"}},
        "y": {"dtype": "int64"},
    }
    found = dataset(**RECORDS, features=good)
    assert found.features["x"] == FeatureConfig(dtype="bytes", raw="uint8", shape=(8, 8))
    assert found.features["i"].image.image_size == (4, 4)
    assert dataset(**found.model_dump(mode="json")) == found
    for wrong, says in (
        ({"dtype": "bytes"}, "bytes need raw"),
        ({"dtype": "bytes", "raw": "uint8", "image": {}}, "bytes need raw"),
        ({"raw": "uint8"}, "raw and image are for bytes, and dtype is float32"),
        ({"dtype": "int64", "image": {}}, "raw and image are for bytes, and dtype is int64"),
    ):
        assert says in problem(**RECORDS, features=good | {"x": wrong})


def test_columns_are_one_several_or_by_name() -> None:
    """An empty list is none of these."""
    for inputs in ("pixel*", ["a", "b"], {"one": "a", "two": ["b", "c"]}):
        found = dataset(type="csv", uri="d.csv", train={"inputs": inputs})
        assert found.train.inputs == inputs
        assert not found.train.has_targets
    assert problem(type="csv", uri="d.csv", train={"inputs": []}).startswith("dataset.train.inputs")
    texts = {"type": "text", "uri": "d/", "vocabulary": "v.txt", "sequence_length": 5}
    assert dataset(**texts, train={"files": "*.txt", "targets": "l.txt"}).train.has_targets
    assert not dataset(**texts, train={"files": "*.txt"}).train.has_targets
