"""What a run shows on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from job.events import Event
from job.report.bars import (
    Board,
    RunConsole,
    fitting_table,
    metrics_note,
    search_note,
    stage_bars,
)
from job.text import printable

if TYPE_CHECKING:
    from job.errors import ParedownError
    from job.report.screen import Table


# The stage whose progress is trials.
SEARCH = "search"


class Terminal:
    """For people: a bar for each stage, with its time left and the current metrics."""

    def __init__(self) -> None:
        self._console = RunConsole(highlight=False)
        self._errors = RunConsole(stderr=True, highlight=False)
        self._bars = stage_bars(self._console)
        self._tasks: dict[str, Any] = {}
        self._last_words = ""
        self._board: Board | None = None

    def show(self, event: Event) -> None:
        """Move the bars; print warnings above them."""
        if event["event"] == "batch_started":
            self._board = Board(self._console)
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
        task = self._tasks[event["stage"]]
        fields: dict[str, Any] = {}
        if event["stage"] == SEARCH:
            elapsed = self._bars.tasks[self._bars.task_ids.index(task)].elapsed or 0
            fields["ends_at"] = elapsed + event["left_s"]
            note = search_note(event, self._console.width)
        else:
            metrics = {
                printable(key): value for key, value in event.items() if isinstance(value, float)
            }
            note = metrics_note(metrics, self._console.width)
        self._bars.update(task, completed=event["done"], total=event["total"], note=note, **fields)

    def _fill(self, task: Any) -> None:
        total = self._bars.tasks[self._bars.task_ids.index(task)].total or 1
        self._bars.update(task, total=total, completed=total)
        self._bars.stop_task(task)

    def _say(self, event: Event) -> None:
        if event["event"] == "stage_skipped":
            self._console.print(f"{event['stage']} is skipped: {plain_text(event['reason'])}")
        elif event["event"] in ("stage_resumed", "trial_started"):
            self._console.print(f"{event['stage']}: {plain_text(event['what'])}")
        elif event["event"] == "warning":
            self._warn(event["message"])
        elif event["event"] == "child_died":
            for task in self._tasks.values():  # the stages start over
                self._bars.remove_task(task)
            self._tasks.clear()
            self._warn(event["message"])

    def _warn(self, message: str) -> None:
        self._console.print(f"[yellow]warning:[/] {plain_text(message)}", soft_wrap=True)

    def table(self, table: Table) -> None:
        """Print a table."""
        self.close()
        plain = [[plain_text(cell) for cell in row] for row in [table.columns, *table.rows]]
        made, width = fitting_table(self._console, plain_text(table.title), plain, table.optional)
        # A narrow window wraps the lines; nothing is cut off.
        RunConsole(width=width, highlight=False).print(made)
        repeated = self._board.repeated() if self._board is not None else []
        for note in [*table.notes, *repeated, self._last_words]:
            self._console.print(plain_text(note), soft_wrap=True)

    def error(self, error: ParedownError) -> None:
        """Print the error on standard error."""
        self.close()
        self._errors.print(f"[red]error:[/] {plain_text(str(error))}", soft_wrap=True)

    def close(self) -> None:
        """Stop the bars."""
        self._bars.stop()
        if self._board is not None:
            self._board.stop()


def plain_text(text: str) -> str:
    """Text that rich does not take for markup, with control characters escaped."""
    return escape(printable(text))
