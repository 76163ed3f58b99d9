"""Pickles of arrays are read, and nothing else that a pickle may do happens."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.keras_pickles import Pickled, load_arrays
from job.errors import InputError
from tests.support.keras_files import python2_pickle

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5), np.uint8)


def load(content: bytes) -> Any:
    return load_arrays(io.BytesIO(content), "data.tar.gz, batch")


def refused(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        load(content)
    assert caught.value.where == "data.tar.gz, batch"
    assert caught.value.hint
    return caught.value.what


def test_arrays_of_python_2_are_read() -> None:
    """Keys and texts are bytes; an array may be in Fortran order."""
    content = python2_pickle({"data": IMAGES, "f": np.asfortranarray(IMAGES), "labels": [3, 1]})
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    expected = pickle.loads(content, encoding="bytes")  # noqa: S301
    np.testing.assert_array_equal(expected[b"data"], IMAGES)
    found = load(content)
    assert found[b"labels"] == [3, 1]
    np.testing.assert_array_equal(found[b"data"].value, IMAGES)
    np.testing.assert_array_equal(found[b"f"].value, IMAGES)


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_of_lists_are_read(protocol: int) -> None:
    """As np.savez of any version writes them."""
    rows = np.empty(2, object)
    rows[:] = [[1, 2], [3]]
    found = load(pickle.dumps(rows, protocol))
    assert isinstance(found, Pickled)
    assert found.value == [[1, 2], [3]]


class Calls:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.call = function, given

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_code_is_refused(protocol: int, tmp_path: Path) -> None:
    """The canary is triggered by a free unpickler, but not here."""
    canary = tmp_path / "canary"
    content = pickle.dumps({"data": Calls(os.mkdir, str(canary))}, protocol)
    assert "mkdir" in refused(content)
    assert not canary.exists()
    pickle.loads(content)  # noqa: S301
    assert canary.exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, np.frombuffer, np.zeros, bytearray])
def test_no_other_function_is_found(function: Callable[..., Any]) -> None:
    """Of the language or of NumPy."""
    assert "which is no array's" in refused(pickle.dumps(Calls(function, "1"), 2))


def test_what_arrays_are_rebuilt_with_allocates_nothing() -> None:
    """NumPy's own would take a terabyte."""
    bomb = pickle.dumps(Calls(np.ndarray, (1 << 40,)), 2)
    assert isinstance(bomb, bytes)
    assert "Pickled" in refused(bomb)
    content = python2_pickle(IMAGES).replace(b"K\x03K\x05", b"J\x00\x00\x00\x7fK\x05".ljust(4))
    assert "shape" in refused(content)


@pytest.mark.parametrize("dtype", ["float64", "int32", "U3", "datetime64[s]"])
def test_arrays_of_other_dtypes_are_refused(dtype: str) -> None:
    """The data sets have bytes and lists."""
    assert "dtype" in refused(python2_pickle(np.zeros(3, dtype)))


def test_a_damaged_pickle_is_refused() -> None:
    """Cut off anywhere, or with any byte replaced, it is an error or data, and never a crash."""
    content = python2_pickle({"data": IMAGES, "labels": [1, 2, 3]})
    for length in range(len(content)):
        assert refused(content[:length])
    read = 0
    for place in range(len(content)):
        for byte in (0, 0x2E, 0x52, 0x62, 0x81, 0xFF):
            with contextlib.suppress(InputError):
                load(content[:place] + bytes([byte]) + content[place + 1 :])
                read += 1
    assert 0 < read < 3 * len(content)
