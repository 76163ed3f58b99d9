"""The story of a batch: its jobs, shared out and run, and one table at the end."""

from __future__ import annotations

from typing import NoReturn

from job.errors import ManifestError
from job.manifest.batch import BatchConfig


def run_batch(batch: BatchConfig) -> NoReturn:
    """Run a batch.

    Raises:
        ManifestError: Always: what a batch is can be validated and rendered, not run yet.
    """
    raise ManifestError(
        "Batches can't be run yet.",
        where=batch.name,
        hint="Run a manifest of kind job for each model.",
    )
