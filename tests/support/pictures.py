"""Real images for tests: photographs, handwritten digits, and both as files."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from job.datasets.source import Source
from job.result.specs import TensorSpec
from job.rows.store import Store

Pixels = NDArray[np.uint8]
QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart"


@cache
def photo() -> Pixels:
    """A photograph of a temple: (427, 640, 3)."""
    return np.asarray(load_sample_images().images[0], np.uint8)


@cache
def digits() -> tuple[Pixels, NDArray[Any]]:
    """Handwritten digits, (rows, 28, 28), and which they are."""
    with np.load(QUICKSTART / "mnist.npz") as arrays:
        return arrays["x_test"], arrays["y_test"]


def encoded(pixels: NDArray[Any], suffix: str, mode: str | None = None, **options: Any) -> bytes:
    """An image file; the suffix is Pillow's name of the format."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, suffix, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(*chunks: bytes, width: int = 1, height: int = 1) -> bytes:
    """A grayscale PNG that declares a size, and has these chunks behind its header."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")])


def gif(canvas: tuple[int, int], frame: tuple[int, int], frames: int = 1) -> bytes:
    """A GIF of two colours with a canvas and frames of these widths and heights; each frame's data
    are those of a single pixel.
    """
    colours = b"\x00\x00\x00\xff\xff\xff"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + colours + image * frames + b";"


def image_source(
    folder: Path,
    scratch: Path,
    shape: tuple[int | None, ...] = (28, 28, 1),
    *,
    memory_bytes: int = 1 << 24,
    cache_bytes: int = 1 << 24,
    threads: int = 1,
) -> Source:
    """All files of a folder, for a model of one input of this shape and ten classes."""
    scratch.mkdir(exist_ok=True)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return Source(
        {str(path.relative_to(folder)): path for path in paths},
        [TensorSpec("x", shape, "float32")],
        [TensorSpec("y", (10,), "float32")],
        Store(scratch, memory_bytes, cache_bytes),
        threads,
    )


def write_digits(folder: Path, rows: range, suffix: str = "png") -> None:
    """Digits as files, in a folder for each class; names sort as rows do within a class."""
    pixels, classes = digits()
    for row in rows:
        path = folder / str(classes[row]) / f"{row:05}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels[row], {"jpg": "JPEG"}.get(suffix, suffix.upper())))


def rows_of(folder: Path) -> list[int]:
    """The rows of digits that were written, in the order of the files' names."""
    return [int(path.stem) for path in sorted(folder.rglob("*")) if path.is_file()]
