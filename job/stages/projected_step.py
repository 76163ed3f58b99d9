"""Projected training: a training step for kernels of which only projected values are shipped.

Each kernel has a latent copy of any float values. Between steps the model's kernels are what a file
would hold: the latent ones, projected (``projection.py``). A step is

    gradients of the loss at the projected kernels
    kernel <- latent; the optimizer's update, with these gradients; latent <- kernel
    masks and clusters are updated, where they are due
    kernel <- projection of latent

The gradient passes straight through the projection, as if it was the identity (Bengio and others,
"Estimating or propagating gradients through stochastic neurons", https://arxiv.org/abs/1308.3432);
it reaches pruned weights, too, which can return at the next update of the masks.

It works on variables, so for kernels in any layer: in nested models, wrappers and recurrent cells,
which tfmot's own tools refuse (and whose combinations lose zeros and clusters: issues 979, 1056).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.stages import projection
from job.stages.centroids import start_values

Bits = Literal[8, 4, 2]
Init = Literal["kmeans_plus_plus", "linear", "random", "density_based"]
# Steps between two updates of the clusters' values, which take longer than the assignments.
CENTROIDS_EVERY = 10
# Iterations of Lloyd's algorithm where clusters begin in the middle of a training.
FIRST_ITERATIONS = 10


@dataclass(frozen=True)
class Kernel:
    """What the values of a kernel are to be."""

    variable: tf.Variable
    name: str
    """Its layer's path and its own name, for the names of the state's variables."""
    sparsity: float | None = None
    """The fraction of zeros at the schedule's end; None: its zeros stay, and no more are made."""
    is_allocated: bool = False
    """Whether ``sparsity`` is that of all such kernels together, whose scores are compared."""
    bits: Bits | None = None
    """The grid's; None for float values."""
    channels: Sequence[int] = ()
    """The axes along which each index has a scale of its own; none for one scale."""
    block: int | None = None
    """How many weights of an output share a scale, of 4 bits; instead of ``channels``."""
    clusters: int | None = None
    """Distinct values, zero among them where there are zeros. The grid then has one scale. A grid
    of fewer than 8 bits takes their place."""
    keeps_zeros: bool = True
    """Without ``sparsity``: whether weights that are zero at the start stay zero."""

    @property
    def clustered(self) -> int | None:
        """Distinct values, where they are not those of a coarse grid."""
        return None if self.bits in (2, 4) else self.clusters


@dataclass(frozen=True)
class ProjectionSchedule:
    """When masks, clusters and grids are applied; steps count from 1."""

    begin_step: int = 0
    """From here on, masks are updated every ``frequency`` steps."""
    end_step: int = 0
    """The step at which the final sparsity is reached."""
    frozen_step: int = 0
    """After it masks do not change; not before ``end_step``."""
    frequency: int = 100
    initial_sparsity: float = 0.0
    """The fraction of zeros at ``begin_step``."""
    power: float = 3.0
    """sparsity = final + (initial - final) * (1 - progress)^power, as tfmot's PolynomialDecay."""
    grid_step: int = 0
    """After it kernels are clustered and on their grids."""

    @property
    def settled_step(self) -> int:
        """The step from whose end on a training gives what was asked for."""
        return max(self.end_step, self.frozen_step, self.grid_step, 1)


