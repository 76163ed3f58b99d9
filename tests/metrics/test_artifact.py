"""Times are right, and the process is not changed by the measurement."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from job.artifact import LatencyResult
from job.manifest.quantize import Float32Config, Int8Config
from job.metrics.artifact import (
    MAX_RUNS,
    MAX_SECONDS,
    MIN_RUNS,
    WARM_UP_RUNS,
    _one_core,
    keras_latency,
    tflite_latency,
    timed,
)
from job.stages.quantize import quantize

layers = tf_keras.layers


def affinities() -> dict[int, set[int]]:
    """Thread -> the cores that it may use."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the thread has ended
            found[int(thread.name)] = os.sched_getaffinity(int(thread.name))
    return found


def check(results: dict[str, LatencyResult], runtime: str, threads: int) -> None:
    assert set(results) == {"one_thread", "all_threads"}
    assert results["one_thread"].threads == 1
    assert results["all_threads"].threads == threads
    for found in results.values():
        assert found.runtime == runtime
        assert MIN_RUNS <= found.runs <= MAX_RUNS
        assert 0 < found.median <= found.p90 < 1000


def test_times_are_milliseconds_of_a_warm_call() -> None:
    """A call that sleeps 10 ms takes 10 ms; the slow first ones are not counted."""
    calls: list[None] = []

    def run() -> None:
        calls.append(None)
        time.sleep(0.01 if len(calls) > WARM_UP_RUNS else 0.2)

    found = timed(run, "litert", threads=3)
    assert found.threads == 3
    assert 10 <= found.median < 100
    assert found.runs == len(calls) - WARM_UP_RUNS
    assert found.runs <= MAX_SECONDS / 0.01 + 1


def test_the_90th_percentile_is_that_of_slow_calls() -> None:
    """For calls of 1 ms and, every fourth, 15 ms, these are the median and the percentile."""
    calls: list[None] = []

    def run() -> None:
        calls.append(None)
        time.sleep(0.015 if len(calls) % 4 == 0 else 0.001)

    found = timed(run, "tensorflow", threads=1)
    assert found.median < 10
    assert found.p90 >= 15


def test_slow_models_are_run_a_few_times_and_fast_ones_often() -> None:
    """Runs end at MAX_RUNS, or when the time is up, but not before MIN_RUNS."""
    assert timed(lambda: None, "litert", 1).runs == MAX_RUNS
    assert timed(lambda: time.sleep(MAX_SECONDS / 2), "litert", 1).runs == MIN_RUNS


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't pin threads")
def test_one_thread_is_one_core_for_every_thread() -> None:
    """Pinned, all threads share one core; afterwards, also after an error, each may use all."""
    before = affinities()

    def fail() -> None:
        with _one_core():
            assert len(set.union(*affinities().values())) == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    after = affinities()
    assert {thread: after[thread] for thread in before if thread in after} == {
        thread: cores for thread, cores in before.items() if thread in after
    }


def test_keras_models_and_files_of_several_inputs_are_timed(tmp_path: Path) -> None:
    """A model with two inputs of different shapes, its file, and a quantized file."""
    zeta, alpha = tf_keras.Input((6,), name="zeta"), tf_keras.Input((2, 3), name="alpha")
    merged = layers.Concatenate()([zeta, layers.Flatten()(alpha)])
    model = tf_keras.Model([zeta, alpha], layers.Dense(4)(merged))
    random = np.random.default_rng(0)
    sample = (
        random.normal(size=(1, 6)).astype("float32"),
        random.normal(size=(1, 2, 3)).astype("float32"),
    )
    before = affinities()[os.getpid()]
    check(keras_latency(model, sample, 2), "tensorflow", 2)
    assert affinities()[os.getpid()] == before
    path = tmp_path / "m.tflite"
    for config in (Float32Config(type="float32"), Int8Config(type="int8")):
        quantize(model, config, sample, path)
        check(tflite_latency(path, ["zeta", "alpha"], sample, 2), "litert", 2)
