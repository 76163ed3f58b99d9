"""What is asked of preprocessing and augmentation; contradictions are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from job.manifest.preprocess import AugmentConfig, PreprocessConfig
from tests.manifest.test_consistency import MINIMAL, problems


def refused(**fields: Any) -> str:
    """The problem of an entry of preprocess."""
    with pytest.raises(ValidationError) as caught:
        PreprocessConfig.model_validate(fields)
    return str(caught.value)


def augment_problem(section: Any) -> str:
    """The only problem of a manifest with this augmentation."""
    (found,) = problems(training={"augment": section})
    return found


def test_a_preset_has_all_constants() -> None:
    """Constants beside it would be ignored, or computed twice."""
    for field in ("scale", "offset", "mean", "std"):
        assert "preset says what" in refused(preset="vgg16", **{field: 2})
    assert PreprocessConfig.model_validate({"preset": "vgg16"}).scale is None


def test_an_unknown_preset_is_refused() -> None:
    """The message lists those that there are."""
    assert "mobilenet_v2" in refused(preset="lenet")


@pytest.mark.parametrize("std", [0, -1, [1, 0, 1]])
def test_nothing_is_divided_by_zero(std: Any) -> None:
    """Or by a negative number, which no standard deviation is."""
    assert "must be larger than 0" in refused(std=std)


def test_steps_that_contradict_each_other_are_refused() -> None:
    """Images are no classes, and an interpolation needs a size."""
    assert "leave out one" in refused(resize=[8, 8], one_hot=3)
    assert "give resize" in refused(interpolation="area")
    assert PreprocessConfig.model_validate({"resize": [8, 8], "interpolation": "area"}).resize


def test_augmentation_is_asked_under_training() -> None:
    """Left out, there is none."""
    assert problems() == problems(training={"augment": {"horizontal_flip": True}}) == []
    assert "training" not in MINIMAL


def test_augmentation_that_does_nothing_is_refused() -> None:
    """Naming an input alone asks for nothing."""
    for section in ({}, {"input": "x"}, {"rotation": 0}):
        found = augment_problem(section)
        assert found.startswith("training.augment")
        assert "nothing is augmented" in found


def test_a_fill_mode_without_borders_is_refused() -> None:
    """A flip shows no pixel that is not the image's."""
    found = augment_problem({"horizontal_flip": True, "fill_mode": "wrap"})
    assert "fill_mode is for rotation, translation and zoom" in found
    assert AugmentConfig(zoom=0.1, fill_mode="wrap").fill_mode == "wrap"


@pytest.mark.parametrize("field", ["rotation", "translation", "zoom", "contrast"])
@pytest.mark.parametrize("value", [1, -0.1])
def test_a_part_is_from_0_to_below_1(field: str, value: float) -> None:
    """The problem names the field."""
    assert augment_problem({field: value}).startswith(f"training.augment.{field}")
