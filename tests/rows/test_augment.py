"""Training images are changed at random: as Keras's layers do, and alike for the same seed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from tf_keras.src.layers.preprocessing import image_preprocessing as layers

from job.errors import InputError
from job.manifest.preprocess import AugmentConfig
from job.result.specs import TensorSpec
from job.rows.augment import Changes, augmented, check, contrasted, drawn, moved

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(40, 8, 8, 3)).astype(np.float32)
OBLONG = RANDOM.normal(size=(3, 7, 12, 2)).astype(np.float32)
SEED = tf.constant([7, 3], tf.int32)
UNCHANGED = Changes(*[None] * 7)
ALL: dict[str, Any] = {
    "horizontal_flip": True,
    "vertical_flip": True,
    "rotation": 0.1,
    "translation": 0.2,
    "zoom": 0.3,
    "contrast": 0.4,
}
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


def changed(images: Any = IMAGES, seed: Any = SEED, **fields: Any) -> Any:
    config = AugmentConfig.model_validate(fields)
    return augmented(tf.constant(images), config, seed).numpy()


def with_changes(images: Any, fill_mode: str = "reflect", **each: Any) -> Any:
    """The images moved by the same amounts each."""
    given = {name: tf.fill([len(images)], float(value)) for name, value in each.items()}
    return moved(tf.constant(images), replace(UNCHANGED, **given), fill_mode).numpy()


@pytest.mark.parametrize("turns", [-2, -1, 1, 2, 3])
def test_a_quarter_turn_moves_each_pixel_to_its_place(turns: int) -> None:
    """Counterclockwise, as Keras's layer."""
    found = with_changes(IMAGES, angles=turns * math.pi / 2)
    np.testing.assert_allclose(found, np.rot90(IMAGES, turns, axes=(1, 2)), atol=2e-5)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_each_change_is_that_of_the_layer_of_keras(fill_mode: str) -> None:
    """One at a time, for images that are not square, with each way to fill the borders."""
    count, height, width, _ = OBLONG.shape
    parts = tf.constant([0.3, -0.2, 0.05])
    matrices = {
        "angles": layers.get_rotation_matrix(parts, float(height), float(width)),
        "down": layers.get_translation_matrix(tf.stack([parts * 0, parts * height], axis=1)),
        "right": layers.get_translation_matrix(tf.stack([parts * width, parts * 0], axis=1)),
        "zooms": layers.get_zoom_matrix(
            tf.stack([1 + parts, 1 + parts], axis=1), float(height), float(width)
        ),
    }
    assert count == len(parts)
    for name, matrix in matrices.items():
        changes = replace(UNCHANGED, **{name: 1 + parts if name == "zooms" else parts})
        found = moved(tf.constant(OBLONG), changes, fill_mode)
        expected = layers.transform(tf.constant(OBLONG), matrix, fill_mode)
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert np.abs(found - OBLONG).max() > 0.1


def test_whole_pixels_are_shifted_exactly() -> None:
    """Down and to the right; zeros come in."""
    found = with_changes(IMAGES, "constant", down=2 / 8, right=-3 / 8)
    expected = np.zeros_like(IMAGES)
    expected[:, 2:, :-3] = IMAGES[:, :-2, 3:]
    np.testing.assert_array_equal(found, expected)


def test_wrapped_pixels_come_in_at_the_other_side() -> None:
    """As np.roll has it."""
    found = with_changes(IMAGES, "wrap", right=3 / 8)
    np.testing.assert_allclose(found[:, :, 3:], IMAGES[:, :, :-3], atol=1e-6)
    assert np.abs(found[:, :, 0]).max() > 0


