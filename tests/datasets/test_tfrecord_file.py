"""Records are read in their order with their checksums verified, and again by their number."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from job.datasets.tfrecord_file import Shard, open_shard
from job.errors import InputError
from tests.support.tfrecords import write

RECORDS = [bytes([65 + it]) * (it * 7 % 23) for it in range(50)]


def all_of(shard: Shard, most: int = 8) -> list[bytes]:
    found: list[bytes] = []
    for first, batch in shard.batches(most):
        assert first == len(found)
        found += batch.numpy().tolist()
    return found


def refused(shard: Shard) -> InputError:
    with pytest.raises(InputError) as caught:
        all_of(shard)
    assert str(shard.path) in caught.value.where
    return caught.value


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib"])
def test_records_are_read_in_their_order(compression: str, tmp_path: Path) -> None:
    """In batches; the file's name may have any characters."""
    path = write(
        tmp_path / "a", RECORDS, "" if compression == "none" else compression.upper()
    ).rename(tmp_path / "Zähler *[1]? 数.tfrecord")
    shard = open_shard(path, compression)
    assert (shard.records, shard.longest) == (50, 22)
    assert all_of(shard) == RECORDS
    assert (shard.ends is None) == (compression != "none")


def test_records_are_read_again_by_their_number(tmp_path: Path) -> None:
    """In any order, and more than once."""
    shard = open_shard(write(tmp_path / "a", RECORDS), "none")
    numbers = [49, 0, 7, 7, 48, 1]
    assert shard.read(numbers) == [RECORDS[it] for it in numbers]


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib"])
def test_a_record_with_another_checksum_is_found(compression: str, tmp_path: Path) -> None:
    """With its number and its place in the file, or in what is decompressed."""
    path = write(tmp_path / "a", RECORDS)
    shard = open_shard(path, "none")
    assert shard.ends is not None
    content = bytearray(path.read_bytes())
    start = int(shard.ends[19])
    content[start + 13] ^= 1
    packed = {
        "none": bytes(content),
        "gzip": gzip.compress(content),
        "zlib": zlib.compress(content),
    }
    path.write_bytes(packed[compression])
    error = refused(open_shard(path, compression))
    assert "Record 20 (from 0) is corrupt" in error.what
    assert f"byte {start}" in error.where


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib"])
def test_a_file_without_records_is_refused(compression: str, tmp_path: Path) -> None:
    """Of no bytes, or of a compressed nothing."""
    path = write(tmp_path / "a", [], "" if compression == "none" else compression.upper())
    with pytest.raises(InputError, match="no records"):
        open_shard(path, compression)
    path.write_bytes(b"")
    with pytest.raises(InputError):
        open_shard(path, compression)


def test_a_file_that_is_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    """Whether it is read on, or again."""
    path = write(tmp_path / "a", RECORDS)
    shard = open_shard(path, "none")
    write(path, RECORDS[:-3])
    assert "changed" in refused(shard).what
    with pytest.raises(InputError, match="changed"):
        shard.read([49])


def test_bytes_behind_a_gzip_files_end_are_refused(tmp_path: Path) -> None:
    """Zeros, which Python's reader takes for padding and TensorFlow for a corrupt member."""
    path = write(tmp_path / "a", RECORDS, "GZIP")
    path.write_bytes(path.read_bytes() + bytes(10))
    assert "behind its last record, 49" in refused(open_shard(path, "gzip")).what
