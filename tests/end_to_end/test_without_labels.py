"""Whole runs without labels, and without data: every figure on how close a file is to the baseline
is computed again from the files that were published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.support.manifests import read_job
from tests.support.published import Published, publish_all
from tests.support.rare import EVERY
from tests.support.resuming import keeps, kill
from tests.support.resuming import run as run_child
from tests.support.unlabelled import (
    FILES,
    KINDS,
    ROWS,
    SEED,
    SHARE,
    TESTS,
    TRAINING,
    answers,
    arrays,
    job,
    recomputed,
    rows_tested,
    save_all,
    without_data,
)

INT8 = {"type": "int8", "calibration_samples": 40}
GATES = [
    {"type": "min_agreement", "value": 0.01, "confidence": 0.95},
    {"type": "min_snr_db", "value": 90, "artifact": "prune", "confidence": 0.9},
]
LABELLED = {
    "type": "npz",
    "uri": "../image.npz",
    "scale": 1 / 255,
    "train": {"inputs": "pictures", "targets": "labels"},
    "test": {"inputs": "pictures_test", "targets": "labels_test"},
}


def training(**objective: Any) -> dict[str, Any]:
    """The same training with an objective."""
    return TRAINING | {"objective": objective}


JOBS: dict[str, dict[str, Any]] = {
    **{f"{name} distill": job(name) for name in FILES},
    **{f"{name} none": job(name, training={"objective": "none", "seed": SEED}) for name in FILES},
    **{f"{name} no data": without_data(name) for name in FILES},
}
JOBS["image distill"] |= {"gates": GATES, "quantize": [{"type": "float32"}, INT8]}
JOBS["image no data"]["quantize"] = [INT8 | {"calibration": "synthetic"}]
BY_BATCH = {"image": "image by batch", "force": "force by batch"}
OTHERS = {
    "image by batch": job("image", training=training(type="distill", cache_bytes=0)),
    "mixed": job(
        "image",
        dataset=LABELLED,
        training=training(type="distill", temperature=3, label_weight=0.4),
        gates=[{"type": "max_drop", "metric": "accuracy", "value": 0.5, "confidence": 0.95}],
        quantize=[{"type": "float32"}],
    ),
    "force by batch": job("force", training=training(type="distill", cache_bytes=0)),
}
if not EVERY:
    del OTHERS["force by batch"], BY_BATCH["force"]
CASES = [(name, way) for name in FILES for way in ("distill", "none", "no data")]
if not EVERY:
    RARE = [("words", "none"), ("force", "no data")]
    CASES = [it for it in CASES if it not in RARE]
    JOBS = {name: it for name, it in JOBS.items() if tuple(name.split(" ", 1)) in CASES}
COMPARED = [name for name in FILES if (name, "none") in CASES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models and the data are."""
    found = tmp_path_factory.mktemp("unlabelled")
    save_all(found)
    return found


@pytest.fixture(scope="module")
def published(tiny: Path, folder: Path) -> dict[str, Published]:
    """All jobs, run."""
    return publish_all(JOBS | OTHERS, tiny, folder)


def test_every_job_ends_and_says_what_it_was_trained_for(published: dict[str, Published]) -> None:
    """As asked, or as the data set has it, and why; no job needs a label."""
    said = {}
    for name, it in published.items():
        found = it.result["trained_for"]
        said[name] = (it.run.code, found["objective"], found["reason"])
        (answer,) = found["outputs"].values()
        assert answer["kind"] == KINDS[name.split()[0].replace("mixed", "image")]
        assert answer["from_logits"] is False
        assert bool(answer["loss"]) is (found["objective"] == "distill")
    asked = "the manifest asks for it"
    expected = {
        "distill": (0, "distill", "the training rows have inputs and no targets"),
        "none": (0, "none", asked),
        "no data": (0, "none", "there are no data"),
        "by batch": (0, "distill", asked),
    }
    for name, found in said.items():
        way = name.partition(" ")[2]
        if name == "image distill":  # whose gate is there to be missed
            assert found == (5, *expected[way][1:])
        else:
            assert found == expected.get(way, (0, "distill", asked)), name


