"""A training that is stopped and resumed gives the bits of one that was never stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.events import Stage
from job.manifest.prune import PruneConfig
from job.result.training import EpochResult
from job.stages import fine_tune as module
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.prune import Window, mask_weights, wrap
from job.stages.training_state import Saved, Variables, drawn_from_variables
from tests.support.batches import InOrder
from tests.support.rare import few, rare

layers = tf_keras.layers
ROWS, BATCH = 32, 8
SETTINGS = TrainingSettings(steps_per_epoch=4, epochs=2, seed=11)


class StoppedHereError(Exception):
    """Ends the training."""


@dataclass
class AtStep:
    """Saves at every step, and stops at one."""

    step: int | None = None
    state: Saved | None = None
    saved: list[Saved] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    in_validation: bool = False
    asked: int = 0

    def latest(self) -> Saved | None:
        return self.state

    def refuse(self, why: str) -> None:
        self.reported.append(why)

    def warn(self, text: str) -> None:
        self.reported.append(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        yield

    def is_due(self) -> bool:
        return True

    def save(self, state: Saved) -> None:
        self.saved.append(state)
        if state.step == self.step:
            self.asked += 1
            if self.asked == 1 + self.in_validation:
                raise StoppedHereError


def random_model() -> tf_keras.Model:
    """Every kind of state: dropout (in a wrapper and a nested model, too), noise, moving means."""
    tf_keras.utils.set_random_seed(3)
    inner = tf_keras.Sequential(
        [layers.InputLayer((6, 5)), layers.Dropout(0.2), layers.Dense(6, name="inner_dense")],
        name="inner",
    )
    return tf_keras.Sequential(
        [
            layers.InputLayer((6, 4)),
            layers.LSTM(5, return_sequences=True, recurrent_dropout=0.3, dropout=0.1, name="lstm"),
            inner,
            layers.TimeDistributed(layers.Dropout(0.3)),
            layers.GaussianNoise(0.1),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(3, name="out"),
        ]
    )


def data() -> InOrder:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 6, 4)).astype("float32")
    return InOrder(x, x[:, 0, :3].argmax(axis=1), BATCH)


def train(
    saves: Any, model: tf_keras.Model | None = None
) -> tuple[list[EpochResult], list[np.ndarray], Stage]:
    """Train a model with pruning wrappers: its history, all weights, and the stage."""
    model = model or random_model()
    config = PruneConfig.model_validate({"schedule": {"type": "polynomial_decay"}})
    wrapped = wrap(model, {"lstm": 0.5, "out": 0.6}, config, Window(2, 7, 2))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    wrapped.compile(tf_keras.optimizers.Adam(0.02), loss, ["accuracy"])

    def end_epoch(save_if_due: Callable[[], None]) -> dict[str, float]:
        mask_weights(wrapped)
        save_if_due()
        return {"seen": float(np.abs(wrapped.get_weights()[0]).sum())}

    stage = Stage("prune", lambda _: None)
    history = fine_tune(wrapped, data(), SETTINGS, end_epoch, stage, saves)
    return history, [it.numpy() for it in wrapped.weights], stage


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    """One step per chunk, so that every step is a boundary."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "CHUNK_S", 0.0)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def undisturbed() -> tuple[AtStep, list[EpochResult], list[np.ndarray]]:
    """A training that is never stopped, saved after each step."""
    saves = AtStep()
    history, weights, _ = train(saves)
    return saves, history, weights


@pytest.mark.parametrize(("step", "in_validation"), few([(4, True), (6, False)]))
def test_a_training_resumes_where_it_was_stopped(
    undisturbed: tuple[AtStep, list[EpochResult], list[np.ndarray]], step: int, in_validation: bool
) -> None:
    """In an epoch, or during validation at its end: the metrics and bits are the same."""
    saves = AtStep(step, in_validation=in_validation)
    with pytest.raises(StoppedHereError):
        train(saves)
    later = AtStep(state=saves.saved[-1])
    history, weights, stage = train(later)
    _, expected_history, expected = undisturbed
    assert history == expected_history
    assert [it.tobytes() for it in weights] == [it.tobytes() for it in expected]
    assert stage.decisions == [f"goes on from step {step} of 8, which an earlier run had saved"]
    assert min(it.step for it in later.saved) >= step
    assert later.reported == []


def test_a_finished_training_is_not_repeated(
    undisturbed: tuple[AtStep, list[EpochResult], list[np.ndarray]],
) -> None:
    """Its last state gives the weights and the history."""
    before, expected_history, expected = undisturbed
    later = AtStep(state=before.saved[-1])
    history, weights, _ = train(later)
    assert history == expected_history
    assert [it.tobytes() for it in weights] == [it.tobytes() for it in expected]
    assert [it.step for it in later.saved] == [8]


