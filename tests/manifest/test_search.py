"""The section search: its defaults, and all that contradicts it, at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from job.errors import ManifestError
from job.manifest.search import RangesConfig, SearchConfig
from job.run.publish import planned
from tests.support.manifests import read_batch, read_job

LABELLED: dict[str, Any] = {
    "type": "npz",
    "uri": "data.npz",
    "train": {"inputs": "x_train", "targets": "y_train"},
    "test": {"inputs": "x_test", "targets": "y_test"},
}
UNLABELLED = LABELLED | {"train": {"inputs": "x_train"}, "test": {"inputs": "x_test"}}


def text(**sections: Any) -> str:
    given = {"name": "a", "model": {"uri": "a.h5"}, "dataset": LABELLED, "search": True}
    return json.dumps(given | sections)


def problems(**sections: Any) -> dict[str, str]:
    """Path -> message of every problem."""
    with pytest.raises(ManifestError) as caught:
        read_job(text(**sections))
    assert caught.value.exit_code == 2
    lines = [line.strip() for line in caught.value.what.splitlines()[1:]]
    return dict(line.split(": ", 1) for line in lines or [caught.value.what])


def test_true_takes_all_defaults() -> None:
    """As does an empty object; null, and nothing, is no search."""
    assert read_job(text()).search == SearchConfig()
    assert read_job(text(search={})).search == SearchConfig()
    assert read_job(text(search=None)).search is None
    three = SearchConfig.model_validate({"budget": {"trials": 3}})
    sections: tuple[Any, ...] = (True, {"budget": {}})
    for given in sections:
        job = read_job(text(search=given), overrides=["search.budget.trials=3"])
        assert job.search == three
    not_sections: tuple[Any, ...] = (False, 1, "true", [])
    for wrong in not_sections:
        assert problems(search=wrong).keys() == {"search"}


def test_ranges_are_lists() -> None:
    """As JSON has them; each of the three may be given."""
    over = {"sparsity": [0.5, 0.99], "weight_bits": [8, 4], "clusters": [None, 16]}
    found = read_job(text(search={"over": over})).search
    assert found is not None
    assert found.over == RangesConfig.model_validate(over)


def test_a_manifest_with_its_defaults_is_one_again() -> None:
    """``result.json`` has it, and it may be run again; of a batch's job, too."""
    for search in (True, {"max_drop": 0.01, "over": {"weight_bits": [2]}}):
        job = read_job(text(search=search))
        assert read_job(job.model_dump_json()) == job
        assert read_job(json.dumps(job.model_dump(mode="json"))) == job
    batch = {
        "kind": "batch",
        "name": "b",
        "defaults": {"dataset": LABELLED, "search": {"over": {"weight_bits": [8]}}},
        "jobs": [{"name": "a", "model": {"uri": "a.h5"}}],
        "destination": {"uri": "out"},
    }
    assert read_batch(json.dumps(batch)).kind == "batch"


def test_everything_that_is_searched_and_fixed_is_reported_at_once() -> None:
    """Each with its path; what a search leaves to the manifest is not."""
    found = problems(
        training={"validation_split": 0},
        prune={
            "schedule": {"type": "constant", "target_sparsity": 0.5},
            "allocation": "global",
            "layers": [{"name": "first", "skip": True}],
            "min_weights": 10,
        },
        cluster={"number_of_clusters": 8},
        quantize=[
            {
                "type": "dynamic_range",
                "name": "small",
                "weight_bits": 4,
                "per_channel": False,
                "slim": True,
                "target": "tflite-2.14",
            }
        ],
        search={"max_drop": 0.01, "over": {"weight_bits": [2, 4], "clusters": [8]}},
    )
    searched = (
        *("prune.schedule", "prune.allocation", "cluster"),
        *(f"quantize.0.{it}" for it in ("weight_bits", "per_channel", "slim")),
    )
    assert found.keys() == {*searched, "training.validation_split", "search.over.clusters"}
    for path in searched:
        assert "the search looks for it" in found[path]
    assert "held-out rows" in found["training.validation_split"]
    assert "has no 8" in found["search.over.clusters"]


