"""keras3_ops: functions of keras.ops in a functional model, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from job.errors import InputError
from job.models.compare import TOLERANCE, difference
from job.models.keras3_ops import IN_TENSORFLOW, OPS
from job.models.load import read, save
from tests.support.rare import marked

ops = keras.ops

UNARY = (
    *("Cos", "Erf", "Exp", "Gelu", "Sigmoid", "Silu", "Sin", "Softmax", "Softplus", "Sqrt"),
    *("Square", "Tanh"),
)
# An operation -> a use of it on x, (rows, 6, 4), between 0 and 1.
USES: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(ops, name.lower()) for name in UNARY},
    "Absolute": lambda x: ops.abs(x - 0.5),
    "Add": lambda x: x + 1.0,
    "Cast": lambda x: ops.cast(x, "float32"),
    "Ceil": lambda x: ops.ceil(x * 3),
    "Clip": lambda x: ops.clip(x, 0.2, 0.6),
    "Concatenate": lambda x: ops.concatenate([x, x * 2], axis=-1),
    "Divide": lambda x: ops.divide(x, 3.0),
    "Einsum": lambda x: ops.einsum("bij->bji", x),
    "Elu": lambda x: ops.elu(x - 0.5, alpha=0.3),
    "Equal": lambda x: ops.cast(ops.equal(x, ops.relu(x)), "float32"),
    "ExpandDims": lambda x: ops.expand_dims(x, -1),
    "Floor": lambda x: ops.floor(x * 3),
    "GetItem": lambda x: x[:, 1:3, 0],
    "Greater": lambda x: ops.cast(ops.greater(x, 0.5), "float32"),
    "GreaterEqual": lambda x: ops.cast(x >= 0.5, "float32"),
    "LeakyRelu": lambda x: ops.leaky_relu(x - 0.5, 0.3),
    "Less": lambda x: ops.cast(x < 0.5, "float32"),
    "LessEqual": lambda x: ops.cast(x <= 0.5, "float32"),
    "LogSoftmax": lambda x: ops.log_softmax(x, axis=1),
    "Logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "Log": lambda x: ops.log(x + 1.0),
    "Matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "Max": lambda x: ops.max(x, axis=1),
    "Maximum": lambda x: ops.maximum(x, 0.5),
    "Mean": lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "Min": lambda x: ops.min(x, axis=-1),
    "Minimum": lambda x: ops.minimum(x, 0.5),
    "Multiply": lambda x: x * x,
    "Negative": lambda x: -x,
    "Pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))),
    "Power": lambda x: x**2.0,
    "Prod": lambda x: ops.prod(x, axis=1),
    "Relu": lambda x: ops.relu(x - 0.5),
    "Relu6": lambda x: ops.relu6(x * 9),
    "Reshape": lambda x: ops.reshape(x, (-1, 24)),
    "Resize": lambda x: ops.image.resize(ops.reshape(x, (-1, 6, 4, 1)), (3, 5)),
    "Round": lambda x: ops.round(x * 3),
    "Rsqrt": lambda x: ops.rsqrt(x + 1.0),
    "Selu": lambda x: ops.selu(x - 0.5),
    "Sign": lambda x: ops.sign(x - 0.5),
    "Split": lambda x: ops.split(x, 2, axis=1)[1],
    "Squeeze": lambda x: ops.squeeze(ops.expand_dims(x, -1), -1),
    "Stack": lambda x: ops.stack([x, x], axis=1),
    "Std": lambda x: ops.std(x, axis=1),
    "Subtract": lambda x: 1.0 - x,
    "Sum": lambda x: ops.sum(x, axis=1),
    "Take": lambda x: ops.take(x, [2, 0], axis=1),
    "Tile": lambda x: ops.tile(x, (1, 2, 1)),
    "Transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "TrueDivide": lambda x: x / 3.0,
    "Var": lambda x: ops.var(x, axis=-1, keepdims=True),
    "Where": lambda x: ops.where(x > 0.5, x, 0.0),
}


def model(*uses: Callable[[Any], Any]) -> keras.Model:
    """A model with an output for each use."""
    given = keras.Input((6, 4), name="given")
    x = keras.layers.Dense(4)(given)
    found = [keras.layers.Dense(2)(keras.layers.Flatten()(use(x))) for use in uses]
    return keras.Model(given, found if len(found) > 1 else found[0])


@pytest.mark.parametrize("names", [IN_TENSORFLOW, *(marked([it]) for it in IN_TENSORFLOW)])
def test_operations_compute_the_same_as_in_keras_3(names: list[str], tmp_path: Path) -> None:
    """Within 1e-5 on random inputs; the file that is written is the same Keras 3 model."""
    keras.utils.set_random_seed(5)
    made = model(*(USES[name] for name in names))
    assert set(names) <= {type(it).__name__ for it in made.operations}
    made.save(tmp_path / "m.keras")
    found = read(tmp_path / "m.keras")
    assert difference(made, found.model) <= TOLERANCE
    saved = save(found.model, found, tmp_path / "again.keras")
    assert difference(made, saved.original) <= TOLERANCE


# Uses of operations that a layer calls, on x and on whole numbers n of the same shape.
CALLED: list[Callable[[Any, Any], Any]] = [
    lambda x, _: ops.einsum("bij,bkj->bik", x, x),
    lambda x, _: ops.split(x, [1, 2], axis=1)[1],
    lambda x, _: ops.cumsum(x, axis=1),
    lambda x, _: ops.flip(x, axis=1) + ops.roll(x, 1, axis=2),
    lambda x, _: ops.sort(x, axis=1) - ops.argsort(x, axis=1),
    lambda x, _: ops.argmax(x, axis=-1),
    lambda x, _: ops.top_k(x, 2)[0],
    lambda x, _: ops.one_hot(ops.argmin(x, axis=-1), 4),
    lambda x, _: ops.logical_or(x > 0.5, ops.logical_not(x > 0.2)),
    lambda x, _: ops.isfinite(x) & ops.isclose(x, x),
    lambda x, _: ops.norm(x, axis=-1) + ops.median(x, axis=-1) + ops.quantile(x, 0.3, axis=-1),
    lambda x, _: ops.moments(x, axes=[1])[1],
    lambda x, _: ops.normalize(x, axis=-1),
    lambda x, _: ops.hard_sigmoid(x * 9 - 4) + ops.celu(x - 0.5) + ops.log_sigmoid(x),
    lambda x, _: ops.hard_silu(x) + ops.squareplus(x) + ops.tanh_shrink(x) + ops.soft_shrink(x),
    lambda x, _: ops.glu(x) + ops.sparsemax(x[..., :2]),
    lambda x, _: ops.threshold(x, 0.4, -1.0),
    lambda x, _: (
        ops.log1p(x) + ops.expm1(x) + ops.sinh(x) + ops.arctan2(x, x + 1) + ops.log2(x + 1)
    ),
    lambda x, _: ops.swapaxes(ops.moveaxis(x, 1, 2), 1, 2) + ops.nan_to_num(x),
    lambda x, _: ops.triu(ops.matmul(x, ops.swapaxes(x, 1, 2))),
    lambda x, _: ops.tensordot(x, ops.convert_to_tensor(x)[0], axes=[[2], [1]]),
    lambda x, _: ops.stop_gradient(x) * ops.ones_like(x) + ops.zeros_like(x),
    lambda x, _: (
        ops.repeat(x, 2, axis=1)[:, :6] + ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1)
    ),
    lambda x, _: ops.average_pool(x, 2, padding="valid") + ops.max_pool(x, 2, padding="valid"),
    lambda x, _: ops.hstack([x, x])[:, :6],
    lambda x, _: ops.image.rgb_to_grayscale(ops.stack([x, x, x], axis=-1)),
    lambda x, _: ops.unstack(x, axis=1)[2],
    lambda x, _: ops.logaddexp(x, 1 - x) + ops.heaviside(x, x) + ops.trunc(x * 3) + ops.mod(x, 0.3),
    lambda _, n: n + 0.5,
    lambda _, n: n / 2,
    lambda _, n: n // 2 + n % 3 - ops.abs(n - 2),
    lambda _, n: ops.mean(n, axis=1),
    lambda _, n: ops.var(n, axis=1),
    lambda _, n: ops.multiply(n, True) + ops.bitwise_and(n, n),
    lambda x, n: ops.where(n > 3, x, n),
    lambda x, n: ops.matmul(x, ops.transpose(n, (0, 2, 1))),
    lambda x, n: ops.cast(n, "float32") * x + n,
]


def test_operations_without_a_tensorflow_function_are_called(
    tmp_path: Path,
) -> None:
    """With the dtypes of Keras 3, which converts integers; as many as fit in one model."""
    x, n = keras.Input((6, 4), name="x"), keras.Input((6, 4), dtype="int32", name="n")
    made = keras.Model([x, n], [use(x, n) for use in CALLED])
    made.save(tmp_path / "m.keras")
    found = read(tmp_path / "m.keras")
    random = np.random.default_rng(0)
    rows = [random.random((2, 6, 4), "float32"), random.integers(0, 9, (2, 6, 4), "int32")]
    for index, (before, after) in enumerate(zip(made(rows), found.model(rows), strict=True)):
        assert before.dtype == after.dtype, index
        np.testing.assert_allclose(after, before, atol=TOLERANCE, err_msg=str(index))
    save(found.model, found, tmp_path / "again.keras")


def test_an_operation_that_calls_a_function_is_refused_by_name(tmp_path: Path) -> None:
    """It would run code from the file."""
    model(lambda x: ops.map(lambda row: row * 2, x)).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="Map") as caught:
        read(tmp_path / "m.keras")
    assert caught.value.hint
    assert "corrupt" not in str(caught.value)


def test_a_model_whose_outputs_differ_is_refused_with_the_first_such_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers after it differ too; the first has to be replaced."""
    model(lambda x: ops.cos(ops.tanh(ops.exp(x)))).save(tmp_path / "m.keras")
    assert read(tmp_path / "m.keras")
    monkeypatch.setitem(OPS, "Tanh", lambda _, x: 1.01 * tf.tanh(x))
    with pytest.raises(InputError, match=r"first layer that differs is tanh") as caught:
        read(tmp_path / "m.keras")
    assert caught.value.where == str(tmp_path / "m.keras")
