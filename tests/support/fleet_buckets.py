"""Batches whose manifest, models and results are in the tests' store."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.support.buckets import QUICK, Buckets
from tests.support.identities import RESULTS

DEFAULTS: dict[str, Any] = {
    "dataset": {"uri": "data.npz", "scale": 1 / 255},
    "training": {"epochs": 1, "batch_size": 32},
    "compress": {"codecs": ["zip"]},
    "quantize": [{"type": "dynamic_range"}],
}


def put_batch(buckets: Buckets, jobs: list[dict[str, Any]], **sections: Any) -> str:
    """The URI of a batch's manifest beside the inputs; keywords replace its sections."""
    document = {
        "kind": "batch",
        "name": "many",
        "defaults": DEFAULTS,
        "jobs": jobs,
        "workers": 2,
        "destination": {"uri": f"s3://{RESULTS}/{buckets.prefix}out"},
    } | sections
    buckets.put("batch.json", json.dumps(document).encode())
    return buckets.uri("batch.json")


def quick(name: str, **sections: Any) -> dict[str, Any]:
    """A job that trains nothing."""
    return {"name": name, "model": {"uri": "model.h5"}, **QUICK, **sections}


def trained(name: str, seed: int, **sections: Any) -> dict[str, Any]:
    """A job that trains for a moment."""
    return {
        "name": name,
        "model": {"uri": "model.h5"},
        "training": {"seed": seed},
        **sections,
    }


def trusted(buckets: Buckets, path: Path, name: str) -> dict[str, Any]:
    """A job whose model's own code may run."""
    content = path.read_bytes()
    buckets.put(path.name, content)
    sha256 = hashlib.sha256(content).hexdigest()
    model = {"uri": path.name, "sha256": sha256, "trust": True}
    return {"name": name, "model": model, "prune": {}, "quantize": []}


def finished(run: Run) -> Counter[str]:
    """The jobs that a run has done, and how often; not those that were done before."""
    return Counter(
        it["job"] for it in run.events if it["event"] == "run_finished" and not it["already_done"]
    )


def summary(buckets: Buckets) -> dict[str, Any]:
    """The jobs' rows of ``summary.json``, by name."""
    document = json.loads(buckets.get("out/summary.json"))
    return {row["name"]: row for row in document["jobs"]}


def files(buckets: Buckets) -> dict[str, str]:
    """Every model file and encoding, with the SHA-256 that the store has computed."""
    return {
        name: str(it.sha256)
        for name, it in buckets.there().items()
        if "/" in name and not name.endswith((".json", ".html", ".md")) and "/." not in name
    }
