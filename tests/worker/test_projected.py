"""Projected trainings of models with every kind of kernel: zeros, clusters and grids hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.events import Stage
from job.metrics.quality import Samples
from job.models.kernel_axes import quantized_kernels
from job.models.layers import layers_of
from job.result.training import TrainedForResult
from job.stages.projected_step import Bits, ProjectionSchedule, scheduled
from job.stages.small_file import Making, small_file
from job.tflite import blocks
from job.worker.projected import (
    LayerTarget,
    ProjectedSettings,
    project_at_once,
    projected_training,
    run_of,
)
from job.worker.teach import Lesson
from tests.support.batches import InOrder
from tests.support.flat import variant

layers = tf_keras.layers
ROWS = 48
# Bits of a grid -> the most values of a kernel that had five clusters.
GRIDS: dict[Bits, int] = {8: 5, 4: 15, 2: 3}


class _Objective:
    """Three classes, by logits."""

    weight = 1.0
    loss_name = "sparse_categorical_crossentropy"

    def loss(self) -> Any:
        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self) -> list[Any]:
        return []


# Models with many kernels take long to trace.
QUICK: Bits = 8


def nested() -> tf_keras.Model:
    inner = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 4)), layers.Conv2D(6, 3, name="conv"), layers.ReLU()],
        name="inner",
    )
    return tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", name="first"),
            inner,
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        ]
    )


def recurrent() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True), name="both"),
            layers.TimeDistributed(layers.Dense(6), name="each"),
            layers.GRU(5, name="gru"),
            layers.Dense(3, name="dense"),
        ]
    )


def separable() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.SeparableConv2D(8, 3, depth_multiplier=4, name="separable"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2DTranspose(4, 2, name="transposed"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="dense"),
        ]
    )


def attentive() -> tf_keras.Model:
    given = tf_keras.Input((8, 8))
    seen = layers.MultiHeadAttention(2, 4, name="attention")(given, given)
    seen = layers.Conv1D(6, 2, name="conv")(layers.LayerNormalization()(seen))
    return tf_keras.Model(given, layers.Dense(3, name="dense")(layers.Flatten()(seen)))


MODELS: dict[str, Callable[[], tf_keras.Model]] = {
    it.__name__: it for it in (nested, recurrent, separable, attentive)
}


def made(name: str) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    return MODELS[name]()


def lesson() -> Lesson:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 8, 8)).astype("float32")
    y = x[:, 0, :3].argmax(axis=1)
    held = Samples(lambda first, last: ((x[first:last],), (y[first:last],)), ROWS)
    record = TrainedForResult(objective="supervised", reason="", outputs={})
    batches: Any = InOrder(x, y, 8)
    return Lesson({"dense": _Objective()}, batches, held, record)


def settings(schedule: ProjectionSchedule, epochs: int = 2) -> ProjectedSettings:
    return ProjectedSettings(epochs, ROWS // 8, schedule, seed=5)


def train(
    model: tf_keras.Model, target: LayerTarget, schedule: ProjectionSchedule, epochs: int = 2
) -> Any:
    asked = settings(schedule, epochs)
    targets = {path: target for path, layer in layers_of(model) if quantized_kernels(layer)}
    history = projected_training(model, targets, asked, lesson(), Stage("prune", lambda _: None))
    return run_of(history, asked)


def kernels(model: tf_keras.Model) -> dict[str, np.ndarray]:
    return {
        f"{path} {number}": it.numpy()
        for path, layer in layers_of(model)
        for number, it in enumerate(quantized_kernels(layer))
    }


@pytest.mark.parametrize("name", MODELS)
def test_prune_then_cluster_then_grid(name: str) -> None:
    """After each stage: zeros are where they were, and values are as few as asked."""
    model = made(name)
    pruning = ProjectionSchedule(0, 8, 8, 2, initial_sparsity=0.3)
    train(model, LayerTarget(0.6, is_allocated=True), pruning)
    zeros = {path: it == 0 for path, it in kernels(model).items()}
    prunable = {path: it for path, it in zeros.items() if it.any()}
    assert len(prunable) >= 2
    assert sum(it.sum() for it in prunable.values()) == pytest.approx(
        0.6 * sum(it.size for it in prunable.values()), abs=len(zeros)
    )
    train(model, LayerTarget(clusters=5), ProjectionSchedule())
    check(model, zeros, 5)
    for bits, most in GRIDS.items() if name == "nested" else [(QUICK, 5)]:
        target = LayerTarget(clusters=5, bits=bits, per_channel=False)
        train(model, target, ProjectionSchedule(), epochs=1)
        check(model, zeros, most)


def check(model: tf_keras.Model, zeros: dict[str, np.ndarray], most: int) -> None:
    for path, it in kernels(model).items():
        assert np.isfinite(it).all(), path
        assert (it[zeros[path]] == 0).all(), path
        assert 1 < np.unique(it).size <= most, path


@pytest.mark.parametrize("name", ["nested", "separable"])
def test_grids_have_the_scales_of_the_files_channels(name: str) -> None:
    """Each output channel of a kernel is whole numbers times its own scale."""
    model = made(name)
    train(model, LayerTarget(bits=4, keeps_zeros=False), ProjectionSchedule(), epochs=1)
    axes = {"separable 0": (0, 1), "depthwise 0": (0, 1), "transposed 0": (0, 1, 3)}
    for path, it in kernels(model).items():
        others = axes.get(path, tuple(range(it.ndim - 1)))
        whole = 7 * it / np.abs(it).max(axis=others, keepdims=True)
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-5, err_msg=path)


def test_masks_and_grids_in_one_training() -> None:
    """With targets by layer: what the search asks for."""
    model = made("nested")
    targets = {
        "first": LayerTarget(bits=4, keeps_zeros=False),
        "inner/conv": LayerTarget(0.5, bits=8, clusters=7),
        "dense": LayerTarget(0.9, is_allocated=True, bits=2),
    }
    asked = settings(scheduled(24, pruned=0.5, frozen=0.65, grid=0.4), 4)
    assert asked.first_epoch == 3
    before = [it.optimizer for it in (model, model.get_layer("inner"))]
    history = projected_training(model, targets, asked, lesson(), Stage("x", lambda _: None))
    found = kernels(model)
    assert np.mean(found["inner/conv 0"] == 0) >= 0.5
    assert np.unique(found["inner/conv 0"]).size <= 7
    assert np.mean(found["dense 0"] == 0) == pytest.approx(0.9, abs=0.01)
    assert np.unique(found["dense 0"]).size == 3
    assert run_of(history, asked).published_epoch >= 3
    # The model was trained by a copy that shares its layers.
    assert [it.optimizer for it in (model, model.get_layer("inner"))] == before


@pytest.mark.parametrize("name", MODELS)
def test_without_training(name: str) -> None:
    """Masks, then the clusters of what is left, then grids, at once."""
    model = made(name)
    targets = {
        path: LayerTarget(0.5, is_allocated=True, clusters=6)
        for path, layer in layers_of(model)
        if quantized_kernels(layer)
    }
    before = kernels(model)
    project_at_once(model, targets, "lamp", seed=3)
    found = kernels(model)
    assert all(np.unique(it).size <= 6 for it in found.values())
    pruned = [it for it in found.values() if (it == 0).any()]
    assert pruned
    zeros = sum(int((it == 0).sum()) for it in pruned)
    assert zeros == pytest.approx(0.5 * sum(it.size for it in pruned), abs=len(found))
    for path, it in found.items():
        kept = it != 0
        assert np.abs(it - before[path])[kept].max() < np.ptp(before[path]) / 3


@pytest.mark.parametrize("allocation", ["global", "lamp"])
def test_kernels_share_a_sparsity_without_training(allocation: str) -> None:
    """As many zeros as asked for, and the weights that are left are what they were."""
    model = made("nested")
    every = [path for path, layer in layers_of(model) if quantized_kernels(layer)]
    before = kernels(model)
    project_at_once(model, {it: LayerTarget(0.6, is_allocated=True) for it in every}, allocation)
    found = kernels(model)
    zeros = sum(int((it == 0).sum()) for it in found.values())
    assert zeros == pytest.approx(0.6 * sum(it.size for it in found.values()), abs=len(found))
    for path, it in found.items():
        assert np.array_equal(it[it != 0], before[path][it != 0])


def test_blocks_are_trained_for_what_the_file_has(tmp_path: Path) -> None:
    """Dense kernels with whole blocks have a scale for each; others one for each output. What is
    written is what was trained, without a loss, and zeros stay zeros.
    """
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8)),
            layers.Flatten(),
            layers.Dense(12, activation="relu", name="hidden"),
            layers.Dense(3, name="dense"),
        ]
    )
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[np.random.default_rng(0).random(kernel.shape) < 0.7] = 0
    kernel[:32, 4] = 0
    model.get_layer("hidden").set_weights([kernel, bias])
    train(model, LayerTarget(bits=4, block=32), ProjectionSchedule(), epochs=1)
    trained = model.get_layer("hidden").get_weights()[0]
    assert (trained[kernel == 0] == 0).all()
    assert not np.array_equal(trained, kernel)
    config = variant("dynamic_range", weight_bits=4, blockwise=32)
    x = np.zeros((1, 8, 8), np.float32)
    found = small_file(model, config, (x,), tmp_path / "x.tflite", Making(proves=False))
    assert found is not None
    hidden, last = found.kernels
    assert (hidden.is_lossless, hidden.block_size, hidden.scales) == (True, 32, 24)
    assert (last.is_lossless, last.block_size, last.scales) == (True, None, 3)
    grid = blocks.exact(trained.T, 32)
    assert grid is not None
    real = grid.values.reshape(12, 2, 32) * grid.scales[..., None]
    np.testing.assert_array_equal(real.reshape(12, 64).T, trained)
