"""The loop inside the graph computes what Keras's ``fit`` computes."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from job.errors import StageError
from job.events import Event, Stage
from job.manifest.prune import PruneConfig
from job.manifest.training import OptimizerConfig
from job.stages.fine_tune import OPTIMIZERS, TrainingSettings, fine_tune, make_optimizer
from job.stages.prune import Window, mask_weights, wrap
from tests.support.batches import InOrder, no_metrics

layers = tf_keras.layers
ROWS, BATCH, EPOCHS = 100, 16, 3
STEPS = 7  # the last batch has 4 rows


def small_model() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(
        [
            layers.InputLayer((12,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(3, name="out"),
        ]
    )


def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    x = random.normal(size=(ROWS, 12)).astype("float32")
    return x, x[:, :3].argmax(axis=1).astype("int64")


def an_epoch() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(rows()).batch(BATCH)


def compile_model(model: tf_keras.Model) -> None:
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.01), loss, ["accuracy"])


def silent() -> Stage:
    return Stage("prune", lambda _: None)


def test_the_loop_gives_the_weights_of_fit_with_update_pruning_step() -> None:
    """On the same batches, weights, masks and metrics are those of ``fit`` with tfmot."""
    asked = {"type": "polynomial_decay", "initial_sparsity": 0.2, "final_sparsity": 0.7}
    config = PruneConfig.model_validate({"schedule": asked})
    ours = wrap(small_model(), {"hidden": 0.7, "out": 0.7}, config, Window(2, 18, 4))
    compile_model(ours)

    def end_epoch(_: Callable[[], None]) -> dict[str, float]:
        mask_weights(ours)
        return {"seen": 1.0}

    history = fine_tune(
        ours, InOrder(*rows(), BATCH), TrainingSettings(STEPS, EPOCHS), end_epoch, silent()
    )

    schedule = tfmot.sparsity.keras.PolynomialDecay(0.2, 0.7, 2, 18, power=3, frequency=4)

    def by_tfmot(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if not isinstance(layer, layers.Dense):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    theirs = tf_keras.models.clone_model(small_model(), clone_function=by_tfmot)
    compile_model(theirs)
    fitted = theirs.fit(
        an_epoch(),
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )
    assert len(ours.weights) == len(theirs.weights)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=0, atol=1e-6)
    zeros = np.mean(ours.get_layer("prune_low_magnitude_hidden").layer.kernel.numpy() == 0)
    assert zeros == pytest.approx(0.7, abs=1 / (12 * 16))
    assert [it.epoch for it in history] == [1, 2, 3]
    for name in ("loss", "accuracy"):
        mine = [it.metrics[name] for it in history]
        np.testing.assert_allclose(mine, fitted.history[name], rtol=1e-5)
    assert all(it.metrics["val_seen"] == 1.0 for it in history)


def test_frozen_batch_normalization_runs_as_in_inference_and_stays() -> None:
    """The gradients are those of Keras with a layer that is not trainable; other weights learn."""
    trained = {}
    for name in ("ours", "keras"):
        model = small_model()
        norm = model.get_layer("norm")
        norm.set_weights([np.full(16, 2.0), np.full(16, 0.1), np.full(16, 0.5), np.full(16, 3.0)])
        norm.trainable = name == "ours"
        compile_model(model)
        before = norm.get_weights()
        if name == "ours":
            settings = TrainingSettings(STEPS, EPOCHS, freezes=True)
            fine_tune(model, InOrder(*rows(), BATCH), settings, no_metrics, silent())
            assert norm.trainable
        else:
            model.fit(an_epoch(), epochs=EPOCHS, shuffle=False, verbose=0)
        assert all(map(np.array_equal, before, norm.get_weights()))
        trained[name] = [model.get_layer(it).get_weights() for it in ("hidden", "out")]
    for ours, keras in zip(trained["ours"], trained["keras"], strict=True):
        for a, b in zip(ours, keras, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    start = small_model().get_layer("hidden").get_weights()
    assert not np.allclose(trained["ours"][0][0], start[0])


def test_progress_is_reported_from_the_first_step_to_the_last() -> None:
    """It never decreases, and ends with all steps."""
    events: list[Event] = []
    model = small_model()
    compile_model(model)
    stage = Stage("prune", events.append)
    fine_tune(model, InOrder(*rows(), BATCH), TrainingSettings(STEPS, EPOCHS), no_metrics, stage)
    done = [event["done"] for event in events]
    assert done == sorted(done)
    assert done[-1] == events[-1]["total"] == EPOCHS * STEPS


def test_a_training_that_diverges_is_stopped() -> None:
    """An infinite loss is a StageError that names the optimizer."""
    model = small_model()
    model.compile(tf_keras.optimizers.SGD(1e20), "mean_squared_error")
    x, _ = rows()
    batches = InOrder(x, x[:, :3] * 1e10, BATCH)
    with pytest.raises(StageError, match="diverged") as caught:
        fine_tune(model, batches, TrainingSettings(STEPS, EPOCHS), no_metrics, silent())
    assert caught.value.where == "training.optimizer"


@pytest.mark.parametrize("kind", ["list", "dict", "dict of one"])
def test_targets_go_to_their_outputs(kind: str) -> None:
    """The loop gives the weights of ``fit`` for lists and dicts of outputs."""
    x, y = rows()
    z = x[:, 3:5]

    def build() -> tf_keras.Model:
        tf_keras.utils.set_random_seed(4)
        given = tf_keras.Input((12,))
        zeta, alpha = layers.Dense(3, name="zeta")(given), layers.Dense(2, name="alpha")(given)
        sparse = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if kind == "list":
            model = tf_keras.Model(given, [zeta, alpha])
            model.compile("sgd", [sparse, "mse"], loss_weights=[1.0, 0.5])
        elif kind == "dict":
            model = tf_keras.Model(given, {"z": zeta, "a": alpha})
            model.compile("sgd", {"z": sparse, "a": "mse"}, loss_weights={"z": 1.0, "a": 0.5})
        else:
            model = tf_keras.Model(given, {"z": zeta})
            model.compile("sgd", {"z": sparse})
        return model

    flat, structure = {
        "list": ((y, z), [y, z]),
        "dict": ((z, y), {"z": y, "a": z}),
        "dict of one": ((y,), {"z": y}),
    }[kind]
    ours, theirs = build(), build()
    fine_tune(ours, InOrder(x, flat, BATCH), TrainingSettings(STEPS, 2), no_metrics, silent())
    theirs.fit(x, structure, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=0, atol=1e-6)


def optimizer(**fields: Any) -> tf_keras.optimizers.Optimizer:
    return make_optimizer(OptimizerConfig.model_validate(fields), total_steps=40)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_has_its_options_and_learns(name: str) -> None:
    """Each type is the Keras class of that name, with the given rate, and lowers a loss."""
    made = optimizer(type=name, learning_rate=0.05, clipnorm=2.0)
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == pytest.approx(0.05)
    assert made.clipnorm == 2.0
    weight = tf.Variable([3.0, -2.0])
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weight**2)
        made.apply_gradients([(tape.gradient(loss, weight), weight)])
    assert float(tf.reduce_sum(weight**2)) < 13.0


def test_momentum_is_used() -> None:
    """Two steps of SGD with momentum on a constant gradient follow Polyak's formula."""
    made = optimizer(type="sgd", learning_rate=0.1, momentum=0.9)
    weight = tf.Variable([1.0])
    for _ in range(2):
        made.apply_gradients([(tf.constant([1.0]), weight)])
    assert float(weight[0]) == pytest.approx(1 - 0.1 - (0.1 + 0.9 * 0.1))


