"""Models whose outputs vary, data without labels, and the jobs that shrink them; and what the files
answer, by the libraries that read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.result.specs import TensorSpec
from job.rows.data import Split, hold_out_test
from job.rows.synthetic import draw_rows
from tests.support.conversion import fed_row, real
from tests.support.sources import array

ROWS, TESTS, SHARE, SEED = 400, 90, 0.25, 7
WORDS = 50
FILES = {"image": "image.h5", "words": "words.h5", "force": "force.keras"}
# The kind of each output, as ``AnswerResult`` has it.
KINDS = {"image": "softmax", "words": "sigmoid", "force": "numbers"}
SPECS = {
    "image": [TensorSpec("picture", (10, 10, 1), "float32")],
    "words": [TensorSpec("tokens", (12,), "int32")],
    "force": [TensorSpec("place", (6,), "float32"), TensorSpec("speed", (3,), "float32")],
}
RANGES: dict[str, dict[str, tuple[float, float]]] = {"force": {"speed": (-2.0, 2.0)}}
CATEGORIES = {"image": [0], "words": [WORDS], "force": [0, 0]}
DATA: dict[str, dict[str, Any]] = {
    # A share of the rows is held out to test on; bytes are scaled.
    "image": {"train": {"inputs": "pictures"}, "test_split": SHARE, "scale": 1 / 255},
    "words": {"train": {"inputs": "tokens_train"}, "test": {"inputs": "tokens_test"}},
    "force": {"train": {"inputs": {"place": "a", "speed": "b"}}, "test_split": SHARE},
}

TRAINING: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 16,
    "seed": SEED,
    "optimizer": {"learning_rate": 0.003},
}


def arrays() -> dict[str, dict[str, Any]]:
    """The arrays of each model's data."""
    random = np.random.default_rng(3)
    shapes = random.random((6, 10, 10, 1))  # of which each picture is a mixture
    mixed = random.dirichlet(np.full(6, 0.4), ROWS + TESTS) @ shapes.reshape(6, -1)
    pictures = (255 * mixed).astype(np.uint8).reshape(-1, 10, 10, 1)
    tokens = random.integers(1, WORDS, (ROWS + TESTS, 12)).astype("int32")
    return {
        "image": {
            "pictures": pictures[:ROWS],
            # Noisy labels, for jobs that mix them in.
            "labels": random.integers(0, 5, ROWS),
            "pictures_test": pictures[ROWS:],
            "labels_test": random.integers(0, 5, TESTS),
        },
        "words": {"tokens_train": tokens[:ROWS], "tokens_test": tokens[ROWS:]},
        "force": {
            "a": random.normal(size=(ROWS, 6)).astype("float32"),
            "b": random.normal(size=(ROWS, 3)).astype("float32"),
        },
    }


def image() -> tf_keras.Model:
    """A CNN with statistics of its layers, that tells five classes apart."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((10, 10, 1), name="picture"),
            layers.Conv2D(8, 3, use_bias=False, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Dropout(0.2, name="dropout"),
            layers.Conv2D(12, 3, strides=2, name="second"),
            layers.BatchNormalization(name="other_norm"),
            layers.ReLU(name="other_relu"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, activation="softmax", name="classes"),
        ]
    )
    given = arrays()["image"]["pictures"].astype("float32") / 255
    norms = [model.get_layer(it) for it in ("norm", "other_norm")]
    for momentum in (0.0, 0.99):  # so that the statistics are those of such data
        for norm in norms:
            norm.momentum = momentum
        model(given, training=True)
    spread(model, "classes", 3.0)
    return model


def spread(model: Any, layer: str, factor: float) -> None:
    """Enlarge a layer's weights, so that answers differ from row to row."""
    kernel = model.get_layer(layer).weights[0]
    kernel.assign(kernel * factor)