@pytest.mark.parametrize(("name", "way"), CASES)
def test_the_fidelity_of_every_file_is_that_of_the_file_that_was_published(
    published: dict[str, Published], name: str, way: str
) -> None:
    """Read back by Keras and by LiteRT, on the rows that were held out, named, or drawn."""
    it = published[f"{name} {way}"]
    x = rows_tested(name, is_drawn=way == "no data")
    base, *made = it.result["artifacts"]
    before = answers(it.folder / base["path"], x).astype(float)
    assert base["fidelity"] == {}
    assert len(made) == len(it.result["manifest"]["quantize"]) + 1
    for artifact in made:
        ((output, said),) = artifact["fidelity"].items()
        assert output == it.result["artifacts"][0]["outputs"][0]["name"]
        after = answers(it.folder / artifact["path"], x).astype(float)
        found = recomputed(KINDS[name], before, after)
        assert (said["rows"], said["synthetic"]) == (len(before), way == "no data")
        assert said["is_identical"] is False
        assert said["agreement"] == pytest.approx(found["agreement"], abs=1.5 / len(before))
        assert said["cosine_similarity"] == pytest.approx(found["cosine_similarity"], abs=1e-4)
        assert said["mean_squared_error"] == pytest.approx(found["mean_squared_error"], rel=0.01)
        assert said["snr_db"] == pytest.approx(found["snr_db"], abs=0.05)
        for figure, intervals in said["intervals"].items():
            assert [bounds["low"] <= said[figure] <= bounds["high"] for bounds in intervals]
            assert intervals[0]["confidence"] == 0.95


@pytest.mark.parametrize("name", COMPARED)
def test_a_distilled_model_is_closer_than_one_that_is_only_pruned(
    published: dict[str, Published], name: str
) -> None:
    """On rows that neither was trained on, at the same sparsity."""
    ratios = []
    for way in ("distill", "none"):
        made = published[f"{name} {way}"].artifact("prune")
        ((_, found),) = made["fidelity"].items()
        ratios.append(found["snr_db"])
        pruned = [it for it in published[f"{name} {way}"].result["layers"] if it["pruned"]]
        for layer in pruned:
            assert layer["achieved_sparsity"] == pytest.approx(0.8, abs=0.01)
    assert ratios[0] > ratios[1]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_the_result_says_which_rows_there_were(
    published: dict[str, Published], name: str, way: str
) -> None:
    """How many, and where they come from; without labels there are no metrics, and no losses."""
    it = published[f"{name} {way}"]
    splits = it.result["splits"]
    assert not any(split["has_targets"] for split in splits.values())
    assert len({split["sha256"] for split in splits.values()}) == len(splits)
    rows = {which: split["rows"] for which, split in splits.items()}
    sources = {which: split["source"] for which, split in splits.items()}
    if way == "no data":
        assert rows == {"train": 256, "test": 256}
        assert set(sources.values()) == {"synthetic"}
    else:
        held = TESTS if name == "words" else int(ROWS * SHARE)
        assert rows["test"] == held
        assert sources["test"] == ("arrays" if name == "words" else "held out")
        assert sum(rows.values()) == ROWS + (TESTS if name == "words" else 0)
        assert ("validation" in rows) is (way == "distill")
    assert it.result["objective"] == {}
    assert all(artifact["metrics"] == {} for artifact in it.result["artifacts"])


def test_without_training_the_weights_are_the_baselines_where_they_are_not_zero(
    published: dict[str, Published],
) -> None:
    """And statistics are estimated again on the training rows, where there are any."""
    for way in ("none", "no data"):
        it = published[f"image {way}"]
        before, after = (
            tf_keras.models.load_model(it.folder / path, compile=False)
            for path in ("baseline.h5", "prune.h5")
        )
        for name in ("first", "second", "classes"):
            old, new = (model.get_layer(name).get_weights()[0] for model in (before, after))
            np.testing.assert_array_equal(new[new != 0], old[new != 0])
        means = [model.get_layer("other_norm").moving_mean.numpy() for model in (before, after)]
        assert np.array_equal(*means) is (way == "no data")
        assert (it.result["training"], it.result["epochs"]) == (None, [])


def test_teachers_outputs_are_computed_once_for_every_row(published: dict[str, Published]) -> None:
    """Of the training rows and of those that are validated on."""
    for name in FILES:
        it = published[f"{name} distill"]
        rows = sum(it.result["splits"][which]["rows"] for which in ("train", "validation"))
        teacher = it.result["trained_for"]["teacher"]
        units = it.result["artifacts"][0]["outputs"][0]["shape"][-1]
        assert teacher == {"rows": rows, "bytes": rows * 4 * units, "computed": "once"}


