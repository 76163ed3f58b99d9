"""Names, integer inputs and outputs, layers' settings: what becomes a .tflite, and is it right.

Each model is converted to every variant as a job does it, and run in the plain interpreter, bound
by the names of the file's signature. Printed: how far the answers are from the model's, of their
spread, or why a variant is refused. It fails where something is neither right nor refused by the
check before the training; and where a model that is not tried (``is_certain``) is refused.

    python benchmarks/conversions.py [WORDS]    (only models with one of them in their names)
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.errors import StageError
from job.manifest.quantize import (
    DynamicRangeConfig,
    Float16Config,
    Float32Config,
    Int8Config,
    Int16x8Config,
    QuantizeConfig,
)
from job.metrics import litert, promises
from job.models.layers import signature
from job.stages.quantize import quantize
from job.worker.convert import Conversion, is_certain, plan

layers = tf_keras.layers
ROWS = 12
# Of the answers' spread, at most so much may be lost.
TOLERANCE = {"float32": 1e-4, "float16": 0.02, "dynamic_range": 0.06, "int8": 0.15, "int16x8": 0.06}
VARIANTS: tuple[QuantizeConfig, ...] = (
    Float32Config(type="float32"),
    Float16Config(type="float16"),
    DynamicRangeConfig(type="dynamic_range"),
    Int8Config(type="int8"),
    Int8Config(type="int8", name="uint8", input_dtype="uint8", output_dtype="uint8"),
    Int8Config(type="int8", name="float_io", input_dtype="float32", output_dtype="float32"),
    Int16x8Config(type="int16x8"),
)
NAMES = (
    *("a", "Age age", "A a", "_a", "1a", "a.b a_b", "a/b a_b", "a:0 a:1", "a[0]", "a(b)", "a-b"),
    *("größe", "年龄", "x" * 300, "serving_default", "x1 x0", "class", "self", "training", "a\\b"),
    *("a\tb", "a'b", 'a"b', "{a}", "a%s", "a#b", "a@b", "a,b", "input_1", "Input_1 input_1"),
)


def named(names: list[str]) -> tf_keras.Model:
    """Inputs that must not be mixed up, and a dict of outputs of the same names."""
    given = [tf_keras.Input((3,), name=name.replace("~", " ")) for name in names]
    parts = [layers.Dense(4)(it * 3.0**place) for place, it in enumerate(given)]
    merged = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    ends = {
        name.replace("~", " "): layers.Dense(place + 2)(merged) for place, name in enumerate(names)
    }
    return tf_keras.Model(given, ends)


def pixels(dtype: str, *first: Any) -> tf_keras.Model:
    """Integers that are moved about, scaled, and seen by a convolution."""
    x = given = tf_keras.Input((8, 8, 3), dtype=dtype, name="picture")
    for layer in first:
        x = layer(x)
    x = layers.ReLU()(layers.Conv2D(8, 3)(x))
    return tf_keras.Model(given, layers.Dense(4)(layers.Flatten()(x)))


def ids(dtype: str) -> tf_keras.Model:
    """An Embedding, whose input has this dtype."""
    given = tf_keras.Input((6,), dtype=dtype, name="ids")
    x = layers.Flatten()(layers.Embedding(120, 16)(given))
    return tf_keras.Model(given, layers.Dense(4)(x))


def flags(use: str) -> tf_keras.Model:
    """An input of truth values: which steps count."""
    steps = tf_keras.Input((6, 4), name="steps")
    seen = tf_keras.Input((6,), dtype="bool", name="seen")
    x = layers.Dense(8)(steps)
    if use == "times":
        x = x * tf.cast(seen[..., None], "float32")
    elif use == "where":
        x = tf.where(seen[..., None], x, tf.zeros_like(x))
    elif use == "not":
        x = x - tf.cast(tf.logical_not(seen), "float32")[..., None]
    elif use == "attention":
        x = layers.MultiHeadAttention(2, 4)(x, x, attention_mask=seen[:, None, :])
    else:
        x = layers.LSTM(8, return_sequences=True)(x, mask=seen)
    return tf_keras.Model([steps, seen], layers.Dense(3)(layers.Flatten()(x)))


def mixed() -> tf_keras.Model:
    """Indices, pixels, floats and a key that is passed through."""
    token = tf_keras.Input((6,), dtype="int64", name="token")
    picture = tf_keras.Input((4, 4, 1), dtype="uint8", name="picture")
    age = tf_keras.Input((2,), name="age")
    key = tf_keras.Input((1,), dtype="int32", name="key")
    parts = [
        layers.Dense(8)(layers.Flatten()(layers.Embedding(120, 16)(token))),
        layers.Dense(8)(layers.Flatten()(layers.Rescaling(1 / 255)(picture))),
        layers.Dense(8)(age),
    ]
    answer = layers.Dense(4, name="answer")(layers.Add()(parts))
    same = layers.Reshape((1,), name="key_out")(key)
    return tf_keras.Model([token, picture, age, key], [answer, same])


def integer_models() -> Iterator[tuple[str, Callable[[], tf_keras.Model]]]:
    """Inputs and outputs of integers."""
    scaled = layers.Rescaling
    for dtype in ("uint8", "int8", "int16", "uint16", "int32", "int64", "uint32", "bool"):
        yield f"{dtype} Rescaling", partial(pixels, dtype, scaled(1 / 100))
        yield f"{dtype} cast", partial(pixels, dtype, lambda x: tf.cast(x, "float32"))
        yield (
            f"{dtype} Flip Reshape Rescaling",
            partial(
                pixels,
                dtype,
                layers.Reshape((4, 16, 3)),
                layers.Permute((2, 1, 3)),
                scaled(1 / 100),
            ),
        )
    for dtype in ("float32", "uint8", "int16", "int32", "int64"):
        yield f"{dtype} Embedding", partial(ids, dtype)
    yield (
        "uint8 Normalization",
        lambda: pixels("uint8", layers.Normalization(mean=90.0, variance=9e2)),
    )
    yield "uint8 via int32", lambda: pixels("uint8", lambda x: tf.cast(x, "int32"), scaled(0.01))
    yield (
        "uint8 divided",
        lambda: pixels("uint8", lambda x: x / 255, lambda x: tf.cast(x, "float32")),
    )
    yield "uint8 Resizing", lambda: pixels("uint8", layers.Resizing(6, 6), scaled(0.01))
    for dtype in ("uint8", "int8", "int16", "uint16", "int32", "bool"):
        yield f"{dtype} padded", partial(pixels, dtype, layers.ZeroPadding2D(1), scaled(0.01))
        yield f"{dtype} cropped", partial(pixels, dtype, layers.Cropping2D(1), scaled(0.01))
        yield f"{dtype} reshaped", partial(pixels, dtype, layers.Reshape((4, 16, 3)), scaled(0.01))
    for use in ("times", "where", "not", "attention", "lstm"):
        yield f"flags {use}", partial(flags, use)
    yield "uint8 halved", lambda: pixels("uint8", lambda x: x // 2, scaled(0.01))
    yield "uint8 Conv2D", lambda: pixels("uint8", lambda x: tf.cast(x, "float32") - 100.0)
    yield "mixed", mixed
    yield "argmax", argmax
    yield "top", top


def argmax() -> tf_keras.Model:
    """Scores, and which one is the best."""
    given = tf_keras.Input((6,), name="row")
    scores = layers.Dense(5, name="scores")(given)
    return tf_keras.Model(given, {"scores": scores, "best": tf.argmax(scores, -1)})


def top() -> tf_keras.Model:
    """An answer, and whether it is more than a half."""
    given = tf_keras.Input((6,), name="row")
    score = layers.Dense(1, activation="sigmoid", name="score")(given)
    return tf_keras.Model(given, {"score": score, "yes": tf.cast(score > 0.5, "int32")})


def settings() -> Iterator[tuple[str, Callable[[], tf_keras.Model]]]:
    """Layers that convert by default, with settings that are rare."""
    activations = sorted(
        name
        for name, it in vars(tf_keras.activations).items()
        if callable(it) and name not in ("get", "serialize", "deserialize")
    )
    for name in activations:
        yield (
            f"activation {name}",
            partial(picture_of, layers.Conv2D(4, 3, activation=name)),
        )
    parts: dict[str, Callable[[], Any]] = {
        "dilated": lambda: layers.Conv2D(4, 3, dilation_rate=2),
        "dilated same": lambda: layers.Conv2D(4, 3, dilation_rate=(1, 3), padding="same"),
        "groups": lambda: layers.Conv2D(4, 3, groups=2),
        "strides": lambda: layers.Conv2D(4, 3, strides=(1, 2)),
        "depth multiplier": lambda: layers.DepthwiseConv2D(3, depth_multiplier=3),
        "depthwise dilated": lambda: layers.DepthwiseConv2D(3, dilation_rate=2),
        "depthwise strides": lambda: layers.DepthwiseConv2D(3, strides=2),
        "separable dilated": lambda: layers.SeparableConv2D(4, 3, dilation_rate=2),
        "norm axis": lambda: layers.BatchNormalization(axis=1),
        "norm plain": lambda: layers.BatchNormalization(center=False, scale=False),
        "norm renorm": lambda: layers.BatchNormalization(renorm=True),
        "max same": lambda: layers.MaxPooling2D(3, strides=1, padding="same"),
        "average same": lambda: layers.AveragePooling2D(3, strides=1, padding="same"),
        "relu": lambda: layers.ReLU(max_value=3, negative_slope=0.1, threshold=0.2),
        "relu slope": lambda: layers.ReLU(negative_slope=0.1),
        "relu max": lambda: layers.ReLU(max_value=1),
        "softmax axis": lambda: layers.Softmax(axis=1),
        "softmax axes": lambda: layers.Softmax(axis=(1, 2)),
        "rescaling list": lambda: layers.Rescaling([1.0, 2, 3, 4], offset=[0.1, 0, 0, 0]),
        "padding": lambda: layers.ZeroPadding2D(((0, 3), (1, 0))),
        "dense 4d": lambda: layers.Dense(4),
        "keepdims": lambda: layers.GlobalAveragePooling2D(keepdims=True),
        "max keepdims": lambda: layers.GlobalMaxPooling2D(keepdims=True),
        "flatten first": lambda: layers.Flatten(data_format="channels_first"),
        "dropout noise": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 4)),
        "channels_first": lambda: layers.Conv2D(4, 3, data_format="channels_first"),
        "pool first": lambda: layers.MaxPooling2D(data_format="channels_first"),
        "average first": lambda: layers.AveragePooling2D(data_format="channels_first"),
        "global first": lambda: layers.GlobalAveragePooling2D(data_format="channels_first"),
        "pad first": lambda: layers.ZeroPadding2D(data_format="channels_first"),
        "depthwise first": lambda: layers.DepthwiseConv2D(3, data_format="channels_first"),
        "concatenate 1": lambda: lambda x: layers.Concatenate(axis=1)([x, x]),
        "concatenate 0": lambda: lambda x: layers.Concatenate(axis=0)([x, x]),
        "add broadcast": lambda: (
            lambda x: layers.Add()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])
        ),
        "add many": lambda: lambda x: layers.Add()([x] * 5),
        "concatenate many": lambda: (
            lambda x: layers.Concatenate()([x, layers.Rescaling(100)(x), layers.ReLU()(x)])
        ),
    }
    for name, part in parts.items():
        yield name, partial(picture_of, part())
    yield "dense 1", lambda: row_of(layers.Dense(1))
    yield "dense 3d", lambda: tf_keras.Sequential([layers.InputLayer((5, 6)), layers.Dense(4)])
    yield "norm of rows", lambda: row_of(layers.BatchNormalization())
    yield "norm first", lambda: picture_of(layers.BatchNormalization(), first=True)
    yield (
        "flatten alone",
        lambda: tf_keras.Sequential([layers.InputLayer((5, 6)), layers.Flatten()]),
    )
    yield "reshape -1", lambda: picture_of(layers.Reshape((-1, 2)))
    yield "no bias", lambda: row_of(layers.Dense(4, use_bias=False))
    yield "scalar rows", lambda: tf_keras.Sequential([layers.InputLayer(()), layers.Reshape((1,))])
    yield (
        "five axes",
        lambda: tf_keras.Sequential(
            [layers.InputLayer((3, 2, 4, 6)), layers.Dense(4), layers.BatchNormalization()]
        ),
    )
    yield (
        "six axes",
        lambda: tf_keras.Sequential(
            [layers.InputLayer((3, 2, 2, 4, 6)), layers.Dense(4), layers.Softmax()]
        ),
    )


def row_of(layer: Any) -> tf_keras.Model:
    """A layer among rows."""
    return tf_keras.Sequential([layers.InputLayer((6,)), layers.Dense(8), layer])


def picture_of(layer: Any, *, first: bool = False) -> tf_keras.Model:
    """A layer among pictures."""
    x = given = tf_keras.Input((8, 8, 4), name="picture")
    x = layer(x if first else layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Flatten()(x)
    return tf_keras.Model(given, layers.Dense(3)(x))


def rows_for(model: tf_keras.Model) -> tuple[np.ndarray[Any, Any], ...]:
    """Rows of the inputs' dtypes; bytes from 10 to 120, so that their span has to be made."""
    random = np.random.default_rng(0)
    found = []
    for tensor in model.inputs:
        shape, dtype = (ROWS, *tensor.shape[1:]), tensor.dtype
        is_index = any("embedding" in it.name for it in model.layers) and len(shape) == 2
        drawn: Any
        if dtype.is_floating and not (is_index and "ids" in tensor.name):
            drawn = random.normal(size=shape)
        elif dtype.is_bool:
            drawn = random.integers(0, 2, shape)
        else:
            drawn = random.integers(10, 120, shape)
        found.append(np.asarray(drawn).astype(dtype.as_numpy_dtype))
    return tuple(found)