@rare
def test_random_layers_draw_new_numbers_in_every_step() -> None:
    """Their state is saved, and changes."""
    saves = AtStep(4)
    with pytest.raises(StoppedHereError):
        train(saves)
    first, second = saves.saved[0], saves.saved[1]
    random = [i for i, name in enumerate(first.names) if name.startswith("StateVar")]
    assert len(random) >= 4
    for index in random:
        assert first.arrays[index].tobytes() != second.arrays[index].tobytes()
    seeds = {first.arrays[index].tobytes() for index in random}
    assert len(seeds) == len(random)


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    undisturbed: tuple[AtStep, list[EpochResult], list[np.ndarray]],
) -> None:
    """The training starts again, and the reason is reported."""
    good, expected_history, expected = undisturbed
    state = good.saved[5]
    arrays = [*state.arrays[:-1], np.zeros((2, 2), state.arrays[-1].dtype)]
    later = AtStep(state=replace(state, arrays=arrays))
    history, weights, stage = train(later)
    assert len(later.reported) == 1
    assert stage.decisions == []
    assert history == expected_history
    assert [it.tobytes() for it in weights] == [it.tobytes() for it in expected]


def small_graph() -> tuple[tf.Graph, list[tf.Variable]]:
    """A function that changes one variable and reads another."""
    counted, added = tf.Variable(0, name="counted"), tf.Variable([1.0, 2.0], name="added")

    def count() -> tf.Tensor:
        return tf.cast(counted.assign_add(1), tf.float32) + added

    return tf.function(count).get_concrete_function().graph, [counted, added]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"names": ["counted:0", "other:0"]}, "has other variables"),
        ({"names": ["counted:0"], "arrays": [np.int32(5)]}, "has other variables"),
        ({"arrays": [np.array(5, "int32"), np.zeros(3, "float32")]}, r"added:0 .*\(3,\)"),
        ({"arrays": [np.array(5, "int32"), np.zeros(2, "float64")]}, "added:0 is float64"),
        ({"arrays": [np.array(5, "int32")]}, "shorter"),
    ],
)
def test_a_state_of_other_variables_is_refused(changes: dict[str, Any], why: str) -> None:
    """It changes nothing; one that fits restores all variables."""
    graph, (counted, added) = small_graph()
    good = Saved(3, [], ["counted:0", "added:0"], [np.array(5, "int32"), np.ones(2, "float32")])
    variables = Variables(graph)
    with pytest.raises(ValueError, match=why):
        variables.restore(replace(good, **changes))
    assert (int(counted), added.numpy().tolist()) == (0, [1.0, 2.0])
    variables.restore(good)
    assert (int(counted), added.numpy().tolist()) == (5, [1.0, 1.0])
    assert [it.tolist() for it in variables.saved(3, []).arrays] == [5, [1.0, 1.0]]


@pytest.mark.parametrize(("step", "over"), [(3, 1), (9, 1), (7, 2), (8, 3), (-1, 0)])
def test_an_impossible_step_is_refused(step: int, over: int) -> None:
    """It is before or after the epoch that the history implies."""
    history = [EpochResult(epoch=it, metrics={}) for it in range(over)]
    with pytest.raises(ValueError, match="in no training"):
        module._check_place(Saved(step, history, [], []), SETTINGS)


def test_randomness_that_can_not_be_saved_gives_a_warning() -> None:
    """A layer with its own random operators may make the outcome differ."""

    def model() -> tf_keras.Model:
        tf_keras.utils.set_random_seed(3)
        noise = layers.Lambda(lambda it: it + tf.random.normal(tf.shape(it)))
        return tf_keras.Sequential(
            [
                layers.InputLayer((6, 4)),
                layers.LSTM(5, name="lstm"),
                noise,
                layers.Flatten(),
                layers.Dense(3, name="out"),
            ]
        )

    saves = AtStep(4)
    with pytest.raises(StoppedHereError):
        train(saves, model())
    assert saves.reported == []
    later = AtStep(state=saves.saved[-1])
    train(later, model())
    assert len(later.reported) == 1
    assert "RandomStandardNormal" in later.reported[0]


@rare
def test_random_layers_are_restored_after_the_training() -> None:
    """Else the saved model would have ``rng_type``, which other versions refuse."""
    model = random_model()
    before = model.to_json()
    with drawn_from_variables(model, 1):
        assert "rng_type" in model.to_json()
    assert model.to_json() == before
    train(AtStep(), model)
    assert model.to_json() == before
    assert "rng_type" not in before
