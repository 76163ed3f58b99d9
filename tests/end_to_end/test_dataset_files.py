"""A data set in several files makes what the same rows in one file make, byte for byte."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import paredown
from tests.support.published import Published, digestible, publish_all, write_manifest

WORK = {
    "quantize": [{"type": "dynamic_range"}, {"type": "int8"}],
    "compress": {"codecs": ["zip"]},
    "training": {"epochs": 1, "batch_size": 32},
}
SHARDS = ["test.npz", "train-0.npz", "train-1.npz", "train-2.npz"]


def dataset(uri: str) -> dict[str, Any]:
    return {"dataset": {"uri": uri, "scale": 1 / 255}}


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    """The tiny data set as one file, as a folder of four, and as a pattern that names them."""
    folder = tmp_path_factory.mktemp("dataset_files")
    shards = folder / "shards"
    shards.mkdir()
    with np.load(tiny / "data.npz") as archive:
        arrays = dict(archive)
    for index, (start, stop) in enumerate([(0, 150), (150, 151), (151, 400)]):
        rows = {name: arrays[name][start:stop] for name in ("x_train", "y_train")}
        np.savez_compressed(shards / f"train-{index}.npz", **rows)
    np.savez(shards / "test.npz", x_test=arrays["x_test"], y_test=arrays["y_test"])
    (shards / "README.md").write_text("Not a part of it.")
    jobs = {
        "one": WORK,
        "folder": WORK | dataset("../shards/"),
        "pattern": WORK | dataset("../s*/**/t*.npz"),
    }
    return publish_all(jobs, tiny, folder)


def test_the_models_are_the_same_byte_for_byte(published: dict[str, Published]) -> None:
    """All model files and their encodings, and what was measured."""
    one = digestible(published["one"].folder)
    assert {"prune.h5", "dynamic_range.tflite", "int8.tflite"} <= one.keys()
    for name in ("folder", "pattern"):
        several = digestible(published[name].folder)
        assert several.keys() == one.keys()
        assert {it for it in one if one[it] != several[it]} == {"manifest.json"}
        for mine, other in zip(
            published["one"].result["artifacts"], published[name].result["artifacts"], strict=True
        ):
            assert mine["metrics"] == other["metrics"]


def test_the_result_has_what_sha256sum_says(published: dict[str, Published]) -> None:
    """One digest for all files, with names from where the pattern has its first wildcard."""
    shards = published["folder"].manifest.parents[1] / "shards"
    for name, folder, names in (
        ("folder", shards, SHARDS),
        ("pattern", shards.parent, [f"shards/{it}" for it in SHARDS]),
    ):
        command = ["sha256sum", *names]
        printed = subprocess.check_output(command, cwd=folder)
        found = published[name].result["inputs"]["dataset"]
        assert found["sha256"] == hashlib.sha256(printed).hexdigest()
        assert found["bytes"] == sum((shards / it).stat().st_size for it in SHARDS)


def test_the_digest_can_be_pinned(published: dict[str, Published], tiny: Path) -> None:
    """The same files are the same run, done already; another one beside them is refused."""
    folder = published["folder"]
    digest = folder.result["inputs"]["dataset"]["sha256"]
    pinned = {"dataset": {"uri": "../shards", "scale": 1 / 255, "sha256": digest}}
    pinned["destination"] = {"uri": "../done/folder"}
    manifest = write_manifest(folder.manifest.parent, tiny, **WORK | pinned)
    again = paredown("run", manifest)
    assert again.code == 0, again.err
    assert again.events[-1]["already_done"] is True
    added = folder.manifest.parents[1] / "shards" / "train-3.npz"
    added.write_bytes((added.parent / "train-1.npz").read_bytes())
    refused = paredown("run", manifest)
    added.unlink()
    assert refused.code == 3
    assert f"the manifest pins {digest}" in refused.error["what"]


def test_a_file_that_does_not_fit_is_named(published: dict[str, Published], tiny: Path) -> None:
    """With the array, before anything is trained."""
    mixed = published["one"].manifest.parents[1] / "mixed"
    mixed.mkdir()
    with np.load(tiny / "data.npz") as archive:
        np.savez(mixed / "a.npz", **archive)
        np.savez(mixed / "b.npz", x_train=archive["x_train"])
    sections = dataset("*.npz") | {"destination": {"uri": "../out-mixed"}}
    refused = paredown("run", write_manifest(mixed, tiny, **sections))
    assert refused.code == 3
    assert refused.error["where"] == str(mixed / "b.npz")
    assert "'x_train' of the train split and no 'y_train'" in refused.error["what"]
