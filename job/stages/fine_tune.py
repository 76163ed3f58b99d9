"""Fine-tuning: Keras's training step, in a loop inside one graph.

``Model.fit`` returns to Python after each batch (or traces its step twice, with
``steps_per_execution``); a loop inside the graph takes about half the time for small models and
computes the same numbers. Loss, optimizer and metrics are those of ``compile``.

Between two runs of the loop a training can be saved, stopped, and continued by another process,
with the same numbers to the last bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import tensorflow as tf
import tf_keras

from job.errors import StageError
from job.events import Stage
from job.manifest.training import CosineDecayConfig, OptimizerConfig
from job.result.training import EpochResult
from job.stages.training_state import (
    BestEpoch,
    Saved,
    Saves,
    Variables,
    drawn_from_variables,
    unsaved_sources,
)

OPTIMIZERS: dict[str, type[tf_keras.optimizers.Optimizer]] = {
    "adam": tf_keras.optimizers.Adam,
    "adamw": tf_keras.optimizers.AdamW,
    "sgd": tf_keras.optimizers.SGD,
    "rmsprop": tf_keras.optimizers.RMSprop,
    "nadam": tf_keras.optimizers.Nadam,
    "adagrad": tf_keras.optimizers.Adagrad,
}

# How long one run of the loop takes, in seconds; progress is reported between runs.
CHUNK_S = 0.5
NOT_SAVED = Saves()


def make_optimizer(config: OptimizerConfig, total_steps: int) -> tf_keras.optimizers.Optimizer:
    """The Keras optimizer that the manifest describes; schedules may need ``total_steps``."""
    schedule = config.learning_rate_schedule
    rate: object = config.learning_rate
    if isinstance(schedule, CosineDecayConfig):
        rate = tf_keras.optimizers.schedules.CosineDecay(
            config.learning_rate, schedule.decay_steps or total_steps, alpha=schedule.alpha
        )
    elif schedule is not None:
        rate = tf_keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate, schedule.decay_steps, schedule.decay_rate, schedule.staircase
        )
    options = {"momentum": config.momentum, "clipnorm": config.clipnorm}
    given = {name: value for name, value in options.items() if value is not None}
    return OPTIMIZERS[config.type](rate, **given)


class Batches(Protocol):
    """The source of batches; all methods may be called inside a graph or outside."""

    def order(self, epoch: int) -> tf.Tensor:
        """The order of the rows in an epoch: (rows,) int32."""

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[object, tuple[tf.Tensor, ...]]:
        """The batch of a step, counted from 0: inputs, and the targets of each output."""

    def weights(self, order: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The weights of that batch's rows in the loss of each output; empty where all are 1."""


@dataclass(frozen=True)
class TrainingSettings:
    """How long a training is, what its random layers draw, and which epoch it ends with."""

    steps_per_epoch: int
    epochs: int
    seed: int = 0
    best: BestEpoch | None = None
    """Which epoch's weights the model has at the end; None: the last one's."""
    freezes: bool = False
    """Whether ``BatchNormalization`` runs as in inference, and stays as it is."""

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.steps_per_epoch * self.epochs


def fine_tune(
    model: tf_keras.Model,
    batches: Batches,
    settings: TrainingSettings,
    end_epoch: Callable[[Callable[[], None]], dict[str, float]],
    stage: Stage,
    saves: Saves = NOT_SAVED,
) -> list[EpochResult]:
    """Train a compiled model, or continue its training.

    Args:
        model: The compiled model; its weights are changed.
        batches: The source of batches.
        settings: How long to train, and from which seed.
        end_epoch: Called after each epoch; gives the metrics on held-out rows. It should call its
            argument now and then, while the training's state does not change.
        stage: Reports progress.
        saves: Where the training's states are saved.

    Raises:
        StageError: Where the loss is not finite.
    """
    best = settings.best or BestEpoch([], settings.epochs + 1)
    frozen = _normalizations(model) if settings.freezes else []
    with drawn_from_variables(model, settings.seed), _not_trainable(frozen):
        train = _train_function(model, batches)
        # The variables are known once the graph is traced: tracing creates the metrics.
        variables = Variables(train.graph)
    step, history = _restored(train.graph, variables, settings, stage, saves, best)

    def save_if_due() -> None:
        if saves.is_due():
            saves.save(variables.saved(step, history, best.arrays))

    with saves.running():
        for epoch in range(len(history), settings.epochs):
            if best.is_over(history):
                stage.advance(step, step)
                break
            begin = epoch * settings.steps_per_epoch
            if step == begin:
                model.reset_metrics()
            run = partial(train, batches.order(epoch))
            for done in _chunks(run, step - begin, settings.steps_per_epoch):
                step = begin + done
                metrics = _metrics(model)
                stage.advance(step, settings.steps, metrics)
                _check(metrics, f"epoch {epoch + 1}, step {done}")
                save_if_due()
            metrics = _metrics(model)  # also of an epoch that had ended when it was saved
            held_out = {f"val_{name}": value for name, value in end_epoch(save_if_due).items()}
            history.append(EpochResult(epoch=epoch + 1, metrics=metrics | held_out))
            best.observe(history)
        saves.save(variables.saved(step, history, best.arrays))
    best.publish()
    return history


