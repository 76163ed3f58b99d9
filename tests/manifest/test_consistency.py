"""What no single section can see: whether the sections fit each other."""

from __future__ import annotations

from typing import Any

import pytest

from job.manifest.consistency import inconsistencies
from job.manifest.job import JobConfig

MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


def problems(**sections: Any) -> list[str]:
    """The problems of a minimal manifest with other sections."""
    return [str(it) for it in inconsistencies(JobConfig.model_validate(MINIMAL | sections))]


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
        {"gates": [gate(metric="loss")], "training": {"metrics": ["auc"]}},
        {"gates": [gate(metric="auc")], "training": {"metrics": ["auc"]}},
        {"gates": [{"type": "min_ratio", "value": 3}], "training": {"metrics": ["auc"]}},
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
            "quantize.1: 'int8' is there twice; give it another name",
        ),
        (
            {"quantize": [{"type": "float16", "name": "int8"}, {"type": "int8"}]},
            "quantize.1: 'int8' is there twice; give it another name",
        ),
        (
            {"quantize": [{"type": "int8", "name": "prune"}]},
            "quantize.0.name: 'prune' is the name of a stage",
        ),
        (
            {"quantize": [{"type": "int8", "name": "baseline"}]},
            "quantize.0.name: 'baseline' is the name of a stage",
        ),
        (
            {"compress": {"codecs": ["zip", {"type": "zip", "level": 1}]}},
            "compress.codecs.1: zip is there twice",
        ),
        (
            {"compress": {"codecs": [{"type": "brotli", "level": 12}]}},
            "compress.codecs.0.level: brotli has levels 0 to 11, not 12",
        ),
        (
            {"compress": {"codecs": ["zip", {"type": "zstd", "level": 0}]}},
            "compress.codecs.1.level: zstd has levels 1 to 22, not 0",
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
    ],
)
def test_sections_that_contradict_each_other_are_found(
    sections: dict[str, Any], problem: str
) -> None:
    """One problem, at the path of what has to be changed."""
    assert problems(**sections) == [problem]


def test_all_contradictions_are_found_at_once() -> None:
    """Variants, codecs and gates are each looked at, whatever the others are."""
    found = problems(
        quantize=[{"type": "int8", "name": "prune"}],
        compress={"codecs": ["xz", "xz"]},
        gates=[gate(artifact="nothing")],
    )
    assert [it.split(": ")[0] for it in found] == [
        "quantize.0.name",
        "compress.codecs.1",
        "gates.0.artifact",
    ]
