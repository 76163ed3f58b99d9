"""A trial: what it leaves as it was, and what becomes of one that fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from job.result.search import with_front
from job.worker.next_trial import choose
from job.worker.trial import run_trial
from job.worker.trial_job import settings_of
from job.worker.verdict import MOST_DROP
from tests.support import unlabelled
from tests.support.searching import asked, bench_of, job_of

layers = tf_keras.layers


def test_a_trial_leaves_the_model_as_it_was(folder: Path, tmp_path: Path) -> None:
    """Its file is judged on held-out rows, and the next trial of the same settings is the same."""
    bench = bench_of(job_of(folder), tmp_path)
    model = bench.loaded.file.model
    before = [it.copy() for it in model.get_weights()]
    found = run_trial(bench, asked(), 3)
    assert all(np.array_equal(*it) for it in zip(before, model.get_weights(), strict=True))
    assert list((tmp_path / "output").iterdir()) == [bench.loaded.baseline.path]
    assert (found.number, found.settings, found.failure) == (3, asked(), "")
    assert found.value is not None
    assert found.margin == pytest.approx(0.2 - found.value)
    drop = bench.judgement.baseline.artifact.metrics["accuracy"] - found.metrics["accuracy"]
    assert found.value == pytest.approx(drop)
    assert found.passed == (found.margin > -1e-6)
    assert 0 < found.trained_s < found.seconds
    run_trial(bench, asked(seed=8, sparsity=0.7), 4)
    again = run_trial(bench, asked(), 5)
    assert (again.sha256, again.bytes, again.margin) == (found.sha256, found.bytes, found.margin)


def test_a_model_of_keras_3_stays_as_it_was(tmp_path: Path) -> None:
    """It is what small models are saved with, and the teacher of all trials."""
    unlabelled.force().save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", **unlabelled.arrays()["force"])
    dataset = {"type": "npz", "uri": str(tmp_path / "data.npz"), **unlabelled.DATA["force"]}
    job = job_of(
        tmp_path,
        model={"uri": str(tmp_path / "model.keras")},
        dataset=dataset,
        training={"epochs": 1, "batch_size": 128},
        search={"min_snr_db": 5},
    )
    bench = bench_of(job, tmp_path / "work")
    teacher = bench.teacher.model
    before = [it.copy() for it in teacher.get_weights()]
    run_trial(bench, asked(epochs=1), 1)
    assert all(np.array_equal(*it) for it in zip(before, teacher.get_weights(), strict=True))


def test_a_trial_that_diverges_has_not_passed(folder: Path, tmp_path: Path) -> None:
    """It says why, and the next one is not disturbed by it."""
    training = {"batch_size": 32, "validation_split": 0.3,
                "optimizer": {"type": "sgd", "learning_rate": 1e30}}  # fmt: skip
    bench = bench_of(job_of(folder, training=training), tmp_path)
    found = run_trial(bench, asked(), 1)
    assert "diverged" in found.failure
    assert not found.passed
    assert (found.bytes, found.sha256, found.value, found.margin) == (0, "", None, -MOST_DROP)
    assert all(np.isfinite(it).all() for it in bench.loaded.file.model.get_weights())
    assert json.loads(found.model_dump_json())["failure"] == found.failure


def test_trials_that_made_no_file_are_neither_chosen_nor_on_the_front(
    folder: Path, tmp_path: Path
) -> None:
    """However far the others are from the limit."""
    bench = bench_of(job_of(folder, search={"max_drop": 0.0}), tmp_path)
    made = run_trial(bench, asked(sparsity=0.95), 1)
    failed = made.model_copy(
        update={"number": 2, "failure": "why", "bytes": 0, "margin": -MOST_DROP, "passed": False}
    )
    missed = made.model_copy(update={"margin": -MOST_DROP, "passed": False})
    assert choose([failed, missed]).number == 1
    assert choose([missed, failed]).number == 1
    assert choose([failed]).number == 2
    assert [it.is_on_front for it in with_front([missed, failed])] == [True, False]


def test_without_training_nothing_is_trained(folder: Path, tmp_path: Path) -> None:
    """Four bits are then rounded to, once."""
    job = job_of(folder, training={"objective": "none"})
    settled = settings_of(job, asked(epochs=0), [])
    assert not settled.aware_variants
    assert settled.training.optimizer == job.training.optimizer
    found = run_trial(bench_of(job, tmp_path), asked(epochs=0, sparsity=0.3), 1)
    assert found.failure == ""
    assert found.bytes > 0
    sparse = run_trial(bench_of(job, tmp_path / "sparse"), asked(epochs=0, sparsity=0.9), 1)
    assert sparse.bytes < found.bytes  # weights are zero without training, too
    assert sparse.metrics != found.metrics
