"""What a run shows to programs: JSON lines."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from typing import TYPE_CHECKING, TextIO

from job.events import Event

if TYPE_CHECKING:
    from job.errors import ParedownError
    from job.report.screen import Table

# Progress is shown as JSON lines at most this often (seconds).
JSON_LINE_EVERY_S = 5.0


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
