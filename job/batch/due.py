"""Which jobs of a batch are to be run, and which are done: told by listings, not job by job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from job.batch.plan import Planned
from job.batch.records import JobFolder, asked_digest
from job.errors import ParedownError
from job.manifest.job import JobConfig
from job.run.inputs import find_data
from job.storage.backend import Found, Stores
from job.storage.place import Place


@dataclass(frozen=True)
class Due:
    """A job that has to be run."""

    planned: Planned
    data: Found | None
    """Its data set, as it was found when the batch began; None where it can't be found: the job
    itself will tell why.
    """

    @property
    def job(self) -> JobConfig:
        """Its manifest."""
        return self.planned.job

    @property
    def listed(self) -> dict[str, Found | None]:
        """Its inputs, as they were listed."""
        model = self.planned.model
        return {"model": Found(model.place, (model,)) if model else None, "dataset": self.data}

    @property
    def asked(self) -> str | None:
        """What tells whether a result is still the one that is asked for; see ``asked_digest``."""
        return asked_digest(self.job, self.listed)


def sort_out(
    mine: list[Planned], there: Mapping[str, JobFolder], base: Place, stores: Stores
) -> tuple[list[Due], list[tuple[JobConfig, str]]]:
    """What is to be run, the largest first; and what is done, with its status.

    Args:
        mine: The jobs.
        there: What is listed in their folders.
        base: The folder that relative URIs are relative to.
        stores: Where data sets are.
    """
    data: dict[object, Found | None] = {}
    due: list[Due] = []
    done: list[tuple[JobConfig, str]] = []
    for it in sorted(mine, key=lambda it: (-it.bytes, it.job.name)):
        key = (it.job.dataset.uri, it.job.dataset.storage or it.job.storage)
        if key not in data:
            data[key] = _find_data(it.job, base, stores)
        job, folder = Due(it, data[key]), there.get(it.job.name)
        asked = job.asked if folder else None
        status = folder.status(asked) if folder and asked else None
        if status is None:
            due.append(job)
        else:
            done.append((it.job, status))
    return due, done


def _find_data(job: JobConfig, base: Place, stores: Stores) -> Found | None:
    try:
        return find_data(job, base, stores)
    except ParedownError:
        return None
