"""Which settings of a store need files that a pod does not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.problems import Problem

# They say where profiles are, in an image that has some.
PROFILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def unusable(manifest: JobConfig | BatchConfig, env: Mapping[str, str]) -> list[Problem]:
    """The problems of all profiles and certificates that nothing in a pod can hold.

    Args:
        manifest: A valid manifest.
        env: The pod's variables.
    """
    written = manifest.model_dump(mode="json", exclude_unset=True)
    problems = []
    for path, storage in _storages(written, ""):
        profile, bundle = storage.get("profile"), storage.get("ca_bundle")
        if profile is not None and not any(name in env for name in PROFILES):
            message = (
                f"a pod has no AWS configuration with the profile {profile!r}; leave it out and "
                "give --secret or --service-account (or --env AWS_CONFIG_FILE=… of the image)"
            )
            problems.append(Problem(f"{path}.profile", message))
        if bundle is not None and not bundle.startswith("/"):
            message = (
                f"{bundle!r} is relative, and not in a pod; put it into the image and write its "
                "absolute path"
            )
            problems.append(Problem(f"{path}.ca_bundle", message))
    return problems


def _storages(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every section ``storage``, with its path, as it is written."""
    if isinstance(node, list):
        for number, entry in enumerate(node):
            yield from _storages(entry, f"{path}.{number}")
    elif isinstance(node, dict):
        for key, value in node.items():
            below = f"{path}.{key}".lstrip(".")
            if key == "storage" and isinstance(value, dict):
                yield below, value
            else:
                yield from _storages(value, below)
