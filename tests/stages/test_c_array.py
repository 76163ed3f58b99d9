"""A C array has the bytes of its file, and the same text each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from job.result.artifact import file_digest
from job.stages.c_array import c_array, symbol


def test_the_array_is_the_file(tmp_path: Path) -> None:
    """Parsed again, it has its bytes, its length and its digest."""
    path = tmp_path / "int8.tflite"
    path.write_bytes(bytes(range(256)) * 3 + b"end")
    found = c_array(path)
    text = (tmp_path / found.path).read_text()
    body = re.search(r"unsigned char int8_tflite\[\] = \{(.*?)\};", text, re.DOTALL)
    assert body is not None
    assert bytes(int(it, 16) for it in re.findall(r"0x(\w\w)", body[1])) == path.read_bytes()
    assert f"int8_tflite_len = {path.stat().st_size};" in text
    assert file_digest(path)[1] in text
    assert "alignas(16)" in text
    assert (found.bytes, found.sha256) == file_digest(tmp_path / found.path)
    first = (tmp_path / found.path).read_bytes()
    c_array(path)
    assert (tmp_path / found.path).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("int8.tflite", "int8_tflite"), ("4-bit.v2.tflite", "model_4_bit_v2_tflite")],
)
def test_the_symbol_is_a_name_in_c(name: str, wanted: str) -> None:
    """Whatever the variant is called."""
    assert symbol(name) == wanted
