"""A container that is stopped, in whichever stage: it ends in time, and the next one goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.container.engine import container, run
from tests.support.identities import RESULTS
from tests.support.rare import EVERY
from tests.support.seaweed import Seaweed

GRACE_S = 20
STAGES = (
    *("fetch", "scan", "import", "load", "try", "baseline", "prune", "strip"),
    *("quantize", "evaluate", "compress", "latency", "publish"),
)
# Two jobs, side by side; each is stopped in every other stage, one after the other.
CHAINS = {"odd": STAGES[::2], "even": STAGES[1::2]}
if not EVERY:
    CHAINS = {"odd": ("fetch", "prune", "quantize", "publish")}
STOPPED_IN = [stage for stages in CHAINS.values() for stage in stages]
# It takes some seconds to train, and saves often.
LONG = {"training": {"epochs": 30, "batch_size": 8}, "resume": {"save_every_s": 0.5}}
# For one run at a time: another's end would be this one's, too.
SILENCE = threading.Lock()


@dataclass(frozen=True)
class Stopped:
    """A run that was stopped."""

    done: Run
    told: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Chain:
    """Runs of one job: all but the last were stopped."""

    stopped: dict[str, Stopped]
    last: Run


@pytest.fixture(scope="module")
def chains(
    job: Callable[..., str],
    where: dict[str, Any],
    seaweed: Seaweed,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Chain]:
    """Both jobs, run to their ends."""
    folder = tmp_path_factory.mktemp("stopped")

    def follow(name: str) -> Chain:
        uri = job(f"stopped-{name}", **LONG)
        stopped = {stage: stop(folder, uri, stage, where, seaweed) for stage in CHAINS[name]}
        return Chain(stopped, run(folder, "run", uri, **where)[0])

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CHAINS, pool.map(follow, CHAINS), strict=True))


def stop(folder: Path, uri: str, stage: str, where: dict[str, Any], seaweed: Seaweed) -> Stopped:
    """Run the job and stop it in a stage; where it trains, in the middle of it.

    The last stages take so little time that the run might be over when their event is seen: the
    store does not answer until the signal is there.
    """
    if stage in STAGES[-3:]:
        with SILENCE, container(folder, "run", uri, **where) as it:
            it.until("stage_started", "import")
            with seaweed.silent() as answer:
                seconds = it.stop_at("stage_started", stage, GRACE_S, answer)
            return Stopped(it.finish(), it.told(), seconds)
    with container(folder, "run", uri, **where) as it:
        event = "progress" if stage == "prune" else "stage_started"
        seconds = it.stop_at(event, stage, GRACE_S)
        return Stopped(it.finish(), it.told(), seconds)


def stages(done: Run, event: str) -> list[str]:
    """The stages that an event was seen of."""
    return [it["stage"] for it in done.events if it["event"] == event]


@pytest.mark.parametrize("stage", STOPPED_IN)
def test_it_ends_in_time_and_says_where_it_was(chains: dict[str, Chain], stage: str) -> None:
    """Exit code 143, in the log and in the termination message."""
    (it,) = [chain.stopped[stage] for chain in chains.values() if stage in chain.stopped]
    assert it.done.code == 143, it.done.err
    assert it.seconds < GRACE_S
    assert (it.told["exit_code"], it.told["error"]) == (143, "InterruptedRunError")
    # Python may say before it that a thread was interrupted which was being started.
    error = json.loads(it.done.err.splitlines()[-1])
    assert it.told["what"] == error["what"] == "The run was interrupted by SIGTERM."
    # On a busy machine a stage of a few milliseconds may be over when its event is seen, and the
    # next one has begun whose event is not written yet.
    place = STAGES.index(it.told["where"].removeprefix("stage "))
    assert place >= STAGES.index(stage)
    assert place - STAGES.index(stages(it.done, "stage_started")[-1]) in (0, 1)


@pytest.mark.parametrize("name", CHAINS)
def test_the_last_run_ends_with_the_result(
    chains: dict[str, Chain], seaweed: Seaweed, name: str
) -> None:
    """It takes what the others have kept, does the rest, and leaves nothing of it."""
    last = chains[name].last
    assert last.code == 0, last.err
    assert set(stages(last, "stage_started")) == set(STAGES)
    prefix = f"container/stopped-{name}/"
    assert not seaweed.listing(RESULTS, f"{prefix}.resume/")
    body = seaweed.client().get_object(Bucket=RESULTS, Key=f"{prefix}result.json")["Body"]
    result = json.loads(body.read())
    assert {"baseline", "prune", "quantize dynamic_range"} <= set(result["resumed"])
    named = {it["path"] for it in result["artifacts"]}
    assert {f"{prefix}{it}" for it in named} <= {it.key for it in seaweed.listing(RESULTS, prefix)}


def test_a_training_that_was_stopped_goes_on_from_its_last_step(chains: dict[str, Chain]) -> None:
    """No step of it is done twice."""
    chain = chains["odd"]
    after = chain.stopped["quantize"].done
    (resumed,) = [
        it for it in after.events if it["event"] == "stage_resumed" and it["stage"] == "prune"
    ]
    assert "goes on from step" in resumed["what"]
