"""The pod of the Job that ``paredown kubernetes`` prints, played by podman: as a cluster would."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import paredown
from tests.container.engine import IMAGE, call, engine
from tests.identities import MODELS, RESULTS
from tests.required import lacking
from tests.seaweed import Seaweed

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PLACE = f"s3://{RESULTS}/played"


@pytest.fixture(scope="module")
def documents(seaweed: Seaweed, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the command prints for a manifest whose inputs and destination are in buckets."""
    for name in ("model.h5", "data.npz"):
        seaweed.client().upload_file(str(tiny / name), MODELS, f"played/{name}")
    manifest = tmp_path_factory.mktemp("played") / "manifest.json"
    document = {
        "name": "Played_by.podman",
        "model": {"uri": f"s3://{MODELS}/played/model.h5"},
        "dataset": {"uri": f"s3://{MODELS}/played/data.npz", "scale": 1 / 255},
        "training": {"epochs": 2, "batch_size": 32},
        "destination": {"uri": PLACE},
    }
    manifest.write_text(json.dumps(document))
    variables = seaweed.environment("job")
    options = ["--image", f"localhost/{IMAGE}:latest", "--secret", "store", "--cpu", "1"]
    for name, value in variables.items():
        if name not in SECRETS:
            options += ["--env", f"{name}={value}"]
    run = paredown("kubernetes", manifest, *options, "--memory", "2Gi")
    assert run.code == 0, run.err
    return list(yaml.safe_load_all(run.out))


@pytest.fixture(scope="module")
def played(
    documents: Any, seaweed: Seaweed, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, str]]:
    """The pod's exit code and log."""
    if Path(engine()).name != "podman":
        lacking("podman", "docker plays no pods")
    config_map, job = documents
    template = job["spec"]["template"]
    name = job["metadata"]["name"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": name},
        "spec": template["spec"] | {"hostNetwork": True},
    }
    (container,) = pod["spec"]["containers"]
    container["imagePullPolicy"] = "Never"
    container["env"].append({"name": "JOB_COMPLETION_INDEX", "value": "0"})
    variables = seaweed.environment("job")
    folder = tmp_path_factory.mktemp("pod")
    # podman reads a Secret's keys as JSON: the name and, in base64, the value.
    secret = {it: base64.b64encode(variables[it].encode()).decode() for it in SECRETS}
    (folder / "secret.json").write_text(json.dumps(secret))
    subprocess.run([engine(), "secret", "rm", "store"], capture_output=True, check=False)
    call("secret", "create", "store", str(folder / "secret.json"))
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump_all([config_map, pod]))
    inside = f"{name}-{container['name']}"
    try:
        call("kube", "play", str(path))
        code = int(call("wait", inside).strip())
        yield code, call("logs", inside)
    finally:
        for command in (["kube", "down", str(path)], ["secret", "rm", "store"]):
            subprocess.run([engine(), *command], capture_output=True, check=False)


def test_the_pod_does_the_job(played: tuple[int, str], seaweed: Seaweed) -> None:
    """Bucket to bucket: the manifest from the ConfigMap, the credentials from the Secret."""
    code, log = played
    assert code == 0, log
    events = [json.loads(line) for line in log.splitlines()]
    assert events[-1]["event"] == "run_finished"
    assert events[-1]["result"] == f"{PLACE}/result.json"
    stored = {it.key for it in seaweed.listing(RESULTS, "played/")}
    assert {"played/result.json", "played/dynamic_range.tflite"} <= stored
    assert not [key for key in stored if ".resume" in key]
    variables = seaweed.environment("job")
    assert not any(variables[name] in log for name in SECRETS)
