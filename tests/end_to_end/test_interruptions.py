"""Signals, kills and crashes at every stage: nothing is left behind, and the next run works."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from job.run.process import ONEDNN
from job.storage.destination import RESUME
from job.storage.local import PARTIAL
from tests.conftest import Run, paredown
from tests.support.published import FAILED, digestible, read_result, write_manifest
from tests.support.rare import EVERY, few, marked, rare
from tests.support.runs import Watched, is_gone

STAGES = (
    "scan",
    "import",
    "load",
    "baseline",
    "prune",
    "strip",
    "quantize",
    "evaluate",
    "compress",
    "latency",
)
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
# When the parent is killed: the event that is waited for, its stage, and seconds after it.
KILLS: dict[str, tuple[str, str, float]] = {
    "at the start": ("stage_started", "scan", 0.1),
    "importing": ("stage_started", "import", 1.0),
    "loading": ("stage_started", "load", 0.0),
    "pruning": ("stage_started", "prune", 0.2),
    "converting": ("stage_started", "quantize", 0.1),
    "compressing": ("stage_started", "compress", 0.0),
    "having compressed": ("stage_finished", "latency", 0.0),
}
PUBLISHING = "publishing"
INTERRUPTED = [(stage, number) for stage in STAGES for number in SIGNALS]
if not EVERY:
    INTERRUPTED = [
        ("import", signal.SIGINT),
        ("prune", signal.SIGTERM),
        ("compress", signal.SIGINT),
    ]
    KILLS = {moment: KILLS[moment] for moment in ("importing", "pruning")}


@dataclass(frozen=True)
class Ended:
    """A run that was ended, and what it left."""

    run: Run
    manifest: Path
    out: Path
    scratch: list[Path]
    child_is_gone: bool


def end(folder: Path, tiny: Path, stop: Callable[[Watched], None]) -> Ended:
    """Start a run, let ``stop`` end it, and look at what is left."""
    manifest = write_manifest(folder, tiny)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    watched = Watched("run", manifest, env={"TMPDIR": str(scratch)})
    watched.until("stage_started", "scan")
    child = watched.child()
    stop(watched)
    run = watched.finish()
    gone = is_gone(child)
    return Ended(run, manifest, folder / "out", list(scratch.iterdir()), gone)


@pytest.fixture(scope="module")
def interrupted(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, signal.Signals], Ended]:
    """A run for each stage and signal, interrupted there."""
    folder = tmp_path_factory.mktemp("interrupted")

    def interrupt(stage: str, number: signal.Signals) -> Ended:
        def stop(watched: Watched) -> None:
            if stage != "scan":
                watched.until("stage_started", stage)
            os.kill(watched.pid, number)

        # A short stage may be over, and the run with it, before the signal is there.
        for attempt in range(3):
            ended = end(folder / f"{stage}-{number}-{attempt}", tiny, stop)
            if ended.run.code != 0:
                break
        return ended

    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda case: interrupt(*case), INTERRUPTED)
        return dict(zip(INTERRUPTED, ended, strict=True))


@pytest.mark.parametrize(("stage", "number"), INTERRUPTED)
def test_an_interrupted_run_leaves_nothing_behind(
    interrupted: dict[tuple[str, signal.Signals], Ended], stage: str, number: signal.Signals
) -> None:
    """One error and the shell's exit code; no result, no half-written file, no scratch. What is
    done is kept.
    """
    ended = interrupted[stage, number]
    error = ended.run.error
    assert (ended.run.code, error["exit_code"]) == (SIGNALS[number], SIGNALS[number])
    assert "interrupted" in error["what"]
    told = error["where"].removeprefix("stage ")
    assert STAGES.index(told) >= STAGES.index(stage)
    left = {path.name for path in ended.out.iterdir()} - {RESUME}
    assert "result.json" not in left
    assert not any(name.startswith(PARTIAL) for name in left)
    assert left == set() or stage == STAGES[-1], "nothing is published before the last stage"
    assert ended.scratch == []
    assert ended.child_is_gone


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run that nothing happened to has published."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run = paredown("run", write_manifest(folder, tiny))
    assert run.code == 0, run.err
    return folder / "out"


@pytest.fixture(scope="module")
def killed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Runs whose parent process is killed at several moments."""
    folder = tmp_path_factory.mktemp("killed")

    def kill(moment: str) -> Ended:
        event, stage, seconds = KILLS[moment]

        def stop(watched: Watched) -> None:
            if (event, stage) != ("stage_started", "scan"):
                watched.until(event, stage)
            time.sleep(seconds)
            os.kill(watched.pid, signal.SIGKILL)

        return end(folder / moment, tiny, stop)

    def kill_publishing(attempt: int) -> Ended:
        place = folder / f"{PUBLISHING}-{attempt}"

        def stop(watched: Watched) -> None:
            while not (place / "out" / "baseline.h5").exists():
                assert watched.process.poll() is None
            os.kill(watched.pid, signal.SIGKILL)

        return end(place, tiny, stop)

    with ThreadPoolExecutor(2) as pool:
        ended = dict(zip(KILLS, pool.map(kill, KILLS), strict=True))
    for attempt in range(5):  # publishing takes a few milliseconds
        ended[PUBLISHING] = kill_publishing(attempt)
        if not (ended[PUBLISHING].out / "result.json").exists():
            break
    return ended


