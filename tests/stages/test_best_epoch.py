"""The best epoch's weights are published, also after a training was stopped and resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.events import Stage
from job.result.training import EpochResult
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.training_state import BestEpoch, Saved, Saves, best, choose_epoch
from tests.support.batches import InOrder

# On held-out rows after each of six epochs.
LOSSES = (0.1, 0.5, 0.3, 0.4, 0.3, 0.6)


def history(*losses: float) -> list[EpochResult]:
    return [EpochResult(epoch=it, metrics={"val_loss": loss}) for it, loss in enumerate(losses, 1)]


def test_the_first_lowest_loss_after_the_schedule_is_chosen() -> None:
    """Epochs before the schedule ends do not count; without held-out rows none does."""
    assert best(history(*LOSSES), 2) == 3
    assert best(history(*LOSSES), 1) == 1
    assert best(history(*LOSSES[:2]), 3) is None
    assert best([EpochResult(epoch=1, metrics={"loss": 1})], 1) is None
    assert choose_epoch(history(*LOSSES), 2, 6)[0] == 3
    assert "early stopping" in choose_epoch(history(*LOSSES), 2, 9)[1]
    assert choose_epoch([EpochResult(epoch=1, metrics={})], 1, 1) == (
        1,
        "the last one; no rows are held out to choose by",
    )


class StoppedHereError(Exception):
    """Ends the training."""


class StopAt(Saves):
    """Saves the state at a step, and stops there."""

    def __init__(self, step: int | None = None, state: Saved | None = None) -> None:
        self.step, self.state = step, state
        self.refused = ""

    def latest(self) -> Saved | None:
        return self.state

    def refuse(self, why: str) -> None:
        self.refused = why

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        yield

    def is_due(self) -> bool:
        return True

    def save(self, state: Saved) -> None:
        if state.step == self.step:
            self.state = state
            raise StoppedHereError


def train(saves: StopAt, patience: int | None = None) -> tuple[Any, dict[int, Any], list[int]]:
    """Train a tiny model: its final weights, those after each epoch, and the epochs."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [tf_keras.layers.InputLayer((3,)), tf_keras.layers.Dense(2, name="out")]
    )
    model.compile(tf_keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    after: dict[int, Any] = {}
    epoch = [len(saves.state.history) if saves.state else 0]

    def end_epoch(save: Callable[[], None]) -> dict[str, float]:
        epoch[0] += 1
        after[epoch[0]] = [it.copy() for it in model.get_weights()]
        save()
        return {"loss": LOSSES[epoch[0] - 1]}

    settings = TrainingSettings(2, 6, 0, BestEpoch(model.weights, 2, patience))
    stage = Stage("prune", lambda _: None)
    found = fine_tune(model, InOrder(x, x[:, :2], 4), settings, end_epoch, stage, saves)
    return model.get_weights(), after, [it.epoch for it in found]


def same(one: Any, other: Any) -> bool:
    return [it.tobytes() for it in one] == [it.tobytes() for it in other]


def test_the_best_weights_are_published_after_a_resumed_training_too() -> None:
    """Stopped after the best epoch and resumed, the bits are the same; with early stopping too."""
    weights, after, epochs = train(StopAt())
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert same(weights, after[3])
    assert not same(weights, after[6])
    for patience, last in ((None, 6), (2, 5)):
        saves = StopAt(step=9)  # in the fifth epoch
        with pytest.raises(StoppedHereError):
            train(saves, patience)
        assert saves.state is not None
        assert same(saves.state.best, after[3])
        again, _, epochs = train(StopAt(state=saves.state), patience)
        assert epochs[-1] == last
        assert same(again, after[3])
    assert saves.state is not None
    damaged = Saved(8, saves.state.history, saves.state.names, saves.state.arrays, [])
    refusing = StopAt(state=damaged)
    with contextlib.suppress(IndexError):  # it starts again, with the losses of later epochs
        train(refusing)
    assert "best epoch" in refusing.refused


def test_row_weights_have_the_effect_of_sample_weight() -> None:
    """The loop with row weights gives the model that Keras's ``fit`` gives."""
    random = np.random.default_rng(1)
    x = random.normal(size=(12, 3)).astype("float32")
    y = random.integers(0, 2, 12)
    w = random.random(12).astype("float32")

    class Weighted(InOrder):
        def weights(self, order: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return (tf.gather(w, order[step * self.size : (step + 1) * self.size]),)

    models = []
    for _ in range(2):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [tf_keras.layers.InputLayer((3,)), tf_keras.layers.Dense(2, name="out")]
        )
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf_keras.optimizers.Adam(0.1), loss, ["accuracy"])
        models.append(model)
    ours, theirs = models
    fine_tune(
        ours,
        Weighted(x, y, 4),
        TrainingSettings(3, 2),
        lambda _: {},
        Stage("prune", lambda _: None),
    )
    theirs.fit(x, y, sample_weight=w, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
