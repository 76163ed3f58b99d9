"""A run: what is asked, of which inputs, where the results go, and who is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from job.events import Journal
from job.manifest.job import JobConfig
from job.run.inputs import Input, find_inputs
from job.run.progress import Progress
from job.run.supervisor import Children
from job.storage.destination import Destination, open_destination
from job.storage.place import Place, find_place
from job.storage.stores import Stores


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
    """Find the inputs and the destination.

    Raises:
        ParedownError: Where an input is missing, or nothing can be written to the destination.
    """
    started = time.time()
    journal = Journal(progress.show)
    stores = Stores(journal.warn)
    inputs = find_inputs(job, base, stores)
    storage = job.destination.storage or job.storage
    destination = open_destination(find_place(job.destination.uri, base), stores, storage)
    return JobRun(job, progress, journal, stores, inputs, destination, started, children)
