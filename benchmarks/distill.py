"""Distillation against supervised training: the tutorial's model on MNIST, by sparsity and seed.

    python benchmarks/distill.py mnist.npz [--model mnist_baseline.h5 | --train 4] [--seeds 3]

The same model is trained for the same epochs on labels, on the teacher's outputs without labels,
and on both: at 80 % sparsity, and at 90 and 95 % of the Dense layer alone. Prints the accuracy of
the pruned model on the test rows, as the mean over the seeds, and the difference from supervised in
points. A student without labels follows its teacher, so what supervised training adds to a teacher
that was not trained to its end is out of its reach; ``--train N`` trains the tutorial's model for N
epochs first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DENSE_ONLY = [{"type": "Conv2D", "skip": True}]
TASKS: dict[str, dict[str, Any]] = {
    "80 %": {"schedule": {"type": "polynomial_decay", "final_sparsity": 0.8}},
    "90 %, Dense": {
        "schedule": {"type": "polynomial_decay", "final_sparsity": 0.9},
        "layers": DENSE_ONLY,
    },
    "95 %, Dense": {
        "schedule": {"type": "polynomial_decay", "final_sparsity": 0.95},
        "layers": DENSE_ONLY,
    },
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "supervised": {"type": "supervised"},
    "distill": {"type": "distill"},
    "distill and labels": {"type": "distill", "label_weight": 0.5},
}
TRAIN = """
import sys
import numpy as np
import tf_keras as keras
data = np.load(sys.argv[1])
layers = keras.layers
keras.utils.set_random_seed(1)
model = keras.Sequential([
    layers.InputLayer(input_shape=(28, 28)), layers.Reshape((28, 28, 1)),
    layers.Conv2D(12, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
    layers.Dense(10),
])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
model.fit(data["x_train"] / 255, data["y_train"], epochs=int(sys.argv[2]), verbose=0)
_, accuracy = model.evaluate(data["x_test"] / 255, data["y_test"], verbose=0)
print(f"teacher, trained for {sys.argv[2]} epochs: accuracy {accuracy:.4f}")
model.save(sys.argv[3], save_format="h5")
"""


def main() -> None:
    """Run all jobs and print the table."""
    parser = argparse.ArgumentParser(description="Distillation against supervised training")
    parser.add_argument("data", type=Path, help="mnist.npz of Keras")
    parser.add_argument("--model", type=Path, help="the tutorial's trained model")
    parser.add_argument("--train", type=int, default=4, help="else: epochs to train it for")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = asked.model or _trained(asked.data, asked.train, folder / "teacher.h5")
        _run(list(_jobs(asked.seeds, asked.temperature)), asked.data, model, folder)
        _print(folder, asked.seeds)


def _trained(data: Path, epochs: int, path: Path) -> Path:
    """The tutorial's model, trained on all training rows."""
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", TRAIN, str(data), str(epochs), str(path)]
    subprocess.run(command, check=True, env=environment)
    return path


def _jobs(seeds: int, temperature: float) -> Iterator[dict[str, Any]]:
    for task, prune in TASKS.items():
        for objective, section in OBJECTIVES.items():
            heat = {} if objective == "supervised" else {"temperature": temperature}
            train = {"inputs": "x_train"} | (
                {} if objective == "distill" else {"targets": "y_train"}
            )
            for seed in range(1, seeds + 1):
                yield {
                    "name": _name(task, objective, seed),
                    "dataset": {"train": train},
                    "prune": prune,
                    "training": {"objective": section | heat, "seed": seed, "epochs": 2},
                }


def _name(task: str, objective: str, seed: int) -> str:
    plain = f"{task} {objective} {seed}"
    return "-".join(plain.replace("%", "").replace(",", "").split())


def _run(jobs: list[dict[str, Any]], data: Path, model: Path, folder: Path) -> None:
    batch = {
        "kind": "batch",
        "name": "distill",
        "workers": 2,
        "defaults": {
            "model": {"uri": str(model.resolve())},
            "dataset": {
                "type": "npz",
                "uri": str(data.resolve()),
                "scale": 1 / 255,
                "test": {"inputs": "x_test", "targets": "y_test"},
            },
            "compress": None,
            "quantize": None,
            "resume": None,
        },
        "jobs": jobs,
        "destination": {"uri": str(folder)},
    }
    manifest = folder / "batch.json"
    manifest.write_text(json.dumps(batch))
    command = [sys.executable, "-m", "job", "run", str(manifest), "--log", "json"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])


def _print(folder: Path, seeds: int) -> None:
    print(f"accuracy of the pruned model, mean of {seeds} seeds (points from supervised)")
    print(f"{'sparsity':<14}" + "".join(f"{name:>24}" for name in OBJECTIVES) + "   best")
    for task in TASKS:
        means = {
            objective: statistics.mean(
                _accuracy(folder / _name(task, objective, seed)) for seed in range(1, seeds + 1)
            )
            for objective in OBJECTIVES
        }
        cells = [
            f"{mean:.4f} ({100 * (mean - means['supervised']):+.2f})" for mean in means.values()
        ]
        best = max(means, key=lambda name: means[name])
        print(f"{task:<14}" + "".join(f"{cell:>24}" for cell in cells) + f"   {best}")


def _accuracy(out: Path) -> float:
    result = json.loads((out / "result.json").read_text())
    return float(result["artifacts"][1]["metrics"]["accuracy"])


if __name__ == "__main__":
    main()
