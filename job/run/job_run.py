"""A run: what is asked, of which inputs, where the results go, and what has happened so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from job.errors import InterruptedRunError
from job.events import Emit, Event, Journal
from job.manifest.job import JobConfig
from job.result.result import StageResult
from job.run.inputs import Input, find_inputs
from job.run.supervisor import Children
from job.storage.backend import Stores
from job.storage.destination import Destination
from job.storage.place import Place, find_place

# The first stage, which is the parent's.
FETCH = "fetch"


class Progress:
    """Hands events on to ``show``, and remembers what the result or an error needs of them.

    Attributes:
        stage: The running stage.
        has_checkpoint: Whether a checkpoint was saved.
        waited_s: Seconds spent waiting for another run that wrote to the same destination.
        earlier_s: Seconds that earlier runs spent on what was restored.
        stages: Those that have ended.
        warnings: All so far.
    """

    def __init__(self, show: Emit) -> None:
        self._show = show
        self.stage = FETCH
        self.has_checkpoint = False
        self.waited_s = 0.0
        self.earlier_s = 0.0
        self.stages: list[StageResult] = []
        self.warnings: list[str] = []
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
                self._end(event, event["seconds"], event["decisions"])
            case "stage_skipped":
                self._end(event, 0.0, [f"skipped: {event['reason']}"])
            case "warning":
                self.warnings.append(event["message"])
            case "child_died":  # the stages start again, and nothing is restored
                self.earlier_s = 0.0
                self.stages = [stage for stage in self.stages if stage.name == FETCH]
                self.warnings.append(event["message"])
        self._show(event)

    def _end(self, event: Event, seconds: float, decisions: list[str]) -> None:
        ended = StageResult(name=event["stage"], seconds=seconds, decisions=decisions)
        self.stages.append(ended)

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
