"""What a run remembers of its events: the running stage, whether anything was saved, the times."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from job.errors import InterruptedRunError
from job.events import Emit, Event


class Progress:
    """Hands events on to ``show``.

    Attributes:
        stage: The running stage.
        has_checkpoint: Whether a checkpoint was saved.
        waited_s: Seconds spent waiting for another run that wrote to the same destination.
        earlier_s: Seconds that earlier runs spent on what was restored.
    """

    def __init__(self, show: Emit) -> None:
        self._show = show
        self.stage = "fetch"
        self.has_checkpoint = False
        self.waited_s = 0.0
        self.earlier_s = 0.0
        self._waits_since: float | None = None

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """A run, from its first event on; an interruption says where it was."""
        self.show({"event": "run_started", "name": name})
        try:
            yield
        except InterruptedRunError as error:
            raise InterruptedRunError(error.number, self.stage, kept=self.has_checkpoint) from None

    def show(self, event: Event) -> None:
        """Take note of an event, and hand it on."""
        match event["event"]:
            case "stage_started":
                self.stage = event["stage"]
            case "stage_finished":
                self.earlier_s += event.get("earlier_s", 0.0)
            case "child_died":  # the stages start again, and nothing is restored
                self.earlier_s = 0.0
            case "kept":
                self.has_checkpoint |= bool(event["piece"])
        self._show(event)

    def warn(self, message: str) -> None:
        """Emit a warning."""
        self.show({"event": "warning", "message": message})

    def wait(self) -> None:
        """The destination is another run's for now."""
        self._waits_since = time.monotonic()
        self.warn("Another run is writing to this destination; this one waits for its end.")

    def go_on(self) -> None:
        """The destination is this run's."""
        if self._waits_since is not None:
            self.waited_s = time.monotonic() - self._waits_since
