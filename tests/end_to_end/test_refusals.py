"""What can't be done ends with one error that says what, where and what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.storage.destination import RESUME
from job.storage.local import PARTIAL
from tests.conftest import Run, paredown
from tests.support.published import (
    FAILED,
    PAGES,
    read_result,
    run_all,
    run_together,
    strict_json,
    write_manifest,
)
from tests.support.rare import few, some
from tests.support.runs import tmpfs

SGD = {"epochs": 2, "batch_size": 32, "optimizer": {"type": "sgd", "learning_rate": 1e35}}


def prune(**fields: Any) -> dict[str, Any]:
    """The manifest's section on pruning."""
    return {"prune": fields}


def constant(**fields: Any) -> dict[str, Any]:
    """Pruning with a constant schedule."""
    return prune(schedule={"type": "constant", **fields})


def model(name: str) -> dict[str, Any]:
    """A model in the folder of bad inputs."""
    return {"model": {"uri": f"../{name}"}}


def data(name: str, **fields: Any) -> dict[str, Any]:
    """A data set in the folder of bad inputs."""
    return {"dataset": {"type": "npz", "uri": f"../{name}", "scale": 1 / 255} | fields}


# What is asked, the exit code, what the error says, and what it names as the place.
EVERY_CASE: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "unknown field": ({"trainig": {}}, 2, "trainig: unknown field", "manifest.json"),
    "unknown scheme": ({"model": {"uri": "ftp://a/m"}}, 2, "model.uri: ftp", "manifest.json"),
    "missing model": (model("nowhere.h5"), 3, "no such file", "nowhere.h5"),
    "model is a folder": (model(""), 3, "no SavedModel", "refusals"),
    "missing data": (data("nowhere.npz"), 3, "no such file", "nowhere.npz"),
    "wrong digest": ({"model": {"uri": "../text.h5", "sha256": "0" * 64}}, 3, "pins", "text.h5"),
    "no HDF5": (model("text.h5"), 3, "no readable HDF5", "text.h5"),
    "truncated model": (model("truncated.h5"), 3, "truncated", "truncated.h5"),
    "weights only": (model("weights.h5"), 3, "weights only", "weights.h5"),
    "code in the model": (model("lambda.h5"), 3, "Lambda", "shout"),
    "missing array": (
        data("good.npz", train={"inputs": "x_trian", "targets": "y_train"}),
        3,
        "no array 'x_trian'",
        "good.npz",
    ),
    "wrong shape": (data("shape.npz"), 3, "(8, 7), the model takes (8, 8)", "dataset.train.inputs"),
    "unequal rows": (data("rows.npz"), 3, "differ in their rows", "rows.npz"),
    "no rows": (data("none.npz"), 3, "no rows", "none.npz"),
    "labels too high": (data("labels.npz"), 3, "from 0 to 7", "dataset.test.targets"),
    "negative labels": (data("negative.npz"), 3, "from -1 to 3", "dataset.train.targets"),
    "NaN": (data("nan.npz"), 3, "nan at [3, 2, 1]", "dataset.test.inputs"),
    "words": (data("words.npz"), 3, "no numbers", "dataset.train.targets"),
    "pickled": (data("pickled.npz"), 3, "pickled objects", "pickled.npz"),
    "no npz": (data("text.h5"), 3, "no .npz archive", "text.h5"),
    "damaged npz": (data("damaged.npz"), 3, "no readable .npz", "damaged.npz"),
    "cut npz": (data("cut.npz"), 3, "no .npz archive", "cut.npz"),
    "no row to test on": (
        data("good.npz", test_split=0.001),
        3,
        "the data set has 400 rows: none is left to test on",
        "dataset.test_split",
    ),
    "range of no input": (
        {"dataset": None, "model": {"uri": "../good.h5", "input_ranges": {"x": [0, 1]}}},
        3,
        "no input x; its inputs: picture",
        "model.input_ranges",
    ),
    "agreement of numbers": (
        {"dataset": None, "gates": [{"type": "min_agreement", "value": 0.9}]} | model("good.h5"),
        3,
        "no output is a distribution",
        "gates.0",
    ),
    "gate on no output": (
        {"gates": [{"type": "min_snr_db", "value": 9, "output": "x"}]},
        3,
        "no output x; its outputs: dense",
        "gates.0.output",
    ),
    "nothing to prune": (prune(min_weights=10**6), 3, "No layer of the model", "model.h5"),
    "no block fits": (prune(structure={"type": "block"}), 3, "dense (Dense)", "model.h5"),
    "never fires": (constant(frequency=1000), 4, "never fires", "prune.schedule"),
    "diverges": ({"training": SGD}, 4, "diverged", "training.optimizer"),
    "infinite outputs": (data("good.npz", scale=1e38) | {"prune": None}, 4, "NaN or inf", "rows"),
}
# Tests of the modules that refuse them have each of the others, too.
CASES = some(
    EVERY_CASE,
    *("unknown field", "missing model", "wrong digest", "truncated model", "code in the model"),
    *("missing array", "labels too high", "NaN", "pickled", "nothing to prune", "never fires"),
    *("diverges", "infinite outputs"),
)


