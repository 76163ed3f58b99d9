"""Weights of samples and classes: those of Keras, or a refusal."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from job.errors import InputError
from job.manifest.job import JobConfig
from job.metrics.per_class import Labels
from job.rows.data import Dataset, Split
from job.worker.data_notes import describe_splits
from job.worker.splits import with_weights

INDICES = Labels.of("sparse_categorical_crossentropy", 3)


def dataset(targets: Any, *weights: Any) -> Dataset:
    targets = np.asarray(targets)
    split = Split((targets,), (targets,), 1.0, ("float32",), weights)
    return Dataset(split, split.rows(0, 1), split)


def weigh(given: Any, targets: Any, labels: Labels, rank: int, *weights: Any) -> Any:
    data = dataset(targets, *weights)
    found, used = with_weights(data, ["out"], [labels], [given], [rank])
    assert found.validation is not None
    (held_out,) = found.validation.weights
    np.testing.assert_array_equal(held_out, found.train.weights[0][:1])  # type: ignore[index]
    return found.train.weights[0], used


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """rows / (classes * rows of the class); a class without rows counts in nothing."""
    weights, used = weigh("balanced", [0, 0, 0, 2], INDICES, 1)
    np.testing.assert_allclose(weights, [4 / 6, 4 / 6, 4 / 6, 2])
    assert used == {"out": {"0": pytest.approx(4 / 6), "1": 1.0, "2": 2.0}}


def test_every_layout_of_targets_is_weighted_by_its_class() -> None:
    """One-hot rows, 0 and 1, a class for each pixel; samples multiply."""
    rows = Labels.of("categorical_crossentropy", 3)
    binary = Labels.of("binary_crossentropy", 1)
    given = {"1": 5.0}
    np.testing.assert_array_equal(weigh(given, np.eye(3), rows, 1)[0], [1, 5, 1])
    np.testing.assert_array_equal(weigh(given, [[1], [0]], binary, 1)[0], [5, 1])
    pixels = np.array([[[0, 1], [1, 2]]])
    np.testing.assert_array_equal(weigh(given, pixels, INDICES, 3)[0], [[[1, 5], [5, 1]]])
    samples = np.array([2.0, 0.5])
    np.testing.assert_array_equal(weigh(given, [1, 2], INDICES, 1, samples)[0], [10, 0.5])
    shape = weigh(given, np.zeros((2, 4, 4), int), INDICES, 3, samples)[0].shape
    assert shape == (2, 4, 4)
    assert weigh(None, np.zeros((2, 4)), Labels.of("huber", 4), 1, samples)[0].shape == (2,)


@pytest.mark.parametrize(
    ("given", "labels", "what"),
    [
        ({"3": 1.0}, INDICES, "no class 3; the model has 3 classes"),
        ({"0": 0.0, "1": 0.0, "2": 0.0}, INDICES, "no row would count"),
        ("balanced", Labels.of("huber", 3), "no classes"),
        ({"0": 1.0}, Labels.of("binary_crossentropy", 3), "several classes in a row"),
        ("balanced", Labels.of("binary_crossentropy", 3, "unclear"), "no classes"),
    ],
)
def test_class_weights_without_a_meaning_are_refused(given: Any, labels: Labels, what: str) -> None:
    """With the field that says so."""
    with pytest.raises(InputError, match=what) as caught:
        weigh(given, [0, 1, 2], labels, 1)
    assert caught.value.where == "training.class_weights"


def test_the_pixels_of_a_mask_are_weighed_only_with_an_axis_of_their_own() -> None:
    """Keras's loss is the mean over the last axis."""
    label = Labels.of("binary_crossentropy", 4, "positions")
    with pytest.raises(InputError, match="holds 4 positions") as caught:
        weigh("balanced", np.eye(4)[None], label, 2)
    assert caught.value.where == "training.class_weights"
    assert weigh("balanced", np.eye(4)[None, :, :, None], label, 3)[0].shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("section", "sources"),
    [
        ({"uri": "d.npz"}, ("arrays", "arrays")),
        ({"uri": "d.npz", "test": None}, ("arrays", "held out")),
        (None, ("synthetic", "synthetic")),
    ],
)
def test_the_rows_of_each_split_are_in_the_result(section: Any, sources: tuple[str, str]) -> None:
    """How many, where they come from, and a digest that their arrays determine."""
    job = JobConfig.model_validate({"name": "a", "model": {"uri": "m.h5"}, "dataset": section})
    data = dataset(np.arange(6))
    test = replace(data.test.rows(1, 4), targets=())
    found = describe_splits(job, replace(data, validation=None, test=test))
    assert [(name, it.rows, it.source, it.has_targets) for name, it in found.items()] == [
        ("train", 6, sources[0], True),
        ("test", 3, sources[1], False),
    ]
    array = np.arange(1, 4)
    said = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    assert found["test"].sha256 == said.hexdigest()


def test_rows_that_are_validated_on_are_held_out() -> None:
    """Other numbers, dtypes and shapes have other digests."""
    job = JobConfig.model_validate({"name": "a", "model": {"uri": "m"}, "dataset": {"uri": "d"}})
    split = describe_splits(job, dataset(np.arange(6)))["validation"]
    assert (split.rows, split.source) == (1, "held out")
    digests = {
        describe_splits(job, dataset(array))["train"].sha256
        for array in (
            *(np.arange(6), np.arange(6)[::-1], np.arange(7)),
            *(np.arange(6, dtype="int32"), np.arange(6)[:, None]),
        )
    }
    assert len(digests) == 5
