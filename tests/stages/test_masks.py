"""Padded rows are counted; without any, an LSTM is converted without its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError, StageError
from job.manifest.quantize import Int8Config
from job.rows.data import Dataset, Split
from job.stages.masks import padded_rows
from job.worker.variants import refuse_padding
from tests.support.conversion import answers, convert
from tests.support.rare import few, rare

layers = tf_keras.layers
ASKS = Int8Config(type="int8", ignore_masks=True)


def tokens(*, explicit: bool = False) -> tf_keras.Model:
    """Token ids, 0 for padding, through two recurrent layers."""
    tf_keras.utils.set_random_seed(3)
    ids = tf_keras.Input((6,), dtype="int32", name="ids")
    table = layers.Embedding(20, 8, mask_zero=not explicit)
    # In rebuilt models of Keras 3, the mask is an argument of the call.
    given = {"mask": tf.not_equal(ids, 0)} if explicit else {}
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(table(ids), **given)
    model = tf_keras.Model(ids, layers.Dense(3)(layers.LSTM(8)(x, **given)))
    model.set_weights([it * 20 if it.shape == (20, 8) else it * 3 for it in model.get_weights()])
    return model


@rare
@pytest.mark.parametrize("explicit", few([True, False]))
def test_without_padding_an_integer_lstm_needs_no_mask(explicit: bool, tmp_path: Path) -> None:
    """The outputs are those of the model with its masks, which it still has afterwards."""
    model = tokens(explicit=explicit)
    rows = np.random.default_rng(0).integers(1, 20, (40, 6)).astype("int32")
    with pytest.raises(StageError, match=r"by a mask: .* no row is padded, set ignore_masks"):
        convert(model, Int8Config(type="int8"), [rows], tmp_path / "masked.tflite")
    path = tmp_path / "full.tflite"
    convert(model, ASKS, [rows], path)
    wanted = model(rows).numpy()
    np.testing.assert_allclose(answers(model, path, [rows]), wanted, atol=0.1 * np.ptp(wanted))
    padded = rows * (np.arange(6) < 3)
    assert np.abs(model(padded).numpy() - answers(model, path, [padded])).max() > 0.2 * np.ptp(
        wanted
    )
    assert padded_rows(model, [(padded,)]) == 40


def test_padded_rows_are_counted_and_refused() -> None:
    """In each split, with their number; a model without masks has none to ignore."""
    rows = np.random.default_rng(0).integers(1, 20, (300, 6)).astype("int32")
    padded = rows.copy()
    padded[[2, 270, 299], 4:] = 0

    def of(train: np.ndarray) -> Dataset:
        def split(x: np.ndarray) -> Split:
            return Split((x,), (np.zeros(len(x)),), 1.0, ("int32",))

        return Dataset(split(train), None, split(rows[:9]))

    model = tokens()
    assert refuse_padding({"int8": Int8Config(type="int8")}, model, of(padded)) == []
    with pytest.raises(InputError, match="leaves out steps of 3 of 300 train rows") as caught:
        refuse_padding({"int8": ASKS}, model, of(padded))
    assert caught.value.where == "quantize, int8"
    assert "300 train, 9 test" in refuse_padding({"int8": ASKS}, model, of(rows))[0]
    plain = tf_keras.Sequential([layers.InputLayer((6,)), layers.Dense(2)])
    assert "changes nothing" in refuse_padding({"int8": ASKS}, plain, of(rows))[0]
