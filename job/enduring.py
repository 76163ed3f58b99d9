"""A screen that a full disk does not stop: the work matters more than how it is shown.

Standard output may be a file on a disk that fills up while a run trains for hours. The run goes on
without being shown, its results are published, and the exit code tells that the log is not whole. A
reader that goes away (``| head``) is another matter: it is a signal to stop.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence

import typer

from job import output
from job.errors import ParedownError
from job.progress import Event, Screen


class EnduringScreen:
    """Shows what another screen shows, as long as that one can.

    Attributes:
        lost: Why it no longer can; None where it can.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.lost: OSError | None = None

    def show(self, event: Event) -> None:
        """Show an event."""
        self._try(lambda: self._screen.show(event))

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        notes: Sequence[str],
        optional: Sequence[str] = (),
    ) -> None:
        """Show the closing table, and the notes under it; ``optional`` ones where they fit."""
        self._try(lambda: self._screen.table(title, columns, rows, notes, optional))

    def error(self, error: ParedownError) -> None:
        """Show the error; where standard output is lost, on standard error alone."""
        if self.lost is None:
            self._try(lambda: self._screen.error(error))
        if self.lost is not None:
            with contextlib.suppress(OSError):
                typer.echo(f"error: {error}", err=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._try(self._screen.close)

    def end(self, code: int) -> int:
        """The exit code of a command that would end with ``code``: where that is 0 and output is
        lost, what the loss means; it is reported on standard error.
        """
        self._try(sys.stdout.flush)
        if self.lost is None or code:
            return code
        error = output.failure(
            self.lost, "The run went on, and its results are published; only its log is not whole."
        )
        self.error(error)
        return error.exit_code

    def _try(self, act: Callable[[], None]) -> None:
        if self.lost is not None:
            return
        try:
            act()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.lost = error
            output.forget()
