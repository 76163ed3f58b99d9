"""What a terminal shows: times with their names, bars that keep their room, warnings once."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from job.report import bars
from job.report.live import Terminal
from job.report.screen import Table

METRICS = {"a_very_long_output_name_sparse_categorical_accuracy": 0.5, "loss": 0.25}


def test_a_line_has_room_for_its_bar_whatever_a_metric_is_called() -> None:
    """On a narrow terminal the name is shortened, and the value is whole."""
    out = io.StringIO()
    for width in (80, 100, 160):
        console = Console(file=out, width=width, force_terminal=False)
        with bars.stage_bars(console) as shown:
            task = shown.add_task("prune", total=1692, completed=1692, note="")
            shown.update(task, note=bars.metrics_note(METRICS, width))
        (line,) = out.getvalue().splitlines()
        assert "0.5000" in line
        assert line.count("\u2501") == (30 if width >= bars.WIDE else 12)
        assert "elapsed" in line
        assert len(line) <= width
        out.truncate(0)
        out.seek(0)
    assert bars.metrics_note({}, 80) == ""
    assert bars.metrics_note({"loss": 0.5, "accuracy": 1.0}, 160) == "loss 0.5000  accuracy 1.0000"


def test_text_that_goes_to_a_pipe_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless COLUMNS says how wide it is to be."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert bars.RunConsole(file=io.StringIO()).width == bars.PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "70")
    assert bars.RunConsole(file=io.StringIO()).width == 70


def test_columns_are_left_out_where_there_is_no_room() -> None:
    """The last one first."""
    rows = [["stage", "b" * 20, "c" * 20, "d"], ["1", "2", "3", "4"]]
    optional = ("b" * 20, "c" * 20)
    for width, heads in ((200, 4), (40, 3), (20, 2), (1, 2)):
        console = Console(file=io.StringIO(), width=width)
        table, _ = bars.fitting_table(console, "t", rows, optional)
        assert len(table.columns) == heads
    assert [it.header for it in table.columns] == ["stage", "d"]


def test_a_batch_shows_the_same_warning_once_and_counts_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Warnings that differ by their figures alone are the same."""
    screen = Terminal()
    screen.show({"event": "batch_started", "name": "b", "jobs": 3, "done_already": 0})
    for number in range(3):
        job = f"job-{number}"
        screen.show({"event": "run_started", "job": job})
        for text in (f"{number},336 bytes are an optimizer's.", "Mind [this]."):
            screen.show({"event": "warning", "job": job, "message": text})
    screen.show({"event": "warning", "job": "job-0", "message": "Alone."})
    screen.show({"event": "batch_finished", "results": "out"})
    screen.table(Table("b", ["job", "status"], [["job-0", "ready"]], []))
    out = capsys.readouterr().out
    assert out.count("warning: job-0: Mind [this].") == out.count("Mind [this].") - 1 == 1
    assert "warning, in 3 jobs: Mind [this]." in out
    assert "warning, in 3 jobs (the figures differ): 0,336 bytes are an optimizer's." in out
    assert out.count("Alone.") == 1


def test_a_search_shows_its_trials_the_best_file_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of the budget; on a narrow terminal the running trial is left out."""
    first = {"done": 0, "total": 9, "left_s": 100.0}
    better = first | {"done": 2, "best_bytes": 1527.0, "margin": 0.001}
    worse = better | {"margin": -0.001}
    assert bars.search_note(first, 160) == "trial 1 runs, no file yet"
    assert bars.search_note(better, 160) == "trial 3 runs, best 1,527 B"
    assert bars.search_note(better, 80) == "best 1,527 B"
    assert bars.search_note(worse, 160) == "trial 3 runs, none passes"
    assert bars.search_note(better | {"total": 2}, 160) == "best 1,527 B"
    monkeypatch.setenv("COLUMNS", "120")
    screen = Terminal()
    screen.show({"event": "stage_started", "stage": "search"})
    screen.show({"event": "progress", "stage": "search", **better})
    with screen._bars:
        pass
    assert "2/9" in (line := capsys.readouterr().out)
    assert "0:01:40 left" in line or "0:01:39 left" in line
    assert "trial 3 runs, best 1,527 B" in line
