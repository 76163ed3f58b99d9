"""What the defaults make of small data: two epochs, as the tutorial has them, and what is chosen.

A regression on tables and MNIST digits, each of several sizes. The model is trained first, by plain
Keras, on the very rows that it is then fine-tuned on.

Usage: python benchmarks/small_data.py MNIST.npz [ROWS...]
Exits with 1 where the defaults make an error a quarter larger, or an accuracy 3 points smaller.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

SIZES = (60, 350, 500, 2000)
PAREDOWN = Path(sys.executable).with_name("paredown")
WORSE_ERROR = 1.25
LOST_ACCURACY = 0.03


def regression(rows: int, folder: Path) -> None:
    """Ten numbers -> one, with noise: about the size of a well-known table of diabetes patients."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows + 300, 10)).astype("float32")
    y = 150 + 60 * np.tanh(x[:, 0] + x[:, 1] * x[:, 2]) + 30 * x[:, 3]
    y = (y + random.normal(0, 20, len(y))).astype("float32")
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.InputLayer((10,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.compile(tf_keras.optimizers.Adam(0.003), "mae")
    model.fit(x[:rows], y[:rows], epochs=max(40, 12000 // rows), verbose=0)
    _write(folder, model, (x[:rows], y[:rows]), (x[rows:], y[rows:]))


def digits(rows: int, folder: Path, mnist: Path) -> None:
    """The tutorial's model, of a part of MNIST that is sorted by class."""
    data = np.load(mnist)
    x, y = data["x_train"][:rows] / np.float32(255), data["y_train"][:rows]
    order = np.argsort(y, kind="stable")
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.InputLayer((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, ["accuracy"])
    model.fit(x, y, epochs=max(5, 20000 // rows), verbose=0)
    test = data["x_test"][:2000] / np.float32(255), data["y_test"][:2000]
    _write(folder, model, (x[order], y[order]), test)


def _write(folder: Path, model: tf_keras.Model, train: Any, test: Any) -> None:
    model.save(folder / "model.h5")
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    np.savez(folder / "data.npz", **arrays)


def run(folder: Path, name: str, **training: Any) -> dict[str, float]:
    """Baseline and pruned quality of a job with these settings, and its steps."""
    job = {
        "name": name,
        "model": {"uri": "model.h5"},
        "dataset": {"uri": "data.npz"},
        "training": training,
        "quantize": None,
        "compress": None,
        "destination": {"uri": name},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(job))
    subprocess.run([PAREDOWN, "run", path], check=True, capture_output=True)
    result = json.loads((folder / name / "result.json").read_text())
    metric = next(iter(result["objective"].values()))["metrics"][0]
    baseline, pruned = (it["metrics"][metric] for it in result["artifacts"])
    return {"before": baseline, "after": pruned, "steps": result["training"]["steps"]}


def main() -> None:
    """Print the table."""
    mnist, *sizes = sys.argv[1:]
    failed = False
    print(f"{'data':<12}{'rows':>6}{'baseline':>10}{'2 epochs':>10}{'defaults':>10}{'steps':>7}")
    for kind in ("regression", "digits"):
        for rows in [int(it) for it in sizes] or SIZES:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                if kind == "regression":
                    regression(rows, folder)
                else:
                    digits(rows, folder, Path(mnist))
                two = run(folder, "two", epochs=2, validation_split=0.1)
                ours = run(folder, "ours")
            before, after = ours["before"], ours["after"]
            bad = (
                after > before * WORSE_ERROR
                if kind == "regression"
                else after < before - LOST_ACCURACY
            )
            failed |= bad
            print(
                f"{kind:<12}{rows:>6}{before:>10.4g}{two['after']:>10.4g}{after:>10.4g}"
                f"{ours['steps']:>7}{'  WORSE' if bad else ''}",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
