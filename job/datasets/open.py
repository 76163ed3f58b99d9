"""A data set's files -> its rows, by the data set's type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.datasets.data import Dataset
from job.datasets.npz import open_npz
from job.manifest.datasets import DatasetConfig, NpzConfig
from job.result import TensorSpec


@dataclass(frozen=True)
class DatasetType:
    """What is known of a type of data set."""

    config: type[DatasetConfig]
    """What a manifest says of it; and how its files are found."""
    open: Callable[[Sequence[Path], Any, list[TensorSpec], list[TensorSpec]], Dataset]
    """Reads it; the arguments are those of ``open_dataset``."""


DATASETS: dict[str, DatasetType] = {"npz": DatasetType(NpzConfig, open_npz)}


def open_dataset(
    paths: Sequence[Path],
    config: DatasetConfig,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
) -> Dataset:
    """Read the rows that the manifest names.

    Args:
        paths: The files, at least one, in their order.
        config: Which arrays are what.
        inputs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.

    Returns:
        The rows in the files' order. Nothing is held out.

    Raises:
        InputError: Where they can't be read, or an array is missing.
    """
    return DATASETS[config.type].open(paths, config, inputs, outputs)
