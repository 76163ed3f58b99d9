"""Which rows are read, in which order and dtype, and how a manifest names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.datasets.open_dataset import open_dataset
from job.errors import InputError
from job.manifest.datasets import NpzConfig
from job.result.specs import TensorSpec
from job.rows.batches import shuffled_batches
from job.rows.data import Dataset, Split, calibration_rows, hold_out_test, steps_per_epoch
from tests.support.sources import source_of

Array = NDArray[Any]
SCALE = 1 / 255


def numbered(rows: int, scale: float = 1.0) -> Split:
    """Distinct rows: pixels, indices, and the row's number as target."""
    pixels = np.arange(rows * 2).reshape(rows, 2).astype("uint8")
    indices = np.arange(rows).astype("int64")[:, None] * 3
    return Split((pixels, indices), (np.arange(rows),), scale, ("float32", "int32"))


def epochs_of(split: Split, batch_size: int, epochs: int, seed: int) -> list[list[Any]]:
    """The batches of each epoch, as NumPy arrays."""
    batches = shuffled_batches(split, batch_size, seed)
    found = []
    for epoch in range(epochs):
        order = batches.order(epoch)
        taken = [
            batches.take(order, step) for step in range(steps_per_epoch(len(split), batch_size))
        ]
        found.append([(tuple(it.numpy() for it in x), y.numpy()) for x, (y,) in taken])
    return found


