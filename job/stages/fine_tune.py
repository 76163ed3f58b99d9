"""Fine-tuning: Keras's own training step, many of them inside one graph.

``Model.fit`` goes back to Python after each batch (or traces its step twice, with
``steps_per_execution``); a loop inside the graph takes about half the time for small models and
computes the same numbers. Loss, optimizer and metrics are what ``compile`` made them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import tensorflow as tf
import tf_keras

from job.errors import StageError
from job.manifest.training import CosineDecayConfig, OptimizerConfig, TrainingConfig
from job.progress import Stage
from job.result import EpochResult

OPTIMIZERS: dict[str, type[tf_keras.optimizers.Optimizer]] = {
    "adam": tf_keras.optimizers.Adam,
    "adamw": tf_keras.optimizers.AdamW,
    "sgd": tf_keras.optimizers.SGD,
    "rmsprop": tf_keras.optimizers.RMSprop,
    "nadam": tf_keras.optimizers.Nadam,
    "adagrad": tf_keras.optimizers.Adagrad,
}

# The graph is left about so often (seconds), to say how far it is.
CHUNK_S = 0.5


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
    """Where the batches come from; both methods are called inside a graph or outside."""

    def order(self, epoch: int) -> tf.Tensor:
        """The order of the rows in an epoch: (rows,) int32."""

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[object, tuple[tf.Tensor, ...]]:
        """The batch of a step, counted from 0: inputs, and the targets of each output."""


def fine_tune(
    model: tf_keras.Model,
    batches: Batches,
    steps_per_epoch: int,
    config: TrainingConfig,
    end_epoch: Callable[[], dict[str, float]],
    stage: Stage,
) -> list[EpochResult]:
    """Train a compiled model.

    Args:
        model: The compiled model; its weights are changed.
        batches: Where the batches come from.
        steps_per_epoch: How many of them are an epoch.
        config: For the number of epochs.
        end_epoch: Called after each epoch; gives the metrics on held-out rows.
        stage: Is told how far it is.

    Raises:
        StageError: Where the loss is no number any more.
    """
    train = _train_function(model, batches)
    total = steps_per_epoch * config.epochs
    history = []
    for epoch in range(config.epochs):
        model.reset_metrics()
        run = partial(train, batches.order(epoch))
        for done in _chunks(run, steps_per_epoch):
            metrics = _metrics(model)
            stage.advance(epoch * steps_per_epoch + done, total, metrics)
            if not math.isfinite(metrics.get("loss", 0.0)):
                raise StageError(
                    f"The loss is {metrics['loss']} in epoch {epoch + 1}, step {done}: the "
                    "training diverged.",
                    where="training.optimizer",
                    hint="Lower learning_rate, set clipnorm, or check the loss and the scale.",
                )
        held_out = {f"val_{name}": value for name, value in end_epoch().items()}
        history.append(EpochResult(epoch=epoch + 1, metrics=metrics | held_out))
    return history


def _train_function(
    model: tf_keras.Model, batches: Batches
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], None]:
    number = tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), number, number])
    def train(order: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> None:
        for step in tf.range(first, last):
            inputs, targets = batches.take(order, step)
            # Keras wants targets in a list or dict where the outputs are in one.
            model.train_step((inputs, tf.nest.pack_sequence_as(model.output, targets)))

    # The sum over one device is nothing, and tf.custom_gradient, which it is written with, keeps
    # this graph, and with it masks and moments, for as long as the process lives.
    model.optimizer.aggregate_gradients = list
    # With its variables made beforehand, the graph is traced once and not twice.
    model.optimizer.build(model.trainable_variables)
    return train


def _chunks(run: Callable[[tf.Tensor, tf.Tensor], None], steps: int) -> Iterator[int]:
    """Run the steps of an epoch, a chunk at a time; yield how many are done."""
    done, chunk = 0, 1
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
