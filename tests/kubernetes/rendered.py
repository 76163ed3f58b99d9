"""Manifests rendered with options, as documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from job.kubernetes.options import Options
from job.kubernetes.parse import Toleration
from job.kubernetes.render import Rendered, render
from job.manifest.load import read_manifest
from job.storage.place import Place, parse_s3

IMAGE = "registry.example.org/paredown:0.1.0"
JOB: dict[str, Any] = {
    "name": "mnist",
    "model": {"uri": "s3://models/m.h5"},
    "dataset": {"uri": "https://data.example.org/d.npz"},
    "destination": {"uri": "s3://results/mnist"},
}
BATCH: dict[str, Any] = {
    "kind": "batch",
    "name": "many",
    "defaults": {"dataset": {"uri": "s3://models/d.npz"}},
    "jobs": [{"name": f"j{it}", "model": {"uri": f"s3://models/{it}.h5"}} for it in range(3)],
    "destination": {"uri": "s3://results/many"},
}
EVERYTHING: dict[str, Any] = {
    "name": "my-job",
    "namespace": "models",
    "cpu": "500m",
    "cpu_limit": "1.5",
    "memory": "1.5Gi",
    "scratch": "20G",
    "gpus": 1,
    "secret": "store",
    "pull_secret": "registry",
    "image_pull_policy": "Always",
    "priority_class": "batch-low",
    "service_account": "reader",
    "env": {"AWS_REGION": "eu-central-1", "PRICE": "$(HOME) is $$5"},
    "queue": "nightly",
    "node_selector": {"kubernetes.io/arch": "amd64"},
    "toleration": (
        Toleration("nvidia.com/gpu"),
        Toleration("spot", "1e3", "NoSchedule"),
        Toleration("team", "", "NoExecute"),
    ),
    "label": {"team": "y", "example.org/cost": "0x10"},
    "annotation": {"example.org/note": "safe: {to} evict\n", "y": ""},
    "deadline": 3600,
    "ttl": 0,
}


def rendered(
    document: dict[str, Any], *, source: str | None = None, text: str | None = None, **options: Any
) -> Rendered:
    """A manifest, from standard input or from a place, with options."""
    text = json.dumps(document, indent=2) if text is None else text
    place = None if source is None else Place("file", source)
    if source is not None and source.startswith("s3:"):
        place = parse_s3(source)
    return render(
        read_manifest(text, "here.json"), text, place, Options(**{"image": IMAGE} | options)
    )


def documents(document: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """What the YAML holds."""
    return list(yaml.safe_load_all(rendered(document, **options).text))


@dataclass(frozen=True)
class Case:
    """A way to render."""

    name: str
    document: dict[str, Any]
    options: dict[str, Any]

    def documents(self) -> list[dict[str, Any]]:
        """What its YAML holds."""
        return documents(self.document, **self.options)

    def job(self) -> dict[str, Any]:
        """Its Job."""
        return self.documents()[-1]

    def pod(self) -> dict[str, Any]:
        """Its pods' specification."""
        spec: dict[str, Any] = self.job()["spec"]["template"]["spec"]
        return spec


CASES = [
    Case("job", JOB, {}),
    Case("job_with_everything", JOB, EVERYTHING | {"retries": 0}),
    Case("job_in_a_bucket", JOB, {"source": "s3://models/manifest.json"}),
    Case("batch", BATCH, {}),
    Case(
        "batch_with_everything",
        BATCH | {"discover": {"uri": "s3://models/"}},
        EVERYTHING | {"shards": 20, "parallelism": 5, "retries_per_index": 0},
    ),
]