def orders(split: Split, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """The row numbers of each epoch, in order."""
    return [
        [int(row) for _, targets in epoch for row in targets]
        for epoch in epochs_of(split, batch_size, epochs, seed)
    ]


@given(rows=st.integers(1, 60), size=st.integers(1, 70), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_each_epoch_has_every_row_once(rows: int, size: int, seed: int) -> None:
    """In whole batches and one rest, whatever the sizes."""
    for epoch in epochs_of(numbered(rows), size, 2, seed):
        sizes = [len(targets) for _, targets in epoch]
        assert sizes[:-1] == [size] * (len(sizes) - 1)
        assert sum(sizes) == rows
        assert sorted(row for _, targets in epoch for row in targets) == list(range(rows))


def test_the_order_depends_on_the_seed_and_the_epoch() -> None:
    """The same seed gives the same order; no two epochs and no two seeds share one."""
    split = numbered(100)
    first = orders(split, 32, 3, seed=7)
    assert orders(split, 32, 3, seed=7) == first
    assert orders(split, 16, 3, seed=7) == first  # the batch size does not change it
    seen = [*first, *orders(split, 32, 3, seed=8), list(range(100))]
    assert len({tuple(order) for order in seen}) == 7


def test_rows_stay_together_and_are_scaled() -> None:
    """Pixels become float32 times the scale; indices become int32 and are not scaled."""
    split = numbered(90, SCALE)
    pixels, indices = split.inputs
    for epoch in epochs_of(split, 32, 2, seed=1):
        for (floats, integers), targets in epoch:
            assert (floats.dtype, integers.dtype) == (np.float32, np.int32)
            wanted = pixels[targets].astype("float32") * np.float32(SCALE)
            np.testing.assert_array_equal(floats, wanted)
            np.testing.assert_array_equal(integers, indices[targets])
            (read_floats, read_integers), _ = split.read(int(targets[0]), int(targets[0]) + 1)
            np.testing.assert_array_equal(read_floats[0], floats[0])
            np.testing.assert_array_equal(read_integers[0], integers[0])


def test_a_single_input_is_not_in_a_tuple() -> None:
    """Keras would misread a tuple of one."""
    split = Split((np.eye(4),), (np.arange(4),), 2.0, ("float32",))
    batches = shuffled_batches(split, 4, 0)
    inputs, (targets,) = batches.take(batches.order(0), 0)
    np.testing.assert_array_equal(inputs.numpy(), np.eye(4)[targets.numpy()] * 2)


@pytest.mark.parametrize(("dtype", "scale"), [("float32", SCALE), ("float64", 3.0), ("int32", 9)])
def test_rows_are_read_as_by_numpy(dtype: str, scale: float) -> None:
    """Cast first, then multiplied in that dtype; integers are not scaled."""
    stored = np.random.default_rng(0).integers(0, 255, (10, 3)).astype("uint8")
    split = Split((stored,), (np.arange(10),), scale, (dtype,))
    (inputs,), (targets,) = split.read(3, 8)
    wanted = stored[3:8].astype(dtype)
    if dtype != "int32":
        wanted = wanted * wanted.dtype.type(scale)
    np.testing.assert_array_equal(inputs, wanted)
    assert inputs.dtype == dtype
    np.testing.assert_array_equal(targets, range(3, 8))
    np.testing.assert_array_equal(split.model_inputs(np.asarray([4, 7]))[0], wanted[[1, 4]])
    part = split.rows(3, 8)
    assert len(part) == 5
    assert np.shares_memory(part.inputs[0], stored)
    np.testing.assert_array_equal(part.read(0, 5)[0][0], wanted)


@given(rows=st.integers(1, 500), samples=st.integers(1, 600), seed=st.integers(0, 2**31 - 1))
@settings(deadline=None)
def test_calibration_rows_are_drawn_once_each(rows: int, samples: int, seed: int) -> None:
    """As many as asked for, or all, in rising order, the same for the same seed."""
    drawn = calibration_rows(rows, samples, seed)
    assert len(drawn) == min(rows, samples)
    assert (np.diff(drawn) > 0).all()
    assert 0 <= drawn.min() <= drawn.max() < rows
    np.testing.assert_array_equal(calibration_rows(rows, samples, seed), drawn)


def test_calibration_rows_are_not_only_the_first() -> None:
    """They are from the whole split, and others with another seed."""
    drawn = calibration_rows(60_000, 200, 7)
    assert 25_000 < drawn.mean() < 35_000
    assert len(set(drawn) & set(calibration_rows(60_000, 200, 8))) < 20


@given(rows=st.integers(1, 1000), size=st.integers(1, 1000))
@settings(deadline=None)
def test_steps_are_the_batches_of_an_epoch(rows: int, size: int) -> None:
    """Counted by slicing."""
    assert steps_per_epoch(rows, size) == len(range(0, rows, size))


@pytest.mark.parametrize("held_out", [False, True])
def test_targets_get_the_last_axis_of_the_outputs(held_out: bool) -> None:
    """(rows,) becomes (rows, 1), in all splits, where it is missing and needed."""
    wide = np.zeros((6, 3))
    split = Split((np.zeros((6, 2)),), (np.arange(6.0), np.arange(6), wide), 1.0, ("float32",))
    dataset = Dataset(split, split.rows(4, 6) if held_out else None, split.rows(0, 3))
    found = dataset.with_target_ranks([2, 0, 2])
    assert [it.shape for it in found.train.targets] == [(6, 1), (6,), (6, 3)]
    assert [it.shape for it in found.test.targets] == [(3, 1), (3,), (3, 3)]
    assert (found.validation is not None) == held_out
    if found.validation is not None:
        np.testing.assert_array_equal(found.validation.targets[0], [[4.0], [5.0]])
    np.testing.assert_array_equal(found.train.targets[0][:, 0], split.targets[0])
    again = found.with_target_ranks([2, 0, 2])
    assert [it.shape for it in again.train.targets] == [(6, 1), (6,), (6, 3)]


def test_the_targets_of_all_outputs_are_of_the_same_rows() -> None:
    """In a batch, and where rows are read."""
    numbers = np.arange(50)
    split = Split((numbers[:, None],), (numbers, numbers * 2.5), 1.0, ("float32",))
    batches = shuffled_batches(split, 16, 3)
    inputs, (first, second) = batches.take(batches.order(0), 1)
    np.testing.assert_array_equal(first, inputs[:, 0])
    np.testing.assert_array_equal(second, first.numpy() * 2.5)
    assert len(split.rows(10, 20)) == 10
    _, (first, second) = split.rows(10, 20).read(2, 4)
    np.testing.assert_array_equal(first, [12, 13])
    np.testing.assert_array_equal(second, [30, 32.5])


ZETA, ALPHA = TensorSpec("zeta", (2,), "float32"), TensorSpec("alpha", (3,), "int32")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """An archive for a model with the inputs zeta and alpha, in this order."""
    path = tmp_path / "two.npz"
    np.savez(path, a=np.ones((5, 3), "int32"), z=np.zeros((5, 2)), y=np.arange(5))
    return path


def named(
    path: Path, inputs: Any, targets: Any = "y", outputs: list[TensorSpec] | None = None
) -> Dataset:
    split = {"inputs": inputs, "targets": targets}
    config = NpzConfig.model_validate({"uri": "two.npz", "train": split, "test": split})
    wanted = outputs or [TensorSpec("out", (5,), "float32")]
    return open_dataset(source_of([path], [ZETA, ALPHA], wanted), config, 7).dataset


@pytest.mark.parametrize("inputs", [["z", "a"], {"zeta": "z", "alpha": "a"}])
@pytest.mark.parametrize("targets", ["y", ["y"], {"out": "y"}])
def test_inputs_are_named_in_the_models_order_or_by_its_names(
    inputs: Any, targets: Any, two: Path
) -> None:
    """A list by position, an object by name: both give the model's order."""
    found = named(two, inputs, targets).train
    assert [array.shape for array in found.inputs] == [(5, 2), (5, 3)]
    assert found.dtypes == ("float32", "int32")
    np.testing.assert_array_equal(found.targets[0], range(5))
    reordered = named(two, {"alpha": "a", "zeta": "z"}, targets).train
    assert [array.shape for array in reordered.inputs] == [(5, 2), (5, 3)]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ("z", ["names 1 arrays", "2 inputs: zeta, alpha"]),
        (["z"], ["names 1 arrays", "2 inputs: zeta, alpha"]),
        (["z", "a", "a"], ["names 3 arrays"]),
        ({"zeta": "z"}, ["names zeta;", "zeta, alpha"]),
        ({"zeta": "z", "alhpa": "a"}, ["alhpa, zeta;", "zeta, alpha"]),
    ],
)
def test_names_that_do_not_fit_the_model_are_refused(
    inputs: Any, says: list[str], two: Path
) -> None:
    """The message has the given names and those of the model's inputs."""
    with pytest.raises(InputError) as caught:
        named(two, inputs)
    assert caught.value.where == "dataset.train.inputs"
    for part in says:
        assert part in caught.value.what


