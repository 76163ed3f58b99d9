"""The inputs of the work: a job that surely does not fit into memory is warned of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from job import machine
from job.worker.load_inputs import memory_warnings


def loaded(rows: int) -> Any:
    """Inputs: a model of 40 MB, and rows of 1 MB each."""
    import tensorflow as tf

    split = SimpleNamespace(
        inputs=(np.broadcast_to(np.float32(0), (rows, 1 << 18)),), targets=(np.zeros(rows),)
    )
    model = SimpleNamespace(weights=[SimpleNamespace(shape=(10_000_000,), dtype=tf.float32)])
    return cast(
        Any,
        SimpleNamespace(file=SimpleNamespace(model=model), dataset=SimpleNamespace(train=split)),
    )


def test_data_and_weights_are_held_against_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both figures are reported; a job that is not trained takes no more than it has."""
    monkeypatch.setattr(machine, "memory_bytes", lambda: 64 << 30)
    assert memory_warnings(loaded(1000), is_trained=True) == []
    (warning,) = memory_warnings(loaded(1 << 17), is_trained=True)
    assert "65,536 MiB are allowed" in warning
    assert memory_warnings(loaded(1 << 17), is_trained=False) == []
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1 << 20)
    assert "1 MiB are allowed" in memory_warnings(loaded(1), is_trained=False)[0]
