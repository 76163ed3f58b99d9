"""Jobs whose manifest, inputs and results are in the tests' store."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Run, paredown
from tests.support.identities import MODELS, RESULTS
from tests.support.published import PAGES
from tests.support.seaweed import Seaweed, Stored

# A job that trains nothing and takes little time.
QUICK: dict[str, Any] = {
    "prune": None,
    "compress": {"codecs": ["zip"]},
    "quantize": [{"type": "float32"}],
}


@dataclass(frozen=True)
class Buckets:
    """A test's own part of the store: its keys begin with the prefix."""

    store: Seaweed
    prefix: str

    def put_inputs(self, tiny: Path) -> None:
        """The tiny model and its data, beside the manifest."""
        for name in ("model.h5", "data.npz"):
            self.put(name, (tiny / name).read_bytes())

    def put(self, name: str, content: bytes, bucket: str = MODELS) -> None:
        """An object of somebody's own."""
        self.store.client().put_object(
            Bucket=bucket, Key=f"{self.prefix}{name}", Body=content, ChecksumAlgorithm="SHA256"
        )

    def get(self, name: str) -> bytes:
        """An object of the results."""
        answer = self.store.client().get_object(Bucket=RESULTS, Key=f"{self.prefix}{name}")
        return bytes(answer["Body"].read())

    def manifest(self, out: str = "out", **sections: Any) -> str:
        """The URI of a manifest beside the inputs; keywords replace its sections."""
        document = {
            "name": "tiny",
            "model": {"uri": "model.h5"},
            "dataset": {"uri": "data.npz", "scale": 1 / 255},
            "training": {"epochs": 2, "batch_size": 32},
            "destination": {"uri": f"s3://{RESULTS}/{self.prefix}{out}"},
        } | sections
        self.put("manifest.json", json.dumps(document).encode())
        return self.uri("manifest.json")

    def uri(self, name: str) -> str:
        """The URI of an input."""
        return f"s3://{MODELS}/{self.prefix}{name}"

    def there(self, out: str = "out") -> dict[str, Stored]:
        """What is stored at a destination, by its name there."""
        prefix = f"{self.prefix}{out}/"
        return {it.key[len(prefix) :]: it for it in self.store.listing(RESULTS, prefix)}

    def whole(self, out: str = "out") -> dict[str, Any]:
        """The result at a destination, where everything that it names is there, and no more."""
        result: dict[str, Any] = json.loads(self.get(f"{out}/result.json"))
        named = {}
        for artifact in result["artifacts"]:
            for it in (artifact, *artifact["encoded"].values()):
                named[it["path"]] = (it["bytes"], it["sha256"])
        there = self.there(out)
        assert there.keys() == named.keys() | {"manifest.json", "result.json", *PAGES}
        for name, (size, sha256) in named.items():
            assert there[name].size == size
            assert base64.b64decode(there[name].sha256 or "").hex() == sha256
        assert json.loads(self.get(f"{out}/manifest.json")) == result["manifest"]
        assert max(there.values(), key=lambda it: it.modified).modified == (
            there["result.json"].modified
        )
        assert self.store.uploads(RESULTS, self.prefix) == []
        return result


def run(store: Seaweed, *arguments: str | Path, **variables: str) -> Run:
    """Run the command as the identity ``job``; keywords change the environment."""
    return paredown(*arguments, env=environment(store, **variables))


def environment(store: Seaweed, **variables: str) -> dict[str, str]:
    """The environment of the identity ``job``, with changes; an empty variable is taken away."""
    mine = {name: it for name, it in os.environ.items() if not name.startswith("AWS_")}
    all_of_them = mine | store.environment("job") | variables
    return {name: it for name, it in all_of_them.items() if it}
