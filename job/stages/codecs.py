"""The functions of the codecs, as streams: a file goes through in chunks.

Memory is what a codec itself takes, whatever the size of the file: below 3 MB for zip and gzip; at
the highest levels, which search back far, some 830 MB for zstd, 670 MB for xz and 260 MB for
brotli (measured on files of 200, 200 and 48 MB); lzma takes what xz does. zopfli holds the file,
and is for small ones; lzma holds those of up to 1 MiB.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import brotli
import lz4.frame
import zopfli.gzip
import zstandard

from job.stages import lzma_alone

CHUNK_BYTES = 1 << 20
# For zlib: the largest window, in gzip's format. Its header has neither time nor name.
GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Codec:
    """How a codec encodes and decodes. What else is known of it: ``job/manifest/compress.py``."""

    encode: Callable[[Path, IO[bytes], int], None]
    """Takes the file, where the encoding is written to, and the level."""
    decode: Callable[[Path], Iterator[bytes]]
    """Takes the encoding and yields the file's bytes in chunks."""
    errors: tuple[type[Exception], ...]
    """What ``decode`` raises for a damaged encoding, beside EOFError."""


def _chunks(file: IO[bytes] | BufferedIOBase) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _feed(
    path: Path, target: IO[bytes], compress: Callable[[bytes], bytes], finish: Callable[[], bytes]
) -> None:
    for chunk in _chunks(path.open("rb")):
        target.write(compress(chunk))
    target.write(finish())


def _zip(path: Path, target: IO[bytes], level: int) -> None:
    large = path.stat().st_size * 1.05 > zipfile.ZIP64_LIMIT  # as zipfile itself decides
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        # By its name: for a ZipInfo there is no way to set the level.
        with archive.open(path.name, "w", force_zip64=large) as entry:
            _feed(path, entry, bytes, bytes)
        archive.infolist()[0].external_attr = 0o644 << 16


def _unzip(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        yield from _chunks(archive.open(archive.infolist()[0]))


def _gzip(path: Path, target: IO[bytes], level: int) -> None:
    encoder = zlib.compressobj(level, wbits=GZIP_WINDOW)
    _feed(path, target, encoder.compress, encoder.flush)


def _zopfli(path: Path, target: IO[bytes], rounds: int) -> None:
    target.write(zopfli.gzip.compress(path.read_bytes(), numiterations=rounds))


def _zstd(path: Path, target: IO[bytes], level: int) -> None:
    encoder = zstandard.ZstdCompressor(level=level).compressobj(size=path.stat().st_size)
    _feed(path, target, encoder.compress, encoder.flush)


def _brotli(path: Path, target: IO[bytes], level: int) -> None:
    encoder = brotli.Compressor(quality=level, lgwin=brotli_window(path.stat().st_size))
    _feed(path, target, encoder.process, encoder.finish)


def _unbrotli(path: Path) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    with path.open("rb") as file:
        while not decoder.is_finished():
            more = file.read(CHUNK_BYTES) if decoder.can_accept_more_data() else b""
            chunk = decoder.process(more, output_buffer_limit=CHUNK_BYTES)
            if not more and not chunk:
                raise EOFError
            yield chunk


def brotli_window(size: int) -> int:
    """The smallest window (its binary logarithm, 10 to 24) that sees all of ``size`` bytes.

    A window of w sees 2**w - 16 bytes (RFC 7932, 9.1).
    """
    return min(24, max(10, (size + 15).bit_length()))


def _xz(path: Path, target: IO[bytes], level: int) -> None:
    encoder = lzma.LZMACompressor(preset=level | lzma.PRESET_EXTREME)
    _feed(path, target, encoder.compress, encoder.flush)


def _lz4(path: Path, target: IO[bytes], level: int) -> None:
    # Blocks of 4 MB, which is the most: the window is 64 KB, so there is little to link.
    encoder = lz4.frame.LZ4FrameCompressor(
        block_size=lz4.frame.BLOCKSIZE_MAX4MB,
        block_linked=False,
        compression_level=level,
        content_checksum=True,
    )
    target.write(encoder.begin(path.stat().st_size))
    _feed(path, target, encoder.compress, encoder.flush)


def _reading(opened: Callable[[Path], Any]) -> Callable[[Path], Iterator[bytes]]:
    return lambda path: _chunks(opened(path))


GZIP_ERRORS = (gzip.BadGzipFile, zlib.error)

CODECS: dict[str, Codec] = {
    "zip": Codec(_zip, _unzip, (zipfile.BadZipFile, zlib.error)),
    "gzip": Codec(_gzip, _reading(gzip.GzipFile), GZIP_ERRORS),
    "zopfli": Codec(_zopfli, _reading(gzip.GzipFile), GZIP_ERRORS),
    "zstd": Codec(_zstd, _reading(zstandard.open), (zstandard.ZstdError,)),
    "brotli": Codec(_brotli, _unbrotli, (brotli.error,)),
    "xz": Codec(_xz, _reading(lzma.open), (lzma.LZMAError,)),
    "lzma": Codec(lzma_alone.encode, _reading(lzma.open), (lzma.LZMAError,)),
    "lz4": Codec(_lz4, _reading(lz4.frame.open), (RuntimeError,)),  # it has no error of its own
}
