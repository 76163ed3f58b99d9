"""What the log of a batch tells of each job: when it was where, and how long each stage took."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = dict[str, Any]

# What TensorFlow's import takes at least (seconds); in a warm worker it is there already.
COLD_S = 0.5


@dataclass
class Job:
    """A job that was done, in seconds; times are since the epoch."""

    name: str
    begun: float = 0.0
    given: float = 0.0
    """When a worker began with it."""
    left: float = 0.0
    """When the worker was done with it."""
    ended: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def is_cold(self) -> bool:
        """Whether its worker was new."""
        return self.stages.get("import", 0.0) > COLD_S

    @property
    def in_parent_s(self) -> float:
        """Finding and fetching the inputs, publishing; not waiting for a worker."""
        found = self.stages.get("fetch", 0.0)
        return found + self.ended - self.left

    @property
    def in_worker_s(self) -> float:
        """From the task to the result."""
        return self.left - self.given

    def spent_in(self, stages: Iterable[str]) -> float:
        """Seconds of these stages."""
        return sum(self.stages.get(it, 0.0) for it in stages)


def read_events(output: str) -> list[Event]:
    """The events that ``--log json`` printed; a line that was cut off is passed over."""
    lines = output.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def jobs_of(events: Iterable[Event]) -> list[Job]:
    """The jobs that were done, in the order in which they ended."""
    jobs: dict[str, Job] = {}
    for it in events:
        if "job" in it:
            _note(jobs.setdefault(it["job"], Job(it["job"])), it)
    return sorted((it for it in jobs.values() if it.ended), key=lambda it: it.ended)


def _note(job: Job, it: Mapping[str, Any]) -> None:
    time = datetime.fromisoformat(it["time"]).timestamp()
    match it["event"], it.get("stage"):
        case "run_started", _:
            job.begun = time
        case "stage_started", "scan":
            job.given = time
        case "stage_started", "publish":
            job.left = time
        case "run_finished", _:
            job.ended = time
    if it["event"] == "stage_finished":
        job.stages[it["stage"]] = it["seconds"]
