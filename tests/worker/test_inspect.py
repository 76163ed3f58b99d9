"""examine: a model with open dimensions is tried with sizes that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import tf_keras

from job.events import Journal
from job.safety.judge import judge
from job.stages.quantize import VARIANTS
from job.worker import inspect
from tests.models.test_random_inputs import cropping


def test_variants_are_tried_with_a_size_that_the_model_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said which; and where none is found, that model.input_shapes is needed."""
    monkeypatch.setattr(inspect, "VARIANTS", {"float32": VARIANTS["float32"]})
    given = tf_keras.Input((None, 4), name="bases")
    impossible = tf_keras.Model(given, tf_keras.layers.Cropping1D(50_000)(given))
    for model, says, variants in (
        (cropping(tf_keras), "tried with (16384, 4)", {"float32": "converts"}),
        (impossible, "no sizes were found", {}),
    ):
        model.save(tmp_path / "m.h5", save_format="h5")
        judged = judge(tmp_path / "m.h5")
        found = inspect.examine(judged, Journal(lambda _: None), try_variants=True)
        assert found.variants == variants
        (choice,) = found.choices
        assert says in choice
        assert "model.input_shapes" in choice
    found = inspect.examine(judged, Journal(lambda _: None), try_variants=False)
    assert found.choices[0].endswith("taken from the data")
