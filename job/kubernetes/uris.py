"""Which URIs of a manifest can't work in a pod, which has the image's files and none beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from job.errors import ManifestError
from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.storage.place import Place, find_place, is_uri


def unreachable(manifest: JobConfig | BatchConfig, bucket: Place | None) -> list[Problem]:
    """The problems of all URIs that name nothing in a pod, or what is lost with it.

    Args:
        manifest: A valid manifest.
        bucket: The folder in a bucket that relative URIs are relative to; None where the manifest
            is in a ConfigMap.
    """
    inputs = _of_batch(manifest) if isinstance(manifest, BatchConfig) else _of_job(manifest)
    found = [(path, _input(uri, bucket)) for path, uri in inputs]
    found.append(("destination.uri", _destination(manifest.destination.uri, bucket)))
    return [Problem(path, message) for path, message in found if message]


def _of_job(job: JobConfig) -> Iterator[tuple[str, str]]:
    yield "model.uri", job.model.uri
    yield "dataset.uri", job.dataset.uri


def _of_batch(batch: BatchConfig) -> Iterator[tuple[str, str]]:
    """As they are written: one in the defaults is told once."""
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


def _input(uri: str, bucket: Place | None) -> str:
    """What is wrong with it; nothing if it is empty."""
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
