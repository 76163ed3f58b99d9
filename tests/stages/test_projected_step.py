"""A projected step: straight-through gradients, masks, grids and clusters; and resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.events import Stage
from job.stages import constraints
from job.stages import fine_tune as module
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.projected_step import Kernel, Projection, ProjectionSchedule, scheduled
from job.stages.training_state import Saved, Saves
from tests.support.batches import InOrder, no_metrics

layers = tf_keras.layers
RATE = 0.1


def data(rows: int = 64, width: int = 12) -> InOrder:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, width)).astype("float32")
    return InOrder(x, x[:, :3].argmax(axis=1), 8)


def model(**options: Any) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential(
        [
            layers.InputLayer((12,)),
            layers.Dense(20, activation="relu", name="hidden", **options),
            layers.Dropout(0.2),
            layers.Dense(3, name="out"),
        ]
    )


def kernel(of: tf_keras.Model, layer: str = "hidden", **options: Any) -> Kernel:
    return Kernel(of.get_layer(layer).kernel, layer, **options)


def compiled(of: tf_keras.Model, projection: Projection, optimizer: Any = None) -> tf_keras.Model:
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    of.compile(optimizer or tf_keras.optimizers.Adam(0.02), loss)
    projection.attach(of)
    return of


def train(
    of: tf_keras.Model, epochs: int = 2, saves: Saves | None = None, end: Any = no_metrics
) -> None:
    stage = Stage("prune", lambda _: None)
    settings = TrainingSettings(8, epochs, 5)
    fine_tune(of, data(), settings, end, stage, saves or Saves())


def test_gradients_go_straight_through() -> None:
    """One step of SGD: the latent kernel moves by the gradient at the projected one."""
    random = np.random.default_rng(1)
    x, y = (random.normal(size=(6, width)).astype("float32") for width in (5, 4))
    net = tf_keras.Sequential([layers.InputLayer((5,)), layers.Dense(4, use_bias=False)])
    (variable,) = net.trainable_variables
    latent = variable.numpy()
    projection = Projection([Kernel(variable, "dense", bits=4)], ProjectionSchedule())
    projected = variable.numpy()
    scale = np.abs(projected).max() / np.float32(7)
    np.testing.assert_array_equal(projected / scale, np.round(projected / scale))
    assert np.abs(projected - latent).max() > 0.01

    net.compile(tf_keras.optimizers.SGD(RATE), "mse")
    projection.attach(net)
    steps = TrainingSettings(1, 1, 0)
    fine_tune(net, InOrder(x, y, 6), steps, no_metrics, Stage("prune", lambda _: None))
    gradient = x.T @ (2 * (x @ projected - y)) / y.size
    moved = latent - RATE * gradient
    (state,) = projection.latent
    np.testing.assert_allclose(state, moved, rtol=1e-5, atol=1e-6)
    again = Kernel(tf.Variable(moved), "again", bits=4)
    Projection([again], ProjectionSchedule())
    np.testing.assert_allclose(variable.numpy(), again.variable.numpy(), atol=1e-5)


def test_pruned_weights_get_gradients_and_can_return() -> None:
    """While masks are updated, a weight that grows replaces one that does not."""
    net = model()
    hidden = kernel(net, sparsity=0.7)
    schedule = ProjectionSchedule(0, 1, 40, 1, initial_sparsity=0.7)
    compiled(net, Projection([hidden], schedule), tf_keras.optimizers.Adam(0.05))
    seen = []

    def end_epoch(_: Callable[[], None]) -> dict[str, float]:
        seen.append(hidden.variable.numpy() != 0)
        return {}

    train(net, 5, end=end_epoch)
    assert all(it.sum() == round(0.3 * 240) for it in seen)
    assert (seen[-1] & ~seen[0]).any()


def test_masks_follow_the_schedule_and_are_frozen() -> None:
    """The sparsity grows to the end step; after the frozen step, masks are the same."""
    net = model()
    kernels = [
        kernel(net, sparsity=0.8, is_allocated=True),
        kernel(net, "out", sparsity=0.8, is_allocated=True),
    ]
    schedule = ProjectionSchedule(0, 24, 32, 4, initial_sparsity=0.2)
    compiled(net, Projection(kernels, schedule, "lamp"), tf_keras.optimizers.Adam(0.05))
    seen = []

    def end_epoch(_: Callable[[], None]) -> dict[str, float]:
        seen.append(np.concatenate([it.variable.numpy().ravel() == 0 for it in kernels]))
        return {}

    train(net, 6, end=end_epoch)
    progress = [min(1, step / 24) for step in (8, 16, 24, 32, 40, 48)]
    wanted = [0.8 - 0.6 * (1 - it) ** 3 for it in progress]
    np.testing.assert_allclose([it.mean() for it in seen], wanted, atol=1 / 300)
    np.testing.assert_array_equal(seen[3], seen[5])


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"bits": 8}, 255),
        ({"bits": 4}, 15),
        ({"bits": 2}, 3),
        ({"clusters": 6}, 6),
        ({"clusters": 6, "bits": 8}, 6),
        ({"clusters": 40, "bits": 4}, 15),
        ({"clusters": 40, "bits": 2}, 3),
    ],
)
@pytest.mark.parametrize("grid_step", [0, 5])
def test_zeros_and_distinct_values_hold_between_steps(
    options: dict[str, Any], most: int, grid_step: int
) -> None:
    """Of a pruned kernel that is trained on: zeros stay, and values are as few as asked."""
    net = model()
    weights = net.get_layer("hidden").kernel
    zeros = np.abs(weights.numpy()) < np.quantile(np.abs(weights.numpy()), 0.6)
    weights.assign(np.where(zeros, 0, weights.numpy()))
    before = weights.numpy()
    hidden = kernel(net, **options)
    compiled(net, Projection([hidden], ProjectionSchedule(grid_step=grid_step)))

    def end_epoch(_: Callable[[], None]) -> dict[str, float]:
        now = weights.numpy()
        assert (now[zeros] == 0).all()
        assert 1 < np.unique(now).size <= most
        assert not np.signbit(now[now == 0]).any()
        return {}

    train(net, 3, end=end_epoch)
    assert np.abs(weights.numpy() - before).max() > 0.01


def test_clusters_are_trained_and_nearest() -> None:
    """Values move with the weights of their clusters, and are used up to their number."""
    net = model()
    hidden = kernel(net, clusters=8)
    projection = Projection([hidden], ProjectionSchedule())
    start = np.unique(hidden.variable.numpy())
    compiled(net, projection)
    train(net, 4)
    found = np.unique(hidden.variable.numpy())
    assert start.size == found.size == 8
    assert np.abs(found - start).min() > 0
    (latent,) = projection.latent
    far = np.abs(latent[..., None] - found).min(axis=-1)
    np.testing.assert_allclose(np.abs(latent - hidden.variable.numpy()), far, atol=1e-6)


def test_without_projections_it_is_the_plain_training() -> None:
    """To the last bit."""
    plain, ours = model(), model()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(tf_keras.optimizers.Adam(0.02), loss)
    compiled(ours, Projection([kernel(ours)], ProjectionSchedule()))
    for it in (plain, ours):
        train(it)
    for a, b in zip(plain.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_constraints_hold_for_masked_weights() -> None:
    """Applied to the latent kernel after each step, and once more to the masked one."""
    net = model(kernel_constraint=tf_keras.constraints.MaxNorm(0.5))
    hidden = kernel(net, sparsity=0.5)
    compiled(net, Projection([hidden], ProjectionSchedule(0, 8, 8, 4)))

    def end_epoch(_: Callable[[], None]) -> dict[str, float]:
        constraints.apply(net)
        return {}

    train(net, 2, end=end_epoch)
    (held,) = constraints.check(net)
    assert held.holds
    assert np.mean(hidden.variable.numpy() == 0) == 0.5


class StoppedHereError(Exception):
    """Ends the training."""


@dataclass
class AtStep(Saves):
    """Saves at every step, and stops at one."""

    step: int | None = None
    state: Saved | None = None
    saved: list[Saved] = field(default_factory=list)

    def latest(self) -> Saved | None:
        return self.state

    @contextmanager
    def running(self) -> Iterator[None]:
        yield

    def is_due(self) -> bool:
        return True

    def refuse(self, why: str) -> None:
        raise AssertionError(why)

    def save(self, state: Saved) -> None:
        self.saved.append(state)
        if state.step == self.step:
            raise StoppedHereError


def joint(saves: Saves) -> list[np.ndarray]:
    """Masks, clusters and ternary values in one training of all kernels."""
    net = model()
    kernels = [
        kernel(net, sparsity=0.7, is_allocated=True, clusters=6, bits=8),
        kernel(net, "out", sparsity=0.7, is_allocated=True, bits=2),
    ]
    schedule = scheduled(24, pruned=0.5, frozen=0.65, grid=0.4, frequency=3)
    compiled(net, Projection(kernels, schedule, "global", seed=2))
    train(net, 3, saves)
    return [it.numpy() for it in net.weights]


@pytest.mark.parametrize("step", [3, 9, 11, 15, 20])
def test_a_projected_training_resumes_to_the_last_bit(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latent weights, masks, clusters' values and the step are part of the saved state."""
    monkeypatch.setattr(module, "CHUNK_S", 0.0)
    whole = joint(AtStep())
    stopped = AtStep(step)
    with pytest.raises(StoppedHereError):
        joint(stopped)
    found = joint(AtStep(state=stopped.saved[-1]))
    for a, b in zip(whole, found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.unique(found[0]).size <= 6
    assert np.unique(found[2]).size <= 3


def test_schedules_are_fractions_of_the_steps() -> None:
    """And settle where masks are frozen and grids are applied, which is before the end."""
    found = scheduled(1000, pruned=0.5, frozen=0.65, grid=0.4)
    assert (found.end_step, found.frozen_step, found.grid_step) == (500, 650, 400)
    assert found.settled_step == 650
    assert scheduled(4, pruned=1.0, frozen=0.5, grid=1.0).settled_step == 4
