"""keras3_masks: explicit masks, and those that Keras propagates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from job.manifest.prune import PruneConfig
from job.models import prunable
from job.models.compare import outputs_of
from job.models.load import ModelFile, read
from job.stages.prune import Window, wrap
from job.stages.strip import strip
from tests.stages.test_quantize import variant
from tests.support.conversion import answers as answers_of_file
from tests.support.conversion import convert
from tests.support.rare import few

layers, ops = keras.layers, keras.ops
STEPS, WORDS = 5, 9


def tokens() -> keras.KerasTensor:
    return keras.Input((STEPS,), dtype="int32")


def embedded(given: keras.KerasTensor, *, masked: bool = True) -> keras.KerasTensor:
    return layers.Embedding(WORDS, 4, mask_zero=masked)(given)


def by_hand() -> keras.Model:
    """Pooling, a recurrent layer and attention, each with its own explicit mask."""
    given = tokens()
    mask, x = ops.not_equal(given, 0), embedded(given, masked=False)
    seen = layers.Attention()([x, x], mask=[None, mask])
    ends = [
        layers.GlobalAveragePooling1D()(seen, mask=mask),
        layers.Bidirectional(layers.LSTM(3))(x, mask=mask),
        layers.Flatten()(layers.MultiHeadAttention(2, 3)(x, x, attention_mask=mask[:, None])),
    ]
    return keras.Model(given, layers.Dense(2)(layers.Concatenate()(ends)))


def residual() -> keras.Model:
    given = tokens()
    x = embedded(given)
    x = layers.Add()([x, layers.LSTM(4, return_sequences=True)(x)])
    x = layers.Concatenate()([x, layers.Attention()([x, x])])
    return keras.Model(given, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def gated() -> keras.Model:
    """Multiply and Maximum use masks while they run; those of Keras 2 do not."""
    given, other = tokens(), tokens()
    x, y = embedded(given), embedded(other)
    x = layers.Multiply()([x, layers.Dense(4, activation="sigmoid")(y)])
    return keras.Model([given, other], layers.Flatten()(layers.Maximum()([x, y])))


def encoder_decoder() -> keras.Model:
    """In Keras 3 an LSTM with an initial state gets no mask of its input."""
    given, other = tokens(), tokens()
    _, *state = layers.LSTM(4, return_state=True)(embedded(given))
    return keras.Model([given, other], layers.LSTM(4)(embedded(other), initial_state=state))


def nested() -> keras.Model:
    """A model that is called with a mask and without one, and propagates masks."""
    inner = tokens()
    words = keras.Model(inner, embedded(inner), name="words")
    steps = keras.Input((STEPS, 4))
    tower = keras.Model(steps, layers.LSTM(4, return_sequences=True)(steps), name="tower")
    given, other = tokens(), tokens()
    both = [tower(embedded(other, masked=False)), tower(words(given))]
    return keras.Model([given, other], layers.GRU(3)(layers.Concatenate()(both)))


def scores() -> keras.Model:
    """For a row without words nothing is visible; the output then depends on the dropout."""
    given = tokens()
    x = embedded(given)
    y = layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x)
    one = layers.Softmax()(layers.Dense(STEPS)(layers.Flatten()(y)), mask=ops.not_equal(given, 0))
    return keras.Model(given, [one, layers.Flatten()(y)])


def steps_of_zeros() -> keras.Model:
    given = keras.Input((STEPS, 3))
    x = layers.TimeDistributed(layers.Dense(4))(layers.Masking()(given))
    return keras.Model(given, layers.RNN(layers.GRUCell(4))(x))


def called() -> keras.Model:
    """Layers of Keras 3 that are called, with masks under several names."""
    given, other = tokens(), tokens()
    words = layers.ReversibleEmbedding(WORDS, 4, mask_zero=True)
    x, y = words(given), layers.RMSNormalization()(embedded(other))
    ends = [
        layers.GroupQueryAttention(3, 2, 1)(x, y, use_causal_mask=True),
        layers.MultiHeadAttention(2, 3, use_gate=True)(x, y),
        words(layers.LSTM(4, return_sequences=True)(x), reverse=True),
        layers.LayerNormalization(rms_scaling=True)(x),
    ]
    return keras.Model(
        [given, other], [*map(layers.Flatten(), ends), layers.GlobalAveragePooling1D()(y)]
    )


MODELS = [by_hand, residual, gated, encoder_decoder, nested, scores, steps_of_zeros, called]


def padded(model: keras.Model) -> list[np.ndarray]:
    """Rows of every length, padded after and before."""
    random = np.random.default_rng(5)
    lengths = [*range(STEPS + 1)] * 2
    found = []
    for tensor in model.inputs:
        shape = (len(lengths), *tensor.shape[1:])
        rows = random.normal(size=shape) if len(shape) == 3 else random.integers(1, WORDS, shape)
        for row, length in enumerate(random.permutation(lengths)):
            kept = slice(length, None) if row % 2 else slice(None, STEPS - length)
            rows[row, kept] = 0
        found.append(rows.astype(tensor.dtype))
    return found


def load(make: Callable[[], keras.Model], folder: Path) -> ModelFile:
    keras.utils.set_random_seed(3)
    make().save(folder / "m.keras")
    return read(folder / "m.keras")


def close(after: Any, before: Any, by: float) -> None:
    np.testing.assert_allclose(after, before, atol=by)


def pruned_and_stripped(model: tf_keras.Model) -> tf_keras.Model:
    config = PruneConfig(min_weights=1)
    targets = prunable.targets(prunable.plan_layers(model, config), "")
    return strip(wrap(model, targets, config, Window(0, 4, 1)), model)


@pytest.mark.parametrize("make", few([residual, called, gated, encoder_decoder, *MODELS], 4))
def test_masks_are_those_of_keras_3_on_rows_of_every_length(
    make: Callable[[], keras.Model], tmp_path: Path
) -> None:
    """Also after pruning wrappers were added and removed."""
    found = load(make, tmp_path)
    rows = padded(found.original)
    expected = outputs_of(found.original, rows)
    # Wrapped and cloned once is enough: what differs is how the calls are written down.
    model = pruned_and_stripped(found.model) if make in (by_hand, nested) else found.model
    for before, after in zip(expected, outputs_of(model, rows), strict=True):
        close(after, before, 1e-6)


def test_masks_are_in_the_converted_file(tmp_path: Path) -> None:
    """With the LiteRT interpreter, one row at a time."""
    found = load(by_hand, tmp_path)
    rows = [it[(it != 0).any(axis=1)] for it in padded(found.original)]  # no mean of no step
    convert(found.model, variant("float32"), rows, tmp_path / "m.tflite")
    after = answers_of_file(found.model, tmp_path / "m.tflite", rows)
    close(after, outputs_of(found.original, rows)[0], 1e-5)
