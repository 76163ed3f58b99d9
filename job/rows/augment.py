"""Random changes of training images, inside the training graph.

The changes are those of ``RandomFlip``, ``RandomContrast``, ``RandomRotation``,
``RandomTranslation`` and ``RandomZoom`` of ``tf_keras.layers``, with these differences:

- Rotation, translation and zoom are one transform, so that an image is interpolated once.
- Contrast is changed before them, so that it does not depend on what comes in at the borders; and
  the result is not clipped to 0..255, as images may be normalized.
- Everything is drawn from a seed that is given: the same seed gives the same images.

A point p of the result is read from the image at ``zoom * R(angle) (p - c) + c - R(angle) shift``,
where c is the center and p is (x, y): zoom about the center, then shift back, then turn back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from job.errors import InputError
from job.manifest.preprocess import AugmentConfig
from job.result.specs import TensorSpec

WHERE = "training.augment.input"


@dataclass(frozen=True)
class Changes:
    """What is drawn for each image of a batch; each (n,). What is not asked is None."""

    left_right: tf.Tensor | None
    """bool: whether it is mirrored."""
    up_down: tf.Tensor | None
    """bool: whether it is turned upside down."""
    angles: tf.Tensor | None
    """float32: the angle in radians, counterclockwise."""
    down: tf.Tensor | None
    """float32: the shift, as a part of the height."""
    right: tf.Tensor | None
    """float32: the shift, as a part of the width."""
    zooms: tf.Tensor | None
    """float32: the size of the section that is shown, as a part of the image's size."""
    contrasts: tf.Tensor | None
    """float32: the factor."""

    @property
    def moves(self) -> bool:
        """Whether pixels are interpolated."""
        return any(it is not None for it in (self.angles, self.down, self.right, self.zooms))


def check(config: AugmentConfig, specs: Sequence[TensorSpec]) -> int:
    """The index of the input that is augmented.

    Args:
        config: What is asked.
        specs: The model's inputs.

    Returns:
        That of the named one; of the only one of (height, width, channels); or, where there is none
        of these, of the only one of (height, width).

    Raises:
        InputError: Where there is no such input, several, or it does not take images of floats.
    """
    listed = ", ".join(f"{it.name} {it.shape} of {it.dtype}" for it in specs)
    if config.input is not None:
        for index, spec in enumerate(specs):
            if spec.name == config.input and _is_image(spec, 2, 3):
                return index
        is_there = config.input in [spec.name for spec in specs]
        raise InputError(
            f"The model's input {config.input!r} takes no images of floats."
            if is_there
            else f"The model has no input {config.input!r}.",
            where=WHERE,
            hint=f"Its inputs are: {listed}. Name one of (height, width, channels) or (height, "
            "width), or leave out training.augment.",
        )
    for rank in (3, 2):
        found = [index for index, spec in enumerate(specs) if _is_image(spec, rank)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(specs[index].name for index in found)
            raise InputError(
                f"The model has {len(found)} inputs that may be images: {names}.",
                where=WHERE,
                hint="Name one of them in input.",
            )
    raise InputError(
        "The model has no input of images to augment.",
        where=WHERE,
        hint=f"Its inputs are: {listed}. Leave out training.augment.",
    )


def _is_image(spec: TensorSpec, *ranks: int) -> bool:
    return len(spec.shape) in ranks and bool(tf.as_dtype(spec.dtype).is_floating)


def augmented(images: tf.Tensor, config: AugmentConfig, seed: tf.Tensor) -> tf.Tensor:
    """A batch of images, each changed at random.

    Args:
        images: (n, height, width, channels) or (n, height, width), of floats.
        config: What is asked.
        seed: (2,) int32; the same one gives the same images.

    Returns:
        The same shape and dtype.
    """
    changes = drawn(config, tf.shape(images)[0], seed)
    changed = images[..., None] if images.shape.rank == 3 else images
    if changes.left_right is not None:
        changed = tf.where(_per_image(changes.left_right), changed[:, :, ::-1], changed)
    if changes.up_down is not None:
        changed = tf.where(_per_image(changes.up_down), changed[:, ::-1], changed)
    if changes.contrasts is not None:
        changed = contrasted(changed, changes.contrasts)
    if changes.moves:
        changed = moved(changed, changes, config.fill_mode)
    if images.shape.rank == 3:
        changed = changed[..., 0]
    return tf.ensure_shape(changed, images.shape)


def drawn(config: AugmentConfig, count: tf.Tensor, seed: tf.Tensor) -> Changes:
    """What is done to each image.

    Each kind has a seed of its own: it is drawn alike whatever else is asked.

    Args:
        config: What is asked.
        count: How many images there are.
        seed: (2,) int32.
    """
    seeds = iter(tf.unstack(tf.random.split(seed, 7), num=7))

    def uniform(low: float, high: float, is_asked: float) -> tf.Tensor | None:
        own = next(seeds)
        if not is_asked:
            return None
        return tf.random.stateless_uniform([count], own, minval=low, maxval=high)

    left_right = uniform(0, 1, config.horizontal_flip)
    up_down = uniform(0, 1, config.vertical_flip)
    turn, shift = 2 * math.pi * config.rotation, config.translation
    return Changes(
        left_right=None if left_right is None else left_right < 0.5,
        up_down=None if up_down is None else up_down < 0.5,
        angles=uniform(-turn, turn, turn),
        down=uniform(-shift, shift, shift),
        right=uniform(-shift, shift, shift),
        zooms=uniform(1 - config.zoom, 1 + config.zoom, config.zoom),
        contrasts=uniform(1 - config.contrast, 1 + config.contrast, config.contrast),
    )


def contrasted(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """``(value - mean) * factor + mean``, with the mean of each channel of each image.

    Args:
        images: (n, height, width, channels).
        factors: (n,).
    """
    exact = tf.cast(images, tf.float64 if images.dtype == tf.float64 else tf.float32)
    means = tf.reduce_mean(exact, axis=(1, 2), keepdims=True)
    changed = (exact - means) * tf.cast(_per_image(factors), exact.dtype) + means
    return tf.cast(changed, images.dtype)


def moved(images: tf.Tensor, changes: Changes, fill_mode: str) -> tf.Tensor:
    """Images turned, shifted and zoomed, interpolated bilinearly.

    Args:
        images: (n, height, width, channels).
        changes: What is done to each; flips and contrast are not.
        fill_mode: What comes in at the borders.
    """
    sizes = tf.shape(images)
    none = tf.zeros(sizes[:1])
    height, width = tf.cast(sizes[1], tf.float32), tf.cast(sizes[2], tf.float32)
    angles = none if changes.angles is None else changes.angles
    zooms = none + 1 if changes.zooms is None else changes.zooms
    x_shift = none if changes.right is None else changes.right * width
    y_shift = none if changes.down is None else changes.down * height
    x, y = (width - 1) / 2, (height - 1) / 2
    cos, sin = tf.cos(angles), tf.sin(angles)
    rows = [
        zooms * cos,
        -zooms * sin,
        x - zooms * (cos * x - sin * y) - (cos * x_shift - sin * y_shift),
        zooms * sin,
        zooms * cos,
        y - zooms * (sin * x + cos * y) - (sin * x_shift + cos * y_shift),
        none,
        none,
    ]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=sizes[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
    )


def _per_image(values: tf.Tensor) -> tf.Tensor:
    """(n,) as (n, 1, 1, 1)."""
    return values[:, None, None, None]
