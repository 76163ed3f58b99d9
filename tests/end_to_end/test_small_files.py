"""Packed and slim files are published as what they are; programs without paredown run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import paredown
from tests.support.published import Published, publish_all

SMALL = {"slim": True, "batch_size": 1}
QUANTIZE: list[dict[str, Any]] = [
    {"type": "dynamic_range"},
    {"type": "dynamic_range", "name": "four", "weight_bits": 4, "aware": False, **SMALL},
    {"type": "dynamic_range", "name": "old", "target": "tflite-2.14", "per_channel": False},
    {"type": "int8", "target": "tflm", "slim": True, "c_array": True, "input_dtype": "float32",
     "output_dtype": "float32"},
]  # fmt: skip
GATES = [
    {"type": "max_arena_bytes", "artifact": "int8", "value": 2000},
    {"type": "max_drop", "metric": "accuracy", "value": 0.05},
]
# A program that knows nothing of paredown: the accuracy of a file, by positions.
PLAIN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
model, data, resolver = sys.argv[1:]
interpreter = Interpreter(model, experimental_op_resolver_type=OpResolverType[resolver])
interpreter.allocate_tensors()
(given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
arrays, hits = np.load(data), 0
for picture, label in zip(arrays["x_test"], arrays["y_test"]):
    interpreter.set_tensor(given["index"], picture[None].astype("float32") / 255)
    interpreter.invoke()
    hits += int(interpreter.get_tensor(answer["index"]).argmax() == label)
print(hits / len(arrays["y_test"]))
"""


@pytest.fixture(scope="module")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    jobs = {"small": {"quantize": QUANTIZE, "gates": GATES}}
    return publish_all(jobs, tiny, tmp_path_factory.mktemp("small"))["small"]


@pytest.mark.parametrize("name", ["four", "old", "int8"])
@pytest.mark.parametrize("resolver", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
def test_a_plain_program_gets_the_accuracy_that_is_claimed(
    small: Published, tiny: Path, name: str, resolver: str
) -> None:
    """With XNNPACK on and off, within two rows of a hundred; with XNNPACK exactly."""
    artifact = small.artifact(name)
    command = [sys.executable, "-I", "-c", PLAIN, str(small.folder / artifact["path"])]
    done = subprocess.run(
        [*command, str(tiny / "data.npz"), resolver], capture_output=True, text=True, check=True
    )
    margin = 1e-6 if resolver == "AUTO" else 0.021
    assert float(done.stdout) == pytest.approx(artifact["metrics"]["accuracy"], abs=margin)


def test_the_result_says_what_each_file_is(small: Published) -> None:
    """Runtime, arena, kernels and who has opened it; nothing but the runtime for the default."""
    assert small.run.code == 0
    plain = small.artifact("dynamic_range")
    assert plain["packed"] is None
    assert plain["runtime"] == "litert-2.1"  # for its scales of channels
    four, old = small.artifact("four"), small.artifact("old")
    kernels = {it["layer"]: it for it in four["packed"]["kernels"]}
    assert set(kernels) == {"conv", "dense"}
    assert all(it["asked_bits"] == 4 and it["distinct"] <= 15 for it in kernels.values())
    assert set(four["packed"]["opened_by"]) == {"xnnpack", "builtin", "reference"}
    assert four["encoded"]["zopfli"]["bytes"] == min(four["packed"]["tried"].values())
    assert four["bytes"] < plain["bytes"] / 2
    assert [it["name"] for it in four["inputs"]] == ["picture"]
    assert four["inputs"][0]["shape"] == [1, 8, 8]
    assert old["runtime"] == "tflite-2.14"
    assert {it["bits"] for it in old["packed"]["kernels"]} <= {8, 4}
    assert small.artifact("int8")["arena_bytes"] <= 2000
    gates = [it for it in small.result["gates"] if it["gate"]["type"] == "max_arena_bytes"]
    assert [(it["artifact"], it["passed"]) for it in gates] == [("int8", True)]


def test_the_c_array_is_published_and_belongs_to_the_result(small: Published) -> None:
    """It has the file's bytes; another run of the job finds everything done, and misses it."""
    array = small.artifact("int8")["c_array"]
    path = small.folder / array["path"]
    numbers = re.findall(r"0x(\w\w)", path.read_text())
    assert bytes(int(it, 16) for it in numbers) == (small.folder / "int8.tflite").read_bytes()
    folder = small.manifest.parent
    document = json.loads(small.manifest.read_text())
    document["destination"] = {"uri": str(small.folder)}
    (folder / "again.json").write_text(json.dumps(document))
    assert paredown("run", folder / "again.json").events[-1]["already_done"]
    before = path.read_bytes()
    path.unlink()
    assert not paredown("run", folder / "again.json").events[-1]["already_done"]
    assert path.read_bytes() == before


def test_what_no_target_runs_is_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    """With its JSON path and code 2."""
    document = {
        "name": "micro",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"uri": str(tiny / "data.npz")},
        "quantize": [{"type": "dynamic_range", "target": "tflm"}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    found = paredown("validate", tmp_path / "manifest.json")
    assert found.code == 2
    assert "quantize.0.target" in found.err