def scheduled(
    total_steps: int,
    *,
    pruned: float,
    frozen: float,
    grid: float,
    initial_sparsity: float = 0.0,
    frequency: int = 50,
) -> ProjectionSchedule:
    """A schedule in fractions of all steps: where the sparsity is reached, masks are frozen, and
    grids and clusters are applied.
    """
    end = max(1, round(total_steps * pruned))
    return ProjectionSchedule(
        begin_step=0,
        end_step=end,
        frozen_step=max(end, round(total_steps * frozen)),
        frequency=max(1, min(frequency, end // 4)),
        initial_sparsity=initial_sparsity,
        grid_step=min(round(total_steps * grid), total_steps - 1),
    )


@dataclass(frozen=True)
class _State:
    """The variables of a kernel."""

    kernel: Kernel
    latent: tf.Variable
    mask: tf.Variable | None
    """bool, of the kernel's shape; None where every weight is kept."""
    values: tf.Variable | None
    """(n,) float32 in rising order: the clusters'."""


class Projection:
    """The latent kernels, masks and clusters of a training.

    Args:
        kernels: Those that are projected.
        schedule: When.
        allocation: A key of ``projection.SCORES``: how allocated kernels are compared.
        init: Where clusters start from.
        seed: Decides what is drawn for that.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        schedule: ProjectionSchedule,
        allocation: str = "global",
        init: Init = "kmeans_plus_plus",
        seed: int = 0,
    ) -> None:
        self._schedule = schedule
        self._scores = projection.SCORES[allocation]
        self._states = [_start(it, init, seed) for it in kernels]
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64, name="projected/step")
        self._groups = _groups(self._states)
        self._project()

    def attach(self, model: tf_keras.Model) -> None:
        """Let the optimizer of a compiled model update latent kernels, and project them."""
        optimizer = model.optimizer
        apply = optimizer.apply_gradients

        def apply_projected(pairs: Any, *args: Any, **options: Any) -> Any:
            for it in self._states:
                it.kernel.variable.assign(it.latent)
            done = apply(pairs, *args, **options)
            for it in self._states:
                it.latent.assign(it.kernel.variable)
            self._advance()
            return done

        optimizer.apply_gradients = apply_projected

    @property
    def latent(self) -> list[NDArray[np.float32]]:
        """The latent values of each kernel."""
        return [it.latent.numpy() for it in self._states]

    def prune_at_once(self) -> None:
        """Give the kernels their final masks, without training."""
        self._update_masks(tf.constant(self._schedule.end_step + 1, tf.int64))  # past the first
        self._project()

    def _advance(self) -> None:
        """Count a step; update what is due, and project."""
        step = self._step.assign_add(1)
        schedule = self._schedule
        if self._groups:
            begin, every = schedule.begin_step, schedule.frequency
            end_of_all = max(schedule.end_step, schedule.frozen_step)
            regular = (step >= begin) & (step < end_of_all) & ((step - begin) % every == 0)
            due = regular | (step == schedule.end_step) | (step == end_of_all)
            _when(due, lambda: self._update_masks(step))
        if any(it.values is not None for it in self._states):
            due = (step > schedule.grid_step) & (step % CENTROIDS_EVERY == 0)
            _when(due, self._update_values)
            if schedule.grid_step:  # the weights have changed since the values were found
                _when(step == schedule.grid_step, partial(self._update_values, FIRST_ITERATIONS))
        self._project()

    def _update_masks(self, step: tf.Tensor) -> None:
        for group in self._groups:
            target = group[0].kernel.sparsity
            assert target is not None
            scores = self._scores if group[0].kernel.is_allocated else projection.magnitude
            found = projection.masks(
                [scores(it.latent.value()) for it in group],
                sparsity_at(self._schedule, target, step),
            )
            for state, mask in zip(group, found, strict=True):
                assert state.mask is not None
                state.mask.assign(mask)

    def _update_values(self, iterations: int = 1) -> None:
        for it in self._states:
            if it.values is not None:
                latent, values = it.latent.value(), it.values.value()
                for _ in range(iterations):
                    places = projection.nearest(latent, values)
                    values = projection.means(latent, places, it.mask, values)
                it.values.assign(values)

    def _project(self) -> None:
        late = self._step >= self._schedule.grid_step
        for it in self._states:
            self._project_one(it, late)

    def _project_one(self, state: _State, late: tf.Tensor) -> None:
        latent = state.latent.value()
        masked = latent if state.mask is None else tf.where(state.mask, latent, 0.0)
        if state.kernel.bits is None and state.values is None:
            found = masked
        elif self._schedule.grid_step == 0:
            found = _final(state, latent)
        else:
            found = tf.cond(late, lambda: _final(state, latent), lambda: masked)
        state.kernel.variable.assign(found)


def _final(state: _State, latent: tf.Tensor) -> tf.Tensor:
    """The values that are shipped."""
    kernel, mask = state.kernel, state.mask
    if kernel.bits == 2:
        return projection.ternary(latent, mask)
    found = latent
    if state.values is not None:
        values = state.values.value()
        found = tf.gather(values, projection.nearest(latent, values))
    if mask is not None:
        found = tf.where(mask, found, 0.0)
    if kernel.bits is None:
        return found
    if kernel.block is not None:
        return projection.in_blocks(found, kernel.block)
    channels = () if state.values is not None else kernel.channels
    return projection.on_grid(found, kernel.bits, channels)


def sparsity_at(schedule: ProjectionSchedule, target: float, step: tf.Tensor) -> tf.Tensor:
    """The sparsity at a step, a float64 scalar."""
    length = max(1, schedule.end_step - schedule.begin_step)
    progress = tf.cast(step - schedule.begin_step, tf.float64) / length
    left = tf.pow(1 - tf.clip_by_value(progress, 0.0, 1.0), schedule.power)
    first = min(schedule.initial_sparsity, target)
    return target + (first - target) * left


def _start(kernel: Kernel, init: Init, seed: int) -> _State:
    """The state that a training starts from."""
    weights = np.asarray(kernel.variable.numpy())
    keeps_zeros = kernel.sparsity is None and kernel.keeps_zeros
    kept = weights != 0 if keeps_zeros else np.ones(weights.shape, bool)
    has_zeros = kernel.sparsity is not None or not kept.all()

    def variable(value: Any, of: str) -> tf.Variable:
        return tf.Variable(value, trainable=False, name=f"projected/{kernel.name}/{of}")

    values = None
    if kernel.clustered is not None:
        count = kernel.clustered - has_zeros
        found = start_values(weights[kept], count, init, seed).astype(np.float32)
        values = variable(found, "values")
    mask = variable(kept, "mask") if has_zeros else None
    return _State(kernel, variable(weights, "latent"), mask, values)


def _groups(states: Sequence[_State]) -> list[list[_State]]:
    """The kernels that share a target: all allocated ones, and each other one alone."""
    pruned = [it for it in states if it.kernel.sparsity is not None]
    alone = [[it] for it in pruned if not it.kernel.is_allocated]
    allocated = [it for it in pruned if it.kernel.is_allocated]
    return [*([allocated] if allocated else []), *alone]


def _when(condition: tf.Tensor, do: Any) -> None:
    """Do something that returns nothing where a condition is true, in a graph or outside."""

    def done() -> tf.Tensor:
        do()
        return tf.constant(True)

    tf.cond(condition, done, lambda: tf.constant(False))
