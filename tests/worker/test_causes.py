"""Presets are tried as Keras's applications do it, and of two explanations the better is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.metrics.quality import keras_predictor
from job.rows.data import Split
from job.worker.baseline_checks import check_scale
from job.worker.causes import PRESETS, setting, with_presets
from tests.worker.test_baseline_checks import OBJECTIVES

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
LABELS = (IMAGES.mean((1, 2, 3)) > 127).astype(np.int64)


def brighter_than(border: float, sharp: float) -> Any:
    """A model that says whether the mean of an image is over a border, as a logit."""
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.InputLayer((4, 4, 3)), layers.Flatten(), layers.Dense(1)])
    model.set_weights(
        [np.full((48, 1), sharp / 48, "float32"), np.full(1, -border * sharp, "float32")]
    )
    return keras_predictor(model)


def images(scale: float) -> Split:
    return Split((IMAGES,), (LABELS[:, None],), scale, ("float32",))


def test_presets_are_tried_on_rgb_images_alone() -> None:
    """One of each kind; an input of other numbers stays as it is."""
    found = dict(with_presets(images(1.0)))
    assert tuple(found) == PRESETS
    (seen,) = found["mobilenet_v2"].model_inputs(slice(0, 3))
    np.testing.assert_array_equal(seen, IMAGES[:3].astype("float32") / np.float32(127.5) - 1)
    gray = Split((IMAGES[..., :1],), (), 1.0, ("float32",))
    assert list(with_presets(gray)) == []
    both = Split((IMAGES, LABELS), (), 1.0, ("float32", "int32"))
    assert next(with_presets(both))[1].normalizations[1] is None


@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_a_preset_that_was_forgotten_is_named(scale: float) -> None:
    """Not a scale that is only better than the one given."""
    predict = brighter_than(127 / 127.5 - 1, 400)
    (warning,) = check_scale(predict, images(scale), OBJECTIVES).warnings(["a doubt"])
    assert warning.endswith(f"Set {setting('mobilenet_v2')} instead.")


def test_the_right_scale_is_confirmed_beside_the_presets() -> None:
    """No preset is named for a model of 0 to 1."""
    found = check_scale(brighter_than(127 / 255, 400), images(1 / 255), OBJECTIVES)
    assert found.is_right
    assert list(found.warnings(["a doubt"])) == []
