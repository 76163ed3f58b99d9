"""Variants that are asked to ignore masks: only where no row of the data set is padded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.datasets.data import Dataset, Split
from job.errors import InputError
from job.manifest.quantize import QuantizeConfig
from job.stages.masks import padded_rows

# Rows that are looked at together.
BATCH = 256


def check(variants: Mapping[str, QuantizeConfig], model: Any, dataset: Dataset) -> list[str]:
    """Look for padded rows in all splits, where a variant ignores the recurrent layers' masks.

    Args:
        variants: By their names.
        model: The model as it came.
        dataset: What it is trained, validated, calibrated and measured on.

    Returns:
        What was found, as sentences for the result; nothing where no variant asks.

    Raises:
        InputError: Where any row is padded.
    """
    asking = [name for name, it in variants.items() if getattr(it, "ignore_masks", False)]
    if not asking:
        return []
    of = " and ".join(asking)
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = {
        name: (padded_rows(model, _batches(split)), len(split))
        for name, split in splits.items()
        if split is not None
    }
    if all(padded is None for padded, _ in counts.values()):
        return [f"{of}: ignore_masks changes nothing, no recurrent layer has a mask"]
    found = {name: it for name, it in counts.items() if it[0]}
    if found:
        which = ", ".join(
            f"{padded:,} of {rows:,} {name}" for name, (padded, rows) in found.items()
        )
        raise InputError(
            f"{of} has ignore_masks, which is right where no row is padded; a mask leaves out "
            f"steps of {which} rows.",
            where=f"quantize, {of}",
            hint="Give rows of full length, or leave ignore_masks or the variant out; float32, "
            "float16 and dynamic_range files keep the masks.",
        )
    seen = ", ".join(f"{rows:,} {name}" for name, (_, rows) in counts.items())
    text = (
        f"{of}: the recurrent layers are converted without their masks, which are true for every "
        f"step of all rows ({seen}); the file must not be given padded rows"
    )
    return [text]


def _batches(split: Split) -> Iterator[tuple[NDArray[np.generic], ...]]:
    for start in range(0, len(split), BATCH):
        yield split.model_inputs(slice(start, start + BATCH))