@pytest.mark.parametrize("name", BY_BATCH)
def test_batch_by_batch_the_training_is_the_same(
    published: dict[str, Published], name: str
) -> None:
    """Where the outputs would take more than is allowed. The last digits of an output depend on the
    rows beside it on some CPUs, so that the files' bytes are the same on others only.
    """
    once, each = published[f"{name} distill"], published[BY_BATCH[name]]
    assert each.result["trained_for"]["teacher"]["computed"] == "each batch"
    sparsities = [
        [layer["achieved_sparsity"] for layer in it.result["layers"]] for it in (once, each)
    ]
    assert sparsities[1] == sparsities[0]
    for first, second in zip(once.result["epochs"], each.result["epochs"], strict=True):
        assert second["metrics"] == pytest.approx(first["metrics"], rel=0.01)


def test_a_gate_on_fidelity_passes_where_its_bound_does(published: dict[str, Published]) -> None:
    """Each file has a verdict; the text says whether a miss is within chance."""
    it = published["image distill"]
    agreed = it.result["gates"][:3]
    assert [gate["artifact"] for gate in agreed] == ["prune", "float32", "int8"]
    for gate in agreed:
        ((_, found),) = it.artifact(gate["artifact"])["fidelity"].items()
        assert (gate["passed"], gate["value"]) == (True, found["agreement"])
        assert gate["bound"] == found["intervals"]["agreement"][0]["low"]
        assert [level["confidence"] for level in found["intervals"]["agreement"]] == [0.95, 0.9]
    missed = it.result["gates"][3]
    ((_, found),) = it.artifact("prune")["fidelity"].items()
    assert (missed["passed"], missed["within_chance"]) == (False, False)
    assert missed["bound"] == found["intervals"]["snr_db"][1]["low"]
    assert f"(at least {missed['bound']:.4g} with 90 % confidence)" in missed["explanation"]
    assert "(beyond chance)" in missed["explanation"]


def test_labels_are_mixed_into_what_the_teacher_says(published: dict[str, Published]) -> None:
    """There are metrics, too, with their intervals; and the gate on the drop is judged by its."""
    it = published["mixed"]
    found = it.result["trained_for"]
    assert (found["temperature"], found["label_weight"]) == (3, 0.4)
    data = arrays()["image"]
    x = {"picture": data["pictures_test"] * np.float32(1 / 255)}
    right = {
        name: answers(it.folder / it.artifact(name)["path"], x).argmax(1) == data["labels_test"]
        for name in ("baseline", "prune")
    }
    for name, flags in right.items():
        assert it.artifact(name)["metrics"]["accuracy"] == pytest.approx(flags.mean())
    made = it.artifact("prune")
    drop = made["drops"]["accuracy"]
    assert drop["value"] == pytest.approx(right["baseline"].mean() - right["prune"].mean())
    (bounds,) = drop["intervals"]
    gained, lost = (np.sum(right[a] & ~right[b]) for a, b in (("prune", "baseline"), right))
    up, down = (gained + 1) / (TESTS + 2), (lost + 1) / (TESTS + 2)
    half = 1.959964 * np.sqrt((up + down - (up - down) ** 2) / (TESTS + 2))
    assert (bounds["low"], bounds["high"]) == pytest.approx((down - up - half, down - up + half))
    (verdict, _) = it.result["gates"]
    assert (verdict["passed"], verdict["bound"]) == (True, bounds["high"])
    assert made["fidelity"]["classes"]["agreement"] is not None


def test_a_killed_run_goes_on_to_the_same_bytes(
    published: dict[str, Published], folder: Path, tmp_path: Path
) -> None:
    """With what the teacher said, which is not computed again."""
    whole = published["force distill"]
    asked = json.loads(whole.manifest.read_text())
    for section, name in (("model", FILES["force"]), ("dataset", "force.npz")):
        asked[section]["uri"] = str(folder / name)
    manifest = read_job(json.dumps(asked)).model_dump(mode="json")
    first = run_child(
        manifest, tmp_path / "first", disturb=keeps("training"), by=kill, save_every_s=0.01
    )
    assert first.pieces == {"baseline", "teacher", "training"}
    second = run_child(manifest, tmp_path / "second", kept=first.kept)
    assert second.error is None
    assert {"baseline", "teacher", "training"} <= set(second.result["resumed"])
    said = whole.result["trained_for"]["teacher"]
    assert second.result["trained_for"]["teacher"] == said | {"rows": 0}
    for name in ("baseline.keras", "prune.keras", "dynamic_range.tflite"):
        assert second.files[name] == (whole.folder / name).read_bytes()
    assert second.result["epochs"] == whole.result["epochs"]
