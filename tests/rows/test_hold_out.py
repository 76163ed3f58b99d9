"""The held-out rows are a seeded, stratified sample; no row is lost or doubled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import InputError
from job.rows.data import Dataset, Split, hold_out, hold_out_test, sample
from tests.support.sources import array


def dataset(labels: list[int]) -> Dataset:
    """Each row's input is its number in the archive."""
    targets = np.array(labels)
    inputs = np.arange(len(labels), dtype="float32")[:, None]
    split = Split((inputs,), (targets,), 1.0, ("float32",), (np.arange(len(labels)) * 2.0,))
    return Dataset(split, None, split.rows(0, 1))


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 5),
)
@settings(deadline=None)
def test_sorted_classes_are_held_out_by_their_shares(
    counts: list[int], share: float, seed: int
) -> None:
    """To within two rows; no class loses its last row, and every row is in one part."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = int(len(labels) * share)
    found = hold_out(dataset(labels.tolist()), rows, [labels], seed)
    parts = [found.train, *([found.validation] if found.validation else [])]
    seen = np.concatenate([array(part.inputs[0])[:, 0] for part in parts])
    assert sorted(seen.tolist()) == list(range(len(labels)))
    for part in parts:  # rows stay whole, and in their order
        there = numbers(part)
        assert there.tolist() == sorted(there)
        np.testing.assert_array_equal(part.targets[0], labels[there])
        assert part.weights[0] is not None
        np.testing.assert_array_equal(part.weights[0], there * 2.0)
    kept = np.bincount(found.train.targets[0], minlength=len(counts))
    assert (kept >= 1).all()
    held = np.array(counts) - kept
    assert held.sum() == min(rows, len(labels) - len(counts))
    if 0 < rows <= len(labels) - len(counts):
        eligible = np.array(counts) - 1
        np.testing.assert_array_less(abs(held - rows * eligible / eligible.sum()), 1.0 + 1e-9)


def test_the_seed_determines_the_sample() -> None:
    """The same seed draws the same rows, another seed others; also without classes."""
    for keys in ([], [np.arange(200) % 4]):
        first, again, other = (sample(200, 20, keys, seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert first.tolist() != other.tolist()
        assert first.size == np.unique(first).size == 20
        assert first.min() < 100 <= first.max()  # not the last rows


def test_an_array_that_is_input_and_target_is_moved_once() -> None:
    """As for an autoencoder."""
    both = np.arange(20.0)[:, None]
    split = Split((both,), (both,), 1.0, ("float64",))
    found = hold_out(Dataset(split, None, split), 5, [], 3)
    assert found.validation is not None
    assert sorted(
        [*array(found.train.inputs[0])[:, 0], *found.validation.targets[0][:, 0]]
    ) == list(range(20))


def test_holding_out_every_row_is_refused() -> None:
    """Nothing would be left to train on."""
    with pytest.raises(InputError, match="no rows to train on"):
        hold_out(dataset([0, 1]), 2, [], 0)


def whole(*targets: np.ndarray, rows: int = 200) -> Split:
    """Rows whose input is their number, with these targets."""
    inputs = np.arange(rows, dtype="float32")[:, None]
    return Split((inputs,), targets, 1.0, ("float32",))


def numbers(split: Split) -> np.ndarray:
    """Which rows a split has."""
    return array(split.inputs[0])[:, 0].astype(int)


@pytest.mark.parametrize("share", [0.2, 0.05, 0.5])
def test_rows_to_test_on_are_a_share_of_all(share: float) -> None:
    """No row is in both splits, and none is lost; the seed decides which they are."""
    parts = []
    for seed in (7, 7, 8):
        found = hold_out_test(whole(), share, seed)
        assert found.validation is None
        train, test = (array(it.inputs[0])[:, 0].tolist() for it in (found.train, found.test))
        assert len(test) == 200 * share
        assert sorted([*train, *test]) == list(range(200))
        assert (train, test) == (sorted(train), sorted(test))
        parts.append(test)
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("layout", ["indices", "column", "one-hot", "yes or no"])
def test_rows_to_test_on_have_their_share_of_each_class(layout: str) -> None:
    """Also where the rows are sorted by class, however classes are written."""
    classes = np.repeat([0, 1, 2, 3], [100, 60, 30, 10])
    targets = {
        "indices": classes,
        "column": classes[:, None].astype("uint8"),
        "one-hot": np.eye(4, dtype="float32")[classes],
        "yes or no": (classes > 0)[:, None],
    }[layout]
    if layout == "yes or no":
        classes = np.minimum(classes, 1)
    test = hold_out_test(whole(targets.copy()), 0.2, 7).test
    held = np.bincount(
        classes[array(test.inputs[0])[:, 0].astype(int)], minlength=classes.max() + 1
    )
    np.testing.assert_allclose(held, np.bincount(classes) / 5, atol=1)
    np.testing.assert_array_equal(test.targets[0], targets[array(test.inputs[0])[:, 0].astype(int)])


def test_numbers_are_no_classes() -> None:
    """Neither fractions nor as many integers as rows: any row may be drawn."""
    plain = hold_out_test(whole(), 0.2, 7).test.inputs[0]
    random = np.random.default_rng(0)
    for targets in (random.normal(size=(200, 3)), np.arange(200), random.random(200)):
        found = hold_out_test(whole(targets.copy()), 0.2, 7).test
        np.testing.assert_array_equal(found.inputs[0], plain)
        np.testing.assert_array_equal(
            found.targets[0], targets[array(found.inputs[0])[:, 0].astype(int)]
        )


@pytest.mark.parametrize(
    ("rows", "share", "what"),
    [(10, 0.05, "none is left to test on"), (1, 0.5, "none is left to test on")],
)
def test_a_share_that_leaves_no_row_is_refused(rows: int, share: float, what: str) -> None:
    """With the manifest's path, and what to do."""
    with pytest.raises(InputError, match=what) as caught:
        hold_out_test(whole(rows=rows), share, 7)
    assert caught.value.where == "dataset.test_split"
    assert f"test_split is {share:g}, and the data set has {rows} rows" in caught.value.what


def test_the_last_row_of_a_class_is_trained_on() -> None:
    """So it is not tested on."""
    classes = np.array([0] * 9 + [1])
    test = hold_out_test(whole(classes, rows=10), 0.5, 7).test
    assert 9 not in array(test.inputs[0])
    assert len(test) == 5
