"""The codecs are lossless and deterministic, and standard tools can decode them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.manifest.compress import ENCODINGS
from job.stages.codecs import CODECS, brotli_window
from job.stages.compress import compress
from tests.support.encodings import AT_ONCE, DECODED_AT_ONCE, NAMES, ZIP_EPOCH, codec, weights
from tests.support.required import lacking

TOOLS = {
    "zip": ["unzip", "-p"],
    "gzip": ["gunzip", "-c"],
    "zopfli": ["gunzip", "-c"],
    "zstd": ["zstd", "-dc"],
    "brotli": ["brotli", "-dc"],
    "xz": ["xz", "-dc"],
    "lzma": ["unlzma", "-c"],
    "lz4": ["lz4", "-dc"],
}


def test_every_codec_of_the_manifest_is_there() -> None:
    """Its functions, and all that is known of it; no two have one suffix."""
    assert list(CODECS) == list(ENCODINGS) == list(NAMES) == list(TOOLS)
    assert len({it.suffix for it in ENCODINGS.values()}) == len(CODECS)
    for it in ENCODINGS.values():
        assert it.levels[0] <= it.default_level <= it.levels[1]
        assert it.decoder == ENCODINGS[it.decoder].decoder


@pytest.mark.parametrize("name", NAMES)
def test_an_encoding_is_smaller_and_decodes_to_the_file(name: str, model_file: Path) -> None:
    """It has the size and the digest in the result."""
    found = compress(model_file, codec(name))
    written = (model_file.parent / found.path).read_bytes()
    assert found.path == f"prune.h5{ENCODINGS[name].suffix}"
    assert found.bytes == len(written) < len(weights()) / 2
    assert found.sha256 == hashlib.sha256(written).hexdigest()
    assert DECODED_AT_ONCE[name](written) == weights()


@pytest.mark.parametrize("name", AT_ONCE)
def test_encoding_in_chunks_does_not_change_the_bytes(name: str, model_file: Path) -> None:
    """A file of several chunks has the bytes that it has when encoded at once."""
    model_file.write_bytes(weights(300_000))
    found = compress(model_file, codec(name))
    written = (model_file.parent / found.path).read_bytes()
    at_once = bytearray(AT_ONCE[name](weights(300_000)))
    if name == "gzip":
        at_once[9] = written[9]  # the operating system: which one differs with Python's version
    assert written == at_once


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"zopfli"}))
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    """64 MB, which one chunk of the encoding holds, take a third of that, both ways."""
    path = tmp_path / "large.h5"
    with path.open("wb") as file:
        file.truncate(64_000_000)
    tracemalloc.start()
    try:
        compress(path, codec(name, level=1))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_gives_the_same_bytes_at_another_time(name: str, model_file: Path) -> None:
    """Neither a second call nor the file's modification time changes the encoding."""
    first = compress(model_file, codec(name))
    os.utime(model_file, (1_000_000_000, 1_234_567_890))
    assert compress(model_file, codec(name)) == first
    elsewhere = model_file.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(model_file, elsewhere)
    assert compress(elsewhere / model_file.name, codec(name)) == first


@pytest.mark.parametrize("name", NAMES)
def test_standard_tools_open_it(name: str, model_file: Path) -> None:
    """The usual tool for a format gives the original file."""
    command = TOOLS[name]
    if shutil.which(command[0]) is None:
        lacking("codecs", f"{command[0]} is not installed")
    found = compress(model_file, codec(name))
    done = subprocess.run(
        [*command, model_file.parent / found.path], capture_output=True, check=True
    )
    assert done.stdout == weights()


def test_an_lz4_frame_has_its_size_and_a_checksum(model_file: Path) -> None:
    """A receiver knows how much to reserve, and notices damage."""
    found = compress(model_file, codec("lz4"))
    about = lz4.frame.get_frame_info((model_file.parent / found.path).read_bytes())
    assert about["content_size"] == len(weights())
    assert about["content_checksum"]


def test_archives_carry_no_time(model_file: Path) -> None:
    """A zip holds its epoch and the plain file name; gzip's time field is zero."""
    zipped = compress(model_file, codec("zip"))
    with zipfile.ZipFile(model_file.parent / zipped.path) as archive:
        (entry,) = archive.infolist()
    assert entry.date_time == ZIP_EPOCH == (1980, 1, 1, 0, 0, 0)
    assert entry.filename == "prune.h5"
    assert entry.extra == b""
    assert entry.compress_type == zipfile.ZIP_DEFLATED
    for name in ("gzip", "zopfli"):
        found = compress(model_file, codec(name))
        assert (model_file.parent / found.path).read_bytes()[4:8] == bytes(4)


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_respected(name: str, model_file: Path) -> None:
    """The highest level is the default (zopfli: 15 rounds) and smaller than the lowest."""
    low, _ = ENCODINGS[name].levels
    if name in ("xz", "lzma"):  # their level 0 has a window of 256 KiB
        model_file.write_bytes(np.random.default_rng(0).bytes(300_000) * 2)
    default = compress(model_file, codec(name))
    stated = ENCODINGS[name].default_level
    assert compress(model_file, codec(name, level=stated)) == default
    lowest = compress(model_file, codec(name, level=low))
    assert lowest.sha256 != default.sha256
    assert lowest.bytes > default.bytes
    if name in ("zip", "gzip"):
        assert lowest.bytes > len(weights())  # level 0 stores


def test_zopfli_is_smaller_than_deflate(model_file: Path) -> None:
    """It takes much longer."""
    assert compress(model_file, codec("zopfli")).bytes < compress(model_file, codec("gzip")).bytes


@given(data=st.binary(max_size=2000) | st.builds(bytes.__mul__, st.binary(max_size=9), st.just(99)))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_restored(data: bytes) -> None:
    """By every codec, also no bytes at all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prune.h5"
        path.write_bytes(data)
        for name in NAMES:
            found = compress(path, codec(name, level=ENCODINGS[name].levels[0]))
            assert DECODED_AT_ONCE[name]((path.parent / found.path).read_bytes()) == data


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_file_is_restored(name: str, tmp_path: Path) -> None:
    """At the default level too."""
    path = tmp_path / "prune.h5"
    path.touch()
    found = compress(path, codec(name))
    assert found.bytes > 0
    assert DECODED_AT_ONCE[name]((tmp_path / found.path).read_bytes()) == b""


@given(size=st.integers(0, 1 << 26))
@settings(deadline=None)
def test_brotlis_window_is_the_smallest_that_sees_the_file(size: int) -> None:
    """A window of w bits sees 2**w - 16 bytes (RFC 7932, 9.1)."""
    bits = brotli_window(size)
    assert 10 <= bits <= 24
    assert bits == 24 or (1 << bits) - 16 >= size
    assert bits == 10 or (1 << (bits - 1)) - 16 < size
