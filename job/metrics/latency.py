"""Latency of one sample (batch 1), warm, on one thread and on all.

A ``.tflite`` runs in the LiteRT interpreter, which takes the number of threads. TensorFlow fixes
its number of threads once per process, so for a Keras model "one thread" is the same process pinned
to one core (within 2 % of a session with one thread, where both were measured).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from job.metrics import litert
from job.metrics.quality import Inputs, answer
from job.result.figures import LatencyResult

WARM_UP_RUNS = 3
# Runs are counted until one of these is reached, and at least MIN_RUNS.
MAX_RUNS = 100
MAX_SECONDS = 0.25
MIN_RUNS = 5


def tflite_latency(
    path: Path, names: list[str], sample: Inputs, threads: int
) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a ``.tflite``, or for its fixed batch.

    Args:
        path: The file.
        names: The Keras model's inputs, in the order of ``sample``.
        sample: One row for each input.
        threads: The number for ``all_threads``.
    """
    results = {}
    for label, count in (("one_thread", 1), ("all_threads", threads)):
        interpreter, rows = litert.open_file(path, names, sample, count)
        for detail, array in zip(litert.ordered_inputs(interpreter, names), rows, strict=True):
            interpreter.set_tensor(detail["index"], litert.quantize(array, detail))
        results[label] = measure(interpreter.invoke, "litert", count)
    return results


def keras_latency(model: Any, sample: Inputs, threads: int) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a Keras model.

    Args:
        model: The model.
        sample: One row for each input, in the model's order.
        threads: The number for ``all_threads``.

    Returns:
        Without ``one_thread`` where the system can't pin a process to a core.
    """
    specs = [tf.TensorSpec(array.shape, array.dtype) for array in sample]

    @tf.function(input_signature=specs)
    def forward(*inputs: tf.Tensor) -> list[tf.Tensor]:
        return answer(model, inputs)

    run = forward.get_concrete_function()
    tensors = [tf.constant(array) for array in sample]
    results = {"all_threads": measure(lambda: run(*tensors), "tensorflow", threads)}
    if hasattr(os, "sched_setaffinity"):
        with _one_core():
            results["one_thread"] = measure(lambda: run(*tensors), "tensorflow", 1)
    return results


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Pin all threads of this process to one core for the duration of the block."""
    cores = os.sched_getaffinity(0)
    _pin({min(cores)})
    try:
        yield
    finally:
        _pin(cores)


def _pin(cores: set[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the thread has ended
            os.sched_setaffinity(int(thread.name), cores)


def measure(
    run: Callable[[], object], runtime: Literal["tensorflow", "litert"], threads: int
) -> LatencyResult:
    """Median and 90th percentile of repeated calls, in milliseconds."""
    for _ in range(WARM_UP_RUNS):
        run()
    times: list[float] = []
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and sum(times) < MAX_SECONDS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    median, p90 = np.percentile(np.asarray(times) * 1e3, [50, 90])
    return LatencyResult(
        runtime=runtime,
        threads=threads,
        runs=len(times),
        median=round(float(median), 4),
        p90=round(float(p90), 4),
    )
