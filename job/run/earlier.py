"""What the destination holds already: this run's result, another's, or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from job import machine
from job.errors import ManifestError
from job.manifest.job import JobConfig
from job.result import MANIFEST_FILE, RESULT_FILE, InputResult, Result
from job.storage.destination import Destination

# What does not determine the outcome: names and places, and how a run is kept.
ELSEWHERE: Any = {
    "name": True,
    "destination": True,
    "storage": True,
    "resume": True,
    "model": {"uri", "sha256", "storage"},
    "dataset": {"uri", "sha256", "storage"},
}


def run_id(job: JobConfig, inputs: Mapping[str, InputResult]) -> str:
    """A digest of what determines the outcome: what is asked, of which inputs, with which
    versions; not the job's name, nor where inputs and outputs lie.

    Of Python's version only 3.11: a patch changes none of the bytes, and a base image that is made
    anew would have all work done again.
    """
    return outcome_digest(job, {name: it.sha256 for name, it in inputs.items()})


def outcome_digest(job: JobConfig, inputs: Mapping[str, str]) -> str:
    """The same, of inputs that are known by something else than their SHA-256."""
    asked = job.model_dump(mode="json", exclude=ELSEWHERE)
    versions = machine.versions(job.libraries)
    versions["python"] = ".".join(versions["python"].split(".")[:2])
    text = json.dumps([asked, inputs, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parse(content: bytes | None, where: str) -> Result | None:
    """The result that a destination holds; None where there is none.

    Raises:
        ManifestError: Where it is none of ours, or of another version: which of the files beside it
            are a run's, and may be replaced, can't be known then.
    """
    if content is None:
        return None
    try:
        return Result.model_validate_json(content)
    except ValidationError:
        raise ManifestError(
            f"The destination holds a {RESULT_FILE} that can't be read: it is somebody else's, or "
            "of another version.",
            where=where,
            hint="Choose another destination, or move that file and those that belong to it away; "
            "overwrite replaces nothing but what a run has written.",
        ) from None


def refuse_another(earlier: Result, asked_id: str, job: JobConfig, where: str) -> None:
    """Keep the result of another run, unless the manifest allows to replace it.

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
    return named


def written(result: Result | None) -> set[str]:
    """All files of a result: the only ones that another run may replace or remove."""
    return set() if result is None else {*digests(result), MANIFEST_FILE, RESULT_FILE}


def is_whole(result: Result, destination: Destination) -> bool:
    """Whether every file that the result names is there, with its digest."""
    return not destination.missing(digests(result))