@pytest.mark.parametrize("moment", [*KILLS, PUBLISHING])
def test_a_killed_run_leaves_no_child_and_no_result_that_is_not_whole(
    killed: dict[str, Ended], undisturbed: Path, moment: str
) -> None:
    """Where a result is there, every file is there, with its bytes. The child sweeps the scratch;
    when it has done its work it is gone, and nobody can.
    """
    ended = killed[moment]
    assert ended.child_is_gone
    if moment not in (PUBLISHING, "having compressed"):
        assert ended.scratch == []
    if (ended.out / "result.json").exists():
        assert digestible(ended.out).items() >= digestible(undisturbed).items()
    else:
        assert ended.run.code == -signal.SIGKILL


@pytest.mark.parametrize("moment", few([PUBLISHING, "pruning"]))
def test_a_run_after_a_killed_one_is_as_if_nothing_had_happened(
    killed: dict[str, Ended], undisturbed: Path, moment: str
) -> None:
    """Byte for byte, and without a half-written file of the killed run."""
    out = killed[moment].out
    assert (out / "baseline.h5").exists() == (moment == PUBLISHING)
    assert not (out / "result.json").exists()
    (out / f"{PARTIAL}prune.h5").write_bytes(b"half")
    run = paredown("run", killed[moment].manifest)
    assert (run.code, run.err) == (0, "")
    files, expected = digestible(out), digestible(undisturbed)
    assert files.keys() == expected.keys()
    assert not (out / RESUME).exists()
    assert {name for name in files if files[name] != expected[name]} == set()


def crash(watched: Watched, number: signal.Signals) -> None:
    """Send a signal to the child, in the stage prune."""
    watched.until("stage_started", "prune")
    os.kill(watched.child(), number)


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def test_a_child_that_crashes_is_tried_once_more_with_avx2(
    tiny: Path, tmp_path: Path, undisturbed: Path
) -> None:
    """The run succeeds, and its result says what happened."""
    seen: dict[str, Any] = {}

    def stop(watched: Watched) -> None:
        watched.until("stage_started", "load")
        seen["first"] = environment(watched.child())
        crash(watched, signal.SIGSEGV)
        seen["event"] = watched.until("child_died")
        watched.until("stage_started", "load")
        seen["second"] = environment(watched.child())

    ended = end(tmp_path, tiny, stop)
    assert (ended.run.code, ended.run.err) == (0, "")
    assert "ONEDNN_MAX_CPU_ISA" not in seen["first"]
    assert seen["first"].items() >= ONEDNN.items()
    assert seen["second"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    warnings = read_result(ended.out)["warnings"]
    assert seen["event"]["message"] in warnings
    for word in ("stage prune", "SIGSEGV", "ONEDNN_MAX_CPU_ISA=AVX2"):
        assert word in seen["event"]["message"]
    assert digestible(ended.out).keys() == digestible(undisturbed).keys()
    assert ended.scratch == []


@rare
def test_a_child_that_crashes_twice_is_given_up(tiny: Path, tmp_path: Path) -> None:
    """Exit code 4 with both stages and both signals, and nothing published."""

    def stop(watched: Watched) -> None:
        crash(watched, signal.SIGSEGV)
        watched.until("child_died")
        crash(watched, signal.SIGBUS)

    ended = end(tmp_path, tiny, stop)
    error = ended.run.error
    assert (ended.run.code, error["error"], error["where"]) == (4, "StageError", "stage prune")
    assert "SIGSEGV" in error["what"]
    assert "SIGBUS" in error["what"]
    assert error["to_do"]
    assert {path.name for path in ended.out.iterdir()} - {RESUME} == FAILED
    assert ended.scratch == []


@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGKILL, "memory"), marked(signal.SIGTERM, "SIGTERM")]
)
def test_a_child_that_is_killed_is_not_tried_again(
    tiny: Path, tmp_path: Path, number: signal.Signals, says: str
) -> None:
    """The kernel kills what takes too much memory; trying again would do so again."""
    ended = end(tmp_path, tiny, lambda watched: crash(watched, number))
    error = ended.run.error
    assert (ended.run.code, error["error"], error["where"]) == (4, "StageError", "stage prune")
    assert says in error["what"]
    assert error["to_do"]
    assert "child_died" not in [event["event"] for event in ended.run.events]
    assert {path.name for path in ended.out.iterdir()} - {RESUME} == FAILED
    assert ended.scratch == []