@pytest.fixture(scope="module")
def inputs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bad models and bad data."""
    folder = tmp_path_factory.mktemp("refusals")
    whole = (tiny / "model.h5").read_bytes()
    (folder / "text.h5").write_text("x_train,y_train\n1,2\n")
    (folder / "truncated.h5").write_bytes(whole[: len(whole) // 2])
    trained = tf_keras.models.load_model(tiny / "model.h5", compile=False)
    trained.save_weights(folder / "weights.h5")
    trained.save(folder / "good.h5")
    shout = tf_keras.layers.Lambda(lambda it: it * 2, name="shout", input_shape=(8, 8))
    tf_keras.Sequential([shout]).save(folder / "lambda.h5")

    good = dict(np.load(tiny / "data.npz"))
    hole = good["x_test"].astype(np.float32)
    hole[3, 2, 1] = np.nan
    other = {
        "good": {},
        "shape": {"x_train": good["x_train"][:, :, :7]},
        "rows": {"y_train": good["y_train"][:-1]},
        "none": {"x_test": good["x_test"][:0], "y_test": good["y_test"][:0]},
        "labels": {"y_test": good["y_test"] + 4 * (good["y_test"] == 3)},
        "negative": {"y_train": np.where(good["y_train"] == 0, -1, good["y_train"])},
        "nan": {"x_test": hole},
        "words": {"y_train": np.array(["left"] * 400)},
        "pickled": {"x_train": np.array([{"a": 1}] * 400, dtype=object)},
    }
    for name, arrays in other.items():
        np.savez(folder / f"{name}.npz", **(good | arrays))
    np.savez_compressed(folder / "damaged.npz", **good)
    damaged = bytearray((folder / "damaged.npz").read_bytes())
    (folder / "cut.npz").write_bytes(damaged[: len(damaged) // 2])
    for place in range(2000, 2400):
        damaged[place] ^= 0xFF
    (folder / "damaged.npz").write_bytes(damaged)
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that TMPDIR names in the runs of this module."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def refused(tiny: Path, inputs: Path, scratch: Path) -> dict[str, Run]:
    """All cases, run: what is no manifest alone, and jobs as one batch."""
    env = os.environ | {"TMPDIR": str(scratch)}
    manifests: dict[str, list[str | Path]] = {
        case: ["run", write_manifest(inputs / case, tiny, **sections)]
        for case, (sections, code, *_) in CASES.items()
        if code == 2
    }
    jobs = {case: sections for case, (sections, *_) in CASES.items() if case not in manifests}
    return run_all(manifests, env=env) | run_together(jobs, tiny, inputs, env=env)


def assert_one_error(run: Run, code: int, what: str, where: str) -> None:
    """Exactly one error, with the contract's code, saying what, where and what to do."""
    error = run.error
    assert (run.code, error["exit_code"]) == (code, code), error
    assert what in error["what"], error
    assert where in error.get("where", ""), error
    assert error.get("to_do"), error
    assert "Traceback" not in run.out + run.err
    for line in run.out.splitlines():
        assert strict_json(line)["event"] != "run_finished"


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_is_one_error_and_publishes_nothing(
    refused: dict[str, Run], inputs: Path, case: str
) -> None:
    """What, where, what to do; the exit code; no result and no half-written file."""
    _, code, what, where = CASES[case]
    assert_one_error(refused[case], code, what, where)
    out = inputs / case / "out" if code == 2 else inputs / "done" / case.replace(" ", "-")
    left = {path.name for path in (out.iterdir() if out.exists() else [])} - {RESUME, ".batch"}
    assert left == (FAILED if code in (3, 4) else set())


def test_no_scratch_is_left_by_any_refusal(refused: dict[str, Run], scratch: Path) -> None:
    """Neither ours nor TensorFlow's."""
    assert refused
    assert list(scratch.iterdir()) == []


