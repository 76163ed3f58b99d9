"""A training that is stopped and resumed equals one that was never stopped, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.artifact import EpochResult
from job.events import Stage
from job.manifest.prune import PruneConfig
from job.stages import fine_tune as module
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.prune import Window, mask_weights, wrap
from job.stages.randomness import drawn_from_variables
from job.stages.training_state import Saved, Variables
from tests.support.batches import InOrder

layers = tf_keras.layers
ROWS, BATCH = 32, 8
SETTINGS = TrainingSettings(steps_per_epoch=4, epochs=2, seed=11)


class StoppedHereError(Exception):
    """What the training is ended by."""


@dataclass
class AtStep:
    """Saves at one step, and stops there."""

    step: int | None = None
    state: Saved | None = None
    saved: list[Saved] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    in_validation: bool = False
    asked: int = 0

    def latest(self) -> Saved | None:
        return self.state

    def refuse(self, why: str) -> None:
        self.said.append(why)

    def warn(self, text: str) -> None:
        self.said.append(text)

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
    """Train a model with pruning wrappers; history, all weights and what was decided."""
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
    """One step in a chunk, so that every step is a boundary."""
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


@pytest.mark.parametrize(("step", "in_validation"), [(4, True), (6, False)])
def test_a_training_resumes_where_it_was_stopped(
    undisturbed: tuple[AtStep, list[EpochResult], list[np.ndarray]], step: int, in_validation: bool
) -> None:
    """In the middle of an epoch, at its end, while it is validated: the same metrics and bits."""
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
    assert later.said == []


def test_a_training_that_is_over_is_not_done_again(
    undisturbed: tuple[AtStep, list[EpochResult], list[np.ndarray]],
) -> None:
    """Its last state gives the weights and the history at once."""
    before, expected_history, expected = undisturbed
    later = AtStep(state=before.saved[-1])
    history, weights, _ = train(later)
    assert history == expected_history
    assert [it.tobytes() for it in weights] == [it.tobytes() for it in expected]
    assert [it.step for it in later.saved] == [8]


def test_random_layers_draw_other_numbers_in_every_step() -> None:
    """Their state is among what is saved, and moves."""
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
    assert len(later.said) == 1
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
        ({"names": ["counted:0", "other:0"]}, "variables are others"),
        ({"names": ["counted:0"], "arrays": [np.int32(5)]}, "variables are others"),
        ({"arrays": [np.array(5, "int32"), np.zeros(3, "float32")]}, r"added:0 .*\(3,\)"),
        ({"arrays": [np.array(5, "int32"), np.zeros(2, "float64")]}, "added:0 is float64"),
        ({"arrays": [np.array(5, "int32")]}, "shorter"),
    ],
)
def test_variables_take_only_what_fits_and_all_of_it(changes: dict[str, Any], why: str) -> None:
    """Nothing is changed by a state of other variables."""
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
def test_a_place_that_a_training_never_passes_is_refused(step: int, over: int) -> None:
    """A step before the epoch that it is in, or after it."""
    history = [EpochResult(epoch=it, metrics={}) for it in range(over)]
    with pytest.raises(ValueError, match="in no training"):
        module._check_place(Saved(step, history, [], []), SETTINGS)


def test_randomness_that_can_not_be_saved_is_warned_of() -> None:
    """A layer with operators of its own: the outcome may differ, and a warning says so."""

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
    assert saves.said == []
    later = AtStep(state=saves.saved[-1])
    train(later, model())
    assert len(later.said) == 1
    assert "RandomStandardNormal" in later.said[0]


def test_a_model_is_left_as_it_was() -> None:
    """What is saved of it does not tell how it was trained: other versions would refuse it."""
    model = random_model()
    before = model.to_json()
    with drawn_from_variables(model, 1):
        assert "rng_type" in model.to_json()
    assert model.to_json() == before
    train(AtStep(), model)
    assert model.to_json() == before
    assert "rng_type" not in before
