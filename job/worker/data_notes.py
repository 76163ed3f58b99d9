"""What a job says of its rows and outputs: where rows come from, and what figures do not show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

from job.datasets.open_dataset import TEST_SPLIT
from job.manifest.job import JobConfig
from job.objective.endings import ending
from job.result.training import SplitResult
from job.rows.data import Dataset, Split
from job.rows.lazy import parts
from job.worker.context import Loaded


def describe_splits(job: JobConfig, dataset: Dataset) -> dict[str, SplitResult]:
    """The rows of each split, for the result."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    sources: dict[str, Literal["arrays", "held out", "synthetic"]] = {
        "train": "arrays",
        "validation": "arrays" if job.dataset and job.dataset.validation else "held out",
        "test": "held out" if job.dataset and job.dataset.test is None else "arrays",
    }
    if job.dataset is None:
        sources |= dict.fromkeys(sources, "synthetic")
    return {
        name: SplitResult(
            rows=len(split),
            sha256=_digest(split),
            source=sources[name],
            has_targets=bool(split.targets),
        )
        for name, split in splits.items()
        if split is not None
    }


def sources(job: JobConfig) -> Iterator[str]:
    """What was decided on the rows."""
    if job.dataset is None:
        yield "dataset is null: inputs are drawn at random, and all figures of them are synthetic"
    elif job.dataset.test is None:
        share = job.dataset.test_share or TEST_SPLIT
        yield f"no test rows are named: {share:g} of the rows are held out to test on"
    if not job.has_test_targets:
        yield "the test rows have no targets: files are compared with the baseline's outputs"


def doubts(job: JobConfig, loaded: Loaded) -> Iterator[str]:
    """What figures do not show of rows and outputs."""
    if job.dataset is not None and job.dataset.test is None and job.has_test_targets:
        yield (
            "The test rows are held out of the training rows. If the model that came in was "
            "trained on them, its metrics, and those of all files, are better than on new rows; "
            "compare files with it alone, or name a test split."
        )
    for spec, tensor in zip(loaded.baseline.outputs, loaded.file.model.outputs, strict=True):
        answer = loaded.evaluator.answers[spec.name]
        units = (spec.shape[-1] or 1) if spec.shape else 1
        is_open = answer.kind == "numbers" and units > 1 and ending(tensor).kind == "unbounded"
        if is_open and not loaded.objectives:
            yield (
                f"The output {spec.name} is taken for {units} numbers, since nothing says that "
                "they are logits: then it has no agreement, and is distilled by the squared error. "
                'If they are logits, set training.loss: {"type": "sparse_categorical_crossentropy"'
                ', "from_logits": true}.'
            )


def _digest(split: Split) -> str:
    digest = hashlib.sha256()
    for array in (*split.inputs, *split.targets):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for _, part in parts(array):
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
