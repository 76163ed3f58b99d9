"""What a batch keeps beside its jobs' results, so that the next run, or a summary, knows of them.

In a job's folder, next to its result: ``.batch/failure.json``, why it has none; or an empty file
``.batch/done-<status>-<asked>-<files>``, whose name says that the very files that are listed beside
it are the outcome of what was asked. So one listing tells what is done, and nothing has to be read.
At the top: ``.batch/jobs.json``, the jobs, as they were expanded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from job.batch.share import Shard, folder
from job.batch.summary import Failure
from job.manifest.fields import Name
from job.manifest.job import JobConfig
from job.result import RESULT_FILE
from job.run import earlier
from job.storage.backend import Found, Item
from job.storage.markers import Notes

OWN = ".batch"
FAILURE = f"{OWN}/failure.json"
EXPANSION = f"{OWN}/jobs.json"
_DONE = re.compile(
    rf"^{re.escape(OWN)}/done-(succeeded|gate_missed)-([0-9a-f]{{32}})-([0-9a-f]{{32}})$"
)


class _Job(BaseModel):
    name: Name
    model: str


class _Expansion(BaseModel):
    name: Name
    jobs: list[_Job]


@dataclass
class JobFolder:
    """What is listed in a job's folder."""

    files: list[Item] = field(default_factory=list)
    """Those of the result; not what is kept for resuming."""
    done: list[str] = field(default_factory=list)
    """The names of the marks that say so."""
    has_failed: bool = False

    @property
    def has_result(self) -> bool:
        """Whether there is a ``result.json``."""
        return any(it.name == RESULT_FILE for it in self.files)

    def status(self, asked: str) -> str | None:
        """The status of the result, where it is known to be whole, and of what is asked; and where
        no later run has failed.
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
        names: Of which jobs; their neighbours may be listed, too. Left out, of all that are there.
            One that is not listed, though it is there, is looked at by its own run.

    Returns:
        By the folder's name.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    between = sorted(map(folder, names))
    first, last = (between[0], between[-1]) if between else ("", "")
    # One folder alone is asked for by its name: its neighbours would fill a page.
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
    """What tells whether a job's outcome is still the one that is asked for.

    Args:
        job: The job.
        inputs: Its model and data set as they are listed.

    Returns:
        32 hexadecimal digits; None where an input has nothing that changes when its content does.
    """
    marks = {name: it.mark if it else None for name, it in inputs.items()}
    known = {name: mark for name, mark in marks.items() if mark is not None}
    return earlier.outcome_digest(job, known)[:32] if len(known) == len(marks) else None


def mark_done(notes: Notes, name: str, status: str, asked: str | None) -> None:
    """Keep that a job is done, with the files that its folder has now; ``asked`` is what
    ``asked_digest`` says.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    there = look(notes, [name]).get(name, JobFolder())
    if there.has_failed:
        notes.remove(f"{name}/{FAILURE}")
    if asked is None or any(it.etag is None for it in there.files):
        return  # nothing tells them from others but their content
    new = f"{OWN}/done-{status}-{asked}-{_digest(there.files)}"
    if new not in there.done:
        notes.write(f"{name}/{new}", b"")
    for old in there.done:
        if old != new:
            notes.remove(f"{name}/{old}")


def mark_failed(notes: Notes, failure: Failure) -> None:
    """Keep why a job has no result.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    content = failure.model_dump_json(indent=2) + "\n"
    notes.write(f"{failure.name}/{FAILURE}", content.encode())


def write_expansion(
    notes: Notes, name: str, jobs: Iterable[tuple[JobConfig, int]], shard: Shard | None
) -> None:
    """Write the batch's jobs beside the results.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    document = {
        "schema_version": 1,
        "name": name,
        "shards": shard.count if shard else 1,
        "jobs": [
            {
                "name": job.name,
                "model": job.model.uri,
                "bytes": size,
                "manifest": job.model_dump(mode="json", exclude_unset=True),
            }
            for job, size in jobs
        ],
    }
    notes.write(EXPANSION, (json.dumps(document, indent=1) + "\n").encode())


def read_expansion(notes: Notes) -> tuple[str, dict[str, str]] | None:
    """The batch's name, and its jobs' models by their names; None where none was written.

    Raises:
        InputError: Where access is denied.
        StorageError: Where the storage fails.
    """
    content = notes.read(EXPANSION)
    if content is None:
        return None
    try:
        found = _Expansion.model_validate_json(content)
    except ValidationError:
        return None
    return found.name, {it.name: it.model for it in found.jobs}


def _digest(files: Iterable[Item]) -> str:
    lines = sorted(f"{it.name} {it.bytes} {it.etag}\n" for it in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]
