"""Rows that are drawn: of the model's shapes, dtypes and ranges, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.models.load import read
from job.models.random_inputs import indexed_inputs
from job.result.specs import TensorSpec
from job.rows import synthetic
from job.rows.data import Split
from job.rows.synthetic import ROWS, draw_rows
from tests.support.sources import array

IMAGE = TensorSpec("image", (8, 6, 3), "float32")
TOKENS = TensorSpec("tokens", (12,), "int32")


def drawn(
    spec: TensorSpec, given: tuple[float, float] | None = None, categories: int = 0, seed: int = 7
) -> Any:
    """The training rows of a single input."""
    ranges = {} if given is None else {spec.name: given}
    return draw_rows([spec], ranges, [categories], seed)[0].inputs[0]


def test_both_splits_have_the_models_inputs_and_other_rows() -> None:
    """256 rows of each, without targets, unscaled, of the model's dtypes."""
    train, test = draw_rows([IMAGE, TOKENS], {}, [0, 50], 7)
    for split in (train, test):
        assert [it.shape for it in split.inputs] == [(ROWS, 8, 6, 3), (ROWS, 12)]
        assert (split.targets, split.weights, split.scale) == ((), (), 1.0)
        assert [it.dtype for it in split.model_inputs(slice(0, 2))] == ["float32", "int32"]
    for a, b in zip(train.inputs, test.inputs, strict=True):
        assert not np.array_equal(array(a), array(b))


def test_numbers_fill_their_range() -> None:
    """0 to 1, or what is asked for; half-precision inputs are drawn as float32."""
    for spec in (IMAGE, TensorSpec("image", (8, 6, 3), "float16")):
        found = drawn(spec)
        assert found.dtype == np.float32
        assert 0 <= found.min() < 0.01
        assert 0.99 < found.max() <= 1
        assert found.mean() == pytest.approx(0.5, abs=0.01)
        found = drawn(spec, (-3, 5))
        assert -3 <= found.min() < -2.9
        assert 4.9 < found.max() <= 5
        assert found.std() == pytest.approx(8 / np.sqrt(12), rel=0.02)


def test_integers_are_indices_of_the_embedding() -> None:
    """Each row of it is drawn, from 0 on; others are 0 and 1, or of the range that is asked for."""
    assert set(drawn(TOKENS, categories=20).flat) == set(range(20))
    assert set(drawn(TOKENS).flat) == {0, 1}
    assert set(drawn(TOKENS, (3, 6), categories=20).flat) == {3, 4, 5, 6}
    assert set(drawn(TOKENS, (2.5, 4.5)).flat) == {3, 4}
    assert drawn(TOKENS).dtype == np.int32
    assert set(drawn(TensorSpec("pixels", (12,), "uint8"), (0, 255)).flat) == set(range(256))


def test_an_embedding_that_is_fed_with_floats_gets_whole_numbers() -> None:
    """Keras 2 allows it, and casts them."""
    found = drawn(TensorSpec("tokens", (12,), "float32"), categories=20)
    assert set(found.flat) == set(range(20))


def test_truth_values_are_zero_and_one() -> None:
    """Of inputs that are masks."""
    assert set(drawn(TensorSpec("mask", (12,), "bool")).flat) == {0, 1}


def test_inputs_without_axes_have_a_number_for_each_row() -> None:
    """As the length of a sequence."""
    assert drawn(TensorSpec("length", (), "float32")).shape == (ROWS,)


def test_the_seed_determines_the_rows() -> None:
    """The same seed draws the same rows, another seed others."""

    def both(seed: int) -> tuple[Split, Split]:
        return draw_rows([IMAGE, TOKENS], {}, [0, 50], seed)

    for first, again, other in zip(both(1), both(1), both(2), strict=True):
        for a, b, c in zip(first.inputs, again.inputs, other.inputs, strict=True):
            np.testing.assert_array_equal(a, b)
            assert not np.array_equal(array(a), array(c))


def test_large_inputs_have_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many as fit, and two at least."""
    for most, rows in ((10 * 8 * 6 * 3, 10), (1, 2)):
        monkeypatch.setattr(synthetic, "MAX_NUMBERS", most)
        assert len(drawn(IMAGE)) == rows


def test_a_range_of_no_input_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(InputError, match="no input picture; its inputs: image, tokens") as caught:
        draw_rows([IMAGE, TOKENS], {"picture": (0, 1)}, [0, 0], 7)
    assert caught.value.where == "model.input_ranges"


@pytest.mark.parametrize("library", [tf_keras, keras], ids=["keras2", "keras3"])
def test_each_input_is_drawn_from_the_embedding_that_it_goes_to(
    library: Any, tmp_path: Path
) -> None:
    """One that reaches its embedding through other layers, from the smallest; numbers from none."""
    layers = library.layers
    word = library.Input((4,), dtype="int32", name="word")
    tag = library.Input((4,), dtype="int32", name="tag")
    far = library.Input((2, 2), dtype="int32", name="far")
    real = library.Input((3,), name="real")
    joined = layers.Concatenate()(
        [
            layers.Flatten()(layers.Embedding(100, 2)(word)),
            layers.Flatten()(layers.Embedding(7, 2)(tag)),
            layers.Flatten()(layers.Embedding(30, 2)(layers.Reshape((4,))(far))),
            real,
        ]
    )
    library.Model([word, tag, far, real], layers.Dense(1)(joined)).save(tmp_path / "m.keras")
    assert indexed_inputs(read(tmp_path / "m.keras").model) == [100, 7, 7, 0]
    library.Sequential([library.Input((3,)), layers.Dense(1)]).save(tmp_path / "bare.keras")
    assert indexed_inputs(read(tmp_path / "bare.keras").model) == [0]


def test_an_input_of_two_embeddings_is_drawn_from_the_smaller() -> None:
    """Every number has a row in both."""
    given = tf_keras.Input((4,), dtype="int32")
    both = [tf_keras.layers.Embedding(rows, 2)(given) for rows in (100, 7)]
    model = tf_keras.Model(given, tf_keras.layers.Add()(both))
    assert indexed_inputs(model) == [7]


@pytest.mark.parametrize(
    ("dtype", "given", "why"),
    [
        ("int32", (0.2, 0.4), "whole number"),
        ("uint8", (-5, 3), "from 0 to 255"),
        ("int8", (-1000, 1000), "from -128 to 127"),
        ("int64", (0, 1e300), "whole number"),
        ("float16", (0, 1e9), "up to 3.28e"),
        ("float32", (-1.7e308, 1.7e308), "up to 1.7e"),
        ("bool", (0, 1), "truth values"),
    ],
)
def test_a_range_that_the_input_can_not_hold_is_refused(
    dtype: str, given: tuple[float, float], why: str
) -> None:
    """It would be wrapped around, or infinite."""
    with pytest.raises(InputError, match=why) as caught:
        draw_rows([TensorSpec("x", (3,), dtype)], {"x": given}, [0], 1)
    assert caught.value.where == "model.input_ranges.x"


def test_a_range_that_the_embedding_has_no_rows_for_is_refused() -> None:
    """The largest index is one below the number of rows."""
    spec = TensorSpec("x", (3,), "float32")
    assert array(draw_rows([spec], {"x": (0, 49)}, [50], 1)[0].inputs[0]).max() <= 49
    for given in ((-1, 3), (0, 50)):
        with pytest.raises(InputError, match="rows for 0 to 49"):
            draw_rows([spec], {"x": given}, [50], 1)
