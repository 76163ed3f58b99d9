"""The live view of a batch on a terminal: a bar for all of it, a line for each job under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from job.progress import Event

# Jobs that are fetched, or wait for a worker, have a line only where there is room.
NAME_WIDTH = 28


class Terminal(Console):
    """A terminal; where nobody reads any more, that is an error as elsewhere."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1."""
        raise BrokenPipeError


class Board:
    """Shows a batch's events."""

    def __init__(self, console: Console) -> None:
        """Show nothing yet."""
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._all: Any = None
        self._lines: dict[str, Any] = {}
        self._failed = 0

    def show(self, event: Event) -> None:
        """Move what the event is about."""
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
                what = f"{name}: {event['message']}" if name else event["message"]
                self._console.print(f"[yellow]warning:[/] {escape(what)}", soft_wrap=True)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()

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
