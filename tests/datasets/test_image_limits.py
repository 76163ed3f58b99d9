"""Images that are bombs, or no images, are refused before they take memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.datasets.images import ImageDecoding, decode_image
from job.errors import InputError
from tests.datasets.test_images import RGB, attempt, refused
from tests.support.pictures import chunk, encoded, gif, photo, png


@settings(deadline=None, max_examples=150)
@given(
    suffix=st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=4),
    early=st.booleans(),
)
def test_any_bytes_give_pixels_or_one_error(
    suffix: str, changes: list[tuple[float, bytes]], early: bool
) -> None:
    """Headers and pixels are overwritten."""
    content = bytearray(encoded(photo()[:40, :50], suffix))
    for place, data in changes:
        start = int(place * (80 if early else len(content)))
        content[start : start + len(data)] = data
    how = ImageDecoding("rgb", apply_exif_orientation=True, max_pixels=1 << 20)
    found = attempt(bytes(content), how)
    if isinstance(found, InputError):
        assert found.where == "some/file"
        assert found.hint
        assert "\n" not in found.what
        assert "{{" not in found.what
    else:
        assert found.dtype == np.uint8
        assert found.shape[2] == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"<svg/>", encoded(photo(), "WEBP"), encoded(photo(), "TIFF")],
    ids=["empty", "text", "svg", "webp", "tiff"],
)
def test_other_formats_are_refused_by_their_content(content: bytes) -> None:
    """The hint says what to do."""
    error = refused(content)
    assert "no PNG, JPEG, GIF or BMP" in error.what
    assert "Convert" in error.hint


BOMBS = {
    "png": png(chunk(b"IDAT", zlib.compress(bytes(1 << 20))), width=60_000, height=60_000),
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(6),
    "gif canvas": gif((60_000, 60_000), (1, 1)),
    "gif frame": gif((1, 1), (60_000, 60_000)),
    "jpeg": encoded(photo(), "JPEG").replace(
        struct.pack(">BHH", 8, 427, 640), struct.pack(">BHH", 8, 60_000, 60_000)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(name: str) -> None:
    """Billions of pixels are declared; nothing is allocated for them."""
    tracemalloc.start()
    try:
        error = refused(BOMBS[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "declares" in error.what
    assert "67,108,864" in error.what
    assert "max_pixels" in error.hint
    assert peak < 4_000_000


def test_max_pixels_is_the_limit_whatever_pillows_is() -> None:
    """An image of exactly so many is decoded; of one more, it is not."""
    content = encoded(photo(), "PNG")
    decode_image(content, ImageDecoding("rgb", max_pixels=427 * 640), "")
    refused(content, ImageDecoding("rgb", max_pixels=427 * 640 - 1))
    assert (
        "can't be decoded" in refused(BOMBS["png"], ImageDecoding("rgb", max_pixels=1 << 32)).what
    )


def test_later_frames_of_a_gif_cost_nothing() -> None:
    """TensorFlow would allocate each: 60,000 frames of 4,000 million pixels."""
    many = gif((1, 1), (1, 1))[:-1] + gif((1, 1), (60_000, 60_000), 60_000)[19:]
    assert decode_image(many, RGB, "").shape == (1, 1, 3)


def test_a_small_frame_on_a_large_canvas_is_drawn_on_black() -> None:
    """The canvas is the image."""
    found = decode_image(gif((30, 20), (1, 1)), RGB, "")
    assert found.shape == (20, 30, 3)
    assert not found[1:].any()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_of_64_megabytes_is_not_unpacked(kind: bytes) -> None:
    """Refused, or ignored."""
    packed = zlib.compress(bytes(1 << 26), 1)
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    pixels = chunk(b"IDAT", zlib.compress(b"\0\7"))
    content = png(chunk(kind, head + packed), pixels)
    tracemalloc.start()
    try:
        found = attempt(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
    if isinstance(found, InputError):
        assert "can't be decoded" in found.what
    else:
        assert found[0, 0, 0] == 7


def test_many_texts_are_bounded() -> None:
    """Each is small, and together they unpack to 200 MB."""
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    content = png(*[text] * 200, chunk(b"IDAT", zlib.compress(b"\0\7")))
    assert "can't be decoded" in refused(content).what


def test_a_second_header_does_not_hide_the_first() -> None:
    """Pillow believes the last one."""
    small = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0\7"))
    assert refused(png(chunk(b"IHDR", small), pixels, width=9_000, height=9_000)).hint
