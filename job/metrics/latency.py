"""Latency of one sample (batch 1), warm, on one thread and on all.

A ``.tflite`` runs in the LiteRT interpreter. A Keras model's graph is frozen and run in sessions
that have threads of their own (``TF_OVERRIDE_GLOBAL_THREADPOOL``, which the parent sets): TensorFlow
otherwise fixes the number of threads of a process once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from job.metrics import litert
from job.metrics.quality import Inputs
from job.result import LatencyResult

WARM_UP_RUNS = 3
# Runs are counted until one of these is reached, and at least MIN_RUNS.
MAX_RUNS = 100
MAX_SECONDS = 0.25
MIN_RUNS = 5


def tflite_latency(
    path: Path, names: list[str], sample: Inputs, threads: int
) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a ``.tflite``.

    Args:
        path: The file.
        names: The Keras model's inputs, in the order of ``sample``.
        sample: One row for each input.
        threads: What "all" is.
    """
    results = {}
    for label, count in (("one_thread", 1), ("all_threads", threads)):
        interpreter = litert.open_file(path, count)
        for detail, array in zip(
            litert.ordered_inputs(interpreter, names), sample, strict=True
        ):
            interpreter.set_tensor(detail["index"], litert.quantize(array, detail))
        results[label] = measure(interpreter.invoke, count)
    return results


def keras_latency(
    model: tf_keras.Model, sample: Inputs, threads: int
) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a Keras model.

    Args:
        model: The model.
        sample: One row for each input, in the model's order.
        threads: What "all" is.
    """
    specs = [tf.TensorSpec(array.shape, array.dtype) for array in sample]

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator, unused-ignore]
    def forward(*inputs: tf.Tensor) -> tf.Tensor:
        return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    results = {}
    for label, count in (("one_thread", 1), ("all_threads", threads)):
        for run in _session(frozen, sample, count):
            results[label] = measure(run, count)
    return results


def _session(frozen: tf.Tensor, sample: Inputs, threads: int) -> Iterator[Callable[[], object]]:
    """A callable that runs the frozen graph once; its session is closed afterwards."""
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
    options = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
        use_per_session_threads=True,
    )
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        outputs = [graph.get_tensor_by_name(tensor.name) for tensor in frozen.outputs]
        inputs = [graph.get_tensor_by_name(tensor.name) for tensor in frozen.inputs]
        call = session.make_callable(outputs, inputs)
        yield lambda: call(*sample)


def measure(run: Callable[[], object], threads: int) -> LatencyResult:
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
        threads=threads, runs=len(times), median=round(float(median), 4), p90=round(float(p90), 4)
    )
