"""What a run says while it works."""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import pytest

from job.errors import InputError
from job.events import SEND_EVERY_S, Event, Journal, Report
from job.report.live import Terminal
from job.report.screen import JsonLines, ScreenKind, Table, open_screen


def lines(text: str) -> list[dict[str, Any]]:
    """JSON lines, parsed."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_stage_is_announced_timed_and_ends_with_its_decisions() -> None:
    """The journal keeps it for the result."""
    events: list[Event] = []
    journal = Journal(events.append)
    with journal.stage("prune") as stage:
        stage.decide("24 steps")
    assert [event["event"] for event in events] == ["stage_started", "stage_finished"]
    assert events[1]["decisions"] == ["24 steps"]
    assert events[1]["seconds"] >= 0
    assert journal.stages == [stage]


def test_what_an_earlier_run_spent_on_a_stage_is_reported() -> None:
    """It is a part of the stage's seconds."""
    events: list[Event] = []
    journal = Journal(events.append)
    with journal.stage("prune") as stage:
        journal.replay(Report(seconds=7.5), stage, "taken")
    assert events[-1]["earlier_s"] == 7.5
    assert events[-1]["seconds"] >= 7.5


def test_a_stage_that_fails_is_never_said_to_be_finished() -> None:
    """The error is what is said."""
    events: list[Event] = []

    def work() -> None:
        with Journal(events.append).stage("prune"):
            raise InputError("no")

    with pytest.raises(InputError):
        work()
    assert [event["event"] for event in events] == ["stage_started"]


def test_skips_and_warnings_are_recorded_with_their_reasons() -> None:
    """No silent skip, ever."""
    events: list[Event] = []
    journal = Journal(events.append)
    journal.skip("prune", "prune is null")
    journal.warn("look here")
    assert events == [
        {"event": "stage_skipped", "stage": "prune", "reason": "prune is null"},
        {"event": "warning", "message": "look here"},
    ]
    assert journal.stages[0].decisions == ["skipped: prune is null"]
    assert journal.warnings == ["look here"]


def test_progress_is_sent_at_most_ten_times_a_second() -> None:
    """And the last part always, however soon it comes."""
    events: list[Event] = []
    started = time.monotonic()
    with Journal(events.append).stage("prune") as stage:
        for done in range(1, 301):
            stage.advance(done, 300, {"loss": 1 / done})
            time.sleep(0.001)
    most = (time.monotonic() - started) / SEND_EVERY_S + 2
    sent = [event for event in events if event["event"] == "progress"]
    assert 3 <= len(sent) <= most
    assert sent[0]["done"] == 1
    last = {"event": "progress", "stage": "prune", "done": 300, "total": 300, "loss": 0.003333}
    assert sent[-1] == last


