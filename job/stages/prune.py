"""prune: magnitude pruning while fine-tuning, with tfmot.

Zhu and Gupta, "To prune, or not to prune" (https://arxiv.org/abs/1710.01878). tfmot's
``prune_low_magnitude`` refuses a whole model for one layer that it can't prune, so layers are
wrapped one by one here. The wrapped model shares its weights with the original: the baseline is
measured before this stage.

A wrapper counts its training steps itself, inside the graph: step t is the t-th batch, from 1 on.
It updates its masks where (t - begin_step) is a multiple of ``frequency`` in begin_step..end_step.
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper

from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.result.artifact import LayerResult
from job.stages import constraints

sparsity = tfmot.sparsity.keras

# The default of tfmot's schedules.
TFMOT_FREQUENCY = 100
# Where layers share a sparsity, gradients reach pruned weights, too. Adam moves those as fast as
# the others, though nothing answers: within 100 steps at 0.002 they outgrow the weights that are
# left, and the next masks are of other weights. So masks are updated more often. (The quickstart's
# model, 85 % zeros in six epochs: accuracy 0.549 with 100 steps, 0.943 with 10.)
SHARED_FREQUENCY = 10
# A target sparsity counts as reached within this, or within four weights, since each kernel of a
# layer (a MultiHeadAttention has four) is rounded.
TOLERANCE = 0.005
# The least number of updates that a short schedule is divided into.
MIN_UPDATES = 4


@dataclass(frozen=True)
class Window:
    """The steps at which masks are updated, computed from the data and the epochs."""

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
        """The step of the last update, after which the sparsity is the final one."""
        return (self.begin_step or self.frequency) + (self.updates - 1) * self.frequency


def plan_window(config: PruneConfig, total_steps: int, ends_at: float = 1.0) -> Window:
    """Compute the schedule's steps.

    Args:
        config: The manifest's ``prune``.
        total_steps: Batches in all epochs.
        ends_at: Where the schedule ends by default, as a share of all steps.

    Raises:
        StageError: Where no update would ever happen. (tfmot ignores that silently.)
    """
    if config.structure.type == "m_by_n":  # tfmot sets these masks at the first step
        return Window(0, total_steps, 1)
    schedule = config.schedule
    end = schedule.end_step
    if end is None:  # a share of the steps after begin_step
        begin = min(schedule.begin_step, total_steps)
        end = begin + math.ceil((total_steps - begin) * ends_at)
    elif isinstance(end, float):
        end = math.ceil(total_steps * end)
    most = TFMOT_FREQUENCY if config.allocation == "uniform" else SHARED_FREQUENCY
    frequency = schedule.frequency or max(
        1, min(most, (min(end, total_steps) - schedule.begin_step) // MIN_UPDATES)
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


class PruneLowMagnitude(pruning_wrapper.PruneLowMagnitude):  # type: ignore[misc]  # it has no types
    """tfmot's pruning wrapper, with the layer's mask of padded steps, and its own loss.

    ``Embedding(mask_zero=True)`` and ``Masking`` tell the layers after them which steps are
    padding. tfmot's wrapper does not pass on the mask that its layer makes, so the layers after it
    would be trained on padding; and it gives a mask to layers that take none, a TypeError.

    It also calls its layer's ``call`` and not the layer, so Keras never adds the loss of the
    layer's ``activity_regularizer``; in its place Keras would find that of the layer's first call,
    a tensor of another graph.
    """

    def __init__(self, layer: tf_keras.layers.Layer, **options: object) -> None:
        super().__init__(layer, **options)
        self.supports_masking = layer.supports_masking
        takes = inspect.signature(layer.call).parameters
        self._takes_mask, self._takes_training = "mask" in takes, "training" in takes
        self._counted_in: Any = None

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
        **options: object,
    ) -> tf.Tensor:
        """The layer's output; in training the masks of its weights are updated, too."""
        if self._takes_mask:
            options["mask"] = mask
        if self._is_counted():
            options |= {"training": training} if self._takes_training else {}
            outputs = self.layer.call(inputs, **options)
        else:
            outputs = super().call(inputs, training=training, **options)
        self.layer._handle_activity_regularization(inputs, outputs)  # noqa: SLF001 - as Layer.__call__
        return outputs

    def _is_counted(self) -> bool:
        """Whether the step that is traced has the layer's update already: a layer that is called
        twice would count each step twice, and be pruned twice as fast.
        """
        if tf.executing_eagerly():
            return False
        graph = tf.compat.v1.get_default_graph()
        before = self._counted_in and self._counted_in()
        self._counted_in = weakref.ref(graph)
        return before is graph

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor | None:
        """The mask that the layer makes."""
        return self.layer.compute_mask(inputs, mask)


def wrap(
    model: tf_keras.Model, targets: Mapping[str, float], config: PruneConfig, window: Window
) -> tf_keras.Model:
    """Put tfmot's pruning wrappers around some layers of a model.

    Args:
        model: The trained model; the result shares its weights.
        targets: Layer path (``branch/dense``) -> its final sparsity.
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

    final = _final(model, targets, "")
    made: dict[int, tf_keras.layers.Layer] = {}

    def copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, tf_keras.Model):
            return tf_keras.models.clone_model(layer, clone_function=copy)
        if id(layer) not in final:
            return layer
        if id(layer) not in made:
            schedule = tfmot_schedule(config, final[id(layer)], window)
            made[id(layer)] = PruneLowMagnitude(layer, pruning_schedule=schedule, **structure)
        return made[id(layer)]

    wrapped = tf_keras.models.clone_model(model, clone_function=copy)
    callback = sparsity.UpdatePruningStep()
    callback.set_model(wrapped)
    callback.on_train_begin()  # sets the wrappers' step from -1 to 0
    return wrapped


def _final(model: tf_keras.Model, targets: Mapping[str, float], prefix: str) -> dict[int, float]:
    """The final sparsity by the ``id`` of a layer, which has one path though two models have it."""
    found: dict[int, float] = {}
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        if isinstance(layer, tf_keras.Model):
            found |= _final(layer, targets, f"{path}/")
        elif path in targets:
            found[id(layer)] = targets[path]
    return found


def mask_weights(wrapped: tf_keras.Model) -> None:
    """Set masked weights to zero again, since the optimizer's last step changed them; then apply
    constraints, which keeps the zeros.
    """
    callback = sparsity.UpdatePruningStep()
    callback.set_model(wrapped)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    constraints.apply(wrapped)


def check_reached(layers: Sequence[LayerResult]) -> list[str]:
    """Compare target and achieved sparsity: ties among the weights can make tfmot miss a target.

    Returns:
        A warning, with both figures, for each layer that missed its target.

    Raises:
        StageError: Where no layer has zeros: the schedule never fired.
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


def tfmot_schedule(config: PruneConfig, target: float, window: Window) -> Any:
    """tfmot's schedule of a final sparsity: step -> whether masks are updated, and the sparsity."""
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