@pytest.mark.parametrize("step", [0, 7, 20, 39, 40, 90])
def test_cosine_decay_ends_with_the_training(step: int) -> None:
    """Without decay_steps, the rate follows a cosine over all steps of the training."""
    schedule = {"type": "cosine_decay", "alpha": 0.1}
    made = optimizer(learning_rate=0.2, learning_rate_schedule=schedule)
    made.iterations.assign(step)
    wave = 0.5 * (1 + math.cos(math.pi * min(step, 40) / 40))
    made.apply_gradients([(tf.constant([0.0]), tf.Variable([0.0]))])
    made.iterations.assign(step)
    assert float(made._learning_rate(step)) == pytest.approx(0.2 * (0.9 * wave + 0.1), rel=1e-5)


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay_follows_its_formula(staircase: bool) -> None:
    """The rate falls by decay_rate for each decay_steps, smoothly or in steps."""
    schedule = {"type": "exponential_decay", "decay_steps": 10, "decay_rate": 0.5}
    made = optimizer(learning_rate=0.2, learning_rate_schedule=schedule | {"staircase": staircase})
    for step in (0, 5, 10, 25):
        power = step // 10 if staircase else step / 10
        assert float(made._learning_rate(step)) == pytest.approx(0.2 * 0.5**power, rel=1e-5)


def test_the_memory_of_training_is_freed_when_it_ends() -> None:
    """TensorFlow holds no reference to the optimizer's moments, twice the size of the weights."""
    model = small_model()
    compile_model(model)
    fine_tune(model, InOrder(*rows(), BATCH), TrainingSettings(STEPS, 1), no_metrics, silent())
    moment = weakref.ref(model.optimizer.variables[-1].handle)
    assert moment() is not None
    del model
    gc.collect()
    assert moment() is None
