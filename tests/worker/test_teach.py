"""What a training is for: the losses of the outputs. How it ends is in ``end_to_end``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError
from job.worker.teach import Lessons, why
from tests.support.searching import bench_of, job_of

TRAINING: dict[str, Any] = {"epochs": 1, "validation_split": 0.3}


def test_weights_of_losses_count_without_labels_too(folder: Path, tmp_path: Path) -> None:
    """By the outputs' names, which are checked."""
    asked = TRAINING | {"objective": "distill"}
    for given, weight in (({"answer": 3.0}, 3.0), ({}, 1.0)):
        job = job_of(folder, training=asked | {"loss_weights": given})
        bench = bench_of(job, tmp_path / str(weight))
        with bench.work.journal.stage("test") as stage:
            lesson = Lessons(bench.work, bench.loaded, bench.teacher).get(stage)
        assert lesson.objectives["answer"].weight == weight
    with pytest.raises(InputError, match="no output other; its outputs: answer") as caught:
        bench_of(job_of(folder, training=asked | {"loss_weights": {"other": 2}}), tmp_path / "no")
    assert caught.value.where == "training.loss_weights"


def test_the_reason_of_an_objective_is_that_of_its_search(folder: Path) -> None:
    """Which is judged by the labels, or by the model's own outputs."""
    assert why(job_of(folder)) == "the training rows have targets"
    assert "the model's own outputs" in why(job_of(folder, search={"min_agreement": 0.9}))
