"""compress: lossless encodings of a model file, deterministic, each checked by decoding it.

zip and zopfli are DEFLATE: zopfli searches longer for a stream that ``gunzip`` reads
(https://github.com/google/zopfli). zstd, brotli, xz and lzma (the
coder of xz with searched settings, in a smaller container) may be smaller still where the receiver
has them; lz4 is larger, and decodes fastest. Archives carry no time stamp, so the same file gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from job.errors import StageError
from job.manifest.compress import ENCODINGS, CodecConfig
from job.result.artifact import EncodingResult, file_digest
from job.stages.codecs import CODECS, Codec

Encode = Callable[[Path, CodecConfig], EncodingResult]


def too_large(codec: CodecConfig, size: int) -> str | None:
    """Why a file of ``size`` bytes is not encoded with ``codec``; None where it is."""
    limit = codec.max_bytes or ENCODINGS[codec.type].max_bytes
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
    functions, known = CODECS[codec.type], ENCODINGS[codec.type]
    target = path.with_name(path.name + known.suffix)
    with target.open("wb") as file:
        functions.encode(path, file, known.default_level if codec.level is None else codec.level)
    if not _is_whole(functions, target, path):
        raise StageError(
            f"The {codec.type} encoding does not decode to the file that it was made of.",
            where=target.name,
            hint="Leave this codec out, and report the file.",
        )
    size, sha256 = file_digest(target)
    return EncodingResult(path=target.name, bytes=size, sha256=sha256)


def _is_whole(codec: Codec, encoding: Path, path: Path) -> bool:
    """Whether an encoding, compared while it is decoded, is all of the file."""
    damage: tuple[type[Exception], ...] = (EOFError, *codec.errors)
    with path.open("rb") as file:
        try:
            chunks = codec.decode(encoding)
            return all(file.read(len(it)) == it for it in chunks) and not file.read(1)
        except damage:
            return False


class Encoder:
    """Encodes files in the background, while the next stage computes.

    The codecs are C code that runs beside Python, so threads are enough. To be used as a context:
    on an error, encodings that have not begun are cancelled.
    """

    def __init__(
        self, codecs: Sequence[CodecConfig], threads: int, encode: Encode = compress
    ) -> None:
        self._codecs = codecs
        self._encode = encode
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
                jobs[codec.type] = self._pool.submit(self._encode, path, codec)
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
