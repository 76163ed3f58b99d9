"""Manifests as tests read them, where it is known which kind they are."""

from __future__ import annotations

from collections.abc import Iterable

from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.load import read_manifest


def read_job(text: str, source: str = "here.json", overrides: Iterable[str] = ()) -> JobConfig:
    """A manifest of kind ``job``."""
    job = read_manifest(text, source, overrides)
    assert isinstance(job, JobConfig)
    return job


def read_batch(text: str, source: str = "here.json", overrides: Iterable[str] = ()) -> BatchConfig:
    """A manifest of kind ``batch``."""
    batch = read_manifest(text, source, overrides)
    assert isinstance(batch, BatchConfig)
    return batch
