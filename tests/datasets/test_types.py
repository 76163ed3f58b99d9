"""A data set is read by the function of its type."""

from __future__ import annotations

import typing

from job.datasets.types import DATASETS
from job.manifest.datasets import DatasetConfig


def test_every_type_of_the_manifest_is_read() -> None:
    """Each class of the manifest has a function; a class's files in a folder have a pattern."""
    union, _ = typing.get_args(DatasetConfig)
    asked = [typing.get_args(member)[0] for member in typing.get_args(union)]
    assert [known.config for known in DATASETS.values()] == asked
    for name, known in DATASETS.items():
        (wanted,) = typing.get_args(known.config.model_fields["type"].annotation)
        assert wanted == name
        assert "*" in known.config.in_folder
