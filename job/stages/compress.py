"""compress: lossless encodings of a model file, deterministic, each checked by decoding it.

zip and zopfli are DEFLATE: zopfli searches longer for a stream that ``gunzip`` reads
(https://github.com/google/zopfli). zstd, brotli and xz are smaller still where the receiver has
them. Archives carry no time stamp, so the same file gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from job.artifact import EncodingResult, file_digest
from job.errors import StageError
from job.manifest.outputs import LEVELS, SUFFIXES, CodecConfig
from job.stages.codecs import CODECS, DECODING_ERRORS

# zopfli takes 1 to 20 s for each MB; above this it is left out unless max_bytes allows more.
ZOPFLI_MAX_BYTES = 1 << 20
ZOPFLI_ROUNDS = 15

Encode = Callable[[Path, CodecConfig], EncodingResult]


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
    target = path.with_name(path.name + SUFFIXES[codec.type])
    with target.open("wb") as file:
        how.encode(path, file, _level(codec))
    if not _is_whole(how.decode(target), path):
        raise StageError(
            f"The {codec.type} encoding does not decode to the file that it was made of.",
            where=target.name,
            hint="Leave this codec out, and report the file.",
        )
    size, sha256 = file_digest(target)
    return EncodingResult(path=target.name, bytes=size, sha256=sha256)


def _is_whole(pieces: Iterable[bytes], path: Path) -> bool:
    """Whether the pieces, compared while they are decoded, are all of the file."""
    with path.open("rb") as file:
        try:
            return all(file.read(len(it)) == it for it in pieces) and not file.read(1)
        except DECODING_ERRORS:
            return False


def _level(codec: CodecConfig) -> int:
    if codec.level is not None:
        return codec.level
    return ZOPFLI_ROUNDS if codec.type == "zopfli" else LEVELS[codec.type][1]


class Encoder:
    """Encodes files in the background, while the next stage computes.

    The codecs are C code that runs beside Python, so threads are enough. To be used as a context:
    on an error what has not begun is given up.
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
