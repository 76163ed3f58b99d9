"""The ``lzma`` codec: LZMA-alone, the smallest of LZMA's containers, with its settings searched.

xz always codes with 3 bits of the last byte as context (lc) and positions modulo 4 (pb). Quantized
weights have no such structure: lc = lp = pb = 0 is often smaller, and float32 weights like lp = 2.
So every combination is tried (lc + lp at most 4, pb at most 4), and then the lengths of matches for
the best of them. The same file gives the same bytes.

Files up to 1 MiB are encoded in memory and, where it fits, without an end marker, their size in the
header as in LZMA's own SDK: liblzma does not offer that, but a chunk of LZMA2 holds just such a
stream (xz-file-format 1.1.0, 5.3.1; LZMA SDK, lzma-specification.txt). It saves 5 or 6 bytes.
Larger files stream through once, with the settings that are best for a sample of them.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import IO, Any

Filter = dict[str, Any]

SAMPLE_BYTES = 1 << 15
"""What is searched on: the whole file, or four slices of it."""
IN_MEMORY_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
FINALISTS = 3
"""Contexts that go beyond the first search."""
CONTEXTS = [(lc, lp, pb) for lc in range(5) for lp in range(5 - lc) for pb in range(5)]
FIRST_LENGTH = 64
"""Half the time of the extreme presets' 273, with the same order of contexts."""
LENGTHS = (273, 192, 128, 96, 64, 48, 32)
"""Matches that the encoder takes without looking for a better one."""
LZMA2_CHUNK_HEADER = 6
LZMA2_NEW_CHUNK = 0b111
"""The first three bits of a chunk that begins with everything reset, and holds LZMA."""


def encode(path: Path, target: IO[bytes], level: int) -> None:
    """Encode a file with the settings that make it smallest.

    Args:
        path: The file.
        target: Where the encoding is written.
        level: 0 to 9, the preset of xz: the size of the dictionary, 256 KiB to 64 MiB. It is never
            larger than the file needs, so nor is the memory: some 11 times the dictionary.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        candidates = _search(_sample(file, size), level, size)
        file.seek(0)
        if size <= IN_MEMORY_BYTES:
            data = file.read()
            target.write(_alone(data, _confirm(data, [*candidates, _of_xz(level, size)])))
            return
        encoder = lzma.LZMACompressor(lzma.FORMAT_ALONE, filters=[candidates[0]])
        while chunk := file.read(CHUNK_BYTES):
            target.write(encoder.compress(chunk))
        target.write(encoder.flush())


def _sample(file: IO[bytes], size: int) -> bytes:
    """The whole of a small file; of a larger one, four slices that begin at multiples of 16."""
    if size <= SAMPLE_BYTES:
        return file.read()
    slices = []
    for number in range(4):
        file.seek((size - SAMPLE_BYTES // 4) * number // 3 // 16 * 16)
        slices.append(file.read(SAMPLE_BYTES // 4))
    return b"".join(slices)


def _search(sample: bytes, level: int, size: int) -> list[Filter]:
    """The settings that make a sample smallest, best first; of equal ones, the first tried."""
    tried = [_filter(level, size, context) for context in CONTEXTS]
    contexts = sorted(tried, key=lambda settings: len(_alone(sample, settings)))[:FINALISTS]
    lengths = [_best(sample, _with_lengths(settings)) for settings in contexts]
    return sorted(lengths, key=lambda settings: len(_alone(sample, settings)))


def _confirm(data: bytes, candidates: list[Filter]) -> Filter:
    """The best for the whole of a file: a sample may mislead."""
    return _best(data, _with_lengths(_best(data, candidates)))


def _best(data: bytes, candidates: list[Filter]) -> Filter:
    return min(candidates, key=lambda settings: len(_alone(data, settings)))


def _with_lengths(settings: Filter) -> list[Filter]:
    return [{**settings, "nice_len": length} for length in LENGTHS]


def _of_xz(level: int, size: int) -> Filter:
    return {**_filter(level, size, (3, 0, 2)), "nice_len": 273}


def _filter(level: int, size: int, context: tuple[int, int, int]) -> Filter:
    lc, lp, pb = context
    # xz takes only dictionaries of 2**n (or half as much again) bytes for LZMA-alone.
    needed = max(12, (size - 1).bit_length())
    largest = 18 if level == 0 else (20, 21, 22, 22, 23, 23, 24, 25, 26)[level - 1]
    return {
        "id": lzma.FILTER_LZMA1,
        "preset": level | lzma.PRESET_EXTREME,
        "dict_size": 1 << min(needed, largest),
        "lc": lc,
        "lp": lp,
        "pb": pb,
        "nice_len": FIRST_LENGTH,
    }


def _alone(data: bytes, settings: Filter) -> bytes:
    """Data as LZMA-alone; without an end marker where one chunk of LZMA2 holds all of it."""
    chunks = lzma.compress(data, lzma.FORMAT_RAW, filters=[{**settings, "id": lzma.FILTER_LZMA2}])
    header, stream = chunks[:LZMA2_CHUNK_HEADER], chunks[LZMA2_CHUNK_HEADER:-1]
    if header[0] >> 5 != LZMA2_NEW_CHUNK or int.from_bytes(header[3:5]) + 1 != len(stream):
        return lzma.compress(data, lzma.FORMAT_ALONE, filters=[settings])
    dictionary = settings["dict_size"].to_bytes(4, "little")
    return header[5:6] + dictionary + len(data).to_bytes(8, "little") + stream
