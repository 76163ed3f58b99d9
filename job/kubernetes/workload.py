"""What is rendered: all that the Job and its pods take from the manifest and the options.

A manifest may hold what can't work in a pod, which has the image's files and no others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from job import __version__
from job.errors import ManifestError
from job.kubernetes.options import RETRIES_PER_INDEX, SHARDS, Options
from job.kubernetes.parse import MANIFEST_DIGEST, dns_label, label_value
from job.manifest.batch import BatchConfig, discovered, expand
from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.storage.place import Place, find_place, is_uri

MOUNT = "/manifest"
FILE = "manifest.json"
# From the last checkpoint to the end of the process; and the default of Kubernetes.
AFTER_GRACE_S = 10
LEAST_GRACE_S = 30
# They locate AWS profiles, in an image that has some.
PROFILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@dataclass(frozen=True)
class Shards:
    """How a batch is divided: each completion of the Job is a shard."""

    count: int
    parallelism: int
    retries: int
    """For each shard."""


@dataclass(frozen=True)
class Workload:
    """A manifest that can run in a pod, and how."""

    options: Options
    name: str
    """The Job's name."""
    manifest: str
    """The argument of ``paredown run``: a path in the pod, or an ``s3://`` URI."""
    sha256: str
    """Of the manifest's text."""
    config_map: str | None
    """The name of the ConfigMap that holds the manifest; None if it is in a bucket."""
    grace_s: int
    """Seconds from SIGTERM to SIGKILL."""
    shards: Shards | None
    """None for a single job."""

    def metadata(self, name: str | None) -> dict[str, Any]:
        """The metadata of an object, with the digest of the manifest that it was made from."""
        return {
            "name": name,
            **({"namespace": self.options.namespace} if self.options.namespace else {}),
            "labels": self.labels(),
            "annotations": {MANIFEST_DIGEST: self.sha256, **self.options.annotation},
        }

    def labels(self) -> dict[str, str]:
        """The standard labels, then those of the command line."""
        standard = {
            "name": "paredown",
            "instance": self.name,
            "version": label_value(__version__),
            "component": "batch" if self.shards else "job",
            "managed-by": "paredown",
        }
        labels = {f"app.kubernetes.io/{name}": value for name, value in standard.items()}
        return labels | dict(self.options.label)


def plan_workload(
    manifest: JobConfig | BatchConfig,
    text: str,
    uri: str | None,
    options: Options,
    notes: list[str],
) -> Workload:
    """Plan the Job of a manifest.

    Args:
        manifest: The manifest.
        text: Its text.
        uri: Its URI if it is in a bucket.
        options: What the command line asks for.
        notes: What the user should know is appended.

    Raises:
        ManifestError: If an option does not fit the manifest's kind.
    """
    shards = _shards(manifest, options, notes)
    name = dns_label(manifest.name if options.name is None else options.name)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Workload(
        options=options,
        name=name,
        manifest=f"{MOUNT}/{FILE}" if uri is None else uri,
        sha256=sha256,
        config_map=f"{name}-{sha256[:10]}" if uri is None else None,
        grace_s=_grace(manifest),
        shards=shards,
    )


def problems_in_a_pod(
    manifest: JobConfig | BatchConfig, bucket: Place | None, env: Mapping[str, str]
) -> list[Problem]:
    """The problems of all URIs, AWS profiles and certificates.

    Args:
        manifest: A valid manifest.
        bucket: The folder in a bucket that relative URIs are relative to; None if the manifest is
            in a ConfigMap.
        env: The pod's environment variables.
    """
    found = [(path, _input(uri, bucket)) for path, uri in _inputs(manifest)]
    found.append(("destination.uri", _destination(manifest.destination.uri, bucket)))
    for path, storage in _storages(manifest.model_dump(mode="json", exclude_unset=True), ""):
        profile, bundle = storage.get("profile"), storage.get("ca_bundle")
        if profile is not None and not any(name in env for name in PROFILES):
            message = (
                f"a pod has no AWS configuration with the profile {profile!r}; leave it out and "
                "give --secret or --service-account (or --env AWS_CONFIG_FILE=… of the image)"
            )
            found.append((f"{path}.profile", message))
        if bundle is not None and not bundle.startswith("/"):
            message = (
                f"{bundle!r} is relative, and not in a pod; put it into the image and write its "
                "absolute path"
            )
            found.append((f"{path}.ca_bundle", message))
    return [Problem(path, message) for path, message in found if message]


