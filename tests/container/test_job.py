"""The whole job in the image, hardened: bucket to bucket, every exit code, too little memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.container.engine import BROKEN, call, container, run
from tests.support.identities import RESULTS
from tests.support.seaweed import Seaweed

Ended = tuple[Run, dict[str, Any]]
QUICK = {"prune": None, "compress": None, "training": {"epochs": 1, "batch_size": 32}}


@pytest.fixture(scope="session")
def ended(
    job: Callable[..., str],
    where: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Ended]:
    """Containers that have run to their end, two at a time."""
    folder = tmp_path_factory.mktemp("ended")
    gate = {"type": "min_ratio", "value": 1e6}
    never = {"schedule": {"type": "constant", "target_sparsity": 0.5, "begin_step": 10_000}}
    down = where["variables"] | {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "2",
    }
    broken = folder / "broken"
    broken.mkdir(mode=0o755)
    (broken / "boto3.py").write_text(BROKEN)
    bug = where | {
        "variables": where["variables"] | {"PYTHONPATH": "/broken"},
        "volumes": [f"{broken}:/broken:ro"],
    }
    calls: dict[str, tuple[list[str], dict[str, Any]]] = {
        "quickstart": (["run", "quickstart"], {"user": "1234567890:0"}),
        "whole": (["run", job("whole", training={"epochs": 2, "batch_size": 32})], where),
        "any user": (["run", job("any-user", **QUICK)], where | {"user": "1234567890:0"}),
        "bug": (["run", job("bug", **QUICK)], bug),
        "bad manifest": (["run", job("bad", prune=7)], where),
        "no model": (["run", job("no-model", model={"uri": "nowhere.h5"})], where),
        "never fires": (["run", job("never", prune=never, training={"epochs": 2})], where),
        "gate": (["run", job("gate", **QUICK, gates=[gate])], where),
        "store down": (["run", job("down", **QUICK)], where | {"variables": down}),
    }
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda it: run(folder, *it[0], **it[1]), calls.values())
        return dict(zip(calls, runs, strict=True))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("quickstart", 0),
        ("whole", 0),
        ("any user", 0),
        ("bug", 1),
        ("bad manifest", 2),
        ("no model", 3),
        ("never fires", 4),
        ("gate", 5),
        ("store down", 6),
    ],
)
def test_every_exit_code_arrives_and_is_told(ended: dict[str, Ended], name: str, code: int) -> None:
    """As the process's own, in the termination message, and as the last JSON line."""
    done, told = ended[name]
    assert done.code == code, done.err
    last = done.events[-1]["event"]
    if code in (0, 5):
        assert last == "run_finished"
        assert told["status"] == ("succeeded" if code == 0 else "gate_missed")
        assert told["smallest"]["times_smaller"] > 1
    else:
        assert last == "run_failed"
        assert (told["status"], told["exit_code"]) == ("failed", code)
        assert told["what"] == done.error["what"]


def test_an_interrupted_run_says_so(
    job: Callable[..., str], where: dict[str, Any], tmp_path: Path
) -> None:
    """Ctrl-C: the signal that a terminal sends is code 130."""
    with container(tmp_path, "run", job("interrupted", **QUICK), **where) as it:
        it.until("stage_started", "import")
        call("kill", "--signal", "SIGINT", it.name)
        done, told = it.finish(), it.told()
    assert done.code == 130, done.err
    assert (told["status"], told["exit_code"]) == ("failed", 130)


def test_results_are_in_the_bucket(ended: dict[str, Ended], seaweed: Seaweed) -> None:
    """Every object that the result names, with its digest, and nothing else."""
    assert ended["whole"][0].code == 0
    prefix = "container/whole/"
    body = seaweed.client().get_object(Bucket=RESULTS, Key=f"{prefix}result.json")["Body"]
    result = json.loads(body.read())
    named = {it["path"] for it in result["artifacts"]}
    named |= {it["path"] for a in result["artifacts"] for it in a["encoded"].values()}
    stored = {it.key.removeprefix(prefix) for it in seaweed.listing(RESULTS, prefix)}
    assert stored == named | {"result.json", "manifest.json", "report.html", "report.md"}
    assert result["environment"]["cores"] == 1
    assert result["environment"]["memory_bytes"] == 2 << 30


def test_over_its_memory_limit_a_run_says_so(
    job: Callable[..., str], where: dict[str, Any], tmp_path: Path
) -> None:
    """The worker process is what is large, so it is killed; or the whole container is."""
    limits = ("--memory", "200m", "--memory-swap", "200m", "--cpus", "1", "--pids-limit", "256")
    done, told = run(tmp_path, "run", job("little", **QUICK), limits=limits, **where)
    assert done.code in (4, 137)
    if done.code == 4:
        assert "ran out of memory" in told["what"]
        assert told["where"] == "stage import"


def test_no_secret_is_in_what_a_container_says(
    ended: dict[str, Ended], where: dict[str, Any]
) -> None:
    """Neither in its log nor in its termination message."""
    said = "".join(f"{done.out}{done.err}{told}" for done, told in ended.values())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert where["variables"][name] not in said
