"""What the tests of tables share: a source of files, and a model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.csv_table import open_csv
from job.datasets.parquet_table import open_parquet
from job.datasets.source import Opened, Source
from job.errors import InputError
from job.manifest.datasets import CsvConfig, ParquetConfig
from job.result.specs import TensorSpec
from job.rows.lazy import Rows
from job.rows.store import Store

X, Y = TensorSpec("x", (None,), "float32"), TensorSpec("y", (3,), "float32")


def source_of(
    folder: Path,
    inputs: Sequence[TensorSpec] = (X,),
    outputs: Sequence[TensorSpec] = (Y,),
    memory_bytes: int = 1 << 28,
) -> Source:
    """All files of a folder; rows beyond ``memory_bytes`` go to a folder beside it."""
    files = {it.relative_to(folder).as_posix(): it for it in folder.rglob("*") if it.is_file()}
    scratch = folder.with_name(f"{folder.name}-scratch")
    scratch.mkdir(exist_ok=True)
    store = Store(scratch, memory_bytes, 1 << 30)
    return Source(dict(sorted(files.items())), inputs, outputs, store)


def opened(
    folder: Path,
    train: dict[str, Any],
    *,
    inputs: Sequence[TensorSpec] = (X,),
    outputs: Sequence[TensorSpec] = (Y,),
    memory_bytes: int = 1 << 28,
    **fields: Any,
) -> Opened:
    """Read the folder's tables, CSV or Parquet as their suffix says."""
    source = source_of(folder, inputs, outputs, memory_bytes)
    document = {"uri": "x", "train": train, **fields}
    if any(name.endswith(".parquet") for name in source.files):
        return open_parquet(source, ParquetConfig.model_validate({"type": "parquet", **document}))
    return open_csv(source, CsvConfig.model_validate({"type": "csv", **document}))


def refused(folder: Path, train: dict[str, Any], **fields: Any) -> InputError:
    """The error of reading the folder's tables."""
    with pytest.raises(InputError) as caught:
        opened(folder, train, **fields)
    return caught.value


def same(found: Rows, wanted: Any, dtype: str) -> None:
    """The rows are these, value by value, in this dtype."""
    wanted = np.asarray(wanted)
    assert found.dtype == np.dtype(dtype)
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found[0 : len(found)], wanted)
