"""A file answers in the Keras model's order, whatever its batch and its names."""

from __future__ import annotations

import numpy as np
import pytest

from job.stages.prepare import with_batch
from job.stages.quantize import convert
from job.stages.slim import without
from job.tflite.interpret import filled, one_call, predictor
from tests.support.flat import pictures, small_model, variant


@pytest.mark.parametrize("batch", [None, 1, 3, 8])
@pytest.mark.parametrize("is_slim", [False, True])
def test_a_fixed_batch_takes_any_number_of_rows(batch: int | None, is_slim: bool) -> None:
    """Seven rows: the last call is filled up, and what is too much is cut off."""
    model = small_model(8)
    wanted = model(pictures(7)).numpy()
    model = with_batch(model, batch) if batch else model
    content = convert(model, variant("float32"), (), "x")
    names = model.input_names, model.output_names
    content = without(content, *names) if is_slim else content
    (found,) = predictor(content, *names, 1)([pictures(7)])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    (given,) = one_call(content, model.input_names, [pictures(7)])
    assert given.shape == (batch or 1, 8, 8, 2)


def test_one_call_has_the_dtype_of_the_file() -> None:
    """Integers are quantized as the file says."""
    model = small_model(8)
    content = convert(model, variant("int8"), (pictures(20),), "x")
    (given,) = one_call(content, model.input_names, [pictures(2)])
    assert given.dtype == np.int8
    assert given.max() > 100
    assert filled(np.arange(2), 4).tolist() == [0, 1, 1, 1]
    assert filled(np.arange(2), 1).tolist() == [0, 1]
