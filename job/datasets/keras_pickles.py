"""Pickles of arrays, as some data sets of Keras are stored; nothing that a pickle names is called.

A pickle may name the three things of NumPy's that arrays are rebuilt with, and nothing else. Even
these are not NumPy's own here: they are stand-ins that check what they are given.
"""

from __future__ import annotations

import math
import pickle
from typing import IO, Any

import numpy as np

from job.errors import InputError
from job.rows.lazy import Array

BYTES, OBJECTS = "u1", "O8"


class Pickled:
    """Stands for ``numpy.ndarray``: an array of bytes, or of objects."""

    value: Array | list[Any]
    """(...), uint8; or the objects of an array of one axis."""

    def __setstate__(self, state: Any) -> None:
        """What NumPy stores of an array: version, shape, dtype, order, content."""
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("it is no array of NumPy's")
        if dtype.code == OBJECTS:
            if not isinstance(content, list) or shape != (len(content),):
                raise pickle.UnpicklingError(f"the objects are not of the shape {shape}")
            self.value = content
            return
        if not isinstance(content, bytes) or math.prod(shape) != len(content):
            raise pickle.UnpicklingError(f"the bytes are not of the shape {shape}")
        order = "F" if is_fortran else "C"
        self.value = np.frombuffer(content, np.uint8).reshape(shape, order=order)  # type: ignore[call-overload]


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        if self.code not in (BYTES, OBJECTS):
            raise pickle.UnpicklingError(f"its arrays are of the dtype {self.code!r}")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which bytes and objects have not."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the stand-ins for what arrays are rebuilt with."""
        match module, name:
            case "numpy", "ndarray":
                return Pickled
            case "numpy", "dtype":
                return _Dtype
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return lambda *_: Pickled()
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array's")


def load_arrays(file: IO[bytes], where: str) -> Any:
    """What a pickle holds: lists, dicts, numbers, texts (bytes where Python 2 wrote them), arrays.

    Args:
        file: The pickle; how long it may be was checked.
        where: The file that errors name.

    Returns:
        Arrays are ``Pickled``.

    Raises:
        InputError: Where it names anything else, or is damaged.
    """
    try:
        return _Unpickler(file, encoding="bytes").load()
    except InputError:
        raise
    except (Exception, MemoryError) as error:  # noqa: BLE001 - damaged pickles raise all kinds
        raise InputError(
            f"The pickle in the data set was refused: {error}.",
            where=where,
            hint="It is damaged, or no data set of Keras. Download it again.",
        ) from None