def test_a_manifest_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    """It is no JSON, or it is not there: nothing is looked at but it."""
    (tmp_path / "cut.json").write_text('{"name": "a",\n')
    place = "cut.json, line 2, column 1"
    assert_one_error(paredown("run", tmp_path / "cut.json"), 2, "no valid JSON", place)
    missing = paredown("run", tmp_path / "nowhere.json")
    assert_one_error(missing, 2, "no such file", "nowhere.json")


@pytest.mark.parametrize("below", ["", "/deep"])
def test_a_file_in_the_destinations_way_is_refused(tiny: Path, tmp_path: Path, below: str) -> None:
    """It is left as it is, and no work is done."""
    (tmp_path / "out").write_text("mine")
    manifest = write_manifest(tmp_path, tiny, destination={"uri": f"out{below}"})
    assert_one_error(paredown("run", manifest), 3, "a file is in the way", f"out{below}")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_read_only_destination_is_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    """Retrying elsewhere does not help: it is the input that is refused."""
    with tmpfs(tmp_path / "disk", "ro"):
        manifest = write_manifest(tmp_path, tiny, destination={"uri": "disk/out"})
        run = paredown("run", manifest)
    assert_one_error(run, 3, "access denied", "disk/out")
    assert [event["event"] for event in run.events] == ["run_started", "run_failed"]


def test_a_destination_that_fills_up_is_a_matter_of_storage(tiny: Path, tmp_path: Path) -> None:
    """What was written stays for a retry to replace; nothing is half-written, nor is a result."""
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        manifest = write_manifest(tmp_path, tiny, destination={"uri": "disk/out"})
        run = paredown("run", manifest)
        left = {path.name for path in (disk / "out").iterdir()}
    assert_one_error(run, 6, "the disk is full", "disk/out")
    assert left & {"baseline.h5", RESUME}
    assert "result.json" not in left
    assert not any(name.startswith(PARTIAL) for name in left)


def test_scratch_that_is_full_is_a_matter_of_storage(tiny: Path, tmp_path: Path) -> None:
    """Whichever stage it stops: loading, tracing, saving, converting or compressing."""
    sizes = few([64, 24, 96, 128, 160])

    def run(size: int) -> Run:
        folder = tmp_path / str(size)
        environment = os.environ | {"TMPDIR": str(disks[size])}
        return paredown("run", write_manifest(folder, tiny), env=environment)

    with contextlib.ExitStack() as mounted, ThreadPoolExecutor(2) as pool:
        disks = {
            size: mounted.enter_context(tmpfs(tmp_path / f"disk{size}", f"size={size}k"))
            for size in sizes
        }
        runs = dict(zip(sizes, pool.map(run, sizes), strict=True))
        left = [path for disk in disks.values() for path in disk.iterdir()]
    for size in sizes:
        assert_one_error(runs[size], 6, "the disk is full", "")
        assert {path.name for path in (tmp_path / str(size) / "out").iterdir()} <= {RESUME}
    assert left == []


@pytest.fixture(scope="module")
def occupied(tiny: Path, inputs: Path) -> Iterator[Path]:
    """A folder whose ``out`` holds a run with other variants and codecs than the default."""
    other = {"quantize": [{"type": "float32"}], "compress": {"codecs": ["xz"]}}
    assert paredown("run", write_manifest(inputs / "occupied", tiny, **other)).code == 0
    yield inputs / "occupied"
    shutil.rmtree(inputs / "occupied")


def test_the_results_of_another_run_are_not_replaced_unasked(tiny: Path, occupied: Path) -> None:
    """Every byte stays."""
    before = {path.name: path.read_bytes() for path in (occupied / "out").iterdir()}
    run = paredown("run", write_manifest(occupied, tiny))
    assert_one_error(run, 2, "the results of another run", "occupied/out")
    assert {path.name: path.read_bytes() for path in (occupied / "out").iterdir()} == before


def test_with_overwrite_they_are_replaced_as_a_whole(tiny: Path, occupied: Path) -> None:
    """None of the old files stays; what is somebody else's does."""
    (occupied / "out" / "notes.txt").write_text("mine")
    manifest = write_manifest(occupied, tiny, destination={"uri": "out", "overwrite": True})
    assert paredown("run", manifest).code == 0
    files = {path.name for path in (occupied / "out").iterdir()}
    result = read_result(occupied / "out")
    named = {"result.json", "manifest.json", "notes.txt", *PAGES}
    for artifact in result["artifacts"]:
        named |= {artifact["path"], *(it["path"] for it in artifact["encoded"].values())}
    assert files == named
    assert "dynamic_range.tflite.zip" in files
    assert "float32.tflite" not in files
