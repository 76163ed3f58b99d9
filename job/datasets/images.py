"""Encoded images -> pixels, as ``keras.utils.image_dataset_from_directory`` decodes them.

PNG and JPEG are decoded by TensorFlow, which gives Keras's pixels to the bit. GIF and BMP are
decoded by Pillow: TensorFlow decodes every frame of an animation before it gives the first one, and
takes the palette's indices of a BMP for its pixels. An image's size is judged by its header.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from job.errors import InputError
from job.rows.lazy import Array
from job.text import first_line

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = ("PNG", "JPEG", "GIF", "BMP")
_ORIENTATION = 0x0112
# What Pillow raises for files that are corrupt.
_CORRUPT = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)
# What TensorFlow puts around its reasons.
_OP = re.compile(r"\{\{.*?\}\} ?| ?\[Op:\w*\]")
# Pillow reads the EXIF data of each JPEG, and prints a warning where they are corrupt; the pixels
# are good.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
# Each image is judged by max_pixels; Pillow's limit would be a second one.
Image.MAX_IMAGE_PIXELS = None

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class ImageDecoding:
    """How images are decoded."""

    color_mode: str
    """``grayscale``, ``rgb`` or ``rgba``: 1, 3 or 4 channels."""
    image_size: tuple[int, int] | None = None
    """Height and width that they are resized to; None: they are not."""
    interpolation: str = "bilinear"
    """How, as in ``tf.image.resize``."""
    apply_exif_orientation: bool = False
    """Whether they are turned as their EXIF data say, before they are resized."""
    max_pixels: int = 1 << 26
    """Of an image before it is resized."""

    @property
    def channels(self) -> int:
        """Of each pixel."""
        return CHANNELS[self.color_mode]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the pixels: ``tf.image.resize`` computes float32, but by ``nearest``."""
        is_computed = self.image_size is not None and self.interpolation != "nearest"
        return np.dtype(np.float32 if is_computed else np.uint8)


def decode_image(content: bytes, how: ImageDecoding, where: str) -> Array:
    """Decode an image; of an animation, its first frame.

    Args:
        content: A PNG, JPEG, GIF or BMP file. Of 16 bits per channel, the upper 8 are taken.
        how: How it is decoded.
        where: What errors name.

    Returns:
        The pixels, 0 to 255: (height, width, channels), uint8, or float32 where they are resized
        by other than ``nearest``.

    Raises:
        InputError: Where it is none of these, corrupt, or of more than ``max_pixels``.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > how.max_pixels:
                raise _too_large(width, height, how, where)
            orientation = image.getexif().get(_ORIENTATION) if how.apply_exif_orientation else 1
            is_for_pillow = image.format in {"GIF", "BMP"}
            if is_for_pillow:
                pixels = _on_black(image, how)
            else:
                _check_mode(image, how, where)
    except _CORRUPT as error:
        raise _corrupt(error, where) from None
    if not is_for_pillow:
        pixels = _decode(content, (height, width), how, where)
    return _resized(_turned(pixels, orientation), how)


def is_16_bit(content: bytes) -> bool:
    """Whether a file is a PNG of 16 bits per channel, whose lower 8 ``decode_image`` drops."""
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:25] == b"\x10"


def in_order(
    function: Callable[[Given], Made], items: Iterable[Given], threads: int
) -> Generator[Made, None, None]:
    """What a function makes of each item, in the items' order, computed by several threads.

    At most twice as many items as threads are in flight, so that memory does not grow with the
    items. An error of the function is raised in its item's place.

    Args:
        function: Called by several threads; TensorFlow and Pillow release the interpreter's lock.
        items: Taken by this thread only. Small images are better given in groups: several threads
            are slower than one where each item takes less than a millisecond.
        threads: At least 1; 1 starts none.
    """
    if threads == 1:
        yield from map(function, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        started: deque[Future[Made]] = deque()
        try:
            started.extend(pool.submit(function, item) for item in islice(rest, 2 * threads))
            while started:
                made = started.popleft().result()
                started.extend(pool.submit(function, item) for item in islice(rest, 1))
                yield made
        finally:
            for future in started:
                future.cancel()


def _decode(content: bytes, size: tuple[int, int], how: ImageDecoding, where: str) -> Array:
    """A PNG or JPEG."""
    try:
        found = tf.io.decode_image(content, how.channels, expand_animations=False).numpy()
    except (tf.errors.OpError, ValueError) as error:
        raise _corrupt(error, where) from None
    if found.shape != (*size, how.channels):
        raise InputError(
            f"The image is corrupt: its header declares {size[0]} x {size[1]} pixels, and it has "
            f"{' x '.join(map(str, found.shape[:2]))}.",
            where=where,
            hint="Write it again, or leave it out.",
        )
    return np.asarray(found)


def _on_black(image: Image.Image, how: ImageDecoding) -> Array:
    """The first frame of a GIF, or a BMP; as in TensorFlow, what is transparent is black."""
    opaque = image
    if how.color_mode != "rgba" and image.has_transparency_data:
        layer = image.convert("RGBA")
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(layer)
    mode = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[how.color_mode]
    pixels = np.array(opaque.convert(mode), np.uint8)
    return pixels.reshape(*pixels.shape[:2], how.channels)


def _turned(pixels: Array, orientation: object) -> Array:
    """Upright, by the eight orientations of EXIF: 1 is upright, and so is what is none of them."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _resized(pixels: Array, how: ImageDecoding) -> Array:
    if how.image_size is None:
        return np.ascontiguousarray(pixels)
    return np.asarray(tf.image.resize(pixels, how.image_size, method=how.interpolation))


def _too_large(width: int, height: int, how: ImageDecoding, where: str) -> InputError:
    return InputError(
        f"The image's header declares {height:,} x {width:,} pixels; at most "
        f"{how.max_pixels:,} are decoded.",
        where=where,
        hint="Store a smaller image, or raise max_pixels if you trust this one.",
    )


def _check_mode(image: Image.Image, how: ImageDecoding, where: str) -> None:
    """Refuse what TensorFlow can't convert."""
    if image.format != "PNG" and how.color_mode == "rgba":
        raise InputError(
            "A JPEG has no fourth channel, and color_mode is rgba.",
            where=where,
            hint="Set color_mode to rgb, or store the image as PNG.",
        )
    if image.mode == "CMYK" and how.color_mode == "grayscale":
        raise InputError(
            "The image is a JPEG of CMYK, which can't be decoded as grayscale.",
            where=where,
            hint="Set color_mode to rgb, or store the image as grayscale.",
        )


def _corrupt(error: Exception, where: str) -> InputError:
    if isinstance(error, UnidentifiedImageError):
        return InputError(
            "The file is no PNG, JPEG, GIF or BMP image, or its header is corrupt.",
            where=where,
            hint="Convert it to one of these, or leave it out.",
        )
    reason = _OP.sub("", first_line(getattr(error, "message", error))).rstrip(".")
    return InputError(
        f"The image can't be decoded: {reason}.",
        where=where,
        hint="Write it again, or leave it out.",
    )
