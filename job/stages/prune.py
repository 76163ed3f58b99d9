"""prune: magnitude pruning while fine-tuning, with tfmot.

Zhu and Gupta, "To prune, or not to prune" (https://arxiv.org/abs/1710.01878). tfmot's
``prune_low_magnitude`` refuses a whole model for one layer that it can't prune, so layers are
wrapped one by one here. The wrapped model shares its weights with the one it is made of: the
baseline is measured before this stage.

A wrapper counts its training steps itself, inside the graph: step t is the t-th batch, from 1 on.
It updates its masks where (t - begin_step) is a multiple of ``frequency`` in begin_step..end_step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import tensorflow_model_optimization as tfmot
import tf_keras

from job.artifact import LayerResult
from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.stages import constraints
from job.stages.wrapper import PruneLowMagnitude

sparsity = tfmot.sparsity.keras

# What tfmot's schedules do where they are not told otherwise.
TFMOT_FREQUENCY = 100
# A sparsity that is off by less counts as reached; so does one that is off by four weights, since
# each kernel of a layer (a MultiHeadAttention has four) is rounded.
TOLERANCE = 0.005
# A short schedule is cut into at least so many updates.
MIN_UPDATES = 4


@dataclass(frozen=True)
class Window:
    """The steps at which masks are updated, worked out from the data and the epochs."""

    begin_step: int
    end_step: int
    frequency: int

    @property
    def updates(self) -> int:
        """How often masks are updated; steps count from 1."""
        first = self.begin_step or self.frequency
        return max(0, (self.end_step - first) // self.frequency + 1)

    @property
    def reached_step(self) -> int:
        """The last update's step: from then on the sparsity is the schedule's final one."""
        return (self.begin_step or self.frequency) + (self.updates - 1) * self.frequency


def plan_window(config: PruneConfig, total_steps: int, ends_at: float = 1.0) -> Window:
    """Work out the schedule's steps.

    Args:
        config: What the manifest asks.
        total_steps: Batches in all epochs.
        ends_at: Where the schedule ends if the manifest does not say: a share of all steps.

    Raises:
        StageError: Where no update would ever happen. (tfmot would say nothing.)
    """
    if config.structure.type == "m_by_n":  # tfmot sets these masks at the first step
        return Window(0, total_steps, 1)
    schedule = config.schedule
    end = schedule.end_step
    if end is None:  # of what is left after begin_step
        begin = min(schedule.begin_step, total_steps)
        end = begin + math.ceil((total_steps - begin) * ends_at)
    elif isinstance(end, float):
        end = math.ceil(total_steps * end)
    frequency = schedule.frequency or max(
        1, min(TFMOT_FREQUENCY, (min(end, total_steps) - schedule.begin_step) // MIN_UPDATES)
    )
    window = Window(schedule.begin_step, end, frequency)
    seen = Window(window.begin_step, min(end, total_steps), frequency)
    if seen.updates == 0 or end <= schedule.begin_step:
        often = f", with an update of the masks every {frequency} steps" * (frequency > 1)
        raise StageError(
            f"The pruning schedule never fires: the training has {total_steps} steps, and the "
            f"schedule would begin at step {schedule.begin_step} and end at step {end}{often}.",
            where="prune.schedule",
            hint="Lower begin_step or frequency, raise end_step, or train for more epochs.",
        )
    return window


def wrap(
    model: tf_keras.Model, targets: Mapping[str, float], config: PruneConfig, window: Window
) -> tf_keras.Model:
    """Put tfmot's pruning wrappers around some layers of a model.

    Args:
        model: The trained model; the result shares its weights.
        targets: Layer path (``branch/dense``) -> the sparsity that it ends with.
        config: Schedule and structure.
        window: The schedule's steps.

    Returns:
        The same model with wrappers around the layers named in ``targets``.
    """
    structure: dict[str, object] = {}
    if config.structure.type == "block":
        structure = {
            "block_size": list(config.structure.block_size),
            "block_pooling_type": config.structure.block_pooling_type,
        }
    elif config.structure.type == "m_by_n":
        structure = {"sparsity_m_by_n": config.structure.sparsity_m_by_n}

    made: dict[int, tf_keras.layers.Layer] = {}  # a layer in two nested models is one layer

    def copy(layer: tf_keras.layers.Layer, prefix: str) -> tf_keras.layers.Layer:
        path = f"{prefix}{layer.name}"
        if isinstance(layer, tf_keras.Model):
            inner = partial(copy, prefix=f"{path}/")
            return tf_keras.models.clone_model(layer, clone_function=inner)
        if path not in targets:
            return layer
        if id(layer) not in made:
            schedule = _schedule(config, targets[path], window)
            made[id(layer)] = PruneLowMagnitude(layer, pruning_schedule=schedule, **structure)
        return made[id(layer)]

    wrapped = tf_keras.models.clone_model(model, clone_function=partial(copy, prefix=""))
    callback = sparsity.UpdatePruningStep()
    callback.set_model(wrapped)
    callback.on_train_begin()  # sets the wrappers' step from -1 to 0
    return wrapped


def mask_weights(wrapped: tf_keras.Model) -> None:
    """Set masked weights to zero, which the optimizer's last step has moved off it; then bring
    weights back to their constraints, which keeps the zeros.
    """
    callback = sparsity.UpdatePruningStep()
    callback.set_model(wrapped)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    constraints.apply(wrapped)


def check_reached(layers: Sequence[LayerResult]) -> list[str]:
    """Compare what was asked with what came out. Ties among the weights can make tfmot miss.

    Returns:
        A warning, with both figures, for each layer that missed its target.

    Raises:
        StageError: Where no layer has the zeros: the schedule never fired.
    """
    asked = [(layer, layer.target_sparsity) for layer in layers if layer.target_sparsity]
    if asked and all(layer.achieved_sparsity < TOLERANCE for layer, _ in asked):
        raise StageError(
            "No weight was pruned: the schedule never fired.",
            where="prune.schedule",
            hint="Lower frequency or begin_step, or train for more epochs.",
        )
    return [
        f"The layer {layer.name} has a sparsity of {layer.achieved_sparsity:.4f}, not of "
        f"{target:.4f} as asked."
        for layer, target in asked
        if abs(layer.achieved_sparsity - target) > max(TOLERANCE, 4 / layer.prunable_weights)
    ]


def _schedule(config: PruneConfig, target: float, window: Window) -> object:
    asked = config.schedule
    if asked.type == "constant":
        return sparsity.ConstantSparsity(
            target, window.begin_step, window.end_step, window.frequency
        )
    return sparsity.PolynomialDecay(
        initial_sparsity=min(asked.initial_sparsity, target),
        final_sparsity=target,
        begin_step=window.begin_step,
        end_step=window.end_step,
        power=asked.power,
        frequency=window.frequency,
    )
