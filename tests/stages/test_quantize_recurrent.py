"""Recurrent models: loops can't be calibrated, an LSTM without a mask can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras

from job.errors import StageError
from job.metrics.litert import tensors
from job.stages.prepare import is_recurrent
from job.stages.quantize import quantize
from tests.stages.test_quantize import variant
from tests.support.conversion import answers, convert

layers = tf_keras.layers


@pytest.mark.parametrize("kind", ["int8", "int16x8"])
def test_loops_are_refused_before_they_are_calibrated(kind: str, tmp_path: Path) -> None:
    """TFLite's calibrator crashes on them; unrolled layers are not loops."""
    rows = np.random.default_rng(0).normal(size=(20, 4, 8)).astype("float32")
    path = tmp_path / "rnn.tflite"
    model = tf_keras.Sequential([layers.InputLayer((4, 8)), layers.GRU(8)])
    with pytest.raises(StageError, match="unroll=True"):
        convert(model, variant(kind), [rows], path)
    model = tf_keras.Sequential([layers.InputLayer((4, 8)), layers.GRU(8, unroll=True)])
    convert(model, variant(kind), [rows], path)
    assert path.exists()


def test_a_masked_lstm_is_named_with_its_mask(tmp_path: Path) -> None:
    """The mask makes it a loop; a layer without a mask is not named."""
    given = tf_keras.Input((4,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(given)
    x = layers.LSTM(4, return_sequences=True, name="first")(x)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="given_none")(x, mask=None)
    model = tf_keras.Model(given, layers.LSTM(3, name="last")(x, mask=None))
    with pytest.raises(StageError, match="first skips padded steps, by a mask: ") as caught:
        convert(model, variant("int8"), [np.ones((2, 4), "int32")], tmp_path / "m.tflite")
    assert "last" not in str(caught.value)


def test_an_integer_lstm_has_the_models_outputs(tmp_path: Path) -> None:
    """And no float tensor."""
    tf_keras.utils.set_random_seed(4)
    rows = np.random.default_rng(0).normal(size=(20, 4, 8)).astype("float32")
    model = tf_keras.Sequential([layers.InputLayer((4, 8)), layers.LSTM(8)])
    path = tmp_path / "rnn.tflite"
    convert(model, variant("int8"), [rows], path)
    expected = model(rows).numpy()
    np.testing.assert_allclose(answers(model, path, [rows]), expected, atol=0.05 * np.ptp(expected))
    floats = [it.name for it in tensors(path) if it.dtype.startswith("float")]
    assert floats == []


def test_a_model_with_recurrent_dropout_is_recurrent() -> None:
    """TensorFlow's ``submodules`` fails on the dropout masks that Keras caches."""
    recurrent = layers.Bidirectional(layers.LSTM(3, dropout=0.1, recurrent_dropout=0.2))
    model = tf_keras.Sequential([layers.InputLayer((4, 2)), recurrent])
    with pytest.raises(ValueError, match="_mask_cache"):
        _ = model.submodules
    assert is_recurrent(model)
    assert not is_recurrent(tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(2)]))


def test_a_layer_at_which_the_converter_crashes_is_named_before_it_is_tried(
    tmp_path: Path,
) -> None:
    """The crash would end the whole process; the other variants take the layer."""
    model = tf_keras.Sequential(
        [
            tf_keras.layers.InputLayer((6,)),
            tf_keras.layers.LayerNormalization(name="standard"),
            tf_keras.layers.Dense(3),
        ]
    )
    rows = (np.ones((2, 6), np.float32),)
    with pytest.raises(StageError, match=r"int16x8: .* LayerNormalization \(standard\)"):
        quantize(model, variant("int16x8"), rows, tmp_path / "a.tflite")
    quantize(model, variant("int8"), rows, tmp_path / "b.tflite")
    assert (tmp_path / "b.tflite").stat().st_size > 0
