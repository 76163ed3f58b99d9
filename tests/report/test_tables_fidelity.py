"""The closing table of a job without labels: how close files are to the baseline."""

from __future__ import annotations

from typing import Any

import pytest

from job.report.tables import SYNTHETIC, closing_table
from job.result.figures import FidelityResult
from job.result.result import Result
from job.result.training import SplitResult
from tests.support.published import closeness, make_result


def unlabelled(fidelity: dict[str, FidelityResult], **update: Any) -> Result:
    """A result of a baseline and int8, whose outputs are as close as this."""
    result = make_result()
    base, small = (it.model_copy(update={"metrics": {}}) for it in result.artifacts)
    small = small.model_copy(update={"fidelity": fidelity})
    made = {"artifacts": [base, small], "objective": {}, "gates": []}
    return result.model_copy(update=made | update)


def shown(result: Result) -> dict[str, list[str]]:
    """The columns between the formats and the sizes."""
    table = closing_table(result)
    heads = list(table.columns)
    end = heads.index("bytes")
    return {heads[place]: [row[place] for row in table.rows] for place in range(2, end)}


def split(source: Any) -> SplitResult:
    return SplitResult(rows=256, sha256="0" * 64, source=source, has_targets=False)


def test_without_metrics_there_are_agreement_and_ratio() -> None:
    """The baseline is what the others are compared with."""
    found = shown(unlabelled({"out": closeness(0.98765, 31.26)}))
    assert found == {"agreement": ["-", "0.9877"], "SNR dB": ["-", "31.3"]}


def test_with_metrics_these_are_shown() -> None:
    """The result has the fidelity, too."""
    result = make_result()
    small = result.artifacts[1].model_copy(update={"fidelity": {"out": closeness(0.9, 10)}})
    found = shown(result.model_copy(update={"artifacts": [result.baseline, small]}))
    assert list(found) == ["accuracy"]


def test_numbers_have_a_ratio_alone() -> None:
    """They do not agree or disagree."""
    assert shown(unlabelled({"out": closeness(None, 12.0)})) == {"SNR dB": ["-", "12.0"]}


def test_identical_outputs_are_called_equal() -> None:
    """Their ratio would be infinite."""
    found = shown(unlabelled({"out": closeness(1.0, None, same=True)}))
    assert found == {"agreement": ["-", "1.0000"], "SNR dB": ["-", "equal"]}


def test_a_constant_baseline_has_no_ratio() -> None:
    """So there is no column of it."""
    assert shown(unlabelled({"out": closeness(0.5, None)})) == {"agreement": ["-", "0.5000"]}
    assert shown(unlabelled({"out": closeness(None, None)})) == {}


def test_of_several_outputs_the_first_figures_are_shown() -> None:
    """Each output's first one before any second one; the table has room for two."""
    several = {
        "side": closeness(0.9, 20.0),
        "tilt": closeness(0.8, 10.0),
        "far": closeness(0.7, 5.0),
    }
    found = shown(unlabelled(several))
    assert found == {"side\nagreement": ["-", "0.9000"], "tilt\nagreement": ["-", "0.8000"]}
    two = {"side": closeness(0.9, 20.0), "angle": closeness(None, 15.0)}
    assert list(shown(unlabelled(two))) == ["side\nagreement", "side\nSNR dB"]


def test_a_job_that_made_nothing_has_no_columns() -> None:
    """There is nothing to compare."""
    result = unlabelled({})
    assert shown(result.model_copy(update={"artifacts": result.artifacts[:1]})) == {}


@pytest.mark.parametrize(("source", "says"), [("synthetic", [SYNTHETIC]), ("held out", [])])
def test_one_line_says_that_figures_are_synthetic(source: str, says: list[str]) -> None:
    """The first one under the table, in plain words."""
    result = unlabelled({"out": closeness(0.9, 20.0)}, splits={"train": split(source)})
    assert list(closing_table(result).notes)[:1] == says
    assert "\n" not in SYNTHETIC
