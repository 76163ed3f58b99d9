"""pydantic's findings as messages."""

from __future__ import annotations

from typing import Any

import pytest

from job.manifest.job import JobConfig
from job.manifest.problems import Problem, checked

MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


def found(document: dict[str, Any]) -> list[Problem]:
    """The problems of a document that is no valid job."""
    problems = checked(document, JobConfig)
    assert isinstance(problems, list)
    return problems


def test_a_problem_reads_as_its_path_and_what_it_is() -> None:
    """The whole manifest has a name too."""
    assert str(Problem("a.0.b", "no")) == "a.0.b: no"
    assert str(Problem("", "no")) == "(the manifest): no"


def test_paths_are_those_of_the_users_json() -> None:
    """The tags of unions, which pydantic has in its locations, are no keys of the document."""
    document = MINIMAL | {"quantize": [{"type": "int8", "calibration_samples": "many"}]}
    assert [it.path for it in found(document)] == ["quantize.0.calibration_samples"]


def test_a_missing_field_is_at_the_path_that_it_would_have() -> None:
    """It is not in the document, and its path is still told in full."""
    assert found({"name": "a", "model": {}, "dataset": {"uri": "d"}}) == [
        Problem("model.uri", "this field is required")
    ]


def test_a_field_named_like_a_union_tag_is_not_mistaken_for_it() -> None:
    """``int8`` is a tag of the variants' union, and here an unknown field in one."""
    document = MINIMAL | {"quantize": [{"type": "int8", "int8": 1}]}
    assert [it.path for it in found(document)] == ["quantize.0.int8"]


def test_long_values_are_cut_in_messages() -> None:
    """A megabyte in the wrong place does not fill the terminal."""
    problem = found(MINIMAL | {"training": {"epochs": ["x" * 1_000_000]}})[0]
    assert problem.path == "training.epochs"
    assert len(str(problem)) < 300


def test_an_object_in_place_of_a_name_is_judged_as_the_object_that_it_is() -> None:
    """A codec may be a name or an object: for an object, the name's failure is not told."""
    problems = found(MINIMAL | {"compress": {"codecs": [{"type": "zip", "level": "high"}]}})
    assert [it.path for it in problems] == ["compress.codecs.0.level"]
    problems = found(MINIMAL | {"training": {"loss": {"type": "hubber"}}})
    assert [it.path for it in problems] == ["training.loss.type"]
    assert 'did you mean "huber"?' in problems[0].message


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ([1, 2], "", 'this must be "balanced", or an object from class to weight'),
        (2, "", 'this must be "balanced", or an object from class to weight'),
        ({}, "", "this must have at least 1 entry"),
        ({"cat": 2}, ".cat", "'cat' is not a class; classes are numbers from 0"),
        ({"1": 2, "digit": "balanced"}, "", "this must be either an object from class to weight"),
        ({"digit": {"1": -1}}, ".digit.1", "this must be greater than or equal to 0, not -1"),
    ],
)
def test_class_weights_of_any_wrong_form_are_said_to_be_what_they_should(
    given: object, path: str, message: str
) -> None:
    """A word or an object; an object of classes or of outputs."""
    [problem] = found(MINIMAL | {"training": {"class_weights": given}})
    assert problem.path == f"training.class_weights{path}"
    assert problem.message.startswith(message)


def test_a_fraction_of_the_steps_over_one_is_said_to_be_none() -> None:
    """1.5 may have been meant as a step or as a fraction."""
    schedule = {"type": "polynomial_decay", "end_step": 1.5}
    [problem] = found(MINIMAL | {"prune": {"schedule": schedule}})
    assert problem.path == "prune.schedule.end_step"
    assert "a fraction of the steps up to 1.0, not 1.5" in problem.message


def test_a_short_name_in_the_wrong_case_suggests_the_long_one() -> None:
    """Keras knows ``mse`` and ``MSE``, and no ``Mse``."""
    [problem] = found(MINIMAL | {"training": {"loss": "Mse"}})
    assert problem.message.endswith('did you mean "mean_squared_error"?')
