"""Images are decoded as Keras decodes them; what is corrupt or too large is refused early."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from job.datasets.images import ImageDecoding, decode_image, in_order, is_16_bit
from job.errors import InputError
from job.rows.lazy import Array
from tests.support.pictures import chunk, encoded, gif, photo, png

RGB = ImageDecoding("rgb")


def refused(content: bytes, how: ImageDecoding = RGB) -> InputError:
    with pytest.raises(InputError) as caught:
        decode_image(content, how, "some/file")
    assert caught.value.where == "some/file"
    return caught.value


def attempt(content: bytes, how: ImageDecoding = RGB) -> Array | InputError:
    try:
        return decode_image(content, how, "some/file")
    except InputError as error:
        return error


def by_keras(folder: Path, mode: str, size: tuple[int, int], interpolation: str) -> Array:
    """The only image of a folder."""
    (found,) = keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        color_mode=mode,
        image_size=size,
        interpolation=interpolation,
        shuffle=False,
        verbose=False,
    ).take(1)
    return np.asarray(found.numpy()[0])


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "area", "lanczos3"])
@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("PNG", "grayscale"),
        ("PNG", "rgb"),
        ("PNG", "rgba"),
        ("JPEG", "grayscale"),
        ("JPEG", "rgb"),
        ("BMP", "rgb"),
        ("GIF", "rgb"),
    ],
)
def test_pixels_are_those_of_keras_to_the_bit(
    suffix: str, mode: str, interpolation: str, tmp_path: Path
) -> None:
    """image_dataset_from_directory is given the same file."""
    content = encoded(photo(), suffix)
    (tmp_path / f"temple.{suffix.lower()}").write_bytes(content)
    how = ImageDecoding(mode, (96, 120), interpolation)
    found = decode_image(content, how, "")
    wanted = by_keras(tmp_path, mode, (96, 120), interpolation)
    assert found.dtype == wanted.dtype == how.dtype
    np.testing.assert_array_equal(found, wanted)


def test_without_a_size_pixels_are_bytes() -> None:
    """A PNG gives back what it was made of."""
    found = decode_image(encoded(photo(), "PNG"), RGB, "")
    assert found.dtype == RGB.dtype == np.uint8
    np.testing.assert_array_equal(found, photo())


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "I;16"])
def test_pngs_of_all_kinds_are_decoded(mode: str) -> None:
    """With a palette, one bit, alpha or 16 bits; Pillow's conversion gives the same."""
    gray = photo()[..., 0]
    source = gray.astype(np.uint16) * 257 if mode == "I;16" else photo()
    content = encoded(source, "PNG", None if mode == "I;16" else mode)
    assert is_16_bit(content) is (mode == "I;16")
    wanted = np.stack([gray] * 3, axis=-1)
    if mode != "I;16":
        wanted = np.asarray(Image.fromarray(photo()).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(decode_image(content, RGB, ""), wanted)


@pytest.mark.parametrize("mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("kind", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("suffix", ["BMP", "GIF"])
def test_bmps_and_gifs_have_their_palettes_colours(suffix: str, kind: str, mode: str) -> None:
    """TensorFlow takes the palette's indices of a BMP for its pixels."""
    content = encoded(photo(), suffix, kind)
    found = decode_image(content, ImageDecoding(mode), "")
    with Image.open(io.BytesIO(content)) as image:
        wanted = image.convert({"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[mode])
        np.testing.assert_array_equal(found.squeeze(), np.asarray(wanted))


def test_a_transparent_gif_is_black_where_nothing_is_drawn() -> None:
    """As in TensorFlow; with four channels, the fourth says so."""
    indices = (photo()[..., 0] // 64).astype(np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette([200, 100, 50, 10, 20, 30, 90, 80, 70, 1, 2, 3])
    file = io.BytesIO()
    image.save(file, "GIF", transparency=0)
    content = file.getvalue()
    found = decode_image(content, RGB, "")
    np.testing.assert_array_equal(
        found, tf.io.decode_image(content, 3, expand_animations=False).numpy()
    )
    assert not found[indices == 0].any()
    assert not decode_image(content, ImageDecoding("rgba"), "")[indices == 0, 3].any()


def test_an_animation_gives_its_first_frame() -> None:
    """Others are not decoded."""
    frames = [Image.fromarray(photo()[..., index]) for index in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    found = decode_image(file.getvalue(), ImageDecoding("grayscale"), "")
    np.testing.assert_array_equal(found[..., 0], photo()[..., 0])


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_their_exif_data_say(orientation: int, suffix: str) -> None:
    """Pillow's exif_transpose does the same; without the setting, nothing is turned."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(photo(), suffix, exif=exif)
    plain = decode_image(content, RGB, "")
    turned = decode_image(content, ImageDecoding("rgb", apply_exif_orientation=True), "")
    upright = ImageOps.exif_transpose(_with_orientation(plain, orientation))
    np.testing.assert_array_equal(turned, np.asarray(upright))
    assert plain.shape == photo().shape


def _with_orientation(pixels: Array, orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_truncated_image_is_refused(suffix: str) -> None:
    """Wherever it is cut off; the last bytes of a GIF and BMP are no pixels."""
    content = encoded(photo()[:90, :120], suffix)
    for part in (0.0, 0.001, 0.01, 0.2, 0.5, 0.9, 0.99):
        assert "image" in refused(content[: int(len(content) * part)]).what
    for less in (1, 2, 12) if suffix in {"PNG", "JPEG"} else (4,):
        assert "decoded" in refused(content[:-less]).what


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


@pytest.mark.parametrize(
    ("mode", "kind", "hint"), [("rgba", "RGB", "rgb"), ("grayscale", "CMYK", "rgb")]
)
def test_jpegs_that_can_not_be_converted_are_refused(mode: str, kind: str, hint: str) -> None:
    """CMYK can be decoded as rgb."""
    content = encoded(photo(), "JPEG", kind)
    assert hint in refused(content, ImageDecoding(mode)).hint
    close = decode_image(content, RGB, "").astype(float) - photo()
    assert abs(close).mean() < 6


def test_items_come_in_their_order_and_few_are_in_flight() -> None:
    """However long each takes."""
    taken: list[int] = []
    most = [0]

    def items() -> Iterator[int]:
        for index in range(60):
            taken.append(index)
            yield index

    def work(index: int) -> int:
        time.sleep(0.003 * (index % 3))
        return index

    for threads in (1, 3):
        taken.clear()
        for done, index in enumerate(in_order(work, items(), threads)):
            assert index == done
            most[0] = max(most[0], len(taken) - done)
        assert len(taken) == 60
    assert most[0] <= 2 * 3 + 1


def test_an_error_is_raised_in_its_place_and_threads_end() -> None:
    """Items before it are given first."""

    def work(index: int) -> int:
        if index == 5:
            raise InputError("bad", where=str(index))
        return index

    before = threading.active_count()
    steps = in_order(work, range(1000), 2)
    assert [next(steps) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(InputError) as caught:
        next(steps)
    assert caught.value.where == "5"
    steps = in_order(work, range(1000), 2)
    assert [next(steps) for _ in range(5)] == [0, 1, 2, 3, 4]
    steps.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "BMP"])
def test_the_interpreter_is_free_while_an_image_is_decoded(suffix: str) -> None:
    """This thread goes on in the middle of what another one decodes, so that two can decode."""
    large = np.asarray(Image.fromarray(photo()).resize((2560, 1708)))
    content = encoded(large, suffix)
    how = ImageDecoding("rgb", (1000, 1000))
    spans: list[tuple[float, float]] = []

    def work() -> None:
        for _ in range(10):
            start = time.perf_counter()
            decode_image(content, how, "")
            spans.append((start, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    ticks = []
    while worker.is_alive():
        time.sleep(0.0005)
        ticks.append(time.perf_counter())
    middles = [(start + (end - start) / 4, end - (end - start) / 4) for start, end in spans]
    busy = [sum(start < tick < end for tick in ticks) for start, end in middles]
    assert len(busy) == 10
    assert sorted(busy)[5] >= 3


def test_corrupt_exif_data_are_no_warning_on_standard_error(tmp_path: Path) -> None:
    """Pillow warns of them; the pixels are good. In a process of its own, as pytest takes warnings
    away.
    """
    path = tmp_path / "a.jpg"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12\0\x03"
    path.write_bytes(encoded(photo()[:16, :16], "JPEG", exif=exif))
    with pytest.warns(UserWarning, match="EXIF"), Image.open(path) as image:
        image.getexif()
    program = (
        "import pathlib, sys\n"
        "from job.datasets.images import ImageDecoding, decode_image\n"
        "how = ImageDecoding('rgb', apply_exif_orientation=True)\n"
        "print(decode_image(pathlib.Path(sys.argv[1]).read_bytes(), how, '').shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], check=True, capture_output=True, text=True
    )
    assert done.stdout == "(16, 16, 3)\n"
    assert "Warning" not in done.stderr
