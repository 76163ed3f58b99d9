"""Write the quickstart's digits as each type of data set, and a small set of texts.

    python manifests/examples/data/write_data.py [--rows 2000]

The examples beside this file run on what it writes. The digits are written as a folder of PNG
images, TFRecords, CSV, Parquet and npy, and once more as npz in the order that all of these have,
so that every example gives the same files. The texts are the most frequent words of five languages
(from the package pyspellchecker), and the table is scikit-learn's of patients; their models are
trained here.
"""

import argparse
import gzip
import json
import os
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import sklearn.datasets
import spellchecker
import tensorflow as tf
import tf_keras
from PIL import Image

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "quickstart" / "mnist.npz"
LANGUAGES = ("de", "en", "es", "fr", "it")
WORDS, TESTED, LENGTH = 2000, 200, 16
LETTERS = "abcdefghijklmnopqrstuvwxyzàâäçèéêëìíîïñòóôöùúûüß"


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000, help="training rows")
    asked = parser.parse_args()
    arrays = np.load(DIGITS)
    splits = {
        "train": _sorted(arrays["x_train"][: asked.rows], arrays["y_train"][: asked.rows]),
        "test": _sorted(arrays["x_test"], arrays["y_test"]),
    }
    for name in ("npy", "images", "records", "csv", "parquet", "table", "text"):
        (HERE / name).mkdir(exist_ok=True)
    named = {
        f"{which}_{split}": array
        for split, pair in splits.items()
        for which, array in zip("xy", pair, strict=True)
    }
    np.savez(HERE / "digits.npz", **named)
    for name, array in named.items():
        np.save(HERE / "npy" / f"{name}.npy", array)
    for split, (images, labels) in splits.items():
        write_images(HERE / "images" / split, images, labels)
        write_records(HERE / "records", split, images, labels)
        write_tables(split, images, labels)
    write_texts(HERE / "text")
    write_patients(HERE / "table")


def _sorted(images: Any, labels: Any) -> tuple[Any, Any]:
    """In the order that a folder for each class gives."""
    order = np.argsort(labels, kind="stable")
    return images[order], labels[order].astype(np.int64)


def write_images(folder: Path, images: Any, labels: Any) -> None:
    """A folder for each class, and numbered PNG files in it."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def write_records(folder: Path, split: str, images: Any, labels: Any) -> None:
    """Two shards of tf.train.Example."""
    for shard, rows in enumerate(np.array_split(np.arange(len(labels)), 2)):
        with tf.io.TFRecordWriter(str(folder / f"{split}-{shard}.tfrecord")) as writer:
            for row in rows:
                features = {
                    "image": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[images[row].tobytes()])
                    ),
                    "label": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[int(labels[row])])
                    ),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())


def write_tables(split: str, images: Any, labels: Any) -> None:
    """A column for each pixel, and one of labels."""
    pixels = images.reshape(len(images), -1)
    columns = {f"pixel{index}": pixels[:, index] for index in range(pixels.shape[1])}
    table = pa.table(columns | {"label": labels})
    pa.csv.write_csv(table, HERE / "csv" / f"{split}.csv")
    pa.parquet.write_table(table, HERE / "parquet" / f"{split}.parquet")


def write_texts(folder: Path) -> None:
    """Words with their language, the letters that they have, and a model that tells languages."""
    resources = Path(spellchecker.__file__).parent / "resources"
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for language in LANGUAGES:
        counts = json.loads(gzip.decompress((resources / f"{language}.json.gz").read_bytes()))
        words = sorted(counts, key=lambda word: (-counts[word], word))[: WORDS + TESTED]
        for index, word in enumerate(words):
            rows["test" if index % (WORDS // TESTED + 1) == 0 else "train"].append((word, language))
    for split, pairs in rows.items():
        table = pa.table(dict(zip(("word", "language"), zip(*pairs, strict=True), strict=True)))
        pa.csv.write_csv(table, folder / f"{split}.csv")
    (folder / "letters.txt").write_text("\n".join(["", "[UNK]", *LETTERS]) + "\n")
    train_language_model(rows["train"], folder / "languages.h5")


def write_patients(folder: Path) -> None:
    """scikit-learn's diabetes data: numbers, a category, and how far the illness went in a year;
    and a model of them.
    """
    patients = sklearn.datasets.load_diabetes(scaled=False)
    columns = dict(zip(patients.feature_names, patients.data.T, strict=True))
    columns["target"] = patients.target
    columns["sex"] = np.where(columns["sex"] == 1, "first", "second")
    pa.csv.write_csv(pa.table(columns), folder / "patients.csv")
    names = [name for name in columns if name not in ("sex", "target")]
    groups = [columns["sex"] == "first", columns["sex"] == "second"]
    inputs = np.stack([columns[name] for name in names] + groups, axis=1).astype(np.float32)
    job = json.loads((HERE / "table.json").read_text())
    (done,) = job["dataset"]["preprocess"]
    normalized = (inputs - np.float32(done["mean"])) / np.float32(done["std"])
    tf_keras.utils.set_random_seed(7)
    model = tf_keras.Sequential(
        [
            tf_keras.layers.InputLayer((inputs.shape[1],)),
            tf_keras.layers.Dense(64, activation="relu"),
            tf_keras.layers.Dense(64, activation="relu"),
            tf_keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mean_squared_error")
    model.fit(normalized, columns["target"], batch_size=16, epochs=60, verbose=0)
    model.save(folder / "patients.h5", include_optimizer=False)


def train_language_model(pairs: list[tuple[str, str]], path: Path) -> None:
    """An Embedding and a convolution over the letters of a word."""
    places = {letter: index for index, letter in enumerate(LETTERS, 2)}
    inputs = np.zeros((len(pairs), LENGTH), np.int32)
    for row, (word, _) in enumerate(pairs):
        letters = [places.get(letter, 1) for letter in word[:LENGTH]]
        inputs[row, : len(letters)] = letters
    targets = np.array([LANGUAGES.index(language) for _, language in pairs])
    tf_keras.utils.set_random_seed(7)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.InputLayer((LENGTH,), dtype="int32"),
            layers.Embedding(len(LETTERS) + 2, 16),
            layers.Conv1D(64, 3, padding="same", activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(len(LANGUAGES), activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(inputs, targets, batch_size=64, epochs=8, verbose=0)
    model.save(path, include_optimizer=False)


if __name__ == "__main__":
    main()