def words() -> tf_keras.Model:
    """A recurrent model that says yes or no to a text."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(2)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((12,), dtype="int32", name="tokens"),
            layers.Embedding(WORDS, 8, name="embedding"),
            layers.LSTM(16, name="lstm"),
            layers.Dense(1, activation="sigmoid", name="yes"),
        ]
    )
    spread(model, "embedding", 20.0)
    spread(model, "yes", 4.0)
    return model


def force() -> Any:
    """A regression of Keras 3, of two inputs."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    place, speed = keras.Input((6,), name="place"), keras.Input((3,), name="speed")
    near = layers.Dense(24, activation="relu", name="near")(place)
    both = layers.Concatenate(name="both")([near, speed])
    hidden = layers.Dense(24, activation="tanh", name="hidden")(both)
    return keras.Model([place, speed], layers.Dense(2, name="newton")(hidden))


def save_all(folder: Path) -> None:
    """Put every model and its data into a folder."""
    for name, made in (("image", image()), ("words", words()), ("force", force())):
        made.save(folder / FILES[name])
        np.savez(folder / f"{name}.npz", **arrays()[name])


def job(model: str, **sections: Any) -> dict[str, Any]:
    """A manifest's sections for a model and its data, in the folder above."""
    return {
        "model": {"uri": f"../{FILES[model]}"},
        "dataset": {"type": "npz", "uri": f"../{model}.npz", **DATA[model]},
        "training": TRAINING,
        "quantize": [{"type": "dynamic_range"}],
        "compress": None,
    } | sections


def without_data(model: str, **sections: Any) -> dict[str, Any]:
    """The same, with inputs that are drawn."""
    given = {"uri": f"../{FILES[model]}", "input_ranges": RANGES.get(model, {})}
    return job(model, dataset=None, training={"seed": SEED}, **sections) | {"model": given}


def rows_tested(model: str, *, is_drawn: bool) -> dict[str, Any]:
    """The rows that files are measured on, by the names of the inputs, as the model takes them."""
    names = [spec.name for spec in SPECS[model]]
    if is_drawn:
        split = draw_rows(SPECS[model], RANGES.get(model, {}), CATEGORIES[model], SEED)[1]
        return dict(zip(names, split.inputs, strict=True))
    data = arrays()[model]
    if model == "words":
        return {"tokens": data["tokens_test"]}
    given = (data["pictures"],) if model == "image" else (data["a"], data["b"])
    whole = Split(given, (), 1.0, tuple(str(it.dtype) for it in given))
    held = [array(rows) for rows in hold_out_test(whole, SHARE, SEED).test.inputs]
    if model == "image":
        return {"picture": held[0].astype(np.float32) * np.float32(1 / 255)}
    return dict(zip(names, held, strict=True))


def answers(path: Path, x: Mapping[str, Any]) -> Any:
    """What a file of one output answers, as real numbers: (rows, values)."""
    if path.suffix != ".tflite":
        library: Any = keras if path.suffix == ".keras" else tf_keras
        model = library.models.load_model(path, compile=False)
        given = list(x.values())
        return model.predict(given if len(given) > 1 else given[0], verbose=0)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    taken = runner.get_input_details()
    ((output, told),) = runner.get_output_details().items()
    found = []
    for row in range(len(next(iter(x.values())))):
        interpreter.reset_all_variables()  # recurrent layers have a state
        found.append(runner(**fed_row(taken, x, row))[output])
    return real(found, told)


def recomputed(kind: str, before: Any, after: Any) -> dict[str, float | None]:
    """The figures on fidelity, by their definitions."""
    error = np.mean((after - before) ** 2)
    flat = [it.reshape(len(it), -1) for it in (before, after)]
    if flat[0].shape[1] == 1:
        flat = [it.T for it in flat]
    same: Any = {
        "softmax": before.argmax(-1) == after.argmax(-1),
        "sigmoid": (before > 0.5) == (after > 0.5),
        "numbers": None,
    }[kind]
    cosines = np.sum(flat[0] * flat[1], 1) / np.prod([np.linalg.norm(it, axis=1) for it in flat], 0)
    return {
        "agreement": None if same is None else float(np.mean(same)),
        "cosine_similarity": float(np.mean(cosines)),
        "mean_squared_error": float(error),
        "snr_db": float(10 * np.log10(np.mean(before.var(axis=0)) / error)),
    }
