"""A run goes on when its log can't be written."""

from __future__ import annotations

import errno
import io
import json

import pytest

from job import console
from job.console import EnduringScreen
from job.errors import InputError
from job.report.screen import JsonLines, Table


class Full(io.StringIO):
    """A log on a disk that fills up after some lines."""

    def __init__(self, lines: int, error: type[OSError] = OSError) -> None:
        super().__init__()
        self.lines = lines
        self.error = error

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") >= self.lines:
            raise self.error(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether standard output was given up; that of the tests is not."""
    done: list[bool] = []
    monkeypatch.setattr(console, "forget", lambda: done.append(True))
    return done


def test_a_full_disk_is_reported_at_the_end(
    forgotten: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 6, and that the results are there."""
    out = Full(2)
    screen = EnduringScreen(JsonLines(out, io.StringIO()))
    for number in range(5):
        screen.show({"event": "warning", "message": str(number)})
    screen.table(Table("a", [], [], []))
    screen.close()
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["0", "1"]
    assert forgotten == [True]
    assert screen.end(0) == 6
    said = capsys.readouterr().err
    assert "standard output failed: the disk is full" in said
    assert "its results are published" in said


def test_an_outcome_goes_before_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A missed gate stays one, and an error is shown on standard error."""
    screen = EnduringScreen(JsonLines(Full(0), io.StringIO()))
    screen.show({"event": "warning", "message": ""})
    assert screen.end(5) == 5
    screen.error(InputError("It is damaged."))
    assert capsys.readouterr().err == "error: It is damaged.\n"


def test_a_reader_that_goes_away_ends_the_run() -> None:
    """As before; and where all is well the code stays."""
    screen = EnduringScreen(JsonLines(Full(0, BrokenPipeError), io.StringIO()))
    with pytest.raises(BrokenPipeError):
        screen.show({"event": "warning", "message": ""})
    assert EnduringScreen(JsonLines(io.StringIO(), io.StringIO())).end(0) == 0
