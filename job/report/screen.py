"""What a run says while it works: bars and a table on a terminal, JSON lines elsewhere.

An event is a flat JSON object with the key ``event``. The child process makes events with a
``Journal``; the parent hands them to a ``Screen``, which shows them.

Of a batch, the events of a job have its name as ``job``.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from job.events import Event
from job.text import printable

if TYPE_CHECKING:
    from job.errors import ParedownError
    from job.report.live import Board

# Progress is shown as JSON lines at most this often (seconds).
JSON_LINE_EVERY_S = 5.0


class ScreenKind(enum.StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Screen(Protocol):
    """Where events go to be seen."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        notes: Sequence[str],
        optional: Sequence[str] = (),
    ) -> None:
        """Show the closing table, and the notes under it; ``optional`` names columns that are left
        out where there is no room, the last one first.
        """

    def error(self, error: ParedownError) -> None:
        """Show the one error that the run ends with."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonLines:
    """One event a line, for machines: events on standard output, the error on standard error."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._shown: dict[tuple[str, str], float] = {}
        self._whole = threading.Lock()

    def show(self, event: Event) -> None:
        """Print the event; of a stage's progress only as much as a log should hold."""
        if event["event"] == "progress" and event["done"] < event["total"]:
            now, of = time.monotonic(), (event.get("job", ""), event["stage"])
            shown = self._shown.get(of)
            if shown is not None and now - shown < JSON_LINE_EVERY_S:
                return
            self._shown[of] = now
        self._print(event, self._out)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        notes: Sequence[str],
        optional: Sequence[str] = (),
    ) -> None:
        """Print nothing: the event run_finished says the same to a machine."""

    def error(self, error: ParedownError) -> None:
        """Print the error on standard error, and on standard output that the run is over."""
        fields = {"what": error.what, "where": error.where, "to_do": error.hint}
        outcome = {"exit_code": error.exit_code, "error": type(error).__name__}
        said = {key: text for key, text in fields.items() if text}
        self._print({"event": "run_failed", **outcome}, self._out)
        self._print({"event": "error", **outcome, **said}, self._err)

    def close(self) -> None:
        """Nothing to restore."""

    def _print(self, event: Event, stream: TextIO) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        with self._whole:  # the jobs of a batch run in threads
            print(json.dumps({"time": now, **event}), file=stream, flush=True)


class Terminal:
    """For people: a bar for each stage with its time left and the current metrics."""

    def __init__(self) -> None:
        from job.report import live

        self._console = live.Terminal(highlight=False)
        self._errors = live.Terminal(stderr=True, highlight=False)
        self._bars = live.stage_bars(self._console)
        self._tasks: dict[str, Any] = {}
        self._last_words = ""
        self._board: Board | None = None

    def show(self, event: Event) -> None:
        """Move the bars; print warnings above them."""
        if event["event"] == "batch_started":
            from job.report import live

            self._board = live.Board(self._console)
        if self._board is not None and event["event"] != "batch_finished":
            self._board.show(event)
            return
        match event["event"]:
            case "batch_finished":
                self._last_words = f"The results are in {event['results']}"
            case "run_started":
                self._bars.start()
            case "stage_started":
                task = self._bars.add_task(event["stage"], total=None, note="")
                self._tasks[event["stage"]] = task
            case "progress":
                self._move(event)
            case "stage_finished":
                self._fill(self._tasks[event["stage"]])
            case "run_finished":
                self._bars.stop()
                done = "It was done already; the" if event["already_done"] else "The"
                self._last_words = f"{done} results are in {event['result']}"
            case _:
                self._say(event)

    def _move(self, event: Event) -> None:
        from job.report import live

        metrics = {
            printable(key): value for key, value in event.items() if isinstance(value, float)
        }
        note = live.metrics_note(metrics, self._console.width)
        task = self._tasks[event["stage"]]
        self._bars.update(task, completed=event["done"], total=event["total"], note=note)

    def _fill(self, task: Any) -> None:
        total = self._bars.tasks[self._bars.task_ids.index(task)].total or 1
        self._bars.update(task, total=total, completed=total)
        self._bars.stop_task(task)

    def _say(self, event: Event) -> None:
        if event["event"] == "stage_skipped":
            self._console.print(f"{event['stage']} is skipped: {_plain(event['reason'])}")
        elif event["event"] == "stage_resumed":
            self._console.print(f"{event['stage']}: {_plain(event['what'])}")
        elif event["event"] == "warning":
            self._warn(event["message"])
        elif event["event"] == "child_died":
            for task in self._tasks.values():  # the stages start again
                self._bars.remove_task(task)
            self._tasks.clear()
            self._warn(event["message"])

    def _warn(self, message: str) -> None:
        self._console.print(f"[yellow]warning:[/] {_plain(message)}", soft_wrap=True)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        notes: Sequence[str],
        optional: Sequence[str] = (),
    ) -> None:
        """Print a table, whose first two columns are words and the others numbers."""
        self.close()
        from job.report import live

        plain = [[_plain(cell) for cell in row] for row in [columns, *rows]]
        made, width = live.fitting_table(self._console, _plain(title), plain, optional)
        # A narrow window wraps the lines; nothing is cut off.
        live.Terminal(width=width, highlight=False).print(made)
        for note in [*notes, *self._repeated(), self._last_words]:
            self._console.print(_plain(note), soft_wrap=True)

    def error(self, error: ParedownError) -> None:
        """Print the error on standard error."""
        self.close()
        self._errors.print(f"[red]error:[/] {_plain(str(error))}", soft_wrap=True)

    def close(self) -> None:
        """Stop the bars."""
        self._bars.stop()
        if self._board is not None:
            self._board.stop()

    def _repeated(self) -> list[str]:
        """The warnings that several jobs of a batch had, each once."""
        return self._board.repeated() if self._board is not None else []


def _plain(text: str) -> str:
    """Text with nothing in it that rich would take for markup, or a terminal for a command."""
    from rich.markup import escape

    return escape(printable(text))


def open_screen(kind: ScreenKind) -> Screen:
    """The screen asked for; ``auto`` is text on a terminal and JSON lines elsewhere."""
    if kind is ScreenKind.TEXT or (kind is ScreenKind.AUTO and sys.stdout.isatty()):
        return Terminal()
    return JsonLines(sys.stdout, sys.stderr)
