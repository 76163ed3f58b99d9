"""Train the two classic small networks that compression papers start from, on the full MNIST.

    python benchmarks/train_lenets.py mnist.npz [OUTPUT] [--seed 1]

LeNet-300-100 (LeCun et al. 1998; as in Soft Weight-Sharing, arXiv 1702.04008: 1.89 % test error)
and LeNet-5 in Caffe's form (20 and 50 filters, 500 units; 0.80 % in arXiv 1510.00149) are written
to OUTPUT, the current directory by default, as `lenet_300_100.h5` and `lenet_5.h5`. Both take
images of shape (28, 28) scaled to 0 to 1 and give 10 logits; the files hold no optimizer's state,
so their size is that of the weights. LeNet-300-100 is trained without the last 10,000 training
images, so that files can be compared with it on images that neither has seen; LeNet-5, whose files
have a limit of their own, with all. Nothing is chosen by the test set: the epochs are fixed and the
last weights are saved. The same seed on the same kind of machine gives the same weights. Five
minutes on two busy cores.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

BATCH_SIZE = 128
# The training images of LeNet-300-100; those behind them are for validation.
TRAINED = 50_000


def lenet_300_100() -> Any:
    """784 → 300 → 100 → 10, fully connected, 266,610 parameters."""
    return keras.Sequential(
        [
            keras.layers.InputLayer(input_shape=(28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(300, activation="relu"),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(10),
        ],
        name="lenet_300_100",
    )


def lenet_5() -> Any:
    """Caffe's LeNet: two convolutions, each then pooled, and 500 units; 431,080 parameters."""
    return keras.Sequential(
        [
            keras.layers.InputLayer(input_shape=(28, 28)),
            keras.layers.Reshape((28, 28, 1)),
            keras.layers.Conv2D(20, 5),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(50, 5),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(500, activation="relu"),
            keras.layers.Dense(10),
        ],
        name="lenet_5",
    )


NETWORKS = {lenet_300_100: (6, TRAINED), lenet_5: (8, 60_000)}
"""Each network, its epochs, as many as give the test error of its papers' baselines, and images."""


def train(model: Any, arrays: Any, epochs: int, count: int) -> None:
    """Fit with AdamW, its learning rate going down to zero along a cosine."""
    steps = epochs * -(-count // BATCH_SIZE)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(2e-3, steps), weight_decay=0.02
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs = arrays["x_train"][:count].astype(np.float32) / 255
    labels = arrays["y_train"][:count]
    model.fit(inputs, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=2)


def main() -> None:
    """Train both, save both, print each one's test error."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path, nargs="?", default=Path())
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arrays = np.load(arguments.data)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for build, (epochs, count) in NETWORKS.items():
        keras.utils.set_random_seed(arguments.seed)
        model, started = build(), time.monotonic()
        train(model, arrays, epochs, count)
        _, accuracy = model.evaluate(
            arrays["x_test"].astype(np.float32) / 255, arrays["y_test"], verbose=0
        )
        path = arguments.output / f"{model.name}.h5"
        model.save(path, include_optimizer=False)
        print(
            f"{path}: {path.stat().st_size:,} B, test error {1 - accuracy:.2%}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
