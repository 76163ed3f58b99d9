"""Runs from bucket to bucket that are killed, or told to stop; the next run goes on, and its files
are those of a run that nothing happened to.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, paredown
from tests.support.buckets import Buckets, environment
from tests.support.faults import Faults, hook
from tests.support.identities import RESULTS
from tests.support.published import PAGES, digestible, write_manifest
from tests.support.rare import rare, some
from tests.support.runs import Watched
from tests.support.seaweed import Seaweed, Stored

KILL, TERM = signal.SIGKILL, signal.SIGTERM
GRACE_S = 20.0
# A training of some seconds, saved again and again.
JOB: dict[str, Any] = {
    "training": {"epochs": 12, "batch_size": 4, "validation_split": 0.1},
    "compress": {"codecs": ["zip"]},
    "quantize": [{"type": "dynamic_range"}],
    "resume": {"save_every_s": 0.5, "grace_s": GRACE_S},
}
FIRST_SAVE = ("PUT", r"/\.resume/.*/training-", 1)
SECOND_SAVE = ("PUT", r"/\.resume/.*/training-", 2)


@dataclass(frozen=True)
class Case:
    """Where a run is ended, and what the next one need not do."""

    number: signal.Signals
    request: tuple[str, str, int] | None = None
    """A method, a pattern for the key, and which of these requests it is."""
    stage: str | None = None
    """Or the stage that has begun."""
    resumed: frozenset[str] = frozenset()


CASES = some(
    {
        "downloading": Case(KILL, ("GET", "/data.npz", 1)),
        "importing": Case(KILL, stage="import"),
        "training": Case(KILL, SECOND_SAVE, resumed=frozenset({"baseline", "training"})),
        "quantizing": Case(KILL, stage="quantize", resumed=frozenset({"baseline"})),
        "uploading": Case(KILL, ("PUT", "/out/prune.h5$", 1), resumed=frozenset({"baseline"})),
        "at the result": Case(KILL, ("PUT", "/result.json$", 1), resumed=frozenset({"baseline"})),
        "told at once": Case(TERM, ("HEAD", "/model.h5$", 1)),
        "told in training": Case(TERM, FIRST_SAVE, resumed=frozenset({"baseline", "training"})),
        "told in quantize": Case(TERM, stage="quantize", resumed=frozenset({"baseline", "prune"})),
    },
    "training",
    "told in quantize",
)


@dataclass(frozen=True)
class Ended:
    """A run that was ended, and the next one."""

    first: Run
    seconds: float
    """From the signal to the end."""
    left: dict[str, Stored]
    second: Run
    result: dict[str, Any]
    files: dict[str, bytes]

    @property
    def kept(self) -> list[str]:
        """What the first run has left of its work."""
        return [name.split("/")[2] for name in self.left if name.startswith(".resume/")]

    @property
    def told(self) -> list[str]:
        """What the second run has taken, in words."""
        return [it["what"] for it in self.second.events if it["event"] == "stage_resumed"]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to."""

    files: dict[str, bytes]
    warnings: set[str]


def warnings(run: Run) -> set[str]:
    """What a run warned of."""
    return {it["message"] for it in run.events if it["event"] == "warning"}


class Room:
    """A part of the store, and a folder, for the runs of one case."""

    def __init__(self, store: Seaweed, inputs: Buckets, name: str, folder: Path) -> None:
        self.mine = Buckets(store, f"{inputs.prefix}{name.replace(' ', '-')}/")
        self.inputs = inputs
        self.scratch = folder / name
        self.scratch.mkdir()

    def manifest(self, **sections: Any) -> str:
        """The URI of the manifest."""
        model, data = ({"uri": self.inputs.uri(it)} for it in ("model.h5", "data.npz"))
        asked = JOB | {"model": model, "dataset": data | {"scale": 1 / 255}} | sections
        return self.mine.manifest(**asked)

    def environment(self, **variables: str) -> dict[str, str]:
        """What a killed run leaves on the disk is swept with the test's folder."""
        return environment(self.mine.store, TMPDIR=str(self.scratch), **variables)

    def run(self, uri: str) -> Run:
        """A run to its end."""
        return paredown("run", uri, env=self.environment())

    def end(self, case: Case, uri: str) -> tuple[Run, float]:
        """A run that is ended where the case says."""
        shots: list[float] = []

        def shoot(_: object = None) -> bool:
            shots.append(time.monotonic())
            os.kill(watched.pid, case.number)
            return case.number != KILL

        with Faults(self.mine.store.url()) as proxy:
            if case.request:
                method, match, nth = case.request
                proxy.add(hook(shoot), method=method, match=match, nth=nth)
            watched = Watched("run", uri, env=self.environment(AWS_ENDPOINT_URL_S3=proxy.url))
            if case.stage:
                watched.until("stage_started", case.stage)
                shoot()
            ended = watched.finish()
        return ended, time.monotonic() - shots[0]

    def files(self) -> dict[str, bytes]:
        """The objects that have to be the same in each run."""
        names = self.mine.there().keys() - {"manifest.json", "result.json", *PAGES}
        return {name: self.mine.get(f"out/{name}") for name in names}


