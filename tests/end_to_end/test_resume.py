"""A job that is stopped goes on where it was, and ends as if nothing had happened.

The child process is run as the parent runs it, with the folder of what is kept; the copying to
storage and back is no part of this.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tf_keras

from job.errors import InterruptedRunError, StageError
from job.events import Event
from job.resume.checkpoints import RESTORED as TAKEN
from job.resume.index import read_index
from tests.support.manifests import read_job
from tests.support.rare import EVERY, rare
from tests.support.resuming import Ran, begins, interrupt, keeps, kill, run, workers
from tests.support.runs import is_gone

layers = tf_keras.layers
WENT_ON = "goes on from step"
QUANTIZE = [{"type": "dynamic_range"}, {"type": "int8", "calibration_samples": 40}]
VARYING = {"seconds", "latency_ms", "resumed"}


@pytest.fixture(scope="module")
def manifest(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job whose training takes a few seconds in small steps, of a model with random layers."""
    folder = tmp_path_factory.mktemp("random")
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8), name="picture"),
            layers.Reshape((8, 8, 1), name="reshape"),
            layers.Conv2D(8, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(4, activation="softmax", name="dense"),
        ]
    )
    model.save(folder / "model.h5")
    asked = {
        "name": "tiny",
        "model": {"uri": str(folder / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 12, "batch_size": 4, "validation_split": 0.1},
        "quantize": QUANTIZE,
        "compress": {"codecs": ["zip", "xz"]},
        "destination": {"uri": "out"},
    }
    return read_job(json.dumps(asked), "here.json").model_dump(mode="json")


# Where a chain of runs is disturbed, each going on with what the one before has left:
# name -> (where, how, what is kept by then).
CHAIN: dict[str, tuple[Callable[[Event], bool], Callable[[], None], set[str]]] = {
    "killed while training": (keeps("training"), kill, {"baseline", "training"}),
    "stopped while training": (
        lambda event: event["event"] == "progress" and event["stage"] == "prune",
        interrupt,
        {"baseline", "training"},
    ),
    "killed while stripping": (begins("strip"), kill, {"baseline", "training"}),
    "stopped between variants": (
        keeps("quantize dynamic_range"),
        interrupt,
        {"baseline", "prune", "quantize dynamic_range"},
    ),
    "killed while measuring": (
        keeps("evaluate prune"),
        kill,
        {"baseline", "prune", "quantize dynamic_range", "quantize int8", "evaluate prune"},
    ),
    "stopped while measuring latency": (
        begins("latency"),
        interrupt,
        {
            *("baseline", "prune", "quantize dynamic_range", "quantize int8"),
            *("evaluate prune", "evaluate dynamic_range", "evaluate int8"),
            *("encode baseline.h5.zip", "encode prune.h5.xz", "encode int8.tflite.zip"),
        },
    ),
}

if not EVERY:
    del CHAIN["killed while stripping"], CHAIN["killed while measuring"]


@pytest.fixture(scope="module")
def undisturbed(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run that nothing happens to."""
    return run(manifest, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def chain(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The chain of disturbed runs, and the one that ends."""
    folder = tmp_path_factory.mktemp("chain")
    ran: dict[str, Ran] = {}
    kept = None
    for name, (where, how, _) in CHAIN.items():
        ran[name] = run(
            *(manifest, folder / name), kept=kept, disturb=where, by=how, save_every_s=0.05
        )
        kept = ran[name].kept
    ran["ended"] = run(manifest, folder / "ended", kept=kept)
    return ran


def constant(node: Any) -> Any:
    """A result without what may differ, and what says that something was taken."""
    if isinstance(node, dict):
        return {key: constant(value) for key, value in node.items() if key not in VARYING}
    if isinstance(node, list):
        return [constant(it) for it in node if not _tells_of_resuming(it)]
    return node


def _tells_of_resuming(text: object) -> bool:
    return isinstance(text, str) and (TAKEN in text or text.startswith(WENT_ON))


def test_every_run_of_the_chain_was_disturbed_and_kept_what_it_had_done(
    chain: dict[str, Ran],
) -> None:
    """The pieces are in the index, and their files in the folder."""
    for name, (_, how, pieces) in CHAIN.items():
        ran = chain[name]
        kind = InterruptedRunError if how is interrupt else StageError
        assert isinstance(ran.error, kind), name
        assert ran.pieces >= pieces, name
        files = {file for it in read_index(ran.kept).pieces.values() for file in it.files}
        assert {path.name for path in ran.kept.iterdir()} >= files | {"index.json"}


def test_a_run_that_goes_on_ends_as_if_nothing_had_happened(
    chain: dict[str, Ran], undisturbed: Ran
) -> None:
    """The same bytes, metrics, history, layers, decisions and warnings after all disturbances."""
    ended = chain["ended"]
    assert undisturbed.error is ended.error is None
    assert ended.files.keys() == undisturbed.files.keys()
    assert {it for it in ended.files if ended.files[it] != undisturbed.files[it]} == set()
    assert constant(ended.result) == constant(undisturbed.result)
    assert undisturbed.result["resumed"] == []


def test_what_was_done_is_not_done_again_and_that_is_told(chain: dict[str, Ran]) -> None:
    """A piece is made by one run of the chain, but for the training; the last one makes none."""
    made = [piece for ran in chain.values() for piece in ran.made if piece != "training"]
    assert len(made) == len(set(made))
    ended = chain["ended"]
    assert ended.made == []
    assert set(ended.result["resumed"]) == ended.pieces
    assert not [
        event
        for event in ended.events
        if event.get("stage") == "prune" and event["event"] == "progress"
    ]
    decisions = {it["name"]: it["decisions"] for it in ended.result["stages"]}
    for stage in ("baseline", "prune", "strip", "quantize", "evaluate", "compress"):
        assert any(TAKEN in text for text in decisions[stage]), stage
    assert any(text.startswith(WENT_ON) for text in decisions["prune"])


def test_a_training_goes_on_from_its_last_save(chain: dict[str, Ran]) -> None:
    """Its first progress is after the step that is told; its seconds are those of all runs."""
    ran = chain["stopped while training"]
    told = next(
        event["what"]
        for event in ran.events
        if event["event"] == "stage_resumed" and event["stage"] == "prune"
    )
    step = int(told.split()[4])
    assert 0 < step < 1080
    progress = [
        event["done"]
        for event in ran.events
        if event["event"] == "progress" and event["stage"] == "prune"
    ]
    assert step < min(progress)
    assert "training" not in chain["stopped between variants"].pieces


def test_the_word_to_stop_is_obeyed_at_once(chain: dict[str, Ran]) -> None:
    """The child ends by itself, with its training saved, and is not killed after the grace."""
    for name, (_, how, _) in CHAIN.items():
        if how is interrupt:
            assert chain[name].seconds_to_end < 4, name
    stopped = chain["stopped while training"]
    after = stopped.events[
        stopped.events.index(
            next(
                event
                for event in stopped.events
                if event["event"] == "progress" and event["stage"] == "prune"
            )
        )
        + 1 :
    ]
    assert after[0] == {"event": "kept", "piece": "training"}
    assert {event["event"] for event in after} == {"kept"}


@pytest.fixture(scope="module")
def spoilt(
    manifest: dict[str, Any], chain: dict[str, Ran], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """A run that finds pieces that do not fit: damaged, cut, of another shape, or without file."""
    folder = tmp_path_factory.mktemp("spoilt")
    kept = folder / "before"
    shutil.copytree(chain["stopped while measuring latency"].kept, kept)
    (kept / "baseline-outputs.npz").write_bytes(b"PK")
    (kept / "int8.tflite").unlink()
    content = bytearray((kept / "prune.h5").read_bytes())
    content[-1] ^= 1
    (kept / "prune.h5").write_bytes(content)
    return run(manifest, folder / "after", kept=kept)


def test_pieces_that_do_not_fit_are_made_again(spoilt: Ran, undisturbed: Ran) -> None:
    """A warning for each, no crash, and the same bytes in the end."""
    assert spoilt.error is None
    assert spoilt.files == undisturbed.files
    warnings = [text for text in spoilt.warnings() if "stopped run has kept" in text]
    assert [text.split(" is made again")[0].split(" of ")[1] for text in warnings] == [
        "baseline",
        "prune",
        "quantize int8",
    ]
    assert {"baseline", "prune", "quantize int8"} <= set(spoilt.made)
    assert "quantize dynamic_range" in spoilt.result["resumed"]


@rare
def test_a_crash_is_remembered(manifest: dict[str, Any], tmp_path: Path) -> None:
    """What was computed without AVX2 is forgotten; the next run begins with it, and says why."""
    environments: list[bytes] = []

    def crash() -> None:
        (child,) = workers()
        environments.append(Path(f"/proc/{child}/environ").read_bytes())
        os.kill(child, signal.SIGSEGV)

    def look() -> None:
        (child,) = workers()
        environments.append(Path(f"/proc/{child}/environ").read_bytes())
        interrupt()

    seen: list[str] = []

    def second_baseline(event: Event) -> bool:
        if event["event"] == "kept":
            seen.append(event["piece"])
            if seen == ["baseline"]:
                crash()
        return seen == ["baseline", "crashed", "baseline"]

    first = run(manifest, tmp_path / "first", disturb=second_baseline, by=look)
    assert isinstance(first.error, InterruptedRunError)
    assert first.pieces == {"crashed", "baseline"}
    (died,) = [event["message"] for event in first.events if event["event"] == "child_died"]
    later = run(manifest, tmp_path / "later", kept=first.kept, disturb=begins("import"), by=look)
    assert [b"ONEDNN_MAX_CPU_ISA=AVX2" in it for it in environments] == [False, True, True]
    assert later.warnings() == [died]
    assert later.events[0] == {"event": "warning", "message": died}


def test_a_child_that_does_not_stop_is_killed_when_the_grace_is_over(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    """It is frozen, and hears nothing."""
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(workers())
        os.kill(frozen[0], signal.SIGSTOP)
        interrupt()

    ran = run(manifest, tmp_path / "run", disturb=begins("import"), by=freeze, grace_s=0.5)
    assert isinstance(ran.error, InterruptedRunError)
    assert 0.5 <= ran.seconds_to_end < 3
    assert is_gone(frozen[0])