def _normalizations(model: tf_keras.Model) -> list[Any]:
    kind = tf_keras.layers.BatchNormalization
    return [it for it in model._flatten_layers() if isinstance(it, kind)]  # noqa: SLF001 - submodules fails for recurrent dropout


@contextlib.contextmanager
def _not_trainable(layers: Sequence[Any]) -> Iterator[None]:
    """What is traced in this context has these layers as in inference: so Keras runs a
    ``BatchNormalization`` that is not trainable.
    """
    before = [it.trainable for it in layers]
    try:
        for it in layers:
            it.trainable = False
        yield
    finally:
        for it, was in zip(layers, before, strict=True):
            it.trainable = was


def _restored(
    graph: tf.Graph,
    variables: Variables,
    settings: TrainingSettings,
    stage: Stage,
    saves: Saves,
    best: BestEpoch,
) -> tuple[int, list[EpochResult]]:
    """Steps done, and finished epochs: 0 and none where nothing was saved."""
    state = saves.latest()
    if state is None:
        return 0, []
    try:
        _check_place(state, settings)
        best.check(state.history, state.best)
        variables.restore(state)
    except ValueError as error:
        saves.refuse(str(error))
        return 0, []
    best.arrays = list(state.best)
    stage.resumed(
        f"goes on from step {state.step} of {settings.steps}, which an earlier run had saved"
    )
    sources = unsaved_sources(graph) if state.step < settings.steps else []
    if sources:
        saves.warn(
            "A layer draws random numbers that can't be saved "
            f"({', '.join(sources)}): the weights differ from those of a run that is not stopped."
        )
    return state.step, list(state.history)


def _check_place(state: Saved, settings: TrainingSettings) -> None:
    """Raise a ValueError where such a training never passes this step."""
    over = len(state.history)
    first = over * settings.steps_per_epoch
    last = min(first + settings.steps_per_epoch, settings.steps)
    if not (over <= settings.epochs and first <= state.step <= last):
        raise ValueError(f"step {state.step} after {over} epochs is in no training of this length.")


def _check(metrics: dict[str, float], place: str) -> None:
    if not math.isfinite(metrics.get("loss", 0.0)):
        raise StageError(
            f"The loss is {metrics['loss']} in {place}: the training diverged.",
            where="training.optimizer",
            hint="Lower learning_rate, set clipnorm, or check the loss and the scale.",
        )


def _train_function(model: tf_keras.Model, batches: Batches) -> Any:
    """A traced function: (order of the rows, first step, one past the last) -> nothing."""
    number = tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), number, number])
    def train(order: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> None:
        for step in tf.range(first, last):
            inputs, targets = batches.take(order, step)
            weights = batches.weights(order, step)
            # Keras wants targets in a list or dict where the outputs are in one.
            packed = [tf.nest.pack_sequence_as(model.output, it) for it in (targets, weights) if it]
            model.train_step((inputs, *packed))

    # The sum over one device does nothing, and tf.custom_gradient, which it is written with, holds
    # this graph, and with it masks and moments, until the process ends.
    model.optimizer.aggregate_gradients = list
    # With its variables created beforehand, the graph is traced once rather than twice.
    model.optimizer.build(model.trainable_variables)
    return train.get_concrete_function()


def _chunks(run: Callable[[tf.Tensor, tf.Tensor], None], done: int, steps: int) -> Iterator[int]:
    """Run an epoch's steps from ``done`` on, in chunks; yield how many are done after each."""
    chunk = 1
    while done < steps:
        chunk = min(chunk, steps - done)
        started = time.perf_counter()
        run(tf.constant(done), tf.constant(done + chunk))
        done += chunk
        yield done
        per_step = (time.perf_counter() - started) / chunk
        chunk = max(1, min(4 * chunk, int(CHUNK_S / max(per_step, 1e-6))))


def _metrics(model: tf_keras.Model) -> dict[str, float]:
    return {metric.name: float(metric.result()) for metric in model.metrics}


def regularized(model: tf_keras.Model) -> list[str]:
    """The layers that add to the model's loss, each once, in order: ``dense (activity)``.

    They do so by regularizers of weights and activities, and by ``add_loss``.
    """
    found: dict[str, None] = {}
    for layer in model._flatten_layers():  # noqa: SLF001 - submodules fails for recurrent dropout
        kinds = [
            kind
            for kind, there in (
                ("weights", bool(layer._callable_losses)),  # noqa: SLF001 - as above
                ("activity", getattr(layer, "_activity_regularizer", None) is not None),
                ("add_loss", type(layer).__name__ == "AddLoss"),
            )
            if there
        ]
        if kinds:
            found[f"{layer.name} ({', '.join(kinds)})"] = None
    return list(found)
