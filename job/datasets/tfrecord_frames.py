"""The frames of TFRecords: where each record lies, and all that is wrong with a file around it.

A record is its length (8 bytes, little-endian), the masked CRC-32C of that, its bytes, and their
masked CRC-32C (``tensorflow/core/lib/io/record_writer.h``). TensorFlow checks both sums, but not
the rest: it allocates any length that a header declares and crashes on some, and it takes a file
that is cut off in a header, or in its compression, for a shorter one. So frames are followed first.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from job.errors import InputError

# A larger record is refused. tf.train.Example ends at 2 GiB.
MAX_RECORD_BYTES = 1 << 28
# What features that are not described may take of a record. Parsed, a byte of a record may take
# some 30: integers are packed.
SPARE_BYTES = 1 << 24
HEADER_BYTES, FRAME_BYTES = 12, 16
# Compressed files are followed in parts of this many bytes.
STEP_BYTES = 1 << 20


def frames(
    path: Path, compression: str, described: int = MAX_RECORD_BYTES
) -> Iterator[tuple[int, int]]:
    """Each record's offset in the (decompressed) file, and its bytes without the frame's.

    Args:
        path: The file.
        compression: ``none``, ``gzip`` or ``zlib``.
        described: The most bytes that the described features take of a record.

    Raises:
        InputError: Where the file is no good one, or a record is larger than ``described`` and
            ``SPARE_BYTES``, or than ``MAX_RECORD_BYTES``.
    """
    try:
        with closing(_opened(path, compression)) as file:
            yield from _frames(file, path, compression, described)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _not_compressed(path, compression, error) from None


def _frames(
    file: BinaryIO | io.BufferedIOBase, path: Path, compression: str, described: int
) -> Iterator[tuple[int, int]]:
    most = min(described + SPARE_BYTES, MAX_RECORD_BYTES)
    held = path.stat().st_size if compression == "none" else None
    offset = record = 0
    while header := file.read(HEADER_BYTES):
        place = f"{path}, byte {offset}{decompressed(compression)}"
        if len(header) < HEADER_BYTES:
            raise _cut_off(record, "it ends within the record's header", place)
        size, checksum = struct.unpack("<QI", header)
        if masked_crc(header[:8]) != checksum:
            raise _no_header(path, compression, record, place)
        if held is not None and offset + FRAME_BYTES + size > held:
            left = max(0, held - offset - FRAME_BYTES)
            raise _cut_off(record, f"it declares {size:,} bytes, and {left:,} are left", place)
        if size > most:
            raise _too_large(record, size, described, place)
        if held is not None:
            file.seek(size + 4, os.SEEK_CUR)
        elif missing := _skip(file, size + 4):
            raise _cut_off(record, f"it declares {size:,} bytes, and {missing:,} lack", place)
        yield offset, size
        offset, record = offset + FRAME_BYTES + size, record + 1


def _skip(file: BinaryIO | io.BufferedIOBase, size: int) -> int:
    """Read past so many bytes; returns how many the file lacks."""
    while size and (part := file.read(min(size, STEP_BYTES))):
        size -= len(part)
    return size


def _opened(path: Path, compression: str) -> BinaryIO | io.BufferedIOBase:
    if compression == "gzip":
        return gzip.open(path, "rb")
    if compression == "zlib":
        return io.BufferedReader(_ZlibReader(path), STEP_BYTES)
    return path.open("rb")


class _ZlibReader(io.RawIOBase):
    """The decompressed bytes of a zlib stream. Python has such a reader for gzip only."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._stream = zlib.decompressobj()
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decompress at most as many bytes as the buffer has.

        Raises:
            zlib.error: Where the bytes are no zlib stream.
            EOFError: Where the stream is cut off.
        """
        while not self._stream.eof:
            self._rest = self._rest or self._file.read(STEP_BYTES)
            found = self._stream.decompress(self._rest, len(buffer))
            if not found and not self._rest and not self._stream.eof:
                raise EOFError("the stream has no end")
            self._rest = self._stream.unconsumed_tail
            if found:
                buffer[: len(found)] = found
                return len(found)
        if self._stream.unused_data or self._file.read(1):
            raise zlib.error("there are bytes behind the stream's end")
        return 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE = _crc_table()


def masked_crc(content: bytes) -> int:
    """The CRC-32C (Castagnoli) of a few bytes, rotated and shifted as TFRecords have it."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _compression_of(path: Path) -> str | None:
    """What a file's first bytes look like; None: nothing that is known."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if len(start) == HEADER_BYTES and masked_crc(start[:8]) == struct.unpack("<I", start[8:])[0]:
        return "none"
    if start.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    is_zlib = len(start) > 2 and start[0] & 0x8F == 0x08 and int.from_bytes(start[:2]) % 31 == 0
    return "zlib" if is_zlib else None


def decompressed(compression: str) -> str:
    """What is added to an offset in messages."""
    return "" if compression == "none" else " of what is decompressed"


def _too_large(record: int, size: int, described: int, place: str) -> InputError:
    if size > MAX_RECORD_BYTES:
        why, hint = f"at most {MAX_RECORD_BYTES:,} are read", "Write smaller records."
    else:
        why = (
            f"dataset.features describes {described:,} bytes at most, and others may take "
            f"{SPARE_BYTES:,}"
        )
        hint = "Correct dataset.features, or write smaller records, without what is not needed."
    return InputError(
        f"Record {record} (from 0) declares {size:,} bytes; {why}.", where=place, hint=hint
    )


def _cut_off(record: int, why: str, place: str) -> InputError:
    return InputError(
        f"The file is cut off in record {record} (from 0): {why}.",
        where=place,
        hint="Write or copy the file again.",
    )


def _no_header(path: Path, compression: str, record: int, place: str) -> InputError:
    if record:
        return InputError(
            f"The header of record {record} (from 0) is corrupt: it does not have its checksum.",
            where=place,
            hint="Write or copy the file again.",
        )
    return _other_compression(path, compression) or InputError(
        "The file is none of TFRecords.",
        where=place,
        hint="Write it with tf.io.TFRecordWriter, or leave it out of dataset.uri or the split's "
        "files.",
    )


def _not_compressed(path: Path, compression: str, error: Exception) -> InputError:
    return _other_compression(path, compression) or InputError(
        f"The file can't be decompressed as {compression}: {error}.",
        where=str(path),
        hint="Write or copy the file again; dataset.compression says how files are compressed.",
    )


def _other_compression(path: Path, compression: str) -> InputError | None:
    found = _compression_of(path)
    if found in (None, compression):
        return None
    what = "not compressed" if found == "none" else f"compressed with {found}"
    return InputError(
        f"The file is {what}, and dataset.compression is {compression}.",
        where=str(path),
        hint=f'Set dataset.compression to "{found}".',
    )
