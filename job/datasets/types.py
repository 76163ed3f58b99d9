"""The types of data sets, and what reads each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.datasets.data import Split
from job.datasets.npz import open_npz
from job.manifest.datasets import DatasetConfig, NpzConfig
from job.result.result import TensorSpec


@dataclass(frozen=True)
class DatasetType:
    """What is known of a type; how its files are found is said by its class in the manifest."""

    config: type[DatasetConfig]
    open: Callable[
        [Sequence[Path], Any, list[TensorSpec], list[TensorSpec]], tuple[Split, Split | None]
    ]
    """Reads all rows of some files, in their order, for a model of these inputs and outputs: the
    training rows, and the test rows if the manifest names any."""


DATASETS: dict[str, DatasetType] = {"npz": DatasetType(NpzConfig, open_npz)}
