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


def dynamic_range(**fields: Any) -> dict[str, Any]:
    return {"type": "dynamic_range"} | fields


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
        {"cluster": {}, "prune": None, "quantize": None},
        {"cluster": {}, "training": {"objective": "none"}},
        {"prune": {"allocation": "lamp"}, "training": {"teacher": {"epochs": 2}}},
        {"quantize": [dynamic_range(weight_bits=4, aware=False)]},
        {"quantize": [dynamic_range(weight_bits=2, epochs=3)]},
        {"quantize": [{"type": "int8", "aware": True, "epochs": 3}]},
    ],
)
def test_sections_that_fit_have_no_problem(sections: dict[str, Any]) -> None:
    """Nothing is found where there is nothing to find."""
    assert problems(**sections) == []


@pytest.mark.parametrize(
    ("train", "held_out", "what"),
    [
        (True, False, "the training rows have targets, and these have none"),
        (False, True, "neither the training rows nor the test rows have targets"),
        (True, True, ""),
        (False, False, ""),
    ],
)
def test_rows_for_validation_have_targets_where_others_have(
    train: bool, held_out: bool, what: str
) -> None:
    """Else their loss could not be measured, after an epoch."""
    splits = {
        name: {"inputs": f"x_{name}"} | ({"targets": f"y_{name}"} if has else {})
        for name, has in (("train", train), ("validation", held_out), ("test", train))
    }
    found = problems(dataset={"uri": "d.npz", **splits})
    assert [it.split(";")[0] for it in found] == (
        [f"dataset.validation.targets: {what}"] if what else []
    )


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            {"prune": {"allocation": "global", "structure": {"type": "block"}}},
            (
                "prune.allocation: global compares single weights, and the structure block prunes "
                "groups of them; use uniform, or the structure unstructured"
            ),
        ),
        (
            {"prune": {"allocation": "lamp", "structure": {"type": "m_by_n"}}},
            (
                "prune.allocation: lamp compares single weights, and the structure m_by_n prunes "
                "groups of them; use uniform, or the structure unstructured"
            ),
        ),
        (
            {"cluster": {"number_of_clusters": 1}},
            "cluster.number_of_clusters: this must be greater than or equal to 2, not 1",
        ),
        (
            {"quantize": [{"type": "int8", "aware": True}], "training": {"objective": "none"}},
            (
                "quantize.0.aware: quantization-aware training needs an objective, and it is none, "
                "so nothing is trained; leave aware out, or give a data set and another objective"
            ),
        ),
        (
            {"quantize": [{"type": "int8", "epochs": 3}]},
            (
                "quantize.0.epochs: these are the epochs of quantization-aware training, which "
                'this variant does not have; set "aware": true, or leave epochs out'
            ),
        ),
        (
            {"quantize": [dynamic_range(weight_bits=2, aware=False)]},
            (
                "quantize.0.weight_bits: 2 bits are three values for each kernel, which need "
                "training, and aware is false; use 4 or 8, or train"
            ),
        ),
        (
            {
                "quantize": [dynamic_range(layers=[{"name": "dense", "weight_bits": 2}])],
                "training": {"objective": "none"},
            },
            (
                "quantize.0.layers.0.weight_bits: 2 bits are three values for each kernel, which "
                "need training, and the objective is none; use 4 or 8, or train"
            ),
        ),
        (
            {"training": {"teacher": {"epochs": 2}, "objective": "supervised"}},
            (
                "training.teacher: with the objective supervised nothing learns from the teacher; "
                "leave objective out, ask for distill, or leave the teacher out"
            ),
        ),
        (
            {"training": {"teacher": {"epochs": 2}, "objective": "none"}},
            "training.teacher: with the objective none nothing is trained; leave the teacher out",
        ),
        (
            {"training": {"teacher": {"epochs": 2}}, "dataset": None},
            "training.teacher: a teacher is trained on rows, and dataset is null; leave it out",
        ),
        (
            {"training": {"teacher": {"epochs": 2}}, "prune": None},
            "training.teacher: nothing is trained that could learn from it; leave it out",
        ),
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
            {"quantize": [{"type": "dynamic_range", "weight_bits": 16}]},
            "quantize.0.weight_bits: 16 is none of 8, 4 or 2",
        ),
        (
            {"quantize": [{"type": "dynamic_range", "layers": [{"name": "a", "weight_bits": 16}]}]},
            (
                "quantize.0.layers.0.weight_bits: 16 bits are float16, which dynamic_range has "
                "not; use 8, 4 or 2, or weight_only"
            ),
        ),
        (
            {"quantize": [{"type": "weight_only", "weight_bits": 16, "aware": True}]},
            (
                "quantize.0.aware: weights of 16 bits are float16, which there is no grid to train "
                "for; leave aware out"
            ),
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


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"split": {"validation": 0.2}}, "dataset.split.validation"),
        ({"validation": {"inputs": "x_held", "targets": "y_held"}}, "dataset.validation"),
    ],
)
def test_rows_for_validation_are_asked_for_once(section: dict[str, Any], named: str) -> None:
    """One of two shares would have no effect."""
    dataset = {"uri": "d.npz"} | section
    assert problems(dataset=dataset) == []
    (problem,) = problems(dataset=dataset, training={"validation_split": 0.1})
    assert problem.startswith(f"training.validation_split: {named} says which rows these are")