def test_all_changes_are_one_transform_about_the_center() -> None:
    """Turned, then shifted, then zoomed: SciPy computes the same in one interpolation."""
    angle, down, right, zoom = 0.3, 0.1, -0.2, 0.8
    found = with_changes(OBLONG, "constant", angles=angle, down=down, right=right, zooms=zoom)
    height, width = OBLONG.shape[1:3]
    center = np.asarray([(height - 1) / 2, (width - 1) / 2])
    turn = np.asarray([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    offset = center - zoom * turn @ center - turn @ [down * height, right * width]
    for image, expected in zip(found, OBLONG, strict=True):
        for channel in range(OBLONG.shape[3]):
            wanted = ndimage.affine_transform(
                expected[..., channel].astype(float),
                zoom * turn,
                offset,
                order=1,
                mode="grid-constant",
            )
            np.testing.assert_allclose(image[..., channel], wanted, atol=1e-4)


def test_contrast_is_the_distance_from_each_channels_mean() -> None:
    """Of each image, with a factor of its own; nothing is clipped."""
    factors = np.asarray([0.5, 1.0, 2.0], np.float32)
    images = OBLONG * 300
    found = contrasted(tf.constant(images), tf.constant(factors)).numpy()
    means = images.mean(axis=(1, 2), keepdims=True)
    expected = (images - means) * factors[:, None, None, None] + means
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    layer = tf.image.adjust_contrast(tf.constant(images[2]), 2.0)
    np.testing.assert_allclose(found[2], layer, rtol=1e-4, atol=1e-3)
    assert found.min() < 0


def test_contrast_of_half_precision_is_computed_in_float32() -> None:
    """The sum of the pixels is larger than any float16."""
    images = np.full((1, 64, 64, 1), 1000, np.float16)
    found = contrasted(tf.constant(images), tf.constant([1.5])).numpy()
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize(("field", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_a_flip_is_exact_and_done_to_some_images(field: str, axis: int) -> None:
    """No pixel is interpolated."""
    found = changed(**{field: True})
    flipped = np.flip(IMAGES, axis)
    is_flipped = np.asarray([(a == b).all() for a, b in zip(found, flipped, strict=True)])
    is_same = np.asarray([(a == b).all() for a, b in zip(found, IMAGES, strict=True)])
    assert (is_flipped ^ is_same).all()
    assert 8 < is_flipped.sum() < 32


def test_the_same_seed_gives_the_same_images() -> None:
    """In a graph, too; and another seed gives others."""
    config = AugmentConfig(**ALL)
    first = changed(**ALL)
    np.testing.assert_array_equal(first, changed(**ALL))
    function = tf.function(lambda images, seed: augmented(images, config, seed), autograph=False)
    np.testing.assert_allclose(function(IMAGES, SEED), first, atol=1e-4)
    np.testing.assert_array_equal(function(IMAGES, SEED), function(IMAGES, SEED))
    for seed in ([8, 3], [7, 4]):
        assert np.abs(changed(**ALL, seed=tf.constant(seed)) - first).max() > 0.1


def test_each_image_draws_its_own() -> None:
    """Equal images become different ones, by each kind of change."""
    images = np.repeat(IMAGES[:1], 5, axis=0)
    for field in ("rotation", "translation", "zoom", "contrast"):
        found = changed(images, **{field: 0.3})
        for index in range(1, 5):
            assert np.abs(found[index] - found[0]).max() > 1e-3, field


def test_values_are_drawn_evenly_within_their_bounds() -> None:
    """Either way, and of all kinds independently."""
    found: Any = drawn(AugmentConfig(**ALL), tf.constant(20_000), SEED)
    bounds = [
        (found.angles, -0.2 * math.pi, 0.2 * math.pi),
        (found.down, -0.2, 0.2),
        (found.right, -0.2, 0.2),
        (found.zooms, 0.7, 1.3),
        (found.contrasts, 0.6, 1.4),
    ]
    drawn_values = []
    for values, low, high in bounds:
        parts = (values.numpy() - low) / (high - low)
        assert parts.min() >= -1e-6
        assert parts.max() <= 1 + 1e-6
        np.testing.assert_allclose(np.histogram(parts, 10, (0, 1))[0], 2000, atol=200)
        drawn_values.append(parts)
    for flips in (found.left_right, found.up_down):
        assert abs(flips.numpy().mean() - 0.5) < 0.02
        drawn_values.append(flips.numpy())
    correlations = np.corrcoef(np.asarray(drawn_values, float)) - np.eye(7)
    assert np.abs(correlations).max() < 0.03


def test_a_kind_is_drawn_alike_whatever_else_is_asked() -> None:
    """So that two runs differ by what was changed alone."""
    together = drawn(AugmentConfig(**ALL), tf.constant(9), SEED)
    alone = drawn(AugmentConfig(contrast=0.4), tf.constant(9), SEED)
    np.testing.assert_array_equal(alone.contrasts, together.contrasts)
    assert alone == replace(UNCHANGED, contrasts=alone.contrasts)


def test_what_is_not_asked_changes_nothing() -> None:
    """A config that asks for nothing can be made by no manifest; the images are the same."""
    nothing = AugmentConfig.model_construct()
    np.testing.assert_array_equal(augmented(tf.constant(IMAGES), nothing, SEED), IMAGES)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_shape_and_the_dtype_stay(dtype: str, fill_mode: str) -> None:
    """No value is out of the range of an image without contrast."""
    images = IMAGES.astype(dtype)
    fields = ALL | {"contrast": 0, "fill_mode": fill_mode}
    found = changed(images, **fields)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert found.min() >= images.min() - 0.01
    assert found.max() <= images.max() + 0.01


def test_images_without_channels_are_changed_like_those_of_one() -> None:
    """(n, height, width)."""
    gray = IMAGES[..., 0]
    np.testing.assert_array_equal(changed(gray, **ALL), changed(gray[..., None], **ALL)[..., 0])


def test_a_graph_needs_to_know_no_sizes() -> None:
    """The number of images, and their height and width, may be open; even none is a number."""
    config = AugmentConfig(**ALL)
    signature = [tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((2,), tf.int32)]
    function = tf.function(
        lambda images, seed: augmented(images, config, seed),
        input_signature=signature,
        autograph=False,
    )
    np.testing.assert_allclose(function(IMAGES, SEED), changed(**ALL), atol=1e-4)
    assert function(OBLONG[..., [0, 1, 1]], SEED).shape == (3, 7, 12, 3)
    assert function(IMAGES[:0], SEED).shape == (0, 8, 8, 3)
    concrete = function.get_concrete_function()
    assert concrete.structured_outputs.shape.as_list() == [None, None, None, 3]


IMAGE, GRAY = TensorSpec("image", (8, 8, 3), "float32"), TensorSpec("gray", (8, None), "float16")
NUMBERS, BYTES = TensorSpec("numbers", (4,), "float32"), TensorSpec("bytes", (8, 8, 3), "uint8")


@pytest.mark.parametrize(
    ("name", "specs", "expected"),
    [
        (None, [NUMBERS, IMAGE], 1),
        (None, [GRAY, IMAGE, BYTES], 1),
        (None, [NUMBERS, BYTES, GRAY], 2),
        ("gray", [IMAGE, GRAY], 1),
        ("image", [IMAGE, replace(IMAGE, name="second")], 0),
    ],
)
def test_the_input_of_images_is_found(
    name: str | None, specs: list[TensorSpec], expected: int
) -> None:
    """The named one, or the only one; images without channels only where no others are."""
    assert check(AugmentConfig(input=name, zoom=0.1), specs) == expected


@pytest.mark.parametrize(
    ("name", "specs", "message"),
    [
        (None, [NUMBERS], "no input of images"),
        (None, [BYTES], "no input of images"),
        (None, [IMAGE, replace(IMAGE, name="second")], "image, second"),
        ("second", [IMAGE], "no input 'second'"),
        ("numbers", [IMAGE, NUMBERS], "'numbers' takes no images of floats"),
        ("bytes", [IMAGE, BYTES], "'bytes' takes no images of floats"),
    ],
)
def test_inputs_that_are_no_images_are_refused(
    name: str | None, specs: list[TensorSpec], message: str
) -> None:
    """The message says what there is."""
    with pytest.raises(InputError) as caught:
        check(AugmentConfig(input=name, zoom=0.1), specs)
    assert caught.value.where == "training.augment.input"
    assert message in caught.value.what
    assert specs[0].name in caught.value.what + caught.value.hint
