"""The section sensitivity."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from job.manifest.sensitivity import SensitivityConfig


def test_an_empty_section_has_the_defaults() -> None:
    """Six sparsities, three widths, 2,000 rows at most."""
    config = SensitivityConfig()
    assert config.sparsities == (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
    assert config.weight_bits == (8, 4, 2)
    assert config.rows == 2000


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"sparsities": [0.9, 0.5]}, "these must rise, each once: 0.9, 0.5"),
        ({"sparsities": [0.5, 0.5]}, "these must rise"),
        ({"sparsities": [0]}, "greater than 0"),
        ({"sparsities": [1]}, "less than 1"),
        ({"weight_bits": [4, 8]}, "these must fall, each once: 4, 8"),
        ({"weight_bits": [3]}, "8, 4 or 2"),
        ({"rows": 0}, "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(section: dict[str, Any], says: str) -> None:
    """The order is that in which values get harder."""
    with pytest.raises(ValidationError, match=says):
        SensitivityConfig.model_validate(section)


def test_at_least_one_of_them_is_measured() -> None:
    """With both lists empty nothing would be."""
    assert SensitivityConfig(sparsities=()).weight_bits == (8, 4, 2)
    with pytest.raises(ValidationError, match="nothing is measured"):
        SensitivityConfig(sparsities=(), weight_bits=())
