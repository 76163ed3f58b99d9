"""The pod of a Job that ``paredown kubernetes`` prints, played by podman."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Run, paredown
from tests.container.engine import BROKEN, IMAGE, call, engine

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Ended:
    """A pod that has ended."""

    run: Run
    told: dict[str, Any]
    """The termination message."""


@contextlib.contextmanager
def secret(variables: dict[str, str]) -> Iterator[str]:
    """The name of a Secret that holds the keys to the store."""
    name = f"paredown-test-{uuid.uuid4().hex[:12]}"
    # podman reads a Secret's keys as JSON: the name and, in base64, the value.
    keys = {it: base64.b64encode(variables[it].encode()).decode() for it in SECRETS}
    command = [engine(), "secret", "create", name, "-"]
    subprocess.run(command, input=json.dumps(keys), text=True, check=True, capture_output=True)
    try:
        yield name
    finally:
        call("secret", "rm", name)


def documents(manifest: dict[str, Any], secret: str, variables: dict[str, str]) -> list[Any]:
    """What the command prints: a ConfigMap and a Job."""
    options = ["--image", f"localhost/{IMAGE}:latest", "--secret", secret]
    options += ["--cpu", "1", "--memory", "2Gi"]
    for name, value in variables.items():
        if name not in SECRETS:
            options += ["--env", f"{name}={value}"]
    done = paredown("kubernetes", "-", *options, input=json.dumps(manifest))
    assert done.code == 0, done.err
    return list(yaml.safe_load_all(done.out))


def with_a_bug(printed: list[Any]) -> list[Any]:
    """The same, with a library that is broken: beside the manifest, where Python finds it."""
    config_map, job = printed
    config_map["data"]["boto3.py"] = BROKEN
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (folder,) = [it["mountPath"] for it in container["volumeMounts"] if it["name"] == "manifest"]
    container["env"].append({"name": "PYTHONPATH", "value": folder})
    return printed


def play(
    printed: list[Any], folder: Path, stop_in: str | None = None, by: str = "SIGTERM"
) -> Ended:
    """Play the Job's pod to its end; it may be stopped in a stage, by a signal.

    Beside the template it has what a cluster adds: a network, and a file for its last word.
    """
    config_map, job = printed
    template, name = job["spec"]["template"], job["metadata"]["name"]
    (container,) = template["spec"]["containers"]
    last_word = folder / f"{name}.termination"
    last_word.touch()
    last_word.chmod(0o666)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": name},
        "spec": template["spec"] | {"hostNetwork": True},
    }
    container["imagePullPolicy"] = "Never"
    mount = {"name": "last-word", "mountPath": container["terminationMessagePath"]}
    container["volumeMounts"].append(mount)
    host_path = {"path": str(last_word), "type": "File"}
    pod["spec"]["volumes"].append({"name": "last-word", "hostPath": host_path})
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump_all([config_map, pod]))
    inside = f"{name}-{container['name']}"
    try:
        call("kube", "play", str(path))
        if stop_in is not None:
            _wait_for(inside, stop_in)
            grace_s = str(pod["spec"]["terminationGracePeriodSeconds"])
            if by == "SIGTERM":
                call("stop", "--time", grace_s, inside)
            else:
                call("kill", "--signal", by, inside)
        code = int(call("wait", inside).strip())
        # Each stream is where it was.
        logs = subprocess.run(
            [engine(), "logs", inside], capture_output=True, text=True, check=True
        )
        return Ended(Run(code, logs.stdout, logs.stderr), json.loads(last_word.read_bytes()))
    finally:
        subprocess.run([engine(), "kube", "down", str(path)], capture_output=True, check=False)


def _wait_for(container: str, stage: str) -> None:
    with subprocess.Popen(
        [engine(), "logs", "--follow", container], stdout=subprocess.PIPE, text=True
    ) as logs:
        assert logs.stdout is not None
        for line in logs.stdout:
            event = json.loads(line)
            if (event["event"], event.get("stage")) == ("stage_started", stage):
                logs.terminate()
                return
    raise AssertionError(f"Stage {stage} was never seen")
