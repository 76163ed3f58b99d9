"""What the destination holds already: this run's result, another's, or none."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from job import machine
from job.errors import ManifestError
from job.manifest.job import JobConfig
from job.result import InputResult, Result
from job.store.destination import Destination

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
    """
    return outcome_digest(job, {name: it.sha256 for name, it in inputs.items()})


def outcome_digest(job: JobConfig, inputs: Mapping[str, str]) -> str:
    """The same, of inputs that are known by something else than their SHA-256."""
    asked = job.model_dump(mode="json", exclude=ELSEWHERE)
    text = json.dumps([asked, inputs, machine.versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parse(content: bytes | None) -> Result | None:
    """A result; None where the content is none of this version."""
    with contextlib.suppress(ValidationError):
        return None if content is None else Result.model_validate_json(content)
    return None


def refuse_another(earlier: Result | None, asked_id: str, job: JobConfig, where: str) -> None:
    """Keep the result of another run, unless the manifest allows to replace it.

    Args:
        earlier: The result that the destination holds; None where it is of another version.
        asked_id: The run_id of this run.
        job: The manifest.
        where: The destination.

    Raises:
        ManifestError: Where the destination holds one.
    """
    if (earlier is not None and earlier.run_id == asked_id) or job.destination.overwrite:
        return
    found = f"{earlier.name}, run_id {earlier.run_id[:12]}" if earlier else "of another version"
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


def is_whole(result: Result, destination: Destination) -> bool:
    """Whether every file that the result names is there, with its digest."""
    return not destination.missing(digests(result))
