"""A store of its own, with the quickstart's model and data in a bucket, for the benchmarks.

The store is the tests' (SeaweedFS; ``make install`` brings it), and so is the proxy that counts
requests and stops a run at one of them.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from tests.support.certificates import make_certificates  # noqa: E402 - the tests are no package of ours
from tests.support.identities import MODELS, RESULTS  # noqa: E402 - as above
from tests.support.seaweed import Seaweed, unavailable  # noqa: E402 - as above

QUICKSTART = ROOT / "manifests" / "quickstart"


@contextlib.contextmanager
def running_store(folder: Path) -> Iterator[Seaweed]:
    """A store in a folder; it ends with the context."""
    if reason := unavailable():
        sys.exit(reason)
    with Seaweed(folder / "store", make_certificates(folder / "certificates")) as store:
        yield store


def upload_quickstart(store: Seaweed) -> None:
    """Put the quickstart's model and data into the bucket of models."""
    client = store.client()
    for path in (QUICKSTART / "mnist_baseline.h5", QUICKSTART / "mnist.npz"):
        client.upload_file(str(path), MODELS, path.name)


def write_manifest(path: Path, prefix: str, **sections: Any) -> Path:
    """The quickstart's manifest, from bucket to bucket; keywords replace its sections."""
    asked = json.loads((QUICKSTART / "quickstart.json").read_text())
    asked["model"]["uri"] = f"s3://{MODELS}/mnist_baseline.h5"
    asked["dataset"]["uri"] = f"s3://{MODELS}/mnist.npz"
    asked["destination"] = {"uri": f"s3://{RESULTS}/{prefix}"}
    path.write_text(json.dumps(asked | sections))
    return path


def contents(store: Seaweed, prefix: str) -> dict[str, bytes]:
    """What is stored below a prefix in the bucket of results: name -> content."""
    client = store.client()
    listed = client.list_objects_v2(Bucket=RESULTS, Prefix=f"{prefix}/").get("Contents", [])
    return {
        it["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket=RESULTS, Key=it["Key"])[
            "Body"
        ].read()
        for it in listed
    }


def environment(store: Seaweed, folder: Path, endpoint: str | None = None) -> dict[str, str]:
    """For a run whose scratch is in a folder; an endpoint may stand before the store's."""
    there = store.environment("job", endpoint=endpoint)
    return os.environ | there | {"TMPDIR": str(folder)}
