"""A small model of two layers, its data, and searches of it, within this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from job.events import Event, Journal
from job.manifest.job import JobConfig
from job.metrics.artifact import Measured, measure_model
from job.result.search import TrialSettings
from job.resume.checkpoints import Checkpoints
from job.safety.judge import judge
from job.stages.compress import Encoder
from job.worker.context import Files, Loaded, Work
from job.worker.judgement import gate_of, judgement_of
from job.worker.load_inputs import load
from job.worker.next_trial import Family, trial_settings
from job.worker.search import with_held_out_rows
from job.worker.teacher import find_teacher
from job.worker.trial import Bench
from job.worker.variants import try_variants
from tests.support.manifests import read_job

layers = tf_keras.layers


def save_model(folder: Path, **of_kernels: Any) -> None:
    """``model.h5``, which has learnt three classes, and ``data.npz``."""
    random = np.random.default_rng(0)
    x = random.normal(size=(260, 6)).astype(np.float32)
    y = (x @ random.normal(size=(6, 3))).argmax(axis=1)
    np.savez(folder / "data.npz", x_train=x[:160], y_train=y[:160], x_test=x[160:], y_test=y[160:])
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((6,)),
            layers.Dense(20, activation="relu", name="wide", **of_kernels),
            layers.Dropout(0.1),
            layers.Dense(3, activation="softmax", name="answer", **of_kernels),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x[:160], y[:160], epochs=40, verbose=0)
    model.save(folder / "model.h5", include_optimizer=False)


def job_of(folder: Path, **sections: Any) -> JobConfig:
    """A job with a search, of the model above."""
    asked = {
        "name": "searched",
        "model": {"uri": str(folder / "model.h5")},
        "dataset": {
            "type": "npz",
            "uri": str(folder / "data.npz"),
            "train": {"inputs": "x_train", "targets": "y_train"},
            "test": {"inputs": "x_test", "targets": "y_test"},
        },
        "training": {"epochs": 2, "batch_size": 32, "validation_split": 0.3},
        "compress": {"codecs": ["zip"]},
        "search": {"max_drop": 0.2, "budget": {"minutes": 500, "trials": 3}},
    }
    return with_held_out_rows(read_job(json.dumps(asked | sections)))


def bench_of(job: JobConfig, place: Path, events: list[Event] | None = None) -> Bench:
    """What trials of a job are made with, in an empty folder."""
    output, saved = place / "output", place / "checkpoints"
    for it in (output, saved):
        it.mkdir(parents=True)
    journal = Journal((events if events is not None else []).append)
    data = {} if job.dataset is None else {"data.npz": Path(job.dataset.uri)}
    files = Files(judge(Path(job.model.uri)), data, output, place / "rows")
    loaded = load(job, files, journal)
    work = Work(job, output, journal, Encoder((), 1), Checkpoints(saved, journal, float("inf")))
    how = try_variants(work, loaded)
    base = baseline_of(loaded)
    assert job.search is not None
    gate = gate_of(job.search, base.artifact, loaded)
    judgement = judgement_of(loaded, job.search, gate, base)
    teacher, _ = find_teacher(work, loaded)
    return Bench(work, loaded, how, teacher, judgement)


def baseline_of(loaded: Loaded) -> Measured:
    """The model that came in, on the test rows."""
    return measure_model(loaded.baseline, loaded.evaluator, None, lambda _, __: None)


def asked(**fields: Any) -> TrialSettings:
    """The settings of a trial."""
    plain = {"sparsity": 0.5, "weight_bits": 4, "clusters": None, "epochs": 2, "seed": 7,
             "is_careful": False}  # fmt: skip
    given = plain | fields
    family = Family(given["weight_bits"], given["clusters"])
    settings = family, 1 - given["sparsity"], given["epochs"], given["seed"]
    return trial_settings(*settings, is_careful=given["is_careful"])