def _grace(manifest: JobConfig | BatchConfig) -> int:
    """Enough for the last checkpoint of the job that takes longest."""
    if isinstance(manifest, JobConfig):
        jobs = [manifest]
    else:
        jobs = expand(manifest)
        if manifest.discover is not None:
            jobs.append(discovered(manifest, "discovered", manifest.discover.uri))
    longest = max((job.resume.grace_s for job in jobs if job.resume is not None), default=0.0)
    return max(LEAST_GRACE_S, math.ceil(longest) + AFTER_GRACE_S)


def _shards(manifest: JobConfig | BatchConfig, options: Options, notes: list[str]) -> Shards | None:
    if isinstance(manifest, JobConfig):
        for option in ("shards", "parallelism", "retries_per_index"):
            _is_for_a(option, getattr(options, option), "batch", "this manifest is a job")
        return None
    _is_for_a("retries", options.retries, "job", "a batch has --retries-per-index")
    count = options.shards
    if count is None and manifest.discover is not None:
        count = SHARDS
        notes.append(
            f"How many models there are is not known yet: {count} shards; --shards says otherwise."
        )
    elif count is None:
        count = min(len(manifest.jobs), SHARDS)
    if manifest.discover is None and count > len(manifest.jobs):
        notes.append(
            f"The batch has {len(manifest.jobs)} jobs: of {count} shards some will have none."
        )
    parallelism = count if options.parallelism is None else options.parallelism
    if parallelism > count:
        raise ManifestError(
            f"--parallelism is {parallelism}, but there are {count} shards.",
            hint=f"Give at most {count}, or more --shards.",
        )
    retries = options.retries_per_index
    return Shards(count, parallelism, RETRIES_PER_INDEX if retries is None else retries)


def _is_for_a(option: str, value: int | None, kind: str, reason: str) -> None:
    if value is not None:
        raise ManifestError(
            f"--{option.replace('_', '-')} is for a {kind}: {reason}.", hint="Leave it out."
        )


def _inputs(manifest: JobConfig | BatchConfig) -> Iterator[tuple[str, str]]:
    """Those of a batch as written, so that a URI in the defaults is reported once."""
    if isinstance(manifest, JobConfig):
        yield "model.uri", manifest.model.uri
        yield "dataset.uri", manifest.dataset.uri
        return
    if manifest.discover is not None:
        yield "discover.uri", manifest.discover.uri
    yield from _written("defaults", manifest.defaults)
    for number, entry in enumerate(manifest.jobs):
        yield from _written(f"jobs.{number}", entry)


def _written(path: str, part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section in ("model", "dataset"):
        uri = part[section].get("uri") if isinstance(part.get(section), dict) else None
        if isinstance(uri, str):
            yield f"{path}.{section}.uri", uri


def _storages(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every section ``storage`` as written, with its path."""
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


def _input(uri: str, bucket: Place | None) -> str:
    """The problem of an input; empty if there is none."""
    if _is_relative(uri) and (bucket is None or uri.startswith("~")):
        return (
            f"{uri!r} is relative, and in a pod nothing lies beside the manifest; upload it and "
            "write s3://bucket/key (https:// and absolute paths in the image work too)"
        )
    return _malformed(uri, bucket)


def _destination(uri: str, bucket: Place | None) -> str:
    relative = _is_relative(uri)
    if (relative and (bucket is None or uri.startswith("~"))) or uri.startswith(("/", "file:")):
        return f"{uri!r} is on the pod's own disk and lost with it; write s3://bucket/prefix"
    return _malformed(uri, bucket)


def _is_relative(uri: str) -> bool:
    return not is_uri(uri) and not uri.startswith("/")


def _malformed(uri: str, bucket: Place | None) -> str:
    try:
        find_place(uri, bucket or Place("file", "/"))
    except ManifestError as error:
        return f"{error.what} {error.hint}".strip()
    return ""
