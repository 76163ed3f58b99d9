"""What a batch records beside its jobs' results, and which jobs are done according to that.

In a job's folder, next to its result: ``.batch/failure.json``, why it has none; or an empty file
``.batch/done-<status>-<asked>-<files>``, whose name says that the very files that are listed beside
it are the outcome of what was asked. So one LIST identifies the finished jobs, and nothing is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from job.batch.plan import Planned
from job.batch.share import OWN, folder
from job.errors import ParedownError
from job.manifest.job import JobConfig
from job.result.failure import Failure
from job.result.result import FAILURE_FILE, PAGE_FILE, RESULT_FILE
from job.run import earlier
from job.run.inputs import find_data
from job.storage.backend import Found, Item, Stores
from job.storage.destination import Notes
from job.storage.place import Place

FAILURE = f"{OWN}/failure.json"
_DONE = re.compile(
    rf"^{re.escape(OWN)}/done-(succeeded|gate_missed)-([0-9a-f]{{32}})-([0-9a-f]{{32}})$"
)


@dataclass
class JobFolder:
    """What is listed in a job's folder."""

    files: list[Item] = field(default_factory=list)
    """Those of the result; no checkpoints."""
    done: list[str] = field(default_factory=list)
    """The names of the marks that it is done."""
    has_failed: bool = False

    @property
    def has_result(self) -> bool:
        """Whether there is a ``result.json``."""
        return any(it.name == RESULT_FILE for it in self.files)

    @property
    def has_page(self) -> bool:
        """Whether there is a ``report.html`` of the result, or of the failure."""
        names = {it.name for it in self.files}
        # Beside the result of an earlier run a failure has no page.
        of = (FAILURE_FILE,) if self.has_failed else (RESULT_FILE, FAILURE_FILE)
        return PAGE_FILE in names and not names.isdisjoint(of)

    def status(self, asked: str) -> str | None:
        """The status of the result, if it is known to be complete and the outcome of what is asked,
        and no later run has failed.
        """
        if self.has_failed:
            return None
        for name in self.done:
            found = _DONE.match(name)
            if found and found[2] == asked and found[3] == _digest(self.files):
                return found[1]
        return None


def look(notes: Notes, names: Iterable[str] = ()) -> dict[str, JobFolder]:
    """List the folders of jobs: one request for a thousand files.

    Args:
        notes: The batch's destination.
        names: Of which jobs; their neighbours may be listed, too. Empty for all that are there. If
            one is missing from the listing, its own run checks.

    Returns:
        By the folder's name.
    """
    between = sorted(map(folder, names))
    first, last = (between[0], between[-1]) if between else ("", "")
    # A single folder is listed by its name: its neighbours would fill a page.
    there = notes.files(first) if first == last else notes.files(first=first, last=last)
    found: dict[str, JobFolder] = {}
    for item in there:
        name, _, rest = item.name.partition("/")
        if not rest:
            continue
        job = found.setdefault(name, JobFolder())
        if rest == FAILURE:
            job.has_failed = True
        elif _DONE.match(rest):
            job.done.append(rest)
        elif "/" not in rest:
            job.files.append(Item(rest, item.place, item.bytes, item.etag))
    return found


def asked_digest(job: JobConfig, inputs: Mapping[str, Found | None]) -> str | None:
    """Identifies what a job is asked to make, and of which inputs.

    Args:
        job: The job.
        inputs: Its model and data set as they are listed.

    Returns:
        32 hexadecimal digits; None if an input has nothing that changes with its content.
    """
    marks = {name: it.mark if it else None for name, it in inputs.items()}
    known = {name: mark for name, mark in marks.items() if mark is not None}
    return earlier.outcome_digest(job, known)[:32] if len(known) == len(marks) else None


def mark_done(notes: Notes, name: str, status: str, asked: str | None) -> None:
    """Record that a job is done, with the files that its folder has now; ``asked`` is the job's
    ``asked_digest``.
    """
    there = look(notes, [name]).get(name, JobFolder())
    if there.has_failed:
        notes.remove(f"{name}/{FAILURE}")
    if asked is None or any(it.etag is None for it in there.files):
        return  # only their content identifies them
    new = f"{OWN}/done-{status}-{asked}-{_digest(there.files)}"
    if new not in there.done:
        notes.write(f"{name}/{new}", b"")
    for old in there.done:
        if old != new:
            notes.remove(f"{name}/{old}")


def mark_failed(notes: Notes, failure: Failure) -> None:
    """Record why a job has no result."""
    content = failure.model_dump_json(indent=2) + "\n"
    notes.write(f"{failure.name}/{FAILURE}", content.encode())


@dataclass(frozen=True)
class Due:
    """A job that has to be run."""

    planned: Planned
    data: Found | None
    """Its data set, as found when the batch began; None if it can't be found: the job itself will
    report why.
    """

    @property
    def job(self) -> JobConfig:
        """Its manifest."""
        return self.planned.job

    @property
    def listed(self) -> dict[str, Found | None]:
        """Its inputs, as listed."""
        model = self.planned.model
        listed = {"model": Found(model.place, (model,)) if model else None}
        return listed if self.job.dataset is None else listed | {"dataset": self.data}

    @property
    def asked(self) -> str | None:
        """Its ``asked_digest``."""
        return asked_digest(self.job, self.listed)


def sort_out(
    mine: list[Planned], notes: Notes, base: Place, stores: Stores
) -> tuple[list[Due], list[tuple[JobConfig, str]]]:
    """The jobs to run, the largest first; and those that are done, each with its status.

    In a bucket, one LIST identifies the finished jobs; otherwise each job checks for itself.

    Args:
        mine: The jobs.
        notes: The batch's destination.
        base: The folder that relative URIs are relative to.
        stores: Where data sets are.
    """
    there = look(notes, [it.job.name for it in mine]) if notes.place.scheme == "s3" else {}
    data: dict[object, Found | None] = {}
    due: list[Due] = []
    done: list[tuple[JobConfig, str]] = []
    for it in sorted(mine, key=lambda planned: (-planned.bytes, planned.job.name)):
        dataset = it.job.dataset
        key = (dataset.uri, dataset.storage or it.job.storage) if dataset else None
        if key not in data:
            data[key] = _find_data(it.job, base, stores)
        job, listed = Due(it, data[key]), there.get(it.job.name)
        asked = job.asked if listed else None
        status = listed.status(asked) if listed and asked else None
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


def _digest(files: Iterable[Item]) -> str:
    # A page that is made again does not make the job due again.
    of_work = (it for it in files if it.name not in earlier.PAGES)
    lines = sorted(f"{it.name} {it.bytes} {it.etag}\n" for it in of_work)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]
