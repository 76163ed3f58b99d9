"""Whether the parts of a manifest fit each other, within a section and between sections."""

from __future__ import annotations

import json
from typing import Any

import pytest

from job.errors import ManifestError
from job.manifest.load import read_manifest

MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


def problems(**sections: Any) -> list[str]:
    """The problems of a minimal manifest with other sections."""
    try:
        read_manifest(json.dumps(MINIMAL | sections), "here.json")
    except ManifestError as error:
        return [line.strip() for line in error.what.splitlines()[1:]]
    return []


def gate(**fields: Any) -> dict[str, Any]:
    """A gate on the accuracy, with other fields."""
    return {"type": "max_drop", "metric": "accuracy", "value": 0.1} | fields


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"prune": None},
        {"quantize": None},
        {"quantize": [{"type": "int8"}, {"type": "int8", "name": "other"}]},
        {"gates": [gate(), gate(artifact="prune"), gate(artifact="dynamic_range")]},
        {"gates": [gate(artifact="*")]},
        {"gates": [gate(metric="loss")], "training": {"metrics": ["auc"]}},
        {"gates": [gate(metric="auc")], "training": {"metrics": ["auc"]}},
        {"gates": [{"type": "min_ratio", "value": 3}], "training": {"metrics": ["auc"]}},
        {"gates": [gate(metric="auc", output="a")], "training": {"metrics": {"a": ["auc"]}}},
        {"gates": [gate(metric="auc", output="b")], "training": {"metrics": {"a": ["recall"]}}},
        {"gates": [gate(metric="auc")], "training": {"metrics": {"a": ["recall"]}}},
        {"gates": [gate(metric="loss", output="a")], "training": {"metrics": {"a": ["auc"]}}},
    ],
)
def test_sections_that_fit_have_no_problem(sections: dict[str, Any]) -> None:
    """Nothing is found where there is nothing to find."""
    assert problems(**sections) == []


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            {"prune": None, "quantize": None},
            "prune: prune is null and quantize asks for nothing: no work is left",
        ),
        (
            {"prune": None, "quantize": []},
            "prune: prune is null and quantize asks for nothing: no work is left",
        ),
        (
            {"quantize": [{"type": "int8"}, {"type": "int8", "per_channel": False}]},
            "quantize: 'int8' is there twice; give one of them another name",
        ),
        (
            {"quantize": [{"type": "float16", "name": "int8"}, {"type": "int8"}]},
            "quantize: 'int8' is there twice; give one of them another name",
        ),
        (
            {"quantize": [{"type": "int8", "name": "prune"}]},
            "quantize: 'prune' is the name of a stage, not of a variant",
        ),
        (
            {"quantize": [{"type": "int8", "name": "baseline"}]},
            "quantize: 'baseline' is the name of a stage, not of a variant",
        ),
        (
            {"compress": {"codecs": ["zip", {"type": "zip", "level": 1}]}},
            "compress.codecs: zip is there twice",
        ),
        (
            {"compress": {"codecs": [{"type": "brotli", "level": 12}]}},
            "compress.codecs.0: brotli has levels 0 to 11, not 12",
        ),
        (
            {"compress": {"codecs": ["zip", {"type": "zstd", "level": 0}]}},
            "compress.codecs.1: zstd has levels 1 to 22, not 0",
        ),
        (
            {"model": {"uri": "gs://bucket/m.h5"}},
            (
                "model.uri: gs:// is not supported here; use a path, or a URI that begins with "
                "file://, s3://, https://"
            ),
        ),
        (
            {"destination": {"uri": "https://host/out"}},
            (
                "destination.uri: https:// is not supported here; use a path, or a URI that begins "
                "with file://, s3://"
            ),
        ),
        (
            {"gates": [gate(artifact="int8")]},
            "gates.0.artifact: 'int8' is not made by this job, which makes prune, dynamic_range",
        ),
        (
            {"prune": None, "gates": [gate(artifact="prune")]},
            "gates.0.artifact: 'prune' is not made by this job, which makes dynamic_range",
        ),
        (
            {"gates": [gate(metric="auc")], "training": {"metrics": ["recall"]}},
            "gates.0.metric: 'auc' is not measured, only loss, recall; add it to training.metrics",
        ),
        (
            {
                "gates": [gate(metric="auc", output="a")],
                "training": {"metrics": {"a": ["recall"], "b": ["auc"]}},
            },
            "gates.0.metric: 'auc' is not measured, only loss, recall; add it to training.metrics",
        ),
    ],
)
def test_sections_that_contradict_each_other_are_found(
    sections: dict[str, Any], problem: str
) -> None:
    """One problem, at the path of what has to be changed."""
    assert problems(**sections) == [problem]


def test_all_contradictions_between_sections_are_found_at_once() -> None:
    """Whatever the others are."""
    found = problems(
        model={"uri": "gs://bucket/m.h5"},
        prune=None,
        quantize=None,
        gates=[gate(artifact="nothing")],
    )
    assert [it.split(": ")[0] for it in found] == ["prune", "model.uri", "gates.0.artifact"]
