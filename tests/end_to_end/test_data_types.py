"""Every type of data set runs on real data, and gives what the same data give as arrays."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Run, paredown
from tests.support.buckets import Buckets, environment
from tests.support.identities import RESULTS
from tests.support.published import read_result
from tests.support.rare import marked, rare
from tests.support.runs import Watched
from tests.support.seaweed import Seaweed

EXAMPLES = ROOT / "manifests" / "examples" / "data"
ROWS = 1500
OF_DIGITS = ("npy", "image_folder", "tfrecord", "csv", "parquet", "keras")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, with the data that their script writes."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES, folder / "examples" / "data", ignore=only_the_examples)
    shutil.copytree(
        ROOT / "manifests" / "quickstart",
        folder / "quickstart",
        ignore=shutil.ignore_patterns("out"),
    )
    data = folder / "examples" / "data"
    subprocess.run([sys.executable, data / "write_data.py", "--rows", str(ROWS)], check=True)
    cache = folder / "keras" / "datasets"
    cache.mkdir(parents=True)
    shutil.copy(data / "digits.npz", cache / "mnist.npz")
    return data


def only_the_examples(_: str, names: list[str]) -> list[str]:
    """What is not copied: data that are there already, and results."""
    return [name for name in names if not name.endswith((".json", ".py"))]


def run(data: Path, name: str, *options: str) -> tuple[Run, Path]:
    """Run an example; with the digits in Keras's cache, where it is Keras's data set."""
    env = os.environ | {"KERAS_HOME": str(data.parents[1] / "keras")}
    return paredown("run", data / f"{name}.json", *options, env=env), data / "out" / name


def digests(out: Path) -> dict[str, str]:
    """Of all artifacts."""
    return {artifact["path"]: artifact["sha256"] for artifact in read_result(out)["artifacts"]}


@pytest.fixture(scope="module")
def plain(written: Path) -> dict[str, str]:
    """The artifacts of the digits as arrays."""
    ended, out = run(written, "npz")
    assert (ended.code, ended.err) == (0, "")
    return digests(out)


@pytest.mark.parametrize("name", OF_DIGITS)
def test_digits_of_every_type_give_the_same_files(
    name: str, written: Path, plain: dict[str, str]
) -> None:
    """To the last byte: the same rows, in the same order, scaled alike."""
    options = []
    if name == "keras":  # the quickstart's digits are a part of Keras's
        digest = hashlib.sha256((written / "digits.npz").read_bytes()).hexdigest()
        options = ["--set", f"dataset.sha256={digest}"]
    ended, out = run(written, name, *options)
    assert (ended.code, ended.err) == (0, "")
    assert digests(out) == plain
    result = read_result(out)
    assert result["splits"]["train"]["rows"] == ROWS
    names = [str(digit) for digit in range(10)] if name == "image_folder" else []
    assert result["class_names"] == names


@pytest.mark.parametrize("name", ["image_folder", "tfrecord", *map(marked, ("npy", "npz", "csv"))])
def test_rows_that_are_read_batch_by_batch_give_the_same_files(
    name: str, written: Path, plain: dict[str, str]
) -> None:
    """Nothing stays in memory; of what is decoded, a part is not on the scratch disk either."""
    limits = {"memory_bytes": 0}
    if name in ("image_folder", "tfrecord"):
        limits["cache_bytes"] = 28 * 28 * 1000
    sets = [
        text for field, value in limits.items() for text in ("--set", f"dataset.{field}={value}")
    ]
    ended, out = run(written, name, *sets, "--set", "destination.uri=out/streamed")
    assert (ended.code, ended.err) == (0, "")
    assert digests(out.parent / "streamed") == plain
    decisions = [
        text
        for stage in read_result(out.parent / "streamed")["stages"]
        for text in stage["decisions"]
    ]
    assert any("read batch by batch" in text for text in decisions)


def test_words_are_told_apart(written: Path) -> None:
    """Real words of five languages; the figures are those of the same integers as arrays."""
    ended, out = run(written, "text")
    assert (ended.code, ended.err) == (0, "")
    result = read_result(out)
    assert result["class_names"] == ["de", "en", "es", "fr", "it"]
    baseline, *_, smallest = result["artifacts"]
    assert baseline["metrics"]["accuracy"] > 0.5  # a constant has 0.2
    assert smallest["metrics"]["accuracy"] > 0.5
    folder = written / "text"
    letters = (folder / "letters.txt").read_text().splitlines()
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        lines = (folder / f"{split}.csv").read_text().splitlines()[1:]
        pairs = [[cell.strip('"') for cell in line.split(",")] for line in lines]
        rows = np.zeros((len(pairs), 16), np.int32)
        for row, (word, _) in enumerate(pairs):
            known = [letters.index(it) if it in letters else 1 for it in word[:16]]
            rows[row, : len(known)] = known
        arrays |= {f"x_{split}": rows}
        arrays |= {f"y_{split}": [result["class_names"].index(name) for _, name in pairs]}
    np.savez(written / "words.npz", **arrays)
    job = json.loads((written / "text.json").read_text())
    job |= {"dataset": {"uri": "words.npz"}, "destination": {"uri": "out/words"}}
    (written / "words.json").write_text(json.dumps(job))
    assert run(written, "words")[0].code == 0
    assert digests(out.parent / "words") == digests(out)


def test_a_table_of_numbers_and_a_category_is_read(written: Path) -> None:
    """scikit-learn's patients: the figures are those of the same numbers, put together by hand."""
    ended, out = run(written, "table")
    assert (ended.code, ended.err) == (0, "")
    result = read_result(out)
    assert {name: split["rows"] for name, split in result["splits"].items()} == {
        "train": 319,
        "validation": 35,
        "test": 88,
    }
    lines = (written / "table" / "patients.csv").read_text().splitlines()
    header = [name.strip('"') for name in lines[0].split(",")]
    cells = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    *numbers, _ = result["manifest"]["dataset"]["train"]["inputs"]
    inputs = [
        [float(row[name]) for name in numbers]
        + [float(row["sex"].strip('"') == group) for group in ("first", "second")]
        for row in cells
    ]
    targets = [float(row["target"]) for row in cells]
    np.savez(written / "patients.npz", x=np.array(inputs, np.float32), y=np.array(targets, int))
    job = json.loads((written / "table.json").read_text())
    dataset = {name: job["dataset"][name] for name in ("preprocess", "split")}
    job["dataset"] = dataset | {"uri": "patients.npz", "train": {"inputs": "x", "targets": "y"}}
    job["destination"]["uri"] = "out/patients"
    (written / "patients.json").write_text(json.dumps(job))
    assert run(written, "patients")[0].code == 0
    assert digests(out.parent / "patients") == digests(out)


