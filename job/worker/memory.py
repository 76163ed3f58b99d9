"""Whether a job has room in memory: what it surely takes, against what it may take."""

from __future__ import annotations

import resource
from collections.abc import Sequence

import numpy as np

from job import machine
from job.datasets.data import Split
from job.worker.load_inputs import Loaded

# Weights, masks, gradients and an optimizer's two moments: at least so many times the weights.
TRAINING = 5


def warning(loaded: Loaded, *, is_trained: bool) -> str:
    """Why the job surely will not fit; empty where it may.

    Counted are this process as it is, with model and data in it, the copy of the training rows
    that TensorFlow is given, and what training holds for each weight; not what layers compute.
    """
    limit = machine.memory_bytes()
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    more = 0
    if is_trained:
        weights = sum(int(np.prod(it.shape)) * it.dtype.size for it in loaded.file.model.weights)
        more = _bytes(loaded.dataset.train) + (TRAINING - 1) * weights
    if now + more <= limit:
        return ""
    return (
        f"The job needs {(now + more) >> 20:,} MiB of memory and more; {limit >> 20:,} MiB are "
        "allowed. It will most likely be killed: give it more, or a smaller data set."
    )


def _bytes(split: Split) -> int:
    arrays: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = (
        *split.inputs,
        *split.targets,
    )
    return sum(array.nbytes for array in arrays)
