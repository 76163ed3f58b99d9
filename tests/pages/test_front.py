"""The chart of a search."""

from __future__ import annotations

from job.pages.front import front_chart
from tests.pages import results


def test_a_search_is_drawn_with_its_gate_and_its_choice() -> None:
    """Its description has the figures of the choice."""
    chart = front_chart(results.searched())
    assert chart is not None
    assert ">gate</text>" in chart.svg
    assert ">chosen</text>" in chart.svg
    assert "Chosen: 7,700 bytes, 0.0048." in chart.svg
    assert "are not drawn" not in chart.note


def test_trials_without_a_figure_are_left_out_and_that_is_said() -> None:
    """As those that made no file."""
    result = results.searched()
    assert result.search is not None
    first, *others = result.search.trials
    trials = [first.model_copy(update={"failure": "diverged", "value": None}), *others]
    search = result.search.model_copy(update={"trials": trials})
    chart = front_chart(result.model_copy(update={"search": search}))
    assert chart is not None
    assert "are not drawn" in chart.note
    none = search.model_copy(update={"trials": trials[:1]})
    assert front_chart(result.model_copy(update={"search": none})) is None


def test_without_a_search_there_is_no_chart() -> None:
    """Nothing is drawn of nothing."""
    assert front_chart(results.quickstart()) is None