def ran(path: Path, names: list[str], rows: tuple[Any, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """The answers of a file by its signature's names, row by row, as real numbers."""
    runner = Interpreter(str(path)).get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()
    found: dict[str, list[Any]] = {name: [] for name in given}
    for row in range(ROWS):
        fed = {}
        for name, array in zip(names, rows, strict=True):
            scale, zero = taken[name]["quantization"]
            value = array[row : row + 1]
            if scale:
                limits = np.iinfo(taken[name]["dtype"])
                value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
            fed[name] = value.astype(taken[name]["dtype"])
        for name, value in runner(**fed).items():
            scale, zero = given[name]["quantization"]
            found[name].append((value.astype("float64") - zero) * scale if scale else value)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def judged(
    model: tf_keras.Model, how: Conversion, config: QuantizeConfig, rows: Any, folder: Path
) -> str:
    """How far the answers are; or that it is refused, which begins with no."""
    path = folder / "m.tflite"
    try:
        quantize(how.prepared(model), config, rows, path)
        promises.check(config, path, *litert.describe_file(path))
    except StageError as error:
        return f"no: {error.what}"
    try:
        found = ran(path, [it.name for it in how.inputs], rows)
    except (RuntimeError, ValueError) as error:
        return f"no: it does not run: {error}"
    wanted = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, list(rows))))
    worst = 0.0
    for spec, answer in zip(how.outputs, wanted, strict=True):
        was, now = np.asarray(answer, "float64"), np.asarray(found[spec.name], "float64")
        differs = np.abs(was - now)
        # Of indices and flags most have to be the same.
        rate = differs.max() / (np.ptp(was) or 1)
        worst = max(worst, rate if spec.dtype.startswith("float") else float((differs > 0).mean()))
    says = f"{worst:.4f}"
    return says if worst <= TOLERANCE[config.type] else f"WRONG {says}"


