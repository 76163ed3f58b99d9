"""Rows that are read while the model trains make the same batches as rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from job.errors import InputError, quoted_in
from job.manifest.preprocess import AugmentConfig, PreprocessConfig
from job.result.specs import TensorSpec
from job.rows.batches import AHEAD, Augmentation, Batches, Streamed, shuffled_batches
from job.rows.data import Split, steps_per_epoch
from job.rows.lazy import (
    Array,
    CachedRows,
    Indices,
    LazyRows,
    MappedRows,
    SelectedRows,
    StoredRows,
)
from job.rows.normalization import of

ROWS = 53
RANDOM = np.random.default_rng(0)
IMAGES: Array = RANDOM.integers(0, 256, (ROWS, 6, 5, 3)).astype("uint8")
TOKENS = RANDOM.integers(0, 90, (ROWS, 4)).astype("int64")
TORCH = of(PreprocessConfig(preset="resnet50"), TensorSpec("image", (6, 5, 3), "float32"))
PLAIN = Split(
    inputs=(IMAGES, TOKENS),
    targets=(np.arange(ROWS), RANDOM.normal(size=(ROWS, 2)).astype("float32")),
    scale=1 / 255,
    dtypes=("float32", "int32"),
    weights=(RANDOM.random(ROWS).astype("float32"), None),
)
SPLITS = {
    "scaled": PLAIN,
    "normalized": replace(PLAIN, scale=1.0, normalizations=(TORCH, None)),
    "without weights": replace(PLAIN, weights=()),
    "without targets": replace(PLAIN, targets=()),
}
FLIPPED = AugmentConfig(horizontal_flip=True, rotation=0.2, contrast=0.3)
CHANGES = {"plain": None, "augmented": Augmentation(0, FLIPPED)}


def stored(array: Array, folder: Path) -> StoredRows:
    path = folder / f"{len(list(folder.iterdir()))}.rows"
    path.write_bytes(array.tobytes())
    return StoredRows(path, array.shape, array.dtype)


def selected(array: Array, folder: Path) -> LazyRows:
    """From a file that has them backwards."""
    return SelectedRows(stored(array[::-1].copy(), folder), np.arange(len(array))[::-1])


def cached(array: Array, folder: Path) -> LazyRows:
    """The first 20 are stored."""
    return CachedRows(stored(array[:20], folder), len(array), lambda rows: array[rows])


def mapped(array: Array, folder: Path) -> LazyRows:
    """From a file that has flat rows."""
    flat = stored(array.reshape(len(array), -1), folder)
    return MappedRows(flat, lambda rows: rows.reshape(len(rows), *array.shape[1:]))


KINDS: dict[str, Callable[[Array, Path], LazyRows]] = {
    "stored": stored,
    "selected": selected,
    "cached": cached,
    "mapped": mapped,
}


def lazy(split: Split, folder: Path, kind: str = "stored") -> Split:
    """The same split, whose images are not in memory."""
    return replace(split, inputs=(KINDS[kind](IMAGES, folder), *split.inputs[1:]))


def flat(batches: Batches, epoch: int, step: int) -> list[Array]:
    """Inputs, targets and weights of a batch."""
    order = batches.order(epoch)
    inputs, targets = batches.take(order, tf.constant(step))
    listed = inputs if isinstance(inputs, tuple) else (inputs,)
    return [it.numpy() for it in (*listed, *targets, *batches.weights(order, tf.constant(step)))]


def check(found: list[Array], wanted: list[Array]) -> None:
    """Equal to the bit."""
    assert [(it.shape, it.dtype) for it in found] == [(it.shape, it.dtype) for it in wanted]
    assert [it.tobytes() for it in found] == [it.tobytes() for it in wanted]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("size", "seed"), [(7, 3), (53, 0), (16, 2**31 - 1), (100, 1)])
def test_batches_of_lazy_rows_are_those_of_arrays(
    name: str, change: str, size: int, seed: int, tmp_path: Path
) -> None:
    """In several epochs, with the last smaller batch, to the bit."""
    split = SPLITS[name]
    here, away = (
        shuffled_batches(it, size, seed, CHANGES[change]) for it in (split, lazy(split, tmp_path))
    )
    assert isinstance(away.inputs[0], Streamed)
    steps = steps_per_epoch(ROWS, size)
    for epoch in range(2):
        wanted = [flat(here, epoch, step) for step in range(steps)]
        assert sum(len(batch[0]) for batch in wanted) == ROWS
        for step in range(steps):
            check(flat(away, epoch, step), wanted[step])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_lazy_rows_is_streamed(kind: str, tmp_path: Path) -> None:
    """A single row in a batch, and several."""
    for size in (1, 10):
        here, away = (shuffled_batches(it, size, 5) for it in (PLAIN, lazy(PLAIN, tmp_path, kind)))
        for step in range(steps_per_epoch(ROWS, size)):
            check(flat(away, 1, step), flat(here, 1, step))


def test_a_single_lazy_input_is_not_in_a_tuple(tmp_path: Path) -> None:
    """As one in memory."""
    split = replace(PLAIN, inputs=(stored(IMAGES, tmp_path),), dtypes=("float32",), weights=())
    batches = shuffled_batches(split, 8, 0)
    inputs, _ = batches.take(batches.order(0), 0)
    assert inputs.shape == (8, 6, 5, 3)


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_that_goes_on_in_an_epoch_gets_the_same_batches(
    change: str, tmp_path: Path
) -> None:
    """A new object that begins with step k of epoch 1 has taken none before."""
    split = lazy(PLAIN, tmp_path)
    whole = shuffled_batches(split, 8, 7, CHANGES[change])
    steps = steps_per_epoch(ROWS, 8)
    taken = [[flat(whole, epoch, step) for step in range(steps)] for epoch in range(2)]
    for start in range(steps):
        resumed = shuffled_batches(split, 8, 7, CHANGES[change])
        for step in range(start, steps):
            check(flat(resumed, 1, step), taken[1][step])
    images = [np.concatenate([batch[0] for batch in epoch]) for epoch in taken]
    numbers = [np.concatenate([batch[2] for batch in epoch]) for epoch in taken]
    by_row = [them[np.argsort(number)] for them, number in zip(images, numbers, strict=True)]
    is_same = [np.array_equal(*pair) for pair in zip(*by_row, strict=True)]
    assert all(is_same) if change == "plain" else sum(is_same) < ROWS / 10


@pytest.mark.parametrize("name", ["scaled", "normalized"])
def test_batches_in_a_compiled_loop_are_those_of_arrays(name: str, tmp_path: Path) -> None:
    """As trainings take them: TensorFlow may begin a step before the one before it has ended."""

    def rows(split: Split) -> list[Array]:
        batches = shuffled_batches(split, 8, 11, Augmentation(0, FLIPPED))
        steps = steps_per_epoch(ROWS, 8)

        @tf.function  # type: ignore[untyped-decorator]
        def epoch(order: tf.Tensor) -> Any:
            images, tokens, labels, weights = (
                tf.TensorArray(dtype, steps, infer_shape=False)
                for dtype in (tf.float32, tf.int32, tf.int64, tf.float32)
            )
            for step in tf.range(steps):
                (x, words), (y, _) = batches.take(order, step)
                (w, _) = batches.weights(order, step)
                images, tokens = images.write(step, x), tokens.write(step, words)
                labels, weights = labels.write(step, y), weights.write(step, w)
            return [it.concat() for it in (images, tokens, labels, weights)]

        return [it.numpy() for number in range(3) for it in epoch(batches.order(number))]

    found, wanted = rows(lazy(SPLITS[name], tmp_path)), rows(SPLITS[name])
    check(found, wanted)
    assert sorted(found[2]) == list(range(ROWS))
    np.testing.assert_array_equal(found[1], TOKENS[found[2]])


class Counted(LazyRows):
    """Rows that count how often each is read."""

    def __init__(self, array: Array) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads = np.zeros(len(array), int)

    def take(self, rows: Indices) -> Array:
        np.add.at(self.reads, rows, 1)
        return self._array[rows]


def test_a_row_is_read_once_in_an_epoch_and_not_long_before_it_is_needed() -> None:
    """A step later, its batch is there."""
    counted = Counted(IMAGES)
    split = replace(PLAIN, inputs=(counted, TOKENS))
    batches = shuffled_batches(split, 4, 2)
    steps = steps_per_epoch(ROWS, 4)
    for epoch in range(2):
        order = batches.order(epoch)
        for step in range(steps):
            batches.take(order, tf.constant(step))
            assert counted.reads.sum() <= epoch * ROWS + 4 * (step + 1 + AHEAD)
        np.testing.assert_array_equal(counted.reads, epoch + 1)


def rss() -> int:
    """The bytes of memory that this process has now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """128 MB of rows, in batches of 2 MB: less than 40 MB are in memory, in a compiled step."""
    path = tmp_path / "large.rows"
    with path.open("wb") as file:
        for number in range(128):
            file.write(np.full((16, 256, 256), number, "uint8").tobytes())
    rows = StoredRows(path, (2048, 256, 256), np.dtype("uint8"))
    split = Split((rows,), (np.arange(2048) // 16,), 1.0, ("uint8",))
    batches = shuffled_batches(split, 32, 1)

    @tf.function  # type: ignore[untyped-decorator]
    def run(order: tf.Tensor, step: tf.Tensor) -> Any:
        pixels, (numbers,) = batches.take(order, step)
        return tf.reduce_all(tf.cast(pixels[:, 3, 200], tf.int64) == numbers)

    order = batches.order(0)
    assert run(order, tf.constant(0))  # the graph is there
    before = rss()
    for step in range(steps_per_epoch(2048, 32)):
        assert run(order, tf.constant(step))
        assert rss() - before < 40 << 20
    path.unlink()


def test_what_is_wrong_with_a_row_is_said(tmp_path: Path) -> None:
    """Also where a thread read it ahead, inside a graph: TensorFlow's error quotes it."""
    rows = stored(IMAGES, tmp_path)
    batches = shuffled_batches(replace(PLAIN, inputs=(rows, TOKENS)), 8, 0)
    order = batches.order(0)
    rows.path.write_bytes(b"")
    with pytest.raises(InputError, match="become shorter") as caught:
        batches.take(order, tf.constant(0))
    assert caught.value.where == str(rows.path)

    @tf.function  # type: ignore[untyped-decorator]
    def epoch() -> Any:
        total = 0.0
        for step in tf.range(3):
            (pixels, _), _ = batches.take(order, step)
            total += tf.reduce_sum(pixels)
        return total

    with pytest.raises(tf.errors.OpError) as raised:
        epoch()
    found = quoted_in(str(raised.value))
    assert isinstance(found, InputError)
    assert str(found) == str(caught.value)
