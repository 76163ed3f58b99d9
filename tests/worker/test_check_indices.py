"""Integers for which an Embedding has no row are refused with their row; others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split
from job.worker.check_indices import check_indices

Layers = tf_keras.layers
TOKENS = np.array([[0, 1], [5, 2], [3, 3]])


def embedding(dtype: str = "float32", *, wraps: bool = False) -> Any:
    """A model with six embedded tokens; ``wraps``: larger integers are wrapped."""
    tokens = Layers.Input((2,), name="tokens", dtype=dtype)
    if wraps:
        x = Layers.Embedding(6, 3)(Layers.Lambda(lambda values: values % 6)(tokens))
    else:
        x = Layers.Embedding(6, 3)(tokens)
    return tf_keras.Model(tokens, Layers.Dense(1)(Layers.Flatten()(x)))


def check(model: Any, *tokens: Any, is_test_held_out: bool = False) -> None:
    """Of the training, the validation and the test rows."""
    spec = TensorSpec("tokens", (2,), str(model.inputs[0].dtype.name))
    train, validation, test = (
        Split((np.asarray(rows),), (), 1.0, (spec.dtype,)) for rows in tokens
    )
    dataset = Dataset(train, validation, test, is_test_held_out=is_test_held_out)
    check_indices(model, dataset, [spec], lambda: "Correct it.")


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("value", [6, 105, -1])
@pytest.mark.parametrize(("place", "which"), [(0, "train"), (1, "validation"), (2, "test")])
def test_the_row_and_the_value_are_named(place: int, which: str, value: int, dtype: str) -> None:
    """In each split."""
    model = embedding(dtype)
    splits = [TOKENS.copy() for _ in range(3)]
    check(model, *splits)
    splits[place][1, 1] = value
    with pytest.raises(InputError) as caught:
        check(model, *splits)
    assert caught.value.what == (
        f"Row 1 (from 0) has {value}; the Embedding that the input goes to has 6 rows: 0 to 5."
    )
    assert caught.value.where == f"dataset.{which}.inputs (tokens)"
    assert caught.value.hint == "Correct it."


def test_rows_that_were_held_out_have_no_number() -> None:
    """They were moved, and are the training rows' in the manifest."""
    with pytest.raises(InputError) as caught:
        check(embedding(), TOKENS, TOKENS, TOKENS + 1, is_test_held_out=True)
    assert caught.value.what.startswith("A row has 6")
    assert caught.value.where == "dataset.train.inputs (tokens)"


def test_integers_that_the_model_takes_are_not_refused() -> None:
    """Where a layer wraps them before they are looked up."""
    check(embedding("int32", wraps=True), TOKENS + 50, TOKENS, TOKENS)
