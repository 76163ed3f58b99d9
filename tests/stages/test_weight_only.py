"""A weight_only file has small weights, and computes with them in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import StageError
from job.metrics.promises import check
from job.metrics.sparsity import kernels
from job.result.packed import PackedResult
from job.stages.small_file import DEFAULTS, Making, small_file
from job.tflite.interpret import RESOLVERS, predictor
from tests.support.flat import floats, pictures, small_model, variant

layers = tf_keras.layers


def made(
    tmp_path: Path,
    model: tf_keras.Model,
    rows: np.ndarray,
    making: Making = DEFAULTS,
    **options: Any,
) -> tuple[Path, PackedResult]:
    path = tmp_path / "small.tflite"
    config = variant("weight_only", **options)
    found = small_file(model, config, (rows,), path, making)
    assert found is not None
    check(config, path, [], [])
    return path, found


def outputs(
    file: Path | bytes, model: tf_keras.Model, rows: np.ndarray, resolver: str
) -> np.ndarray:
    names = model.input_names, model.output_names
    return predictor(file, *names, 1, resolver)((rows,))[0]


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_on_their_grid_lose_nothing(tmp_path: Path, bits: int, per_channel: bool) -> None:
    """The file answers as the float32 one: no activation is rounded."""
    model, rows = small_model(bits, per_channel=per_channel), pictures(9)
    making = Making({"conv": max(bits, 4)})
    path, found = made(tmp_path, model, rows, making, weight_bits=bits, per_channel=per_channel)
    assert [it.layer for it in found.kernels] == ["conv", "dense"]
    assert all(it.is_lossless and it.bits == 8 for it in found.kernels)
    assert [it.asked_bits for it in found.kernels] == [max(bits, 4), bits]
    assert found.opened_by.keys() == RESOLVERS.keys()
    assert max(found.opened_by.values()) < 1e-5
    for resolver in RESOLVERS:
        wanted = outputs(floats(model), model, rows, resolver)
        # Biases are bfloat16 values where weights have fewer than 8 bits.
        atol = 1e-5 if bits == 8 else 6e-3
        np.testing.assert_allclose(outputs(path, model, rows, resolver), wanted, atol=atol)


def test_16_bits_are_float16_in_every_kernel(tmp_path: Path) -> None:
    """However small; the weights are those of NumPy."""
    model, rows = small_model(8), pictures(9)
    path, found = made(tmp_path, model, rows, weight_bits=16, slim=True)
    stored = kernels(path)
    assert [it.dtype for it in stored] == [np.float16, np.float16]
    dense = model.get_layer("dense").kernel.numpy().T.astype(np.float16)
    np.testing.assert_array_equal(stored[1], dense)
    assert [(it.bits, it.scales, it.is_lossless) for it in found.kernels] == [(16, 0, False)] * 2


def test_a_rule_leaves_a_layer_in_float16(tmp_path: Path) -> None:
    """The others have integers."""
    model, rows = small_model(8), pictures(9)
    making = Making({"conv": 16, "dense": 8})
    path, found = made(tmp_path, model, rows, making, layers=[{"name": "conv", "weight_bits": 16}])
    assert {it.layer: it.bits for it in found.kernels} == {"conv": 16, "dense": 8}
    assert sorted(str(it.dtype) for it in kernels(path)) == ["float16", "int8"]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("unroll", [False, True])
def test_recurrent_layers_and_tables_are_stored_small_too(
    tmp_path: Path, bits: int, unroll: bool
) -> None:
    """Which dynamic_range leaves to the converter; loops take the floats."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((6,), dtype="int32", batch_size=1, name="words"),
            layers.Embedding(100, 16, name="table"),
            layers.GRU(24, unroll=unroll, name="unit"),
            layers.Dense(60, name="dense"),
        ]
    )
    rows = np.random.default_rng(0).integers(0, 100, (5, 6)).astype(np.int32)
    path, found = made(tmp_path, model, rows[:1], weight_bits=bits)
    large = [it for it in kernels(path) if it.size >= 1024]
    assert len(large) >= 4  # the table, the unit's two, the dense one
    dtype = np.int8 if bits == 8 else np.float16
    assert {it.dtype for it in large} == {np.dtype(dtype)}
    assert {it.bits for it in found.kernels if it.elements >= 1024} == {bits}
    wanted = np.concatenate([model(it[None]).numpy() for it in rows])
    for resolver in ("xnnpack", "builtin"):
        near = np.concatenate([outputs(path, model, it[None], resolver) for it in rows])
        np.testing.assert_allclose(near, wanted, atol=0.02 if bits == 8 else 1e-3)


def test_the_result_says_why_a_table_has_other_bits(tmp_path: Path) -> None:
    """Small ones are floats; 4 bits are stored in 8."""
    for words, stored, why in ((20, 32, "fewer than 1,024 weights"), (200, 8, "stored in 8 bits")):
        model = tf_keras.Sequential(
            [
                layers.InputLayer((6,), dtype="int32", batch_size=1, name="words"),
                layers.Embedding(words, 16, name="table"),
                layers.Flatten(),
                layers.Dense(3, name="dense"),
            ]
        )
        rows = np.zeros((1, 6), np.int32)
        _, found = made(tmp_path, model, rows, weight_bits=4)
        (table,) = [it for it in found.kernels if it.layer == "table"]
        assert (table.asked_bits, table.bits) == (4, stored)
        assert why in table.reason


def test_two_bits_are_refused_where_weights_are_not_ternary(tmp_path: Path) -> None:
    """As in dynamic_range."""
    model = small_model(8)
    for layer in model.layers:
        layer.set_weights([it * np.pi**it for it in layer.get_weights()])
    with pytest.raises(StageError, match="are not ternary"):
        made(tmp_path, model, pictures(9), weight_bits=2)
