"""Models of every shape in every format through inspect and a whole job: a table without holes.

    .venv/bin/python benchmarks/formats.py [--models PATTERN] [--formats h5 keras saved_model]

The models have random weights: what is looked at is whether they load, are pruned, stripped,
saved, read back and converted, and whether their answers agree at each step. Loading: what the
Keras that made the model answers against what paredown loads. Saving: paredown compares itself,
and ends otherwise. Converting: the drift of the dynamic_range file against the pruned model.
The exit code is 1 where a cell of the table has failed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}

ROWS = 8
CLASSES = 5
# A kit is Keras 2 or Keras 3: they are used in the same way.
Kit = Any


def application(name: str, *, nested: bool) -> Callable[[Kit], Any]:
    """A model of keras.applications, as it is or under a new head."""

    def make(kit: Kit) -> Any:
        whole = getattr(kit.applications, name)
        if not nested:
            return whole(weights=None, input_shape=(96, 96, 3), classes=CLASSES)
        base = whole(weights=None, input_shape=(96, 96, 3), include_top=False, pooling="avg")
        given = kit.Input((96, 96, 3), name="image")
        x = kit.layers.Rescaling(2.0, offset=-1)(given)
        x = kit.layers.Dropout(0.2)(base(x))
        return kit.Model(given, kit.layers.Dense(CLASSES, activation="softmax")(x))

    return make


def recurrent(kit: Kit) -> Any:
    given = kit.Input((12,), name="words", dtype="int32")
    x = kit.layers.Embedding(50, 16)(given)
    x = kit.layers.Bidirectional(kit.layers.LSTM(8, return_sequences=True))(x)
    x = kit.layers.GRU(8)(x)
    return kit.Model(given, kit.layers.Dense(CLASSES, activation="softmax")(x))


def transformer(kit: Kit) -> Any:
    given = kit.Input((10, 16), name="steps")
    x = kit.layers.Dense(16)(given)
    for _ in range(2):
        attended = kit.layers.MultiHeadAttention(2, 8)(x, x)
        x = kit.layers.LayerNormalization()(kit.layers.Add()([x, attended]))
        fed = kit.layers.Dense(16)(kit.layers.Dense(32, activation="gelu")(x))
        x = kit.layers.LayerNormalization()(kit.layers.Add()([x, fed]))
    x = kit.layers.GlobalAveragePooling1D()(x)
    return kit.Model(given, kit.layers.Dense(CLASSES, activation="softmax")(x))


def siamese(kit: Kit) -> Any:
    layers = kit.layers
    branch = kit.Sequential(
        [
            layers.InputLayer((20, 20, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(16),
        ],
        name="branch",
    )
    left, right = kit.Input((20, 20, 1), name="left"), kit.Input((20, 20, 1), name="right")
    apart = layers.Subtract()([branch(left), branch(right)])
    return kit.Model([left, right], layers.Dense(CLASSES, activation="softmax")(apart))


def dicts(kit: Kit) -> Any:
    picture, facts = kit.Input((20, 20, 1), name="picture"), kit.Input((6,), name="facts")
    x = kit.layers.Flatten()(kit.layers.SeparableConv2D(8, 3, activation="relu")(picture))
    x = kit.layers.Concatenate()([x, kit.layers.Dense(16)(facts)])
    kind = kit.layers.Dense(CLASSES, activation="softmax", name="kind")(x)
    size = kit.layers.Dense(1, name="size")(x)
    return kit.Model({"picture": picture, "facts": facts}, {"kind": kind, "size": size})


MODELS: dict[str, Callable[[Kit], Any]] = {
    "MobileNetV2": application("MobileNetV2", nested=False),
    "MobileNetV2 nested": application("MobileNetV2", nested=True),
    "ResNet50": application("ResNet50", nested=False),
    "ResNet50 nested": application("ResNet50", nested=True),
    "EfficientNetB0": application("EfficientNetB0", nested=False),
    "EfficientNetB0 nested": application("EfficientNetB0", nested=True),
    "Bidirectional LSTM + GRU": recurrent,
    "Transformer": transformer,
    "siamese": siamese,
    "two inputs, two outputs": dicts,
}
FORMATS = {"h5": "Keras 2 .h5", "keras": "Keras 3 .keras", "saved_model": "SavedModel"}


def write_inputs(name: str, kind: str, folder: Path) -> float:
    """Save a model and data for it, and load it.

    Returns:
        The largest difference between what it answers and what the loaded model does.
    """
    import keras
    import tf_keras

    from job.models.compare import difference
    from job.models.load import read

    kit = keras if kind == "keras" else tf_keras
    kit.utils.set_random_seed(1)
    model = MODELS[name](kit)
    path = folder / {"h5": "model.h5", "keras": "model.keras", "saved_model": "model"}[kind]
    if kind == "saved_model":
        # Traces of EfficientNet's layers take minutes to write; they are not read here.
        model.save(path, save_format="tf", save_traces=model.count_params() < 10**6)
    else:
        model.save(path, **({"save_format": "h5"} if kind == "h5" else {}))
    document = {"name": kind, "model": {"uri": path.name}, "dataset": _data(model, folder)}
    document |= {"training": {"epochs": 2, "batch_size": 4, "validation_split": 0}}
    (folder / "manifest.json").write_text(json.dumps(document))
    return difference(model, read(path).model)


def _data(model: Any, folder: Path) -> dict[str, Any]:
    """Random rows for a model: the manifest's section on its data."""
    random = np.random.default_rng(1)
    arrays: dict[str, Any] = {}
    for tensor in model.inputs:
        shape = (ROWS, *tensor.shape[1:])
        is_index = "int" in str(tensor.dtype)
        drawn = random.integers(0, 50, shape) if is_index else random.random(shape)
        arrays[tensor.name] = drawn.astype("int32" if is_index else "float32")
    inputs = list(arrays)
    arrays |= {"kind": random.integers(0, CLASSES, ROWS), "size": random.random((ROWS, 1))}
    np.savez(folder / "data.npz", **arrays)
    split = {
        "inputs": {name: name for name in inputs} if len(inputs) > 1 else inputs[0],
        "targets": {"kind": "kind", "size": "size"} if len(model.outputs) > 1 else "kind",
    }
    return {"type": "npz", "uri": "data.npz", "train": split, "test": split}