@pytest.mark.parametrize(
    ("sections", "path", "says"),
    [
        ({"prune": None}, "prune", "prune is null"),
        ({"quantize": None}, "quantize", "one file, dynamic_range or weight_only"),
        ({"quantize": [{"type": "int8"}]}, "quantize", "one file, dynamic_range or weight_only"),
        (
            {"quantize": [{"type": "dynamic_range"}, {"type": "float16"}]},
            "quantize",
            "one file, dynamic_range or weight_only",
        ),
        (
            {"quantize": [{"type": "dynamic_range", "aware": False}]},
            "quantize.0.aware",
            "the search looks for it",
        ),
        (
            {"gates": [{"type": "max_bytes", "value": 10, "artifact": "prune"}]},
            "gates.0.artifact",
            "decides whether",
        ),
        (
            {"dataset": {"uri": "d.npz", "split": {"validation": 0}}},
            "dataset.split.validation",
            "held-out rows",
        ),
        (
            {"training": {"objective": "none"}, "search": {"over": {"weight_bits": [2]}}},
            "search.over.weight_bits",
            "have to be trained",
        ),
        ({"dataset": UNLABELLED, "search": {"max_drop": 0.1}}, "search.max_drop", "needs targets"),
        (
            {"dataset": UNLABELLED, "search": {"metric": "accuracy"}},
            "search.metric",
            "needs targets",
        ),
        ({"dataset": None, "search": {"max_drop": 0.1}}, "search.max_drop", "needs targets"),
        (
            {"training": {"metrics": ["auc"]}, "search": {"metric": "accuracy"}},
            "search.metric",
            "only loss, auc",
        ),
        (
            {"search": {"max_drop": 0.1, "min_agreement": 0.9}},
            "search",
            "max_drop and min_agreement are given",
        ),
        (
            {"search": {"metric": "loss", "min_snr_db": 30}},
            "search",
            "metric belongs to max_drop and min_value; min_snr_db is given",
        ),
        ({"search": {"max_drop": 0.1, "min_value": 0.9}}, "search", "max_drop and min_value"),
        ({"dataset": UNLABELLED, "search": {"min_value": 1}}, "search.min_value", "needs targets"),
        ({"search": {"min_value": 97, "metric": "auc"}}, "search", "auc is at most 1, so 97"),
        (
            {"search": {"over": {"sparsity": [0.9, 0.5]}}},
            "search.over",
            "0.9, is not below the highest, 0.5",
        ),
        ({"search": {"over": {"sparsity": [0.9]}}}, "search.over.sparsity", "at least 2"),
        ({"search": {"over": {"sparsity": [0.5, 1.0]}}}, "search.over.sparsity.1", "less than 1"),
        ({"search": {"over": {"weight_bits": []}}}, "search.over.weight_bits", "at least 1"),
        ({"search": {"over": {"weight_bits": [3]}}}, "search.over.weight_bits.0", "8, 4 or 2"),
        ({"search": {"over": {"clusters": [1]}}}, "search.over.clusters.0", "equal to 2"),
        ({"search": {"budget": {"trials": 0}}}, "search.budget.trials", "equal to 1"),
        ({"search": {"budget": {"minutes": 0}}}, "search.budget.minutes", "greater than 0"),
        ({"search": {"max_drop": -0.1}}, "search.max_drop", "equal to 0"),
        ({"search": {"confidence": 1}}, "search.confidence", "0.999"),
        ({"search": {"sparsity": [0.5, 0.9]}}, "search.sparsity", "unknown field"),
    ],
)  # fmt: skip
def test_each_contradiction_has_its_path_and_its_message(
    sections: dict[str, Any], path: str, says: str
) -> None:
    """One problem alone, so that its path is what a user has to change."""
    found = problems(**sections)
    assert found.keys() == {path}, found
    assert says in found[path]


@pytest.mark.parametrize(
    ("sections", "kind"),
    [
        ({}, "dynamic_range"),
        ({"search": {"max_drop": 0.1}}, "dynamic_range"),
        ({"search": {"min_agreement": 0.9}}, "weight_only"),
        ({"search": {"min_snr_db": 30}}, "weight_only"),
        ({"dataset": UNLABELLED}, "weight_only"),
        ({"dataset": None}, "weight_only"),
        ({"dataset": UNLABELLED, "search": None}, "dynamic_range"),
        ({"dataset": UNLABELLED, "quantize": [{"type": "dynamic_range"}]}, "dynamic_range"),
    ],
)
def test_outputs_that_are_to_stay_are_computed_in_float(
    sections: dict[str, Any], kind: str
) -> None:
    """Where the manifest does not say which file a search makes."""
    (variant,) = read_job(text(**sections)).variants.values()
    assert variant.type == kind


def test_what_a_search_may_write_is_planned() -> None:
    """A clustered model, where clusters are searched: it must overwrite no file of somebody."""
    assert "cluster.h5" in planned(read_job(text()))
    assert "cluster.h5" not in planned(read_job(text(search=None)))
    for over in ({"weight_bits": [2, 4]}, {"weight_bits": [8], "clusters": [None]}):
        assert "cluster.h5" not in planned(read_job(text(search={"over": over})))
    assert "prune.h5" in planned(read_job(text()))
    assert "dynamic_range.tflite.zip" in planned(read_job(text()))
