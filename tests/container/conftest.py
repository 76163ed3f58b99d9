"""The image, as ``make image`` has built it; and a network with nothing in it but a store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.container.engine import IMAGE, engine, engine_name
from tests.support.identities import MODELS, RESULTS
from tests.support.required import lacking
from tests.support.seaweed import Seaweed


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name."""
    done = subprocess.run([engine(), "image", "inspect", IMAGE], capture_output=True, check=False)
    if done.returncode != 0:
        lacking(engine_name(), f"there is no image {IMAGE}: make image")
    return IMAGE


@pytest.fixture(scope="session")
def store_alone(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A network in which there is the store's port, and nothing else.

    It is a namespace; a process in it takes connections there and hands them to one outside.
    Docker gives a container none that was made elsewhere: it has the host's.
    """
    if engine_name() != "podman":
        yield "host"
        return
    if os.geteuid() != 0 or not shutil.which("ip"):
        lacking("podman", "a network namespace needs root and the command ip (iproute2)")
    name = f"paredown-{uuid.uuid4().hex[:8]}"
    ip = shutil.which("ip") or "ip"
    subprocess.run([ip, "netns", "add", name], check=True)
    inside = [ip, "netns", "exec", name]
    subprocess.run([*inside, ip, "link", "set", "lo", "up"], check=True)
    socket = str(tmp_path_factory.mktemp("network") / "store")
    port = str(seaweed.ports["s3"])
    relay = [sys.executable, str(ROOT / "tests" / "container" / "relay.py")]
    processes = [
        subprocess.Popen([*relay, "unix", socket, port]),
        subprocess.Popen([*inside, *relay, "tcp", socket, port]),
    ]
    try:
        yield f"ns:/run/netns/{name}"
    finally:
        for process in processes:
            process.kill()
            process.wait()
        subprocess.run([ip, "netns", "delete", name], check=True)


@pytest.fixture(scope="session")
def job(seaweed: Seaweed, tiny: Path, image: str) -> Callable[..., str]:
    """Put a manifest into the bucket of models, beside the tiny model; its URI."""
    client = seaweed.client()
    for name in ("model.h5", "data.npz"):
        client.upload_file(str(tiny / name), MODELS, f"container/{name}")

    def put(name: str, **sections: Any) -> str:
        document = {
            "name": name,
            "model": {"uri": "model.h5"},
            "dataset": {"uri": "data.npz", "scale": 1 / 255},
            "destination": {"uri": f"s3://{RESULTS}/container/{name}"},
        } | sections
        key = f"container/{name}.json"
        client.put_object(Bucket=MODELS, Key=key, Body=json.dumps(document).encode())
        return f"s3://{MODELS}/{key}"

    return put


@pytest.fixture(scope="session")
def where(seaweed: Seaweed, store_alone: str) -> dict[str, Any]:
    """The network and the credentials with which a container reaches the store, and no more."""
    return {"network": store_alone, "variables": seaweed.environment("job")}
