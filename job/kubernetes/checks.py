"""What of a manifest can't work in a pod, which has the image's files and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from job.errors import ManifestError
from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.storage.place import Place, find_place, is_uri

# They locate AWS profiles, in an image that has some.
PROFILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


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
    inputs = _of_batch(manifest) if isinstance(manifest, BatchConfig) else _of_job(manifest)
    found = [(path, _input(uri, bucket)) for path, uri in inputs]
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


def _of_job(job: JobConfig) -> Iterator[tuple[str, str]]:
    yield "model.uri", job.model.uri
    if job.dataset is not None:
        yield "dataset.uri", job.dataset.uri


def _of_batch(batch: BatchConfig) -> Iterator[tuple[str, str]]:
    """As written, so that a URI in the defaults is reported once."""
    if batch.discover is not None:
        yield "discover.uri", batch.discover.uri
    yield from _written("defaults", batch.defaults)
    for number, entry in enumerate(batch.jobs):
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
