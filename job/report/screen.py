"""What a run shows while it works: bars and a table on a terminal, JSON lines elsewhere.

An event is a flat JSON object with the key ``event``. The child process makes events with a
``Journal``; the parent hands them to a ``Screen``, which shows them. In a batch, the events of a
job have its name as ``job``.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from job.events import Event

if TYPE_CHECKING:
    from job.errors import ParedownError

# Progress is shown as JSON lines at most this often (seconds).
JSON_LINE_EVERY_S = 5.0


class ScreenKind(enum.StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True)
class Table:
    """The closing table. Its first two columns are words and the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    """Lines under it."""
    optional: Sequence[str] = ()
    """Columns that are left out if there is no room, the last one first."""


class Screen(Protocol):
    """Where events are shown."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def table(self, table: Table) -> None:
        """Show the closing table, and the notes under it."""

    def error(self, error: ParedownError) -> None:
        """Show the one error that the run ends with."""

    def close(self) -> None:
        """Restore the terminal."""


class JsonLines:
    """One event per line, for programs: events on standard output, the error on standard error."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._shown: dict[tuple[str, str], float] = {}
        self._whole = threading.Lock()

    def show(self, event: Event) -> None:
        """Print the event; of a stage's progress only as much as fits a log."""
        if event["event"] == "progress" and event["done"] < event["total"]:
            now, of = time.monotonic(), (event.get("job", ""), event["stage"])
            shown = self._shown.get(of)
            if shown is not None and now - shown < JSON_LINE_EVERY_S:
                return
            self._shown[of] = now
        self._print(event, self._out)

    def table(self, table: Table) -> None:
        """Print nothing: the event run_finished has the same data."""

    def error(self, error: ParedownError) -> None:
        """Print the error on standard error, and on standard output that the run has failed."""
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


def open_screen(kind: ScreenKind) -> Screen:
    """The screen asked for; ``auto`` is text on a terminal and JSON lines elsewhere."""
    if kind is ScreenKind.TEXT or (kind is ScreenKind.AUTO and sys.stdout.isatty()):
        from job.report.live import Terminal

        return Terminal()
    return JsonLines(sys.stdout, sys.stderr)
