"""What an output's values are: a distribution or numbers, with labels, by name, or by the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.manifest.training import LossConfig, TrainingConfig
from job.objective.answers import Answer, AnswerKind, answer_of, answers_of
from job.objective.choose import Known
from job.objective.endings import ending
from job.objective.evidence import look
from job.objective.losses import Objective
from job.result.specs import TensorSpec

layers = tf_keras.layers
SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")


def ends_in(activation: str | None, units: int = 5) -> Any:
    """A model of one layer; its outputs are normal numbers before the activation."""
    tf_keras.utils.set_random_seed(1)
    given = tf_keras.Input((6,))
    hidden = layers.Dense(units, kernel_initializer="random_normal", name="out")(given)
    return tf_keras.Model(given, layers.Activation(activation)(hidden) if activation else hidden)


def answer(model: Any, seen: bool = True, **asked: Any) -> Answer:
    units = model.output.shape[-1]
    evidence = look(model(X).numpy(), np.empty(0)) if seen else None
    return answer_of(ending(model.output), evidence, units, **asked)


@pytest.mark.parametrize(
    ("activation", "units", "kind", "logits"),
    [
        ("softmax", 5, "softmax", False),
        ("log_softmax", 5, "softmax", True),
        ("sigmoid", 5, "sigmoid", False),
        ("sigmoid", 1, "sigmoid", False),
        (None, 5, "numbers", False),
        (None, 1, "numbers", False),
        ("relu", 5, "numbers", False),
        ("tanh", 5, "numbers", False),
        # A softmax over one value is always 1.
        ("softmax", 1, "numbers", False),
    ],
)
def test_without_labels_the_graph_says_what_an_output_is(
    activation: str | None, units: int, kind: AnswerKind, logits: bool
) -> None:
    """Nothing tells logits from numbers, so these are compared as numbers; the reason says so."""
    found = answer(ends_in(activation, units))
    assert (found.kind, found.from_logits) == (kind, logits)
    if activation is None:
        assert "nothing says that they are logits" in found.reason


@pytest.mark.parametrize(
    ("activation", "units", "loss", "kind", "logits"),
    [
        (None, 5, {"type": SPARSE}, "softmax", True),
        (None, 5, {"type": SPARSE, "from_logits": True}, "softmax", True),
        (None, 5, {"type": "categorical_focal_crossentropy"}, "softmax", True),
        (None, 5, {"type": BINARY}, "sigmoid", True),
        (None, 1, {"type": BINARY}, "sigmoid", True),
        ("softmax", 5, {"type": SPARSE}, "softmax", False),
        ("sigmoid", 5, {"type": BINARY}, "sigmoid", False),
        # One value is no class of several; numbers are none of either.
        (None, 1, {"type": SPARSE}, "numbers", False),
        (None, 5, {"type": "mean_squared_error"}, "numbers", False),
        # What is named does not fit the outputs, which are not in 0..1.
        (None, 5, {"type": SPARSE, "from_logits": False}, "numbers", False),
    ],
)
def test_a_loss_that_is_named_tells_logits_from_numbers(
    activation: str | None, units: int, loss: dict[str, Any], kind: AnswerKind, logits: bool
) -> None:
    """By the manifest, or the file; where it fits the outputs."""
    named = LossConfig.model_validate(loss)
    found = answer(ends_in(activation, units), named=named, source="the file")
    assert (found.kind, found.from_logits) == (kind, logits)
    if activation is None and kind != "numbers":
        assert found.reason == f"the file names {loss['type']}, of logits"


@pytest.mark.parametrize(
    ("loss", "logits", "kind"),
    [
        (SPARSE, True, "softmax"),
        ("categorical_crossentropy", False, "softmax"),
        (BINARY, True, "sigmoid"),
        ("binary_focal_crossentropy", False, "sigmoid"),
    ],
)
def test_with_labels_the_loss_says_it(loss: str, logits: bool, kind: AnswerKind) -> None:
    """It was checked against the outputs when it was chosen."""
    found = answer(ends_in(None), objective=Objective(loss, logits, (), ""))
    assert (found.kind, found.from_logits) == (kind, logits)
    assert found.reason == f"the loss {loss} reads it as {'logits' if logits else 'probabilities'}"


def test_labels_of_numbers_leave_it_to_the_graph() -> None:
    """A softmax that is trained by squares is a distribution; a linear output is numbers."""
    squares = Objective("mean_squared_error", None, (), "")
    assert answer(ends_in("softmax"), objective=squares).kind == "softmax"
    assert answer(ends_in(None), objective=squares).kind == "numbers"


def test_a_graph_that_can_not_be_read_is_judged_by_its_values() -> None:
    """Rows that sum to one are a distribution; without rows nobody knows."""
    given = tf_keras.Input((6,))
    powers = layers.Lambda(lambda z: z / z.sum() if hasattr(z, "sum") else z, name="own")(given)
    model = tf_keras.Model(given, powers)
    assert ending(model.output).kind == "unknown"
    shares = np.random.default_rng(0).dirichlet(np.ones(6), 64).astype("float32")
    seen = look(shares, np.empty(0))
    assert answer_of(ending(model.output), seen, 6).kind == "softmax"
    assert answer_of(ending(model.output), None, 6).kind == "numbers"


def test_each_output_of_a_model_has_its_answer() -> None:
    """In the model's order; what the manifest names counts more than what the file names."""
    given = tf_keras.Input((6,), name="x")
    heads = [
        layers.Dense(units, name=name)(given) for name, units in (("a", 5), ("b", 5), ("c", 1))
    ]
    model = tf_keras.Model(given, heads)
    specs = [
        TensorSpec(name, (units,), "float32") for name, units in (("a", 5), ("b", 5), ("c", 1))
    ]
    seen = [look(it.numpy(), np.empty(0)) for it in model(X)]
    sparse = LossConfig.model_validate({"type": SPARSE})
    compiled: dict[str, LossConfig | str] = {"a": sparse, "b": sparse, "c": "it is a Lambda"}
    config = TrainingConfig.model_validate({"loss": {"a": BINARY}})
    found = answers_of(config, model, specs, {}, Known(seen, compiled))
    assert {name: it.kind for name, it in found.items()} == {
        "a": "sigmoid",
        "b": "softmax",
        "c": "numbers",
    }
    assert [it.reason.split(" names ")[0] for it in found.values()][:2] == [
        "the manifest",
        "the file",
    ]
