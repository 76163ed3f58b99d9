"""Bars of a run's stages, and the live view of a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from job.events import Event

NAME_WIDTH = 28
# Characters per line of text to a file or a pipe, unless COLUMNS is set.
PIPED_WIDTH = 160
# On a narrower terminal the bars are shorter.
WIDE = 110
# Of a stage's line, without its bar and its metrics.
FIXED_WIDTH = 60
_NUMBER = re.compile(r"\d[\d.,]*")


class RunConsole(Console):
    """A console; a broken pipe is an error as elsewhere."""

    def __init__(self, **options: Any) -> None:
        """Take rich's options; a file or a pipe has lines of ``PIPED_WIDTH``."""
        super().__init__(**options)
        if not self.is_terminal and self._width is None:
            self.width = PIPED_WIDTH

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1."""
        raise BrokenPipeError


class _Times(ProgressColumn):
    """The elapsed time and the time left, each with its name."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """As ``0:00:07 elapsed, 0:00:03 left``."""
        elapsed = task.finished_time if task.finished else task.elapsed
        text = f"{_clock(elapsed or 0)} elapsed"
        ends_at = task.fields.get("ends_at")
        if not task.finished and ends_at is not None:  # trials do not take the same time each
            text += f", {_clock(max(0, ends_at - (elapsed or 0)))} left"
        elif not task.finished and task.time_remaining is not None:
            text += f", {_clock(task.time_remaining)} left"
        return Text(text)


class _Note(ProgressColumn):
    """Metrics, cut off where the line ends: they take no room from the bars."""

    def render(self, task: Task) -> Text:
        """The task's note."""
        return Text(str(task.fields["note"]), no_wrap=True, overflow="crop")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _bar_width(width: int) -> int:
    return 30 if width >= WIDE else 12


def _fixed() -> Column:
    return Column(no_wrap=True)


def stage_bars(console: Console, description: str = "{task.description:<10}") -> Progress:
    """The bars of a run's stages, or of a batch's jobs."""
    return Progress(
        TextColumn(description, table_column=_fixed()),
        BarColumn(bar_width=_bar_width(console.width), table_column=_fixed()),
        MofNCompleteColumn(table_column=_fixed()),
        _Times(table_column=_fixed()),
        _Note(),
        console=console,
    )


def metrics_note(metrics: Mapping[str, float], width: int) -> str:
    """The first metrics, as many as fit a line of ``width`` characters, two at most; a name that is
    too long is shortened.
    """
    room = max(14, width - FIXED_WIDTH - _bar_width(width))
    shown = [f"{name} {value:.4f}" for name, value in list(metrics.items())[:2]]
    both = "  ".join(shown)
    if len(both) <= room or not metrics:
        return both
    name, value = next(iter(metrics.items()))
    number = f"{value:.4f}"
    longest = max(4, room - len(number) - 1)
    return f"{name if len(name) <= longest else name[: longest - 2] + '..'} {number}"


def search_note(event: Mapping[str, Any], width: int) -> str:
    """The smallest file of a search so far, and which trial runs, if a line of ``width`` characters
    has room for it.
    """
    if "best_bytes" not in event:
        best = "no file yet"
    elif event["margin"] < 0:
        best = "none passes"
    else:
        best = f"best {event['best_bytes']:,.0f} B"
    running = f"trial {event['done'] + 1} runs, "
    room = width - FIXED_WIDTH - _bar_width(width)
    is_short = event["done"] == event["total"] or len(running) + len(best) > room
    return best if is_short else running + best


def fitting_table(
    console: Console, title: str, rows: Sequence[Sequence[str]], optional: Sequence[str]
) -> tuple[Table, int]:
    """A table that fits the console, if leaving out columns can achieve that.

    Args:
        console: Where it is to be shown.
        title: The table's.
        rows: The header, and the rows.
        optional: The headers of columns that may be left out, the last one first.

    Returns:
        The table and its width.
    """
    left_out = 0
    while True:
        out = set(optional[len(optional) - left_out :])
        shown = [place for place, head in enumerate(rows[0]) if head not in out]
        table = _table(title, [[row[place] for place in shown] for row in rows])
        options = console.options.update(width=1000)
        width = Measurement.get(console, options, table).maximum
        if width <= console.width or left_out == len(optional):
            return table, width
        left_out += 1


def _table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    """The first two columns are words and the others numbers."""
    table = Table(title=title, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for index, head in enumerate(rows[0]):
        side: Literal["left", "right"] = "left" if index < 2 else "right"
        table.add_column(head, justify=side, no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return table


class Board:
    """Shows a batch's events."""

    def __init__(self, console: Console) -> None:
        """Show nothing yet."""
        self._console = console
        self._bars = stage_bars(console, "{task.description}")
        self._all: Any = None
        self._lines: dict[str, Any] = {}
        self._failed = 0
        self._warnings: dict[str, list[tuple[str, str]]] = {}
        """By the text without its numbers: the jobs, and their warnings."""

    def show(self, event: Event) -> None:
        """Update what the event is about."""
        name = event.get("job", "")
        match event["event"]:
            case "batch_started":
                total, done = event["jobs"], event["done_already"]
                self._bars.start()
                self._all = self._bars.add_task(
                    _padded(event["name"]), total=total, completed=done, note=self._note()
                )
            case "run_started":
                self._lines[name] = self._bars.add_task(
                    _padded(name), total=None, visible=False, note="waits"
                )
            case "stage_started":
                self._move(name, total=None, completed=0, note=event["stage"], visible=True)
            case "progress":
                self._move(name, total=event["total"], completed=event["done"])
            case "run_finished":
                self._end(name)
            case "job_failed":
                self._failed += 1
                self._end(name)
                what = f"{name} failed (exit code {event['exit_code']}): {event['what']}"
                self._console.print(f"[red]{escape(what)}[/]", soft_wrap=True)
            case "warning" | "child_died":
                self._warn(name, event["message"])

    def stop(self) -> None:
        """Restore the terminal."""
        self._bars.stop()

    def repeated(self) -> list[str]:
        """The warnings of more than one job, each with the number of jobs."""
        lines = []
        for found in self._warnings.values():
            jobs, texts = {job for job, _ in found}, {text for _, text in found}
            if len(jobs) > 1:
                others = "" if len(texts) == 1 else " (the figures differ)"
                lines.append(f"warning, in {len(jobs)} jobs{others}: {found[0][1]}")
        return lines

    def _warn(self, job: str, message: str) -> None:
        alike = self._warnings.setdefault(_NUMBER.sub("#", message), [])
        alike.append((job, message))
        if len(alike) == 1:
            what = f"{job}: {message}" if job else message
            self._console.print(f"[yellow]warning:[/] {escape(what)}", soft_wrap=True)

    def _move(self, name: str, **fields: Any) -> None:
        if name in self._lines:
            self._bars.update(self._lines[name], **fields)

    def _end(self, name: str) -> None:
        if name in self._lines:
            self._bars.remove_task(self._lines.pop(name))
        self._bars.update(self._all, advance=1, note=self._note())

    def _note(self) -> str:
        return f"{self._failed} failed" if self._failed else "jobs"


def _padded(name: str) -> str:
    short = name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 3]}..."
    return escape(f"{short:<{NAME_WIDTH}}")
