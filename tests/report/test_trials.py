"""What a search tried and chose, as lines under the closing table."""

from __future__ import annotations

from typing import Any

import pytest

from job.report.tables import closing_table
from job.report.trials import MOST_ROWS, lines
from job.result.result import GateResult, Result
from job.result.search import SearchResult, TrialResult, TrialSettings, with_front
from tests.support.published import make_result

DROP = {"type": "max_drop", "metric": "accuracy", "value": 0.01}


def trial(number: int, size: int, drop: float | None, **changes: Any) -> TrialResult:
    """A trial of some bytes, and how much worse it is."""
    margin = 0.01 - (drop or 0.0)
    asked = {
        "sparsity": 0.9,
        "weight_bits": 2,
        "clusters": None,
        "epochs": 4,
        "grid_epochs": 1,
        "seed": 7,
    }
    return TrialResult(
        number=number,
        settings=TrialSettings.model_validate(asked | changes),
        bytes=size,
        sha256="a" * 64,
        value=drop,
        margin=margin,
        passed=margin >= 0,
        metrics={"accuracy": 0.95 - (drop or 0.0)},
        seconds=1.0,
    )


def searched(
    trials: list[TrialResult], gate: dict[str, Any] = DROP, chosen: int = 1, value: float = 0.004
) -> Result:
    """A result with a search, and the verdict of its gate on the test rows."""
    found = SearchResult(
        gate=gate,
        rows=1000,
        reference="the baseline",
        trials=with_front(trials),
        chosen=chosen,
        reason=f"trial {chosen} is chosen",
        ended="the budget is spent",
        sections={},
    )
    verdict = GateResult(
        gate={**gate, "artifact": "int8"},
        artifact="int8",
        value=value,
        limit=gate["value"],
        passed=True,
        explanation="int8: good",
    )
    return make_result().model_copy(update={"search": found, "gates": [verdict]})


def test_the_trials_on_the_front_are_shown_with_the_choice_and_both_figures() -> None:
    """The smallest first; one that another beats in both ways is not there."""
    trials = [
        trial(1, 1_100, 0.002),
        trial(2, 500, 0.05, sparsity=0.975, seed=8),
        trial(3, 2_000, 0.003),
        trial(4, 5_500, 0.0, weight_bits=8, clusters=16),
    ]
    head, columns, *rows = lines(searched(trials))
    assert head.startswith(
        "search: accuracy at most 0.01 worse, on 1,000 held-out rows; 4 trials, "
    )
    assert head.endswith("of which 3 are on the Pareto front of bytes and quality:")
    assert columns.split()[-5:] == ["zeros", "bits", "clusters", "epochs", "seed"]
    assert [" ".join(it.split()) for it in rows] == [
        "2 500 22.0 0.9000 0.0500 97.5 % 2 - 4 8 beyond the limit",
        "1 1,100 10.0 0.9480 0.0020 90.0 % 2 - 4 7 chosen",
        "4 5,500 2.0 0.9500 0.0000 90.0 % 8 16 4 7",
        "trial 1 is chosen; the budget is spent",
        "accuracy worse by: 0.0020 on the held-out rows, 0.0040 on the test rows",
    ]


@pytest.mark.parametrize("chosen", [1, 10, 20])
def test_of_a_long_front_the_trials_beside_the_chosen_one_are_shown(chosen: int) -> None:
    """And how many are not."""
    trials = [trial(it, 100 * it, 0.01 - 0.0001 * it) for it in range(1, 21)]
    shown = list(lines(searched(trials, chosen=chosen)))
    rows = [it for it in shown if it.startswith("  ")][1:-1]
    assert len(rows) == MOST_ROWS
    assert sum(it.endswith("chosen") for it in rows) == 1
    assert f"  (and {20 - MOST_ROWS} more; result.json has every trial)" in shown


