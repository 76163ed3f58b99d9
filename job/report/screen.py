"""What a run shows while it works: bars and a table on a terminal, JSON lines elsewhere.

An event is a flat JSON object with the key ``event``. The child process makes events with a
``Journal``; the parent hands them to a ``Screen``, which shows them. In a batch, the events of a
job have its name as ``job``.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from job.events import Event
from job.report.json_lines import JsonLines

if TYPE_CHECKING:
    from job.errors import ParedownError


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


def open_screen(kind: ScreenKind) -> Screen:
    """The screen asked for; ``auto`` is text on a terminal and JSON lines elsewhere."""
    if kind is ScreenKind.TEXT or (kind is ScreenKind.AUTO and sys.stdout.isatty()):
        from job.report.live import Terminal

        return Terminal()
    return JsonLines(sys.stdout, sys.stderr)
