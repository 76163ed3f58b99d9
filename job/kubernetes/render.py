"""A manifest and options -> YAML for ``kubectl apply -f -``. The same ones give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from job.errors import ManifestError
from job.kubernetes.job import job
from job.kubernetes.options import Options
from job.kubernetes.parse import image_warnings
from job.kubernetes.workload import FILE, Workload, plan_workload, problems_in_a_pod
from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig
from job.storage.place import Place

# A ConfigMap holds 1 MiB, with its names and labels.
MAX_CONFIG_MAP_BYTES = 900_000
# `kubectl apply` stores what it applied in an annotation, and annotations hold 256 KiB; as JSON in
# JSON, quotes and line feeds count twice.
MAX_APPLIED_BYTES = 262_144
# Lines are never folded: a folded argument is hard to compare.
WIDTH = 1 << 30
# kubectl's parser takes more strings for numbers and booleans than PyYAML does (`1e3`, `y`).
_AMBIGUOUS = re.compile(r"[.+-]*[0-9].*|[yn]", re.IGNORECASE)
# Line ends to YAML, which a block would not preserve.
_OTHER_LINE_ENDS = re.compile("[\r\x85\u2028\u2029\ufeff]")


@dataclass(frozen=True)
class Rendered:
    """What is printed."""

    text: str
    """YAML."""
    notes: list[str]
    """What whoever applies it should know."""
    warnings: list[str]
    """What is likely to fail in the cluster."""


def render(
    manifest: JobConfig | BatchConfig, text: str, source: Place | None, options: Options
) -> Rendered:
    """Render a manifest.

    Args:
        manifest: The manifest, valid.
        text: Its text, as it was written.
        source: Where it was read from; None for standard input. The pod reads one in a bucket from
            there, others are put in a ConfigMap.
        options: What the command line asks for.

    Raises:
        ManifestError: If it can't work in a pod, or options do not fit its kind.
    """
    bucket = source if source is not None and source.scheme == "s3" else None
    problems = problems_in_a_pod(manifest, bucket.folder if bucket else None, options.env)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ManifestError(
            f"The manifest can't work in a pod:\n{lines}",
            where="standard input" if source is None else str(source),
            hint="Change these, or upload the manifest beside its files and give its s3:// URI.",
        )
    notes: list[str] = []
    workload = plan_workload(manifest, text, str(bucket) if bucket else None, options, notes)
    documents = [job(workload)]
    if workload.config_map is not None:
        _check_size(text, notes)
        documents.insert(0, _config_map(workload, text))
    return Rendered(yaml_text(documents), notes, image_warnings(options.image))


def _config_map(workload: Workload, text: str) -> dict[str, Any]:
    """Its name contains a digest of its content, so that it never needs to change."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": workload.metadata(workload.config_map),
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


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it ships no types
    """Without anchors: equal values are written in full."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML calls it so
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _OTHER_LINE_ENDS.search(text) or _AMBIGUOUS.fullmatch(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def yaml_text(documents: Iterable[dict[str, Any]]) -> str:
    """The documents, each after a line of three dashes, with their fields in order."""
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        explicit_start=True,
    )
    return text
