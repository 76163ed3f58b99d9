"""Arrays in a file: read back as they were, and never unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def write_arrays(path: Path, arrays: Sequence[Array]) -> None:
    """Write arrays of numbers, of any shapes, as ``.npz``.

    Raises:
        OSError: Where the file can't be written.
    """
    with path.open("wb") as file:
        np.savez(file, *arrays)


def read_arrays(path: Path) -> list[Array]:
    """The arrays of a file, in the order in which they were written.

    Raises:
        ValueError, zipfile.BadZipFile: Where it is no such file, or would have to be unpickled.
        OSError: Where it can't be read.
    """
    with np.load(path, allow_pickle=False) as content:
        return [content[f"arr_{index}"] for index in range(len(content.files))]