def cell(name: str, kind: str, folder: Path) -> tuple[str, bool]:
    """A cell of the table: a model in a format, through inspect and a job."""
    started = time.monotonic()
    this = [sys.executable, __file__, "--write", name, kind, str(folder)]
    steps = {
        "save and load": this,
        "inspect": [sys.executable, "-m", "job", "inspect", str(_model(folder, kind)), "--json"],
        "run": [sys.executable, "-m", "job", "run", str(folder / "manifest.json")],
    }
    said = {}
    for step, command in steps.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"FAILED in {step}: {done.stderr.strip().splitlines()[-1:]}"[:200], False
        said[step] = done.stdout
    seen = json.loads(said["inspect"])
    result = json.loads((folder / "out" / "result.json").read_text())
    silent = [it["name"] for it in seen["layers"] if it["parameters"] and not _explained(it)]
    if silent or seen["variants"]["dynamic_range"].startswith("no"):
        return f"FAILED: {silent or seen['variants']}", False
    pruned = [it for it in result["layers"] if it["pruned"]]
    tflite = result["artifacts"][-1]
    return (
        f"load {float(said['save and load'].split()[-1]):7.1e}  "
        f"pruned {len(pruned):>3} of {len(result['layers']):>3} layers  "
        f"sparsity {min(it['achieved_sparsity'] for it in pruned):.3f} and more  "
        f"tflite drift {tflite['drift']['max_abs']:7.1e}  "
        f"{time.monotonic() - started:4.0f} s"
    ), True


def _model(folder: Path, kind: str) -> Path:
    return folder / ("model" if kind == "saved_model" else f"model.{kind}")


def _explained(layer: dict[str, Any]) -> bool:
    return bool(layer["prunable"] or layer["reason"])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="*", help="a pattern of their names")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        name, kind, folder = asked.write
        print(write_inputs(name, kind, Path(folder)))
        return 0
    good = True
    for name in fnmatch.filter(MODELS, asked.models):
        for kind in asked.formats:
            with tempfile.TemporaryDirectory() as folder:
                text, fine = cell(name, kind, Path(folder))
            good = good and fine
            print(f"{name:<25} {FORMATS[kind]:<15} {text}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
