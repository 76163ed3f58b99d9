"""A job's row in the summary says how close its best file is to the baseline."""

from __future__ import annotations

from typing import Any

from job.batch.rows import row_of, settings
from job.manifest.job import JobConfig
from job.result.figures import FidelityResult
from job.result.result import Result
from job.result.summary import Row
from tests.batch.test_rows import made, verdict
from tests.support.published import closeness


def with_fidelity(result: Result, **outputs: FidelityResult) -> Result:
    """The same, where the files that were made are as close as this."""
    artifacts = [it.model_copy(update={"fidelity": outputs}) for it in result.artifacts[1:]]
    return result.model_copy(update={"artifacts": [result.baseline, *artifacts]})


def figures(row: Row) -> tuple[float | None, float | None, bool]:
    return row.agreement, row.snr_db, row.synthetic


def test_the_lowest_figures_of_all_outputs_are_shown() -> None:
    """An output without a figure does not count."""
    found = with_fidelity(made(), side=closeness(0.9, 20.0), angle=closeness(None, 12.34567891))
    assert figures(row_of(found, "a")) == (0.9, 12.345679, False)
    found = with_fidelity(made(), angle=closeness(None, None))
    assert figures(row_of(found, "a")) == (None, None, False)
    assert figures(row_of(made(), "a")) == (None, None, False)


def test_figures_of_drawn_inputs_are_marked() -> None:
    """There is no metric beside them."""
    result = with_fidelity(made(objective={}), out=closeness(0.9, 20.0, synthetic=True))
    bare = [it.model_copy(update={"metrics": {}}) for it in result.artifacts]
    row = row_of(result.model_copy(update={"artifacts": bare}), "a")
    assert figures(row) == (0.9, 20.0, True)
    assert (row.metric, row.baseline_quality, row.quality, row.drop) == (None, None, None, None)


def test_they_are_those_of_the_best_file() -> None:
    """Which is not the smallest, where that misses a gate."""
    result = with_fidelity(made(gates=[verdict("int8", False), verdict("float16", True)]))
    base, small, larger = result.artifacts
    pairs = ((small, closeness(0.5, 5.0)), (larger, closeness(0.9, 20.0)))
    several = [it.model_copy(update={"fidelity": {"out": found}}) for it, found in pairs]
    row = row_of(result.model_copy(update={"artifacts": [base, *several]}), "a")
    assert (row.artifact, *figures(row)) == ("float16", 0.9, 20.0, False)


def test_an_objective_and_no_data_are_settings() -> None:
    """As whatever differs from the defaults; what is left out is none."""
    document: dict[str, Any] = {"name": "a", "model": {"uri": "m.h5"}, "dataset": None}
    manifest = JobConfig.model_validate(document).model_dump(mode="json")
    assert settings(made(manifest=manifest)).get("training.objective") is None
    document["training"] = {"objective": {"type": "none"}}
    manifest = JobConfig.model_validate(document).model_dump(mode="json")
    assert settings(made(manifest=manifest))["training.objective.type"] == "none"
