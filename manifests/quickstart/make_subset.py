"""Make the quickstart's data set: the first digits of the full MNIST.

Usage: python manifests/quickstart/make_subset.py PATH/TO/mnist.npz

The full set is the one that Keras ships (``tf_keras.datasets.mnist``): ``x_train`` (60000, 28, 28)
uint8, ``y_train``, ``x_test`` (10000, 28, 28), ``y_test``. The output is the same for each run.
"""

import sys
from pathlib import Path

import numpy as np

TRAIN, TEST = 10_000, 2_000
TARGET = Path(__file__).parent / "mnist.npz"


def main(full: str) -> None:
    """Write ``mnist.npz`` beside this script."""
    with np.load(full, allow_pickle=False) as data:
        np.savez_compressed(
            TARGET,
            x_train=data["x_train"][:TRAIN],
            y_train=data["y_train"][:TRAIN],
            x_test=data["x_test"][:TEST],
            y_test=data["y_test"][:TEST],
        )
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
