"""compress: lossless encodings of a model file, deterministic, each checked by decoding it.

zip and zopfli are DEFLATE: zopfli searches longer for a stream that ``gunzip`` reads
(https://github.com/google/zopfli). zstd, brotli and xz are smaller still where the receiver has
them. Archives carry no time stamp, so the same file gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import brotli
import zopfli.gzip
import zstandard

from job.errors import StageError
from job.manifest.outputs import LEVELS, SUFFIXES, CodecConfig
from job.result import EncodingResult

# zopfli takes 1 to 20 s for each MB; above this it is left out unless max_bytes allows more.
ZOPFLI_MAX_BYTES = 1 << 20
ZOPFLI_ROUNDS = 15
# The earliest time that a zip can hold; any constant would do.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Codec:
    """How a codec encodes and decodes.

    ``encode`` takes the bytes, the level and the file's name (archives hold it).
    """

    encode: Callable[[bytes, int, str], bytes]
    decode: Callable[[bytes], bytes]


def _zip(data: bytes, level: int, name: str) -> bytes:
    entry = zipfile.ZipInfo(name, date_time=ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, data, compresslevel=level)
    return buffer.getvalue()


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(archive.infolist()[0])


def _brotli(data: bytes, level: int, _: str) -> bytes:
    return bytes(brotli.compress(data, quality=level, lgwin=brotli_window(len(data))))


def brotli_window(size: int) -> int:
    """The smallest window (its binary logarithm, 10 to 24) that sees all of ``size`` bytes.

    A window of w sees 2**w - 16 bytes (RFC 7932, 9.1).
    """
    return min(24, max(10, (size + 15).bit_length()))


CODECS: dict[str, Codec] = {
    "zip": Codec(_zip, _unzip),
    "gzip": Codec(lambda data, level, _: gzip.compress(data, level, mtime=0), gzip.decompress),
    "zopfli": Codec(
        lambda data, rounds, _: bytes(zopfli.gzip.compress(data, numiterations=rounds)),
        gzip.decompress,
    ),
    "zstd": Codec(
        lambda data, level, _: zstandard.ZstdCompressor(level=level).compress(data),
        lambda data: zstandard.ZstdDecompressor().decompress(data),
    ),
    "brotli": Codec(_brotli, lambda data: bytes(brotli.decompress(data))),
    "xz": Codec(
        lambda data, level, _: lzma.compress(data, preset=level | lzma.PRESET_EXTREME),
        lzma.decompress,
    ),
}


def too_large(codec: CodecConfig, size: int) -> str | None:
    """Why a file of ``size`` bytes is not encoded with ``codec``; None where it is."""
    limit = codec.max_bytes or (ZOPFLI_MAX_BYTES if codec.type == "zopfli" else None)
    if limit is None or size <= limit:
        return None
    return f"{codec.type} is left out: the file has {size:,} bytes, more than max_bytes {limit:,}"


def compress(path: Path, codec: CodecConfig) -> EncodingResult:
    """Encode a file beside itself, read the encoding back, decode it and compare.

    Args:
        path: The model file.
        codec: What to encode it with.

    Returns:
        The encoding; its path is relative to the file's folder.

    Raises:
        StageError: Where the encoding does not decode to the same bytes.
        OSError: Where it can't be written.
    """
    how = CODECS[codec.type]
    data = path.read_bytes()
    target = path.with_name(path.name + SUFFIXES[codec.type])
    target.write_bytes(how.encode(data, _level(codec), path.name))
    encoded = target.read_bytes()
    if how.decode(encoded) != data:
        raise StageError(
            f"The {codec.type} encoding does not decode to the file that it was made of.",
            where=target.name,
            hint="Leave this codec out, and report the file.",
        )
    return EncodingResult(
        path=target.name, bytes=len(encoded), sha256=hashlib.sha256(encoded).hexdigest()
    )


def _level(codec: CodecConfig) -> int:
    if codec.level is not None:
        return codec.level
    return ZOPFLI_ROUNDS if codec.type == "zopfli" else LEVELS[codec.type][1]


class Encoder:
    """Encodes files in the background, while the next stage computes.

    The codecs are C code that runs beside Python, so threads are enough. To be used as a context:
    on an error what has not begun is given up.
    """

    def __init__(self, codecs: Sequence[CodecConfig], threads: int) -> None:
        self._codecs = codecs
        self._pool = ThreadPoolExecutor(threads)
        self._pending: dict[str, dict[str, Future[EncodingResult]]] = {}
        self.left_out: list[str] = []
        """What was not encoded, and why."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, path: Path) -> None:
        """Begin to encode a file, which must not change any more, with every codec."""
        jobs = self._pending[path.name] = {}
        for codec in self._codecs:
            reason = too_large(codec, path.stat().st_size)
            if reason is None:
                jobs[codec.type] = self._pool.submit(compress, path, codec)
            else:
                self.left_out.append(f"{path.name}: {reason}")

    def finish(self, advance: Callable[[int, int], None]) -> dict[str, dict[str, EncodingResult]]:
        """Wait for all encodings.

        Returns:
            File name -> codec -> encoding.

        Raises:
            StageError: Where an encoding does not decode to its file.
            OSError: Where one can't be written.
        """
        total = sum(len(jobs) for jobs in self._pending.values())
        results: dict[str, dict[str, EncodingResult]] = {}
        done = 0
        for name, jobs in self._pending.items():
            results[name] = {}
            for codec, job in jobs.items():
                results[name][codec] = job.result()
                done += 1
                advance(done, total)
        return results