@pytest.fixture(scope="module")
def inputs(seaweed: Seaweed, tiny: Path) -> Buckets:
    """The model and the data, in the store."""
    made = Buckets(seaweed, "test-killed/")
    made.put_inputs(tiny)
    return made


@pytest.fixture(scope="module")
def ended(
    seaweed: Seaweed, inputs: Buckets, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """Every case: a run that is ended, a look at what it left, and a run to its end."""
    folder = tmp_path_factory.mktemp("killed")

    def disturb(name: str) -> Ended:
        room = Room(seaweed, inputs, name, folder)
        uri = room.manifest()
        first, seconds = room.end(CASES[name], uri)
        left = room.mine.there()
        if name == "uploading":  # as if it had been so large that it goes up in parts
            key = f"{room.mine.prefix}out/prune.h5"
            seaweed.client().create_multipart_upload(Bucket=RESULTS, Key=key)
        second = room.run(uri)
        assert second.code == 0, second.err
        return Ended(first, seconds, left, second, room.mine.whole(), room.files())

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(disturb, CASES), strict=True))


@pytest.fixture(scope="module")
def undisturbed(
    seaweed: Seaweed, inputs: Buckets, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """What a run publishes that nothing happens to, and what it warns of."""
    room = Room(seaweed, inputs, "undisturbed", tmp_path_factory.mktemp("undisturbed"))
    done = room.run(room.manifest())
    assert (done.code, done.err) == (0, "")
    assert room.mine.whole()["resumed"] == []
    return Undisturbed(room.files(), warnings(done))


@pytest.mark.parametrize("name", CASES)
def test_the_next_run_ends_as_if_nothing_had_happened(
    ended: dict[str, Ended], undisturbed: Undisturbed, name: str
) -> None:
    """No result before its files; then all files with their bytes, and nothing of what was kept, no
    upload and no scrap beside them (``Buckets.whole`` looks).
    """
    it = ended[name]
    assert it.first.code == {KILL: -KILL, TERM: 143}[CASES[name].number]
    assert "result.json" not in it.left
    expected = undisturbed.files
    assert it.files.keys() == expected.keys()
    assert {file for file in expected if it.files[file] != expected[file]} == set()
    assert warnings(it.first) | warnings(it.second) == undisturbed.warnings


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.resumed])
def test_what_was_kept_is_not_done_again(ended: dict[str, Ended], name: str) -> None:
    """It is told, and is in the result."""
    it = ended[name]
    assert set(it.result["resumed"]) >= CASES[name].resumed
    assert {"training", "prune"} & set(it.result["resumed"])
    assert it.told


def test_a_training_goes_on_where_it_was_saved(ended: dict[str, Ended]) -> None:
    """The step is that of the state that the first run has left."""
    for name in ended.keys() & {"training", "told in training"}:
        (state,) = (it for it in ended[name].kept if it.startswith("training-"))
        step = int(state.split("-")[1])
        assert 0 < step <= 1080  # a fast machine may be at its end
        (told,) = [it for it in ended[name].told if "goes on from step" in it]
        assert f"step {step} of 1080" in told


def test_a_run_that_is_told_to_stop_keeps_what_it_has_done(ended: dict[str, Ended]) -> None:
    """Within the grace; one error, which says that the next run goes on."""
    for name in ended.keys() & {"told in training", "told in quantize"}:
        it = ended[name]
        assert it.seconds < GRACE_S
        assert "index.json" in it.kept
        assert it.first.error["exit_code"] == 143
    assert "prune.h5" in ended["told in quantize"].kept


@rare
def test_a_folder_keeps_it_too(tiny: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    """The state is in ``.resume`` there; the next run goes on, and leaves the results alone."""
    manifest, out = write_manifest(tmp_path, tiny, **JOB), tmp_path / "out"
    watched = Watched("run", manifest)
    watched.until("kept")
    while "training" not in {json.loads(it).get("piece") for it in watched.lines}:
        watched.until("kept")
    os.kill(watched.pid, TERM)
    assert watched.finish().code == 143
    (state,) = out.glob(".resume/*/training-*.npz")
    step = state.name.split("-")[1]
    done = paredown("run", manifest)
    assert (done.code, done.err) == (0, "")
    told = [it["what"] for it in done.events if it["event"] == "stage_resumed"]
    assert any(re.match(f"goes on from step {step} of", it) for it in told)
    assert not (out / ".resume").exists()
    files = digestible(out)
    files.pop("manifest.json")
    assert files == undisturbed.files


@rare
def test_nothing_is_kept_where_that_is_not_wanted(
    seaweed: Seaweed, inputs: Buckets, tmp_path: Path
) -> None:
    """But a mark that a run has begun, which shows that it may write."""
    room = Room(seaweed, inputs, "nothing", tmp_path)
    first, seconds = room.end(Case(TERM, stage="quantize"), room.manifest(resume=None))
    assert (first.code, seconds < GRACE_S) == (143, True)
    assert [name.split("/")[2] for name in room.mine.there()] == ["run.json"]
