"""Declared preprocessing, and the augmentation of training rows: never code.

How it is computed: ``job/rows/preprocess.py`` and ``job/rows/augment.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from job.manifest.fields import FROM_LIST, Config, Count, OutputName

PixelSize = Annotated[int, Field(ge=1, le=1 << 14)]
Channels = float | Annotated[list[float], Field(min_length=1)]
Interpolation = Literal["bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"]
Part = Annotated[float, Field(ge=0, lt=1)]
PresetName = Literal[
    "convnext",
    "densenet",
    "efficientnet",
    "efficientnet_v2",
    "inception_resnet_v2",
    "inception_v3",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "nasnet",
    "regnet",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet_rs",
    "resnet50_v2",
    "resnet101_v2",
    "resnet152_v2",
    "vgg16",
    "vgg19",
    "xception",
]


class PreprocessConfig(Config):
    """What is done to one input, in this order: ``shape``, ``resize``, ``one_hot``, then the
    preset, or ``(value * scale + offset - mean) / std``, then ``dtype``.
    """

    input: OutputName | None = None
    """The model's input; left out: its only one."""
    shape: Annotated[list[Count], Field(min_length=1)] | None = None
    """The shape of a row, of as many values as it has: ``[28, 28]`` of 784 columns."""
    resize: Annotated[tuple[PixelSize, PixelSize], FROM_LIST] | None = None
    """Height and width that images are resized to (rows of (height, width, channels), or without
    channels)."""
    interpolation: Interpolation = "bilinear"
    """How ``resize`` computes pixels, as in ``tf.image.resize``."""
    one_hot: Annotated[int, Field(ge=2, le=1 << 20)] | None = None
    """Whole numbers from 0 to below this become a last axis of zeros and a one."""
    preset: PresetName | None = None
    """What ``preprocess_input`` of this Keras application does to pixels of 0 to 255."""
    scale: Annotated[float, Field(gt=0, le=3e38)] | None = None
    """The factor; left out, 1."""
    offset: Channels | None = None
    """What is added; a number, or one for each index of the last axis."""
    mean: Channels | None = None
    """What is subtracted; as ``offset``."""
    std: Channels | None = None
    """What is divided by; as ``offset``."""
    dtype: Literal["float16", "float32", "float64"] | None = None
    """The dtype in which this is computed, and rounded to; left out, the input's."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        numbers = (self.scale, self.offset, self.mean, self.std)
        if self.preset is not None and any(it is not None for it in numbers):
            raise ValueError(
                "preset says what scale, offset, mean and std are; leave them out, or leave out "
                "preset"
            )
        std = self.std if isinstance(self.std, list) else [self.std]
        if any(it is not None and it <= 0 for it in std):
            raise ValueError("std is divided by: it must be larger than 0")
        if self.one_hot is not None and self.resize is not None:
            raise ValueError("resize is for images and one_hot for whole numbers; leave out one")
        if self.interpolation != "bilinear" and self.resize is None:
            raise ValueError("interpolation is how resize computes pixels; give resize, too")
        return self


class AugmentConfig(Config):
    """Random changes of training images, drawn anew for each image in each epoch, from the seed.
    Images are rows of (height, width, channels).
    """

    input: OutputName | None = None
    """The model's input; left out: its only one of images."""
    horizontal_flip: bool = False
    """Half of the images are mirrored left to right."""
    vertical_flip: bool = False
    """Half of the images are turned upside down."""
    rotation: Part = 0.0
    """Turned by at most this part of a full turn, either way."""
    translation: Part = 0.0
    """Shifted by at most this part of the height, and of the width."""
    zoom: Part = 0.0
    """Made larger or smaller by at most this part."""
    contrast: Part = 0.0
    """The distance from each channel's mean is multiplied by 1 plus or minus at most this."""
    fill_mode: Literal["reflect", "wrap", "constant", "nearest"] = "reflect"
    """What comes in at the borders; ``constant`` is zeros."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        given = self.model_dump(exclude={"input", "fill_mode"})
        if not any(given.values()):
            raise ValueError("nothing is augmented; name what is, or leave it out")
        has_borders = self.rotation or self.translation or self.zoom
        if self.fill_mode != "reflect" and not has_borders:
            raise ValueError(
                "fill_mode is for rotation, translation and zoom, and none of them is asked"
            )
        return self
