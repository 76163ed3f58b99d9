"""Files as a reader of data sets is given them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from job.datasets.source import Opened, Source, SplitRows
from job.result.specs import TensorSpec
from job.rows.lazy import Array, LazyRows, Rows
from job.rows.store import Store

# The machine's; a folder of each test would do, but many tests need none.
PLENTY = 1 << 40


class Both(NamedTuple):
    """The training and the test rows."""

    train: SplitRows
    test: SplitRows


def source_of(
    files: Iterable[Path] | Mapping[str, Path],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    memory_bytes: int = PLENTY,
    cache_bytes: int = PLENTY,
    threads: int = 2,
) -> Source:
    """A source with these files, named by their own names where they have none."""
    named = files if isinstance(files, Mapping) else {path.name: path for path in files}
    store = Store(Path(tempfile.mkdtemp()), memory_bytes, cache_bytes)
    return Source(dict(named), list(inputs), list(outputs), store, threads)


def fresh(folder: Path) -> Path:
    """A path in a folder that nothing has yet."""
    return Path(tempfile.mkdtemp(dir=folder)) / "rows"


def both(opened: Opened) -> Both:
    """What was opened, which has test rows."""
    assert opened.test is not None
    return Both(opened.train, opened.test)


def array(rows: Rows) -> Array:
    """All rows, in memory."""
    return rows[:] if isinstance(rows, LazyRows) else np.asarray(rows)
