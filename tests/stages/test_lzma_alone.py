"""LZMA-alone with searched settings is smaller than xz, and any LZMA decoder opens it."""

from __future__ import annotations

import lzma
import time
from pathlib import Path

import numpy as np
import pytest

from job.stages.compress import compress
from job.stages.lzma_alone import CONTEXTS, IN_MEMORY_BYTES, SAMPLE_BYTES
from tests.support.encodings import codec
from tests.support.rare import rare

UNKNOWN_SIZE = bytes([255] * 8)


def sparse(count: int, nonzero: float, dtype: str = "int8") -> bytes:
    """Pruned weights of few values, as a quantized file has them."""
    random = np.random.default_rng(0)
    values = random.integers(-4, 5, count) * (random.random(count) < nonzero)
    return bytes(values.astype(dtype).tobytes())


def encoded(path: Path, data: bytes, **options: int) -> bytes:
    """The encoding of data, which decodes to it."""
    path.write_bytes(data)
    found = (path.parent / compress(path, codec("lzma", **options)).path).read_bytes()
    assert lzma.decompress(found, lzma.FORMAT_ALONE) == data
    return found


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


@pytest.mark.parametrize("nonzero", [0.05, 0.1])
def test_small_sparse_tensors_are_4_to_8_percent_smaller_than_with_xz(
    nonzero: float, tmp_path: Path
) -> None:
    """Of 20,280 weights, as the tutorial's model has them."""
    data = sparse(20_280, nonzero)
    assert 0.92 < len(encoded(tmp_path / "int8.tflite", data)) / len(xz(data)) < 0.96


def test_no_fixed_setting_is_smaller(tmp_path: Path) -> None:
    """All combinations of lc, lp and pb of a small file are tried; the end marker is saved, too."""
    data = sparse(4_000, 0.1)
    found = encoded(tmp_path / "int8.tflite", data)
    assert len(CONTEXTS) == len(set(CONTEXTS)) == 75
    for lc, lp, pb in CONTEXTS:
        settings = {"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME}
        fixed = {**settings, "lc": lc, "lp": lp, "pb": pb}
        assert len(found) <= len(lzma.compress(data, lzma.FORMAT_ALONE, filters=[fixed])) - 5


def test_the_header_is_that_of_the_specification(tmp_path: Path) -> None:
    """Context bits, a dictionary that is just large enough, and the real size: no end marker."""
    found = encoded(tmp_path / "int8.tflite", sparse(20_280, 0.05))
    assert found[0] < 9 * 5 * 5
    assert int.from_bytes(found[1:5], "little") == 1 << 15
    assert int.from_bytes(found[5:13], "little") == 20_280
    assert found[13] == 0  # the first byte of every range coder's stream


def test_what_does_not_fit_one_chunk_has_an_end_marker(tmp_path: Path) -> None:
    """Incompressible bytes, and encodings of more than 64 KiB."""
    for size in (1, 1000, 100_000):
        found = encoded(tmp_path / "noise.tflite", np.random.default_rng(0).bytes(size))
        assert found[5:13] == UNKNOWN_SIZE


def test_what_is_searched_on_a_sample_is_smaller_than_with_xz(tmp_path: Path) -> None:
    """Files in memory and streamed ones: the float32 weights of a model have their own context."""
    random = np.random.default_rng(0)
    for size in (2 * SAMPLE_BYTES, IN_MEMORY_BYTES + 4):
        data = random.normal(0, 0.1, size // 4) * (random.random(size // 4) < 0.2)
        found = encoded(tmp_path / "prune.h5", data.astype("float32").tobytes())
        assert found[0] // 9 % 5 == 2  # lp: positions modulo 4
        assert len(found) < 0.97 * len(xz(data.astype("float32").tobytes()))


@rare
def test_a_sample_that_misleads_costs_nothing_in_memory(tmp_path: Path) -> None:
    """The settings of xz are tried on the whole file, too."""
    for size in (SAMPLE_BYTES, 8 * SAMPLE_BYTES, IN_MEMORY_BYTES):
        data = sparse(size // 4, 0.1, "float32")
        assert len(encoded(tmp_path / "prune.h5", data)) < len(xz(data))


def test_the_level_is_the_size_of_the_dictionary(tmp_path: Path) -> None:
    """At most 256 KiB at level 0; never more than a file needs."""
    data = np.random.default_rng(0).bytes(400_000)
    sizes = {level: encoded(tmp_path / "noise.h5", data, level=level)[1:5] for level in (0, 1, 9)}
    assert {it: int.from_bytes(size, "little") for it, size in sizes.items()} == {
        0: 1 << 18,
        1: 1 << 19,
        9: 1 << 19,
    }


def test_the_search_takes_no_longer_for_a_large_file(tmp_path: Path) -> None:
    """CPU time of 16 MB of zeros, which one pass takes a moment for, is that of the sample."""
    spent = []
    for size in (SAMPLE_BYTES, 16 << 20):
        started = time.process_time()
        encoded(tmp_path / "zeros.h5", bytes(size))
        spent.append(time.process_time() - started)
    assert spent[1] < 2 * spent[0] + 10