@pytest.mark.parametrize(
    ("gate", "value", "wanted"),
    [
        ({"type": "min_agreement", "value": 0.99}, 0.995, "agreement: 0.9950 on the held-out"),
        ({"type": "min_snr_db", "value": 30}, 31.25, "SNR dB: 31.2 on the held-out"),
        ({"type": "min_snr_db", "value": 30}, None, "SNR dB: no noise on the held-out"),
    ],
)
def test_a_search_without_labels_shows_how_close_files_are(
    gate: dict[str, Any], value: float | None, wanted: str
) -> None:
    """There is no metric."""
    one = trial(1, 100, value, epochs=0)
    head, columns, row, *rest = lines(searched([one], gate | {"confidence": 0.95}))
    assert "with 95 % confidence, on 1,000" in head
    assert "bound" in columns
    assert "accuracy" not in "".join([head, columns, row, *rest])
    assert rest[-1].startswith(wanted)


def test_a_value_of_its_own_has_one_column() -> None:
    """That of the metric, which is what is judged; of an error the largest one counts."""
    for metric, limit, worst in (("accuracy", "least", 0.91), ("mean_squared_error", "most", 0.93)):
        gate = {"type": "min_value", "metric": metric, "value": 0.9}
        one = trial(1, 100, 0.92).model_copy(update={"metrics": {metric: 0.92}})
        result = searched([one], gate, value=0.91)
        better = result.gates[0].model_copy(update={"value": 0.93})
        several = result.model_copy(update={"gates": [*result.gates, better]})
        head, columns, _, *_, last = lines(several)
        assert head.startswith(f"search: {metric} at {limit} 0.9, on 1,000 held-out rows")
        assert columns.split()[3:6] == ["smaller", metric, "zeros"]
        assert last == f"{metric}: 0.9200 on the held-out rows, {worst:.4f} on the test rows"


def test_of_several_outputs_the_worst_one_counts() -> None:
    """Metrics are called by the outputs then, so the table has no column for one."""
    one = trial(1, 100, 0.002).model_copy(update={"metrics": {"a_accuracy": 0.9, "b_accuracy": 1}})
    result = searched([one])
    better = result.gates[0].model_copy(update={"value": 0.001})
    several = result.model_copy(update={"gates": [*result.gates, better]})
    _, columns, *_, last = lines(several)
    assert columns.split()[:5] == ["trial", "bytes", "times", "smaller", "worse"]
    assert last == "accuracy worse by: 0.0020 on the held-out rows, 0.0040 on the test rows"


def test_the_lines_stand_under_the_closing_table() -> None:
    """And above the gates."""
    result = searched([trial(1, 100, 0.0)])
    notes = list(closing_table(result).notes)
    assert list(lines(result)) == notes[: len(list(lines(result)))]
    assert "gate passed: int8: good" in notes[len(list(lines(result))) :]
    assert list(lines(make_result())) == []


def test_the_share_of_wider_layers_has_a_column_where_there_are_any() -> None:
    """With their width; where all weights are in float16, nothing is trained."""
    wide = {"sparsity": 0.0, "weight_bits": 8, "epochs": 4}
    found = [
        trial(1, 3000, 0.001, **wide, wide=1.0, grid_epochs=0),
        trial(2, 2000, 0.002, **wide, wide=0.25, grid_epochs=4),
        trial(3, 1500, 0.0025, **wide, grid_epochs=4),
        trial(4, 1000, 0.003, **wide | {"weight_bits": 4}, wide=0.25, grid_epochs=4),
    ]
    shown = list(lines(searched(found, chosen=4, value=0.003)))
    head, *rows = [it.split("  ") for it in shown[1:6]]
    cells = [[it.strip() for it in row if it.strip()] for row in (head, *rows)]
    place = cells[0].index("wider")
    assert [it[place - 1 : place + 3] for it in cells] == [
        ["bits", "wider", "clusters", "epochs"],
        ["4", "25 % in 8 bits", "-", "4"],
        ["8", "-", "-", "4"],
        ["8", "25 % in float16", "-", "4"],
        ["8", "100 % in float16", "-", "-"],
    ]
    plain = list(lines(searched(found[2:3], chosen=3, value=0.003)))
    assert "wider" not in plain[1]
