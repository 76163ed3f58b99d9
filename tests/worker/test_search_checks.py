"""What a search is refused for before any trial, and what it warns of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from job.errors import InputError
from job.manifest.gates import MinAgreementGate, MinSnrGate
from job.worker.search_checks import refuse_unsearchable, warnings_of
from tests.support.searching import bench_of, job_of
from tests.worker.test_verdict import drop, judged_by, made


def test_files_are_not_judged_by_rows_that_they_were_trained_on(
    folder: Path, tmp_path: Path
) -> None:
    """A search without held-out rows is refused, but where nothing is trained."""
    bench = bench_of(job_of(folder), tmp_path / "plain")
    refuse_unsearchable(bench.work, bench.loaded)
    data = bench.loaded.dataset
    alone = replace(bench.loaded, dataset=replace(data, validation=None))
    with pytest.raises(InputError, match="of 112 training rows none is held out") as caught:
        refuse_unsearchable(bench.work, alone)
    assert caught.value.where == "training.validation_split"
    refuse_unsearchable(bench.work, replace(alone, plan=None))


def test_outputs_that_nothing_is_said_of_are_a_warning() -> None:
    """With the figure that they lack, and one that they have."""
    two = ("a", "b")
    metrics = {"loss": 2.0, "a_accuracy": 0.9, "b_mean_absolute_error": 1.0}
    (of_metric,) = warnings_of(judged_by(drop(), made(metrics, two)))
    assert "what b loses, which has no such metric" in of_metric
    kinds = {"a": "classes", "b": "numbers"}
    evaluator: Any = SimpleNamespace(
        answers={name: SimpleNamespace(kind=it) for name, it in kinds.items()}
    )
    judgement = judged_by(MinAgreementGate(type="min_agreement", value=0.9), made(metrics, two))
    judgement = replace(judgement, evaluator=evaluator)
    (of_answers,) = warnings_of(judgement)
    assert "what b loses, which has no such answer to agree with" in of_answers
    assert "min_snr_db" in of_answers
    ratio = MinSnrGate(type="min_snr_db", value=30)
    assert list(warnings_of(replace(judgement, gate=ratio))) == []
