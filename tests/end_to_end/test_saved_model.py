"""A Keras SavedModel through a whole job: what comes out is what went in."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.support.published import Published, digestible, publish_all


@pytest.fixture(scope="module")
def published(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Published]:
    """The tiny model as a folder, twice, and as a zip."""
    folder = tmp_path_factory.mktemp("saved_models")
    model = tf_keras.models.load_model(tiny / "model.h5")
    model.save(folder / "model", save_format="tf")
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (folder / "model").rglob("*"):
            archive.write(path, path.relative_to(folder))
    jobs: dict[str, dict[str, Any]] = {
        name: {"model": {"uri": str(folder / uri)}}
        for name, uri in {"folder": "model", "again": "model", "zip": "model.zip"}.items()
    }
    return publish_all(jobs, tiny, folder)


def test_the_pruned_model_is_a_saved_model(published: dict[str, Published], tmp_path: Path) -> None:
    """Unpacked with tar, Keras loads it; it has the zeros, and answers as the .tflite does."""
    done = published["folder"]
    artifact = done.artifact("prune")
    assert (artifact["format"], artifact["path"]) == ("saved_model", "prune.savedmodel.tar")
    content = (done.folder / artifact["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == artifact["sha256"]
    with tarfile.open(done.folder / artifact["path"]) as archive:
        archive.extractall(tmp_path, filter="data")
    model = tf_keras.models.load_model(tmp_path, compile=False)
    kernel = model.get_layer("dense").kernel.numpy()
    assert np.mean(kernel == 0) == pytest.approx(0.8, abs=0.01)


def test_the_baseline_is_the_folder_in_a_tar(published: dict[str, Published]) -> None:
    """Its digest is that of the input; what an optimizer left in it is not counted as size won."""
    result = published["folder"].result
    baseline = result["artifacts"][0]
    assert baseline["path"] == "baseline.savedmodel.tar"
    assert baseline["sha256"] == result["inputs"]["model"]["sha256"]
    assert baseline["optimizer_bytes"] > 2 * 4 * 1000
    assert any("optimizer's state" in it for it in result["warnings"])


def test_the_same_folder_gives_the_same_bytes(published: dict[str, Published]) -> None:
    """Whole SavedModels too, which TensorFlow writes with random numbers in them."""
    first, again = (digestible(published[name].folder) for name in ("folder", "again"))
    first.pop("manifest.json")  # has the job's name
    again.pop("manifest.json")
    assert first == again


def test_what_sizes_are_compared_with_does_not_depend_on_the_packing(
    published: dict[str, Published],
) -> None:
    """The model alone: as large as the pruned one, which has as many weights."""
    for name in ("folder", "zip"):
        done = published[name]
        reference = done.result["artifacts"][0]["reference_bytes"]
        assert reference == done.artifact("prune")["bytes"]


def test_a_zip_of_it_gives_the_same_models(published: dict[str, Published]) -> None:
    """The baseline stays the zip that came in."""
    for name in ("prune.savedmodel.tar", "dynamic_range.tflite"):
        first, second = (published[it].folder / name for it in ("folder", "zip"))
        assert first.read_bytes() == second.read_bytes()
    assert zipfile.is_zipfile(published["zip"].folder / "baseline.savedmodel.zip")
