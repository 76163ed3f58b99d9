"""random_inputs: sizes are found that a model accepts, whatever it crops, halves or joins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras

from job.errors import InputError
from job.models.compare import difference
from job.models.load import read
from job.models.random_inputs import count_categories, input_shapes, on_random_inputs


def cropping(library: Any) -> Any:
    """A window of 10,000 bases around the predicted one."""
    given = library.Input((None, 4), name="bases")
    x = library.layers.Cropping1D(5000)(library.layers.Conv1D(2, 3)(given))
    return library.Model(given, library.layers.GlobalAveragePooling1D()(x))


def halving(library: Any) -> Any:
    """A U-Net: five times halved, and doubled again."""
    x = given = library.Input((None, None, 1))
    skips = []
    for _ in range(5):
        skips.append(x)
        x = library.layers.MaxPooling2D()(x)
    for skip in reversed(skips):
        x = library.layers.Concatenate()([library.layers.UpSampling2D()(x), skip])
    return library.Model(given, x)


def related(library: Any) -> Any:
    """One input is twice as long as the other."""
    long, short = library.Input((None, 4)), library.Input((None, 4))
    half = library.layers.Conv1D(4, 2, strides=2)(long)
    return library.Model([long, short], library.layers.Concatenate()([half, short]))


def deep(library: Any) -> Any:
    """Valid convolutions that remove 1,194 steps."""
    x = given = library.Input((None, 1))
    for _ in range(6):
        x = library.layers.Conv1D(1, 200)(x)
    return library.Model(given, x)


@pytest.mark.parametrize("library", [tf_keras, keras], ids=["keras2", "keras3"])
def test_a_size_is_found_that_the_model_accepts(library: Any) -> None:
    """No tensor in the model is empty then."""
    assert input_shapes(cropping(library)) == [(16384, 4)]
    assert input_shapes(halving(library)) == [(32, 32, 1)]
    long, short = input_shapes(related(library)) or []
    assert long[0] == 2 * short[0] > 2
    assert (input_shapes(deep(library)) or [])[0][0] > 1194
    fixed = library.Sequential([library.Input((7, 3)), library.layers.Flatten()])
    assert input_shapes(fixed) == [(7, 3)]


def test_models_with_open_dimensions_are_compared() -> None:
    """If no size is found, the model is refused."""
    assert difference(cropping(tf_keras), cropping(tf_keras)) >= 0
    given = tf_keras.Input((None, 4), name="bases")
    impossible = tf_keras.Model(given, tf_keras.layers.Cropping1D(50_000)(given))
    assert input_shapes(impossible) is None
    with pytest.raises(InputError, match="no sizes were found") as caught:
        difference(impossible, impossible)
    assert "bases" in caught.value.where


def test_a_table_that_keras_2_lacks_has_its_rows(tmp_path: Path) -> None:
    """A Keras 3 layer that is called as it is has its settings in itself."""
    given = keras.Input((6,), dtype="int32")
    model = keras.Model(given, keras.layers.ReversibleEmbedding(9, 4)(given))
    model.save(tmp_path / "m.keras")
    rebuilt = read(tmp_path / "m.keras").model
    assert count_categories(model) == count_categories(rebuilt) == 9
    assert on_random_inputs(rebuilt, lambda rows: int(rows[0].max())) <= 8
