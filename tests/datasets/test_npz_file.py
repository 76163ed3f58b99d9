"""The headers of arrays: what numpy can't parse, and what it parses and can't hold."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from job.datasets.npz_file import opened, read_header
from job.errors import InputError
from tests.datasets.test_npz import header

NOT_WRITTEN = "its header is not one that numpy.save writes"


def text_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (header((3, *[1] * 68)), "its header declares 69 axes; at most 32 are read"),
        (header((3, -3)), "its header declares the impossible shape (3, -3)"),
        (header((True, 3)), "its header declares the impossible shape (True, 3)"),
        (header((10**23, 0)), f"its header declares the impossible shape {(10**23, 0)}"),
        (
            text_header("{'descr':'<f8','fortran_order':False,'shape':(10**20,)}\n"),
            NOT_WRITTEN,
        ),
        (text_header("__import__('os').system('id')\n"), NOT_WRITTEN),
        (text_header("(" * 9000), NOT_WRITTEN),
        (b"hello", NOT_WRITTEN),
    ],
)
def test_a_bad_header_is_one_clean_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    """By itself, and in an archive, where the array is named."""
    with pytest.raises(ValueError, match="its header") as caught:
        read_header(io.BytesIO(content))
    assert str(caught.value) == says
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(InputError) as refused, opened(path) as file:
        file.header("x")
    assert refused.value.what == (
        f"The data set is no readable .npz archive: of the array 'x', {says}."
    )
    assert refused.value.hint


def test_a_good_header_is_read() -> None:
    """Up to 32 axes."""
    shape = (3, *[1] * 31)
    assert read_header(io.BytesIO(header(shape))) == (shape, False, np.dtype("<f4"))
