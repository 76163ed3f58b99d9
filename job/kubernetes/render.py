"""A manifest and options -> YAML for ``kubectl apply -f -``. The same ones give the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from job.errors import ManifestError
from job.kubernetes.image import image_warnings
from job.kubernetes.job import DEFAULT_RETRIES_PER_INDEX, job
from job.kubernetes.options import Options
from job.kubernetes.plan import DEFAULT_SHARDS, FILE, Plan, Shards, make_plan
from job.kubernetes.stores import unusable
from job.kubernetes.uris import unreachable
from job.kubernetes.yaml_text import yaml_text
from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.storage.place import Place

# A ConfigMap holds 1 MiB, with its names and labels.
MAX_CONFIG_MAP_BYTES = 900_000
# `kubectl apply` keeps what it applied in an annotation, and annotations hold 256 KiB; as JSON in
# JSON, quotes and line feeds count twice.
MAX_APPLIED_BYTES = 262_144


@dataclass(frozen=True)
class Rendered:
    """What is printed."""

    text: str
    """YAML."""
    notes: list[str]
    """What whoever applies it should know."""
    warnings: list[str]
    """What is likely to go wrong in the cluster."""


def render(
    manifest: JobConfig | BatchConfig, text: str, source: Place | None, options: Options
) -> Rendered:
    """Render a manifest.

    Args:
        manifest: The manifest, valid.
        text: Its text, as it was written.
        source: Where it was read from; None for standard input. One in a bucket is read there
            again, others are put in a ConfigMap.
        options: What the command line says.

    Raises:
        ManifestError: Where it can't work in a pod, or options do not fit its kind.
    """
    bucket = source if source is not None and source.scheme == "s3" else None
    problems = unreachable(manifest, None if bucket is None else bucket.folder)
    problems += unusable(manifest, options.env)
    if problems:
        raise _refusal(problems, source)
    notes: list[str] = []
    shards = _shards(manifest, options, notes)
    plan = make_plan(
        manifest,
        text,
        uri=None if bucket is None else str(bucket),
        shards=shards,
        name=manifest.name if options.name is None else options.name,
    )
    documents = [job(plan, options)]
    if plan.config_map is not None:
        _check_size(text, notes)
        documents.insert(0, _config_map(plan, text, options))
    return Rendered(yaml_text(documents), notes, image_warnings(options.image))


def _refusal(problems: list[Problem], source: Place | None) -> ManifestError:
    lines = "\n".join(f"  {problem}" for problem in problems)
    return ManifestError(
        f"The manifest can't work in a pod:\n{lines}",
        where="standard input" if source is None else str(source),
        hint="Change these, or upload the manifest beside its files and give its s3:// URI.",
    )


def _config_map(plan: Plan, text: str, options: Options) -> dict[str, Any]:
    """Its name has a digest of what is in it, so that it never needs to change."""
    metadata: dict[str, Any] = {"name": plan.config_map}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    metadata |= {"labels": plan.labels(options), "annotations": plan.annotations(options)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {FILE: text},
    }


def _check_size(text: str, notes: list[str]) -> None:
    size = len(text.encode())
    if size > MAX_CONFIG_MAP_BYTES:
        raise ManifestError(
            f"The manifest has {size:,} bytes, and a ConfigMap holds {MAX_CONFIG_MAP_BYTES:,}.",
            hint="Upload it to a bucket and give its URI: paredown kubernetes s3://bucket/key …",
        )
    if size + text.count('"') + text.count("\n") + 2_000 > MAX_APPLIED_BYTES:
        notes.append(
            "This manifest is too large for the annotation of kubectl apply: use "
            "`kubectl apply --server-side -f -`, or `kubectl create -f -`."
        )


def _shards(manifest: JobConfig | BatchConfig, options: Options, notes: list[str]) -> Shards | None:
    if isinstance(manifest, JobConfig):
        for option in ("shards", "parallelism", "retries_per_index"):
            _is_for_a(option, getattr(options, option), "batch", "this manifest is a job")
        return None
    _is_for_a("retries", options.retries, "job", "a batch has --retries-per-index")
    count = options.shards
    if count is None and manifest.discover is not None:
        count = DEFAULT_SHARDS
        notes.append(
            f"How many models there are is not known yet: {count} shards; --shards says otherwise."
        )
    elif count is None:
        count = min(len(manifest.jobs), DEFAULT_SHARDS)
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
    return Shards(count, parallelism, DEFAULT_RETRIES_PER_INDEX if retries is None else retries)


def _is_for_a(option: str, value: int | None, kind: str, reason: str) -> None:
    if value is not None:
        raise ManifestError(
            f"--{option.replace('_', '-')} is for a {kind}: {reason}.", hint="Leave it out."
        )
