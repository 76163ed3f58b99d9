"""The pod of the Job that ``paredown kubernetes`` prints, played by podman: as a cluster would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.container.engine import engine_name
from tests.container.pods import SECRETS, Ended, documents, play, secret, with_a_bug
from tests.support.identities import MODELS, RESULTS
from tests.support.required import lacking
from tests.support.seaweed import Seaweed

NEVER = {"schedule": {"type": "constant", "target_sparsity": 0.5, "begin_step": 10_000}}
GATE = {"type": "min_ratio", "value": 1e6}
PODS: dict[str, dict[str, Any]] = {
    "whole": {},
    "taken": {},
    "no-model": {"model": {"uri": f"s3://{MODELS}/nowhere.h5"}},
    "never-fires": {"prune": NEVER, "training": {"epochs": 2}},
    "gate": {"prune": None, "compress": None, "gates": [GATE]},
    "store-down": {},
    "bug": {},
    "interrupted": {},
    "stopped": {},
}
SIGNALS = {"interrupted": "SIGINT", "stopped": "SIGTERM"}
DOWN = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "2"}


def manifest(name: str, **sections: Any) -> dict[str, Any]:
    """A job from bucket to bucket."""
    return {
        "name": f"Played_{name}",
        "model": {"uri": f"s3://{MODELS}/played/model.h5"},
        "dataset": {"uri": f"s3://{MODELS}/played/data.npz", "scale": 1 / 255},
        "training": {"epochs": 2, "batch_size": 32},
        "destination": {"uri": f"s3://{RESULTS}/played/{name}"},
    } | sections


@pytest.fixture(scope="module")
def played(
    seaweed: Seaweed, tiny: Path, image: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """A pod for each of the exit codes, two at a time."""
    if engine_name() != "podman":
        lacking("podman", "docker plays no pods")
    client = seaweed.client()
    for name in ("model.h5", "data.npz"):
        client.upload_file(str(tiny / name), MODELS, f"played/{name}")
    client.put_object(Bucket=RESULTS, Key="played/taken/result.json", Body=b"{}")
    folder = tmp_path_factory.mktemp("pods")
    variables = seaweed.environment("job")
    with secret(variables) as store, ThreadPoolExecutor(2) as pool:

        def start(name: str) -> Ended:
            environment = variables | (DOWN if name == "store-down" else {})
            printed = documents(manifest(name, **PODS[name]), store, environment)
            if name == "bug":
                printed = with_a_bug(printed)
            if name in SIGNALS:
                return play(printed, folder, stop_in="import", by=SIGNALS[name])
            return play(printed, folder)

        return dict(zip(PODS, pool.map(start, PODS), strict=True))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("whole", 0),
        ("bug", 1),
        ("taken", 2),
        ("no-model", 3),
        ("never-fires", 4),
        ("gate", 5),
        ("store-down", 6),
        ("interrupted", 130),
        ("stopped", 143),
    ],
)
def test_a_pod_ends_with_every_exit_code_and_says_why(
    played: dict[str, Ended], name: str, code: int
) -> None:
    """By its code the Job's policy decides; its termination message is what ``kubectl`` shows."""
    it = played[name]
    assert it.run.code == code, it.run.err
    last = it.run.events[-1]
    if code in (0, 5):
        assert last["event"] == "run_finished"
        assert it.told["status"] == {0: "succeeded", 5: "gate_missed"}[code]
        assert it.told["name"] == f"Played_{name}"
    else:
        assert (last["event"], last["exit_code"]) == ("run_failed", code)
        assert (it.told["status"], it.told["exit_code"]) == ("failed", code)
        assert it.told["what"] == it.run.error["what"]


def test_the_pod_does_the_job(played: dict[str, Ended], seaweed: Seaweed) -> None:
    """Bucket to bucket: the manifest from the ConfigMap, the credentials from the Secret."""
    prefix = "played/whole/"
    assert played["whole"].run.events[-1]["result"] == f"s3://{RESULTS}/{prefix}result.json"
    stored = {it.key.removeprefix(prefix) for it in seaweed.listing(RESULTS, prefix)}
    assert {"result.json", "dynamic_range.tflite"} <= stored
    assert not [key for key in stored if ".resume" in key]


def test_no_secret_is_in_what_a_pod_says(played: dict[str, Ended], seaweed: Seaweed) -> None:
    """Whatever it ends with."""
    said = "".join(f"{it.run.out}{it.run.err}{it.told}" for it in played.values())
    variables = seaweed.environment("job")
    assert not any(variables[name] in said for name in SECRETS)
