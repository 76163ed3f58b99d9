"""Which jobs a shard does: the same at each try, and about as much work as every other's.

A shard's jobs are neighbours in a listing of the results, so that it reads no more of it than that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from job.errors import ManifestError

# What a job takes whatever its model's size, told in bytes of model.
EACH = 1 << 20
_SHARD = re.compile(r"^([0-9]{1,6})/([0-9]{1,6})$")


@dataclass(frozen=True)
class Shard:
    """One of several shares of a batch, counted from 0."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def share(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Share jobs out, in the order of their folders, cut where a share is full.

    Args:
        sizes: The jobs' names, with their models' bytes.
        count: How many shards there are.

    Returns:
        The shard of each job, by its name, in the order of their folders; it depends on nothing
        else than the arguments. No shard has more than its part and one job.
    """
    total = sum(sizes.values()) + EACH * len(sizes)
    before, where = 0, {}
    for name in sorted(sizes, key=folder):
        weight = sizes[name] + EACH
        where[name] = (2 * before + weight) * count // (2 * total)  # by the job's middle
        before += weight
    return where


def folder(name: str) -> str:
    """The folder of a job, as it begins its keys: ``a-b/`` comes before ``a/``."""
    return f"{name}/"


def find_shard(asked: str | None, environment: Mapping[str, str]) -> Shard | None:
    """The shard that is asked for on the command line, or by Kubernetes.

    Args:
        asked: ``i/n``, from 0; None where nothing is said.
        environment: ``JOB_COMPLETION_INDEX`` is set in an Indexed Job's pods, ``PAREDOWN_SHARDS``
            by the YAML of ``paredown kubernetes``.

    Raises:
        ManifestError: Where it is none.
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
