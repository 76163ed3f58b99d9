"""Graph, outputs and compile settings must agree, or the manifest must say which it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.manifest.training import LossConfig, TrainingConfig
from job.objective.choose import Known, choose
from job.objective.evidence import look
from job.objective.losses import Objective
from tests.objective.test_choose import BINARY, INDICES, SPARSE, YES_NO, model_of, specs

RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(0, 3, (40, 5)).astype("float32")
SHARES = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).astype("float32")
ONE_LOGIT = LOGITS[:, :1]
# A regression to 0 and 1, with one output below 0.
FITTED = YES_NO[:, None] * 0.8 + 0.1 - 0.3 * (np.arange(40) == YES_NO.argmin())[:, None]
ONE_SHARE = 1 / (1 + np.exp(-ONE_LOGIT))


class Opaque(tf_keras.layers.Layer):  # type: ignore[misc]
    """A layer without a rule."""


def chosen(
    activation: str | None,
    answers: Any,
    targets: Any,
    loss: Any = None,
    compiled: bool | None = None,
) -> Objective:
    units = answers.shape[-1]
    last = [Opaque()] if activation == "opaque" else []
    of_dense = None if activation == "opaque" else activation
    model = model_of(tf_keras.layers.Dense(units, activation=of_dense), *last)
    name = SPARSE if units > 1 else BINARY
    losses = {} if compiled is None else {"out": LossConfig(type=name, from_logits=compiled)}
    known = Known([look(answers, targets)], losses)
    config = TrainingConfig.model_validate({"loss": loss})
    return choose(config, [], model, specs(model, "out"), [targets], known)["out"]


@pytest.mark.parametrize(
    ("activation", "answers", "targets", "compiled", "from_logits"),
    [
        ("softmax", SHARES, INDICES, None, False),
        (None, LOGITS, INDICES, None, True),
        (None, LOGITS * 0 + 0.4, INDICES, None, True),
        ("opaque", SHARES, INDICES, None, False),
        ("opaque", LOGITS, INDICES, None, True),
        ("opaque", np.log(SHARES), INDICES, None, True),
        ("relu", np.maximum(LOGITS, 0), INDICES, None, True),
        ("sigmoid", ONE_SHARE, YES_NO, None, False),
        (None, ONE_LOGIT, YES_NO, None, True),
        ("opaque", ONE_SHARE, YES_NO, False, False),
        ("opaque", ONE_SHARE, YES_NO, True, True),
        (None, ONE_SHARE, YES_NO, True, True),
        ("tanh", np.tanh(ONE_LOGIT), YES_NO, True, True),
    ],
)
def test_from_logits_is_inferred(
    activation: str | None, answers: Any, targets: Any, compiled: bool | None, from_logits: bool
) -> None:
    """From the graph and the outputs; where these do not tell, from how the file was compiled."""
    found = chosen(activation, answers, targets, compiled=compiled)
    assert found.from_logits is from_logits
    assert "its outputs for 40 rows go from" in found.reason


@pytest.mark.parametrize(
    ("activation", "answers", "targets", "says"),
    [
        (None, SHARES, INDICES, "The graph says that the outputs are logits"),
        ("softmax", LOGITS, INDICES, "The graph says that the outputs are probabilities"),
        ("opaque", LOGITS * 0 + 0.4, INDICES, "It is not clear"),
        (None, ONE_SHARE, YES_NO, "It is not clear"),
        ("opaque", ONE_SHARE, YES_NO, "It is not clear"),
        ("opaque", np.log(ONE_SHARE), YES_NO, "It is not clear"),
        ("opaque", np.tanh(ONE_LOGIT), YES_NO, "It is not clear"),
        ("tanh", np.tanh(ONE_LOGIT), YES_NO, "It is not clear"),
        (None, FITTED, YES_NO, "trained on 0 and 1 as numbers"),
    ],
)
def test_where_sources_contradict_or_do_not_tell_the_user_must_choose(
    activation: str | None, answers: Any, targets: Any, says: str
) -> None:
    """The message has the facts, the hint what to write; and that is then accepted."""
    with pytest.raises(InputError, match=says) as caught:
        chosen(activation, np.asarray(answers, "float32"), targets)
    assert caught.value.where == "training.loss"
    assert '"from_logits": true' in caught.value.hint
    if activation != "softmax":
        loss = {"type": SPARSE if answers.shape[-1] > 1 else BINARY}
        may_be = (True,) if answers.min() < -0.001 else (True, False)
        sums = answers.shape[-1] > 1 and np.allclose(answers.sum(axis=-1), 1)
        for said in (False,) if sums else may_be:
            found = chosen(activation, answers, targets, loss | {"from_logits": said})
            assert found.from_logits is said


@pytest.mark.parametrize(
    ("activation", "answers", "targets", "from_logits"),
    [
        ("softmax", SHARES, INDICES, True),
        ("opaque", SHARES, INDICES, True),
        ("sigmoid", ONE_SHARE, YES_NO, True),
        (None, LOGITS, INDICES, False),
        ("opaque", ONE_LOGIT, YES_NO, False),
    ],
)
def test_an_impossible_setting_of_the_manifest_is_refused(
    activation: str | None, answers: Any, targets: Any, from_logits: bool
) -> None:
    """Probabilities are not logits; values outside 0..1 are not probabilities."""
    loss = {"type": SPARSE if answers.shape[-1] > 1 else BINARY, "from_logits": from_logits}
    with pytest.raises(InputError, match=f"from_logits is {str(from_logits).lower()}"):
        chosen(activation, answers, targets, loss)
