"""The held-out rows are a seeded, stratified sample; no row is lost or doubled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.datasets.data import Dataset, Split, hold_out, sample
from job.errors import InputError


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
    seen = np.concatenate([part.inputs[0][:, 0] for part in parts])
    assert sorted(seen.tolist()) == list(range(len(labels)))
    for part in parts:  # rows stay whole, and in their order
        numbers = part.inputs[0][:, 0].astype(int)
        assert numbers.tolist() == sorted(numbers)
        np.testing.assert_array_equal(part.targets[0], labels[numbers])
        assert part.weights[0] is not None
        np.testing.assert_array_equal(part.weights[0], numbers * 2.0)
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
    array = np.arange(20.0)[:, None]
    split = Split((array,), (array,), 1.0, ("float64",))
    found = hold_out(Dataset(split, None, split), 5, [], 3)
    assert found.validation is not None
    assert sorted([*found.train.inputs[0][:, 0], *found.validation.targets[0][:, 0]]) == list(
        range(20)
    )


def test_holding_out_every_row_is_refused() -> None:
    """Nothing would be left to train on."""
    with pytest.raises(InputError, match="no rows to train on"):
        hold_out(dataset([0, 1]), 2, [], 0)
