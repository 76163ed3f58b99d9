"""Units in another order, or fewer of them: both kernels, biases and scales go along."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from job.stages.quantize import convert
from job.stages.slim import slim
from job.tflite import flat
from job.tflite.interpret import RESOLVERS, predictor
from job.tflite.units import with_rising_biases
from tests.support.flat import layers, pictures, variant
from tests.tflite.test_units import CASES, constants, deaden, packed, sizes, without_units


@pytest.mark.parametrize("kind", ["int8", "int16x8", 8, 4])
@pytest.mark.parametrize("case", CASES)
def test_units_stand_in_the_order_of_their_biases(case: str, kind: str | int) -> None:
    """With their weights, scales and readers: outputs are the same bits by all kernels."""
    model, rows = CASES[case][0](), (pictures(9),)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.random.default_rng(1).permutation(bias)])
    names = model.input_names, model.output_names
    content = (
        packed(model, kind) if isinstance(kind, int) else convert(model, variant(kind), rows, "x")
    )
    ordered = without_units(content, with_rising_biases)
    file = flat.read(ordered)
    places = [
        place
        for place, (_, it) in enumerate(flat.operators(file))
        if flat.kind(file, it) in ("FULLY_CONNECTED", "CONV_2D")
    ]
    for place in places[:-1]:
        _, _, bias = constants(ordered, place)
        assert bias is not None
        assert (np.diff(bias) >= 0).all()
    assert sizes(ordered) == sizes(content)
    small, said = slim(content, *names, rows)
    assert any("units in the order of their biases: first" in it for it in said)
    for made in (ordered, small):
        for resolver in RESOLVERS:
            (before,) = predictor(content, *names, 1, resolver)(rows)
            (after,) = predictor(made, *names, 1, resolver)(rows)
            np.testing.assert_array_equal(before, after)
    assert without_units(ordered, with_rising_biases) == without_units(ordered, lambda _: "")


def test_rows_of_packed_weights_go_on_to_fill_their_bytes() -> None:
    """Else other kernels run them, and the outputs change: so one dead unit of three stays."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 2)), layers.Flatten(), layers.Dense(40, "relu", name="first"),
         layers.Dense(3)]
    )  # fmt: skip
    deaden(model.get_layer("first"), [2, 5, 6], -1)
    rows, names = (pictures(9),), (model.input_names, model.output_names)
    for bits, left in ((4, 38), (8, 37)):
        small, said = slim(packed(model, bits), *names, rows)
        assert sizes(small)[0] == left
        assert f"{40 - left} of 40 of first" in said[0]