def main() -> int:
    """Print the table; 1 where something failed."""
    words = sys.argv[1:] or [""]
    models: list[tuple[str, Callable[[], tf_keras.Model]]] = [
        (f"name {it[:12]}", partial(named, it.split())) for it in [*NAMES, "a~b", "~"]
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, make in [*models, *integer_models(), *settings()]:
            if not any(word in name for word in words):
                continue
            tf_keras.utils.set_random_seed(1)
            try:
                model = make()
            except Exception as error:  # noqa: BLE001 - Keras's own refusal
                print(f"{name:28} can't be built: {str(error).splitlines()[0][:90]}", flush=True)
                continue
            certain, rows = is_certain(model), rows_for(model)
            inputs, outputs = signature(model, "here")
            how = plan(model, inputs, outputs, tuple(it[:2] for it in rows))
            says = {}
            for config in VARIANTS:
                try:
                    says[config.name or config.type] = judged(
                        model, how, config, rows, Path(folder)
                    )
                except Exception as error:  # noqa: BLE001 - it is what is looked for
                    says[config.name or config.type] = f"WRONG {type(error).__name__}: {error}"
            wrong = [it for it in says.values() if it.startswith("WRONG")]
            untried = [it for it in says.values() if certain and it.startswith("no")]
            failed += bool(wrong or untried)
            mark = "FAILED" if wrong or untried else ("certain" if certain else "tried")
            print(f"{name:28} {mark:8}", *(f"{k} {v[:100]};" for k, v in says.items()), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
