"""Images are decoded as Keras decodes them; what is corrupt or too large is refused early."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from job.datasets.images import ImageDecoding, decode_image, in_order, is_16_bit
from job.errors import InputError
from job.rows.lazy import Array
from tests.support.pictures import encoded, photo

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
