"""The result that the destination holds already: this run's, another's, or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from job import machine
from job.errors import ManifestError
from job.manifest.job import JobConfig
from job.result.failure import Failure
from job.result.fetched import InputResult
from job.result.result import (
    CARD_FILE,
    FAILURE_FILE,
    MANIFEST_FILE,
    PAGE_FILE,
    RESULT_FILE,
    Result,
)
from job.run.job_run import JobRun
from job.storage.backend import Fetched
from job.storage.destination import Destination

PAGES = (PAGE_FILE, CARD_FILE)
# What does not determine the outcome: names, places, and how checkpoints are saved.
ELSEWHERE: Any = {
    "name": True,
    "destination": True,
    "storage": True,
    "resume": True,
    "report": True,
    "model": {"uri", "sha256", "storage"},
    "dataset": {"uri", "sha256", "storage"},
}


def run_id(job: JobConfig, inputs: Mapping[str, InputResult]) -> str:
    """A digest of what determines the outcome: what is asked, of which inputs, with which
    versions; not the job's name, nor where inputs and outputs lie.

    Python's patch version does not count: it changes none of the bytes, and a new base image would
    have all work done again.
    """
    return outcome_digest(job, {name: it.sha256 for name, it in inputs.items()})


def outcome_digest(job: JobConfig, inputs: Mapping[str, str]) -> str:
    """The same, for inputs that are identified by something else than their SHA-256."""
    asked = job.model_dump(mode="json", exclude=ELSEWHERE)
    versions = machine.versions(job.libraries)
    versions["python"] = ".".join(versions["python"].split(".")[:2])
    text = json.dumps([asked, inputs, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(destination: Destination) -> Result | None:
    """The result that a destination holds; see ``parse``."""
    return parse(destination.read(RESULT_FILE), str(destination.place))


def parse(content: bytes | None, where: str) -> Result | None:
    """The result of a destination; None where there is none.

    Raises:
        ManifestError: Where paredown did not write it, or in another version: it is not known then
            which of the files beside it may be replaced.
    """
    if content is None:
        return None
    try:
        return Result.model_validate_json(content)
    except ValidationError:
        raise ManifestError(
            f"The destination holds a {RESULT_FILE} that can't be read: it was not created by "
            "paredown, or by another version.",
            where=where,
            hint="Choose another destination, or move that file and those that belong to it away; "
            "overwrite replaces only files that a run has written.",
        ) from None


def known_inputs(run: JobRun, there: Result | None) -> dict[str, InputResult] | None:
    """The inputs' digests, where the store or the earlier result has all of them.

    Raises:
        InputError: Where the manifest pins another digest.
    """
    before: Mapping[str, InputResult] = there.inputs if there else {}
    found = {name: it.known(before.get(name)) for name, it in run.inputs.items()}
    known = {name: it for name, it in found.items() if it is not None}
    return known if len(known) == len(found) else None


def fetched_inputs(run: JobRun, fetched: Mapping[str, Fetched]) -> dict[str, InputResult]:
    """The inputs' digests, once they are here.

    Raises:
        InputError: Where the manifest pins another digest.
    """
    return {name: asked.fetched(fetched[name]) for name, asked in run.inputs.items()}


def done(
    run: JobRun, there: Result | None, inputs: Mapping[str, InputResult] | None
) -> Result | None:
    """The result that is there, where it is complete and of this very run.

    Raises:
        ManifestError: Where the result is of another run, and may not be replaced.
    """
    if there is None or inputs is None:
        return None
    asked_id = run_id(run.job, inputs)
    refuse_another(there, asked_id, run.job, str(run.destination.place))
    if there.run_id != asked_id:
        return None
    if is_whole(there, run.destination):
        return there
    run.journal.warn("A file of the earlier result is missing or damaged: it is done again.")
    return None


def refuse_another(earlier: Result, asked_id: str, job: JobConfig, where: str) -> None:
    """Refuse to replace the result of another run, unless the manifest allows it.

    Args:
        earlier: The result that the destination holds.
        asked_id: The run_id of this run.
        job: The manifest.
        where: The destination.

    Raises:
        ManifestError: Where it is another run's, and may not be replaced.
    """
    if earlier.run_id == asked_id or job.destination.overwrite:
        return
    found = f"{earlier.name}, run_id {earlier.run_id[:12]}"
    raise ManifestError(
        f"The destination holds the results of another run ({found}).",
        where=where,
        hint='Choose another destination, or set "overwrite": true under destination.',
    )


def digests(result: Result) -> dict[str, tuple[int, str]]:
    """The files that a result names: name -> bytes and SHA-256."""
    named = {}
    for artifact in result.artifacts:
        named[artifact.path] = (artifact.bytes, artifact.sha256)
        named |= {it.path: (it.bytes, it.sha256) for it in artifact.encoded.values()}
        if (array := artifact.c_array) is not None:
            named[array.path] = (array.bytes, array.sha256)
    return named


def written(result: Result | None) -> set[str]:
    """All files of a result: the only ones that another run may replace or remove. Its pages are
    among them, also those of an earlier version: ``paredown report`` may have made them.
    """
    return set() if result is None else {*digests(result), *PAGES, MANIFEST_FILE, RESULT_FILE}


def of_failure(destination: Destination) -> list[str]:
    """The files that a run which failed has left there, the pages first; empty where there is no
    ``failure.json`` that paredown has written.
    """
    content = destination.read(FAILURE_FILE)
    return [] if parse_failure(content) is None else [*PAGES, FAILURE_FILE]


def parse_failure(content: bytes | None) -> Failure | None:
    """A recorded failure; None if the content is not one."""
    if content is None:
        return None
    try:
        return Failure.model_validate_json(content)
    except ValidationError:
        return None


def is_whole(result: Result, destination: Destination) -> bool:
    """Whether every file that the result names is there, with its digest."""
    return not destination.missing(digests(result))
