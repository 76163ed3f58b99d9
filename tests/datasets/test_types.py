"""A data set is read by the function of its type."""

from __future__ import annotations

import typing

from pydantic import BaseModel

from job.datasets.types import DATASETS
from job.manifest.datasets import DatasetConfig


def test_every_type_of_the_manifest_is_read() -> None:
    """Each class of the manifest has a function; a class's files in a folder have a pattern."""
    asked: list[type[BaseModel]] = [*typing.get_args(DatasetConfig)] or [DatasetConfig]
    assert [it.config for it in DATASETS.values()] == asked
    for name, it in DATASETS.items():
        assert it.config.model_fields["type"].default == name
        assert it.config.in_folder.startswith("*.")
