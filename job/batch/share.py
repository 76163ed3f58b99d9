"""Which jobs a shard does: the same at each attempt, and about as much work as every other shard's.

A shard's jobs are neighbours in a listing of the results, so that it lists no more than those.

Models may come and go while a Kubernetes Job runs, and its pods list them at different times; they
would then divide them differently, and a model would be done twice, or not at all. So the first pod
writes down what it has found, under the Job's id, and all pods follow that plan.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, NonNegativeInt, TypeAdapter, ValidationError

from job.batch.plan import Planned
from job.errors import InputError, ManifestError
from job.manifest.batch import BatchConfig, discovered
from job.manifest.fields import Name
from job.storage.destination import Notes

# What belongs to a batch beside its results, at the top and in each job's folder.
OWN = ".batch"
EXPANSION = f"{OWN}/jobs.json"
# The Job's id. Not set when a shard is started by hand: it then follows what it finds itself.
BATCH_ID = "PAREDOWN_BATCH_ID"
# The cost of a job whatever its model's size, as bytes of model.
EACH = 1 << 20
_SHARD = re.compile(r"^([0-9]{1,6})/([0-9]{1,6})$")
# Names, URIs of models, and their bytes.
_AGREED = TypeAdapter(list[tuple[Name, str, NonNegativeInt]])


class _Job(BaseModel):
    name: Name
    model: str


class _Expansion(BaseModel):
    name: Name
    jobs: list[_Job]


@dataclass(frozen=True)
class Shard:
    """One of several parts of a batch, counted from 0."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def share_out(
    planned: list[Planned], shard: Shard | None, notes: Notes, batch: BatchConfig
) -> tuple[list[Planned], dict[str, int]]:
    """The jobs, and the shard of each by its name; they are written beside the results.

    Raises:
        InputError: If the plan that the Job's pods follow can't be read.
    """
    batch_id = os.environ.get(BATCH_ID)
    if shard is not None and batch_id:
        planned = _agree(notes, batch_id, batch, planned)
    if shard is None or shard.number == 0:
        _write_expansion(notes, batch.name, planned, shard)
    sizes = {it.job.name: it.bytes for it in planned}
    return planned, share(sizes, shard.count if shard else 1)


def share(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Divide jobs, in the order of their folders, cut where a part is full.

    Args:
        sizes: The jobs' names, with their models' bytes.
        count: How many shards there are.

    Returns:
        The shard of each job, by its name, in the order of their folders; it depends only on the
        arguments. No shard has more than its part and one job.
    """
    total = sum(sizes.values()) + EACH * len(sizes)
    before, where = 0, {}
    for name in sorted(sizes, key=folder):
        weight = sizes[name] + EACH
        where[name] = (2 * before + weight) * count // (2 * total)  # by the middle of the job
        before += weight
    return where


def folder(name: str) -> str:
    """The folder of a job, as it begins its keys: ``a-b/`` comes before ``a/``."""
    return f"{name}/"


def find_shard(asked: str | None, environment: Mapping[str, str]) -> Shard | None:
    """The shard that is requested on the command line, or by Kubernetes.

    Args:
        asked: ``i/n``, from 0; None if not given.
        environment: ``JOB_COMPLETION_INDEX`` is set in an Indexed Job's pods, ``PAREDOWN_SHARDS``
            by the YAML of ``paredown kubernetes``.

    Raises:
        ManifestError: If it is not a shard.
    """
    index, count = environment.get("JOB_COMPLETION_INDEX"), environment.get("PAREDOWN_SHARDS")
    where = "--shard"
    if asked is None:
        if index is None:
            return None
        if count is None:
            raise ManifestError(
                "JOB_COMPLETION_INDEX is set, and PAREDOWN_SHARDS is not.",
                hint="Set it to the Job's completions; `paredown kubernetes` does.",
            )
        asked, where = f"{index}/{count}", "JOB_COMPLETION_INDEX/PAREDOWN_SHARDS"
    found = _SHARD.match(asked)
    if found is None or not int(found[1]) < int(found[2]):
        raise ManifestError(
            f"{asked!r} is no shard.",
            where=where,
            hint="Say i/n, from 0/n to (n-1)/n: --shard 0/4 is the first of four.",
        )
    return Shard(int(found[1]), int(found[2]))


def _agree(
    notes: Notes, batch_id: str, batch: BatchConfig, planned: list[Planned]
) -> list[Planned]:
    """The plan under the Job's id; this pod's own if there was none."""
    name = f"{OWN}/plan-{batch_id}.json"
    content = notes.read(name)
    if content is None:
        mine = [[it.job.name, it.job.model.uri, it.bytes] for it in planned]
        notes.create(name, json.dumps(mine, indent=0).encode())
        content = notes.read(name) or b""
    try:
        entries = _AGREED.validate_json(content)
    except ValidationError:
        raise InputError(
            "The plan that the Job's pods go by can't be read.",
            where=f"{notes.place}/{name}",
            hint="Remove it; the next pod writes it anew.",
        ) from None
    found = {(it.job.name, it.job.model.uri): it for it in planned}
    return [
        replace(found.get((job, uri)) or Planned(discovered(batch, job, uri), None), weight=size)
        for job, uri, size in entries
    ]


def _write_expansion(notes: Notes, name: str, jobs: Iterable[Planned], shard: Shard | None) -> None:
    document = {
        "schema_version": 1,
        "name": name,
        "shards": shard.count if shard else 1,
        "jobs": [
            {
                "name": it.job.name,
                "model": it.job.model.uri,
                "bytes": it.bytes,
                "manifest": it.job.model_dump(mode="json", exclude_unset=True),
            }
            for it in jobs
        ],
    }
    notes.write(EXPANSION, (json.dumps(document, indent=1) + "\n").encode())


def read_expansion(notes: Notes) -> tuple[str, dict[str, str]] | None:
    """The batch's name, and its jobs' models by their names; None if none was written."""
    content = notes.read(EXPANSION)
    if content is None:
        return None
    try:
        found = _Expansion.model_validate_json(content)
    except ValidationError:
        return None
    return found.name, {it.name: it.model for it in found.jobs}
