"""A run: what is asked, of which inputs, where the results go, and what has happened so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from job.errors import InterruptedRunError
from job.events import Emit, Event, Journal
from job.manifest.job import JobConfig
from job.run.inputs import Input, find_inputs
from job.run.supervisor import Children
from job.storage.backend import Stores
from job.storage.destination import Destination
from job.storage.place import Place, find_place


class Progress:
    """Hands events on to ``show``, and remembers what the result or an error needs of them.

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
        """The progress of a job; an interruption reports the running stage."""
        self.show({"event": "run_started", "name": name})
        try:
            yield
        except InterruptedRunError as error:
            raise InterruptedRunError(
                error.number, self.stage, has_checkpoint=self.has_checkpoint
            ) from None

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


@dataclass(frozen=True)
class JobRun:
    """A run whose inputs and destination were found."""

    job: JobConfig
    progress: Progress
    journal: Journal
    stores: Stores
    inputs: Mapping[str, Input]
    destination: Destination
    started: float
    """Seconds since the epoch."""
    children: Children

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """The destination is this run's, once no other run writes to it."""
        with self.destination.claimed(self.progress.wait):
            self.progress.go_on()
            yield


def find(job: JobConfig, base: Place, progress: Progress, children: Children) -> JobRun:
    """Find the inputs and the destination."""
    started = time.time()
    journal = Journal(progress.show)
    stores = Stores(journal.warn)
    inputs = find_inputs(job, base, stores)
    storage = job.destination.storage or job.storage
    place = find_place(job.destination.uri, base)
    destination = Destination(place, stores.backend(place, storage), journal.warn)
    return JobRun(job, progress, journal, stores, inputs, destination, started, children)