def test_a_log_holds_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come ten times a second; a log of a long run stays small, and has the end."""
    out = io.StringIO()
    screen = JsonLines(out, io.StringIO())
    for done in range(1, 1001):
        screen.show({"event": "progress", "stage": "prune", "done": done, "total": 1000})
    assert [line["done"] for line in lines(out.getvalue())] == [1, 1000]
    monkeypatch.setattr("job.report.screen.JSON_LINE_EVERY_S", 0.02)
    time.sleep(0.03)
    screen.show({"event": "progress", "stage": "prune", "done": 7, "total": 9})
    screen.show({"event": "progress", "stage": "prune", "done": 8, "total": 9})
    screen.show({"event": "progress", "stage": "evaluate", "done": 1, "total": 9})
    shown = [(line["stage"], line["done"]) for line in lines(out.getvalue())[2:]]
    assert shown == [("prune", 7), ("evaluate", 1)]


def test_json_lines_go_to_standard_output_and_the_error_to_standard_error() -> None:
    """Each line has its time in UTC; what an error leaves empty is left out. Standard output
    says that the run has failed, too.
    """
    out, err = io.StringIO(), io.StringIO()
    screen = JsonLines(out, err)
    screen.show({"event": "warning", "message": "zwei\nZeilen: ü"})
    screen.table(Table("t", ["a"], [["1"]], ["note"]))
    screen.error(InputError("It is corrupt.", hint="Copy it."))
    screen.close()
    warning, failed = lines(out.getvalue())
    assert warning["message"] == "zwei\nZeilen: ü"
    assert warning["time"].endswith("+00:00")
    assert (failed["event"], failed["exit_code"]) == ("run_failed", 3)
    (error,) = lines(err.getvalue())
    del error["time"]
    assert error == {
        "event": "error",
        "exit_code": 3,
        "error": "InputError",
        "what": "It is corrupt.",
        "to_do": "Copy it.",
    }


def test_text_or_json_is_as_asked_and_else_as_the_output_is() -> None:
    """Under pytest standard output is no terminal."""
    assert not sys.stdout.isatty()
    assert isinstance(open_screen(ScreenKind.AUTO), JsonLines)
    assert isinstance(open_screen(ScreenKind.JSON), JsonLines)
    assert isinstance(open_screen(ScreenKind.TEXT), Terminal)


def test_text_shows_what_happened_without_reading_it_as_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A path may have ``[red]`` in it; a crash clears the bars, and the stages start again."""
    screen = Terminal()
    started = {"event": "stage_started", "stage": "prune"}
    for event in (
        {"event": "run_started", "name": "tiny"},
        {"event": "stage_skipped", "stage": "load", "reason": "[red]why[/red]"},
        started,
        {"event": "progress", "stage": "prune", "done": 1, "total": 2, "loss": 0.25},
        {"event": "child_died", "stage": "prune", "message": "it [bold]died"},
        started,
        {"event": "stage_resumed", "stage": "prune", "what": "from step [b]7"},
        {"event": "kept", "piece": "training"},
        {"event": "progress", "stage": "prune", "done": 1, "total": 2, "loss": 0.125},
        {"event": "stage_finished", "stage": "prune", "seconds": 1.0},
        {"event": "warning", "message": "mind the [/gap]"},
        {"event": "run_finished", "already_done": True, "result": "/out/[x]/result.json"},
    ):
        screen.show(event)
    screen.table(Table("tiny", ["stage", "bytes"], [["prune", "1,000"]], ["gate [passed]"]))
    screen.error(InputError("It is [corrupt].", where="/[a]/m.h5"))
    screen.close()
    shown = capsys.readouterr()
    for text in (
        "load is skipped: [red]why[/red]",
        "warning: it [bold]died",
        "prune: from step [b]7",
        "warning: mind the [/gap]",
        "loss 0.1250",
        "2/2",
        "1,000",
        "gate [passed]",
        "done already",
        "/out/[x]/result.json",
    ):
        assert text in shown.out, text
    assert "error: It is [corrupt].\n  where: /[a]/m.h5\n" in shown.err


def test_control_characters_in_names_are_escaped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Names in models, results and buckets are untrusted: ESC, the C1 CSI, a bell."""
    screen = Terminal()
    bad = "a\x1b[2J\x9b31m\x07\r\u202eb"
    for event in (
        {"event": "run_started", "name": bad},
        {"event": "stage_skipped", "stage": "load", "reason": bad},
        {"event": "stage_started", "stage": "prune"},
        {"event": "progress", "stage": "prune", "done": 1, "total": 2, f"{bad}_loss": 0.25},
        {"event": "stage_resumed", "stage": "prune", "what": bad},
        {"event": "warning", "message": bad},
        {"event": "run_finished", "already_done": True, "result": f"/out/{bad}/result.json"},
    ):
        screen.show(event)
    screen.table(Table(bad, [bad, bad], [[bad, bad]], [bad]))
    screen.error(InputError(bad, where=bad, hint=bad))
    screen.close()
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert r"a\x1b[2J\x9b31m\x07\r\u202eb" in text
        assert not set(text) & set("\x1b\x9b\x07\r\u202e")


def test_json_lines_are_plain_characters() -> None:
    """A log may be looked at on a terminal, too."""
    out, err = io.StringIO(), io.StringIO()
    screen = JsonLines(out, err)
    screen.show({"event": "warning", "message": "a\x1b[2J\x7f\x9bü"})
    screen.error(InputError("a\x1b[2J\x7f\x9bü"))
    assert (out.getvalue() + err.getvalue()).replace("\n", "").isprintable()
