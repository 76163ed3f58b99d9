"""The types of data sets, and what reads each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from job.datasets.csv_table import open_csv
from job.datasets.image_folder import open_image_folder
from job.datasets.keras_sets import open_keras
from job.datasets.npy import open_npy
from job.datasets.npz import open_npz
from job.datasets.parquet_table import open_parquet
from job.datasets.source import Opened, Source
from job.datasets.texts import open_text
from job.datasets.tfrecord import open_tfrecord
from job.manifest.data_fields import DataConfig
from job.manifest.datasets import (
    CsvConfig,
    ImageFolderConfig,
    KerasConfig,
    NpyConfig,
    NpzConfig,
    ParquetConfig,
    TextConfig,
    TFRecordConfig,
)


@dataclass(frozen=True)
class DatasetType:
    """What is known of a type; how its files are found is said by its class in the manifest."""

    config: type[DataConfig]
    open: Callable[[Source, Any], Opened]
    """Reads, or finds, all rows of some files in their order."""


DATASETS: dict[str, DatasetType] = {
    "npz": DatasetType(NpzConfig, open_npz),
    "npy": DatasetType(NpyConfig, open_npy),
    "image_folder": DatasetType(ImageFolderConfig, open_image_folder),
    "tfrecord": DatasetType(TFRecordConfig, open_tfrecord),
    "csv": DatasetType(CsvConfig, open_csv),
    "parquet": DatasetType(ParquetConfig, open_parquet),
    "text": DatasetType(TextConfig, open_text),
    "keras": DatasetType(KerasConfig, open_keras),
}
