"""A plain interpreter in a fresh process runs a file, or the file is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import StageError
from job.stages import prove as prove_module
from job.stages.prove import prove, refuse_disagreement
from job.tflite import blocks, flat
from job.tflite.interpret import RESOLVERS, one_call
from job.tflite.runtimes import BLOCKWISE, oldest_runtime
from tests.support.flat import floats, kernel_of, pictures, small_model


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_packed_file_runs_everywhere(tmp_path: Path, bits: int) -> None:
    """With XNNPACK, with the built-in and with the reference kernels; the differences are small."""
    model = small_model(8)
    file, tensor = kernel_of(floats(model), "FULLY_CONNECTED")
    values = np.random.default_rng(0).integers(-1, 2, flat.shape(tensor)).astype(np.int8)
    flat.with_integers(file, tensor, values, np.array([0.1], np.float32), 0, bits)
    version = {8: 9, 4: 10, 2: 14}[bits]
    for _, operator in flat.operators(file):
        if flat.kind(file, operator) == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True
            flat.set_version(file, operator, version)
    path = tmp_path / "packed.tflite"
    path.write_bytes(flat.write(file))
    found = prove(path, one_call(path.read_bytes(), model.input_names, [pictures(1)]))
    assert list(found) == list(RESOLVERS)
    assert max(found.values()) < 0.1


def test_reference_kernels_may_be_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not for speed, so it says nothing of the file; of others it does."""
    path = tmp_path / "small.tflite"
    file, _ = kernel_of(floats(small_model(8)), "FULLY_CONNECTED")
    path.write_bytes(flat.write(file))
    said = prove_module._said
    slow = "reference"

    def as_if_slow(process: Any) -> str | None:
        found = said(process)
        return None if RESOLVERS[slow].name in process.args else found

    monkeypatch.setattr(prove_module, "_said", as_if_slow)
    rows = one_call(path.read_bytes(), small_model(8).input_names, [pictures(1)])
    assert [*prove(path, rows)] == [it for it in RESOLVERS if it != slow]
    monkeypatch.setattr(prove_module, "_said", said)
    monkeypatch.setattr(prove_module, "SECONDS", 0.001)
    with pytest.raises(StageError, match=r"no answer within 0\.001 s"):
        prove(path, rows)


def test_a_file_that_no_interpreter_opens_is_an_error(tmp_path: Path) -> None:
    """With what the interpreter says."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(floats(small_model(8))[:-2000])
    with pytest.raises(StageError, match="does not run the file") as caught:
        prove(path, [pictures(1)])
    assert caught.value.where == "quantize, broken.tflite"


def test_blocks_that_a_runtime_computes_otherwise_are_an_error(tmp_path: Path) -> None:
    """The built-in kernels leave out an activation beside blockwise scales, and do not say so."""
    model = tf_keras.Sequential(
        [tf_keras.layers.InputLayer((64,)), tf_keras.layers.Dense(8, activation="relu")]
    )
    file, tensor = kernel_of(floats(model), "FULLY_CONNECTED")
    (graph,) = file.subgraphs
    weights = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    blocks.with_blocks(file, graph, tensor, blocks.rounded(weights, 32))
    for _, operator in flat.operators(file):
        operator.builtinOptions.asymmetricQuantizeInputs = True
        flat.set_version(file, operator, BLOCKWISE["FULLY_CONNECTED", 4].version)
    path = tmp_path / "blocks.tflite"
    path.write_bytes(flat.write(file))
    rows = [np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)]
    names = model.input_names, model.output_names
    with pytest.raises(StageError, match="do not agree on blockwise scales"):
        refuse_disagreement(path, *names, rows)
    blocks.with_activations_apart(file, graph)
    path.write_bytes(flat.write(file))
    found = prove(path, rows, is_blockwise=True)
    assert list(found) == ["xnnpack", "builtin"]
    assert max(found.values()) < 1
    refuse_disagreement(path, *names, rows)
    assert oldest_runtime(path.read_bytes())[0] == "litert-2.1"