DIGIT, ANGLE = TensorSpec("digit", (3,), "float32"), TensorSpec("angle", (1,), "float32")


@pytest.mark.parametrize("targets", [["y", "w"], {"angle": "w", "digit": "y"}])
def test_targets_are_named_in_the_models_order_or_by_its_names(targets: Any, two: Path) -> None:
    """As for inputs."""
    with np.load(two) as archive:
        np.savez(two, **archive, w=np.arange(5) / 2)
    first, second = named(two, ["z", "a"], targets, [DIGIT, ANGLE]).test.targets
    np.testing.assert_array_equal(first, range(5))
    np.testing.assert_array_equal(second, np.arange(5) / 2)


@pytest.mark.parametrize(
    ("targets", "outputs", "says"),
    [
        (["y", "y"], None, ["names 2 arrays", "1 outputs: out"]),
        ("y", [DIGIT, ANGLE], ["names 1 arrays", "2 outputs: digit, angle"]),
        ({"digit": "y", "angel": "y"}, [DIGIT, ANGLE], ["angel, digit;", "outputs are digit, ang"]),
    ],
)
def test_targets_that_do_not_fit_the_model_are_refused(
    targets: Any, outputs: list[TensorSpec] | None, says: list[str], two: Path
) -> None:
    """The message has the given names and those of the model's outputs."""
    with pytest.raises(InputError) as caught:
        named(two, ["z", "a"], targets, outputs)
    assert caught.value.where == "dataset.train.targets"
    for part in says:
        assert part in caught.value.what


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_each_class_has_its_share_of_the_test_rows_whatever_its_dtype(dtype: str) -> None:
    """Fractions are no classes, and sampled as they are."""
    labels = np.zeros((100, 1), dtype)
    labels[:10] = 1
    split = replace(numbered(100), targets=(labels,))
    for seed in range(5):
        found = hold_out_test(split, 0.2, seed)
        assert found.test.targets[0].sum() == 2
    rough = [hold_out_test(replace(split, targets=(labels + 0.5,)), 0.2, it) for it in range(5)]
    assert {float(it.test.targets[0].sum()) for it in rough} != {2 + 0.5 * 20}