@rare
def test_augmented_images_are_trained_on(written: Path) -> None:
    """Rows for validation and for the test are held out, each class by its share."""
    ended, out = run(written, "augmented")
    assert (ended.code, ended.err) == (0, "")
    result = read_result(out)
    rows = {name: split["rows"] for name, split in result["splits"].items()}
    assert sum(rows.values()) == ROWS
    assert rows["test"] == pytest.approx(ROWS / 10, abs=1)
    assert rows["validation"] == pytest.approx(ROWS * 0.09, abs=2)
    assert len({split["sha256"] for split in result["splits"].values()}) == 3
    again, _ = run(written, "augmented", "--set", "destination.uri=out/again")
    assert again.code == 0
    assert digests(out) == digests(out.parent / "again")
    other, _ = run(
        written,
        "augmented",
        *("--set", "destination.uri=out/other"),
        *("--set", "training.augment.rotation=0.1"),
    )
    assert other.code == 0
    assert digests(out)["prune.h5"] != digests(out.parent / "other")["prune.h5"]


def test_a_killed_training_on_a_stream_of_augmented_images_goes_on(written: Path) -> None:
    """In the middle of an epoch, with images that are decoded again each time."""
    sets = [
        *("--set", "dataset.memory_bytes=0", "--set", "dataset.cache_bytes=200000"),
        *("--set", "training.epochs=8", "--set", "resume.save_every_s=0.1"),
    ]
    whole, out = run(written, "augmented", *sets, "--set", "destination.uri=out/whole")
    assert whole.code == 0
    parts = out.parent / "parts"
    watched = Watched("run", written / "augmented.json", *sets, "--set", f"destination.uri={parts}")
    while watched.until("kept")["piece"] != "training":
        pass
    watched.until("progress", "prune")
    os.killpg(watched.pid, signal.SIGKILL)
    watched.process.wait()
    ended, _ = run(written, "augmented", *sets, "--set", f"destination.uri={parts}")
    assert ended.code == 0
    assert "training" in read_result(parts)["resumed"]
    assert digests(parts) == digests(out.parent / "whole")


@rare
def test_images_and_records_are_read_from_a_bucket(
    written: Path, plain: dict[str, str], seaweed: Seaweed, tmp_path: Path
) -> None:
    """By a prefix, with the folders below it (some of the images); and by a pattern."""
    made = Buckets(seaweed, "test-data-types/")
    few = tmp_path / "few"
    images = [
        path for path in sorted((written / "images").rglob("*.png")) if path.stem[-2:] == "50"
    ]
    for path in [*images, *(written / "records").iterdir()]:
        name = path.relative_to(written).as_posix()
        made.put(name, path.read_bytes())
        (few / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, few / name)
    local, out = run(
        *(written, "image_folder", "--set", f"dataset.uri={few / 'images'}"),
        *("--set", "destination.uri=out/few"),
    )
    assert local.code == 0
    wanted = {"image_folder": digests(out.parent / "few"), "tfrecord": plain}
    made.put("model.h5", (ROOT / "manifests/quickstart/mnist_baseline.h5").read_bytes())
    for name, uri in (("image_folder", "images/"), ("tfrecord", "records/*.tfrecord")):
        job = json.loads((written / f"{name}.json").read_text())
        job["model"]["uri"] = made.uri("model.h5")
        job["dataset"]["uri"] = made.uri(uri)
        job["destination"]["uri"] = f"s3://{RESULTS}/test-data-types/{name}"
        (tmp_path / f"{name}.json").write_text(json.dumps(job))
        ended = paredown("run", tmp_path / f"{name}.json", env=environment(seaweed))
        assert (ended.code, ended.err) == (0, "")
        result = made.whole(name)
        assert {artifact["path"]: artifact["sha256"] for artifact in result["artifacts"]} == wanted[
            name
        ]
