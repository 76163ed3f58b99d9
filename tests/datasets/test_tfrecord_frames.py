"""Frames of records are followed and judged before TensorFlow reads them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from job.datasets.tfrecord_frames import MAX_RECORD_BYTES, SPARE_BYTES, frames, masked_crc
from job.errors import InputError
from tests.support.tfrecords import header, write

RECORDS = [b"first", b"", b"the third " * 300_000]
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
}


def refused(path: Path, compression: str = "none") -> InputError:
    with pytest.raises(InputError) as caught:
        list(frames(path, compression))
    assert str(path) in caught.value.where
    assert caught.value.hint
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file, which a test may replace."""
    return write(tmp_path / "a.tfrecord", RECORDS)


@pytest.mark.parametrize("size", range(20))
def test_checksums_are_tensorflows(size: int, tmp_path: Path) -> None:
    """Of what TensorFlow writes, both the length's and the bytes'."""
    record = bytes(range(200, 200 + size))
    content = write(tmp_path / "a", [record]).read_bytes()
    assert struct.unpack("<I", content[8:12])[0] == masked_crc(content[:8])
    assert struct.unpack("<I", content[-4:])[0] == masked_crc(record)


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_each_records_place_and_size_are_found(compression: str, tmp_path: Path) -> None:
    """In files that TensorFlow wrote; of compressed ones, the place in what is decompressed."""
    path = write(tmp_path / "a.tfrecord", RECORDS, compression)
    found = list(frames(path, compression.lower() or "none"))
    assert found == [(0, 5), (21, 0), (37, 3_000_000)]


def test_a_gzip_file_of_several_members_is_one(tmp_path: Path) -> None:
    """As after ``cat a.gz b.gz``; TensorFlow reads it so."""
    content = write(tmp_path / "a", RECORDS[:2]).read_bytes()
    (tmp_path / "b").write_bytes(gzip.compress(content) * 2)
    assert [size for _, size in frames(tmp_path / "b", "gzip")] == [5, 0, 5, 0]


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize(("cut", "record"), [(1, 2), (3_000_010, 2), (3_000_020, 1), (-5, 3)])
def test_a_file_that_is_cut_off_names_the_record(
    cut: int, record: int, compression: str, path: Path
) -> None:
    """In its bytes, its header, or its checksum; TensorFlow ignores what is left of a header."""
    content = path.read_bytes()
    content = content[:-cut] if cut > 0 else content + content[:-cut]
    path.write_bytes(PACKED[compression](content))
    error = refused(path, compression)
    assert f"cut off in record {record} (from 0)" in error.what
    offset = [0, 21, 37, len(content) + cut][record]
    assert f"byte {offset}" in error.where
    assert ("decompressed" in error.where) == (compression != "none")


@pytest.mark.parametrize("compression", ["gzip", "zlib"])
@pytest.mark.parametrize("cut", [1, 4, 12, 100])
def test_a_compressed_file_that_is_cut_off_is_refused(
    compression: str, cut: int, path: Path
) -> None:
    """TensorFlow takes it for one of fewer records."""
    path.write_bytes(PACKED[compression](path.read_bytes())[:-cut])
    assert f"decompressed as {compression}" in refused(path, compression).what


@pytest.mark.parametrize("compression", ["gzip", "zlib"])
def test_a_compressed_file_with_wrong_bytes_is_refused(compression: str, path: Path) -> None:
    """Changed ones, or more behind its end."""
    content = bytearray(PACKED[compression](path.read_bytes()))
    path.write_bytes(bytes(content) + b"more")
    assert f"decompressed as {compression}" in refused(path, compression).what
    content[-6 if compression == "gzip" else -2] ^= 1
    path.write_bytes(content)
    assert f"decompressed as {compression}" in refused(path, compression).what


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("found", PACKED)
def test_another_compression_is_named(found: str, compression: str, path: Path) -> None:
    """The hint is what to write into the manifest."""
    if found == compression:
        return
    path.write_bytes(PACKED[found](path.read_bytes()))
    error = refused(path, compression)
    assert f"dataset.compression is {compression}" in error.what
    assert error.hint == f'Set dataset.compression to "{found}".'


@pytest.mark.parametrize("content", [b"x,y\n" * 100, b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(64)])
def test_a_file_of_something_else_is_refused(content: bytes, path: Path) -> None:
    """Whatever the manifest says of its compression."""
    path.write_bytes(content)
    assert "none of TFRecords" in refused(path).what
    assert "decompressed as gzip" in refused(path, "gzip").what
    assert "decompressed as zlib" in refused(path, "zlib").what


def test_a_corrupt_header_is_found(path: Path) -> None:
    """With its record and place."""
    content = bytearray(path.read_bytes())
    content[22] ^= 1
    path.write_bytes(content)
    error = refused(path)
    assert "header of record 1 (from 0) is corrupt" in error.what
    assert error.where.endswith("byte 21")


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("size", [1 << 33, 1 << 40, 1 << 63, (1 << 64) - 5])
def test_a_giant_length_is_refused_without_allocating_it(
    size: int, compression: str, path: Path
) -> None:
    """Its checksum is right; TensorFlow crashes on 1 TiB."""
    path.write_bytes(PACKED[compression](write(path, RECORDS[:1]).read_bytes() + header(size)))
    tracemalloc.start()
    try:
        error = refused(path, compression)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert "ecord 1 (from 0)" in error.what
    assert f"{size:,} bytes" in error.what


def test_a_record_that_is_there_and_too_large_is_refused(path: Path) -> None:
    """Of a file with a hole, which has the size that its header declares."""
    with path.open("wb") as file:
        file.write(header(MAX_RECORD_BYTES + 1))
        file.truncate(MAX_RECORD_BYTES + 17)
    assert f"at most {MAX_RECORD_BYTES:,}" in refused(path).what


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib"])
def test_a_record_much_larger_than_what_is_described_is_refused(
    compression: str, tmp_path: Path
) -> None:
    """From its header alone; one that has room for other features is not."""
    path = tmp_path / "a"
    content = header(SPARE_BYTES + 24) + bytes(SPARE_BYTES + 28)
    path.write_bytes(PACKED[compression](content))
    assert list(frames(path, compression, 24)) == [(0, SPARE_BYTES + 24)]
    with pytest.raises(InputError) as caught:
        list(frames(path, compression, 23))
    assert caught.value.what == (
        "Record 0 (from 0) declares 16,777,240 bytes; dataset.features describes 23 bytes at most, "
        "and others may take 16,777,216."
    )
    assert "dataset.features" in caught.value.hint
