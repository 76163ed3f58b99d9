"""keras3_layers: each layer and activation of Keras 3 is the same in Keras 2, or is refused."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from job.errors import InputError
from job.models import keras3_layers as settings
from job.models.compare import TOLERANCE
from job.models.keras3_adapters import Keras3Layer
from job.models.keras3_ops import CALL_FUNCTIONS
from job.models.layers import layers_of
from job.models.load import ModelFile, read, save
from job.models.prunable import kernels
from job.safety import allowed
from tests.support import every_layer as every

layers = keras.layers
KITS = [keras, tf_keras]
Floats = NDArray[np.floating]


@pytest.mark.parametrize("kit", KITS, ids=["keras", "tf_keras"])
def test_every_layer_class_has_a_sample(kit: Any) -> None:
    """``benchmarks/layers.py`` tries each of them; a new one has to be reviewed."""
    left_out = every.ABSTRACT | every.CODE | {"Lambda"}
    assert set(every.classes(kit)) - left_out - set(every.SAMPLES) == set()


def test_every_setting_of_a_layer_that_both_have_is_handled() -> None:
    """Keras 2 knows it, has another name for it, or behaves like one of its values."""
    decided = {*settings.LACKING, *settings.MADE, *settings.NO_MATTER, *settings.WITH}
    for name in set(every.classes(keras)) & set(every.classes(tf_keras)) - every.ABSTRACT:
        if name in ("Lambda", "RNN", "TextVectorization", "StringLookup"):
            continue
        made = every.SAMPLES[name].make(layers)
        known = settings.parameters(getattr(tf_keras.layers, type(made).__name__))
        renamed = settings.RENAMED.get(name, {})
        keys = {renamed.get(it, it) for it in made.get_config() if not it.endswith("initializer")}
        assert keys - known - decided == set(), name


def test_every_operation_is_rebuilt_or_calls_functions() -> None:
    """All of ``keras.ops``, and those of activations; a new one has to be reviewed."""
    found = {"Mish", "ReLU"}
    for module in pkgutil.walk_packages(keras.src.ops.__path__, "keras.src.ops."):
        if "test" not in module.name:
            found |= {
                name
                for name, it in vars(importlib.import_module(module.name)).items()
                if inspect.isclass(it) and issubclass(it, keras.Operation)
                and it.__module__ == module.name
            }  # fmt: skip
    known = {*allowed.KERAS3_OPS.split(), *allowed.MASK_OPS.split(), *CALL_FUNCTIONS}
    assert found - {"Operation"} == known


def rebuilt(model: keras.Model, folder: Path) -> ModelFile:
    """The model as paredown reads it from a file; no weight is zero."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(0.2 + random.random(weight.shape))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    model.save(folder / "m.keras")
    return read(folder / "m.keras")


def assert_same(model: keras.Model, file: ModelFile, x: Floats, folder: Path) -> None:
    """The same outputs; also, with changed weights, of the file that is written."""
    for before, after in zip(model(x, training=False), file.model(x, training=False), strict=True):
        np.testing.assert_allclose(after, before, atol=TOLERANCE, rtol=0)
    for weight in file.model.weights:
        if weight.dtype.is_floating:  # the count of a Normalization is none
            weight.assign(weight * 0.5 + 0.1)
    for layer in file.model.layers:
        if isinstance(layer, tf_keras.layers.Normalization):
            layer.finalize_state()
    saved = save(file.model, file, folder / "saved.keras")
    for before, after in zip(
        file.model(x, training=False), saved.original(x, training=False), strict=True
    ):
        np.testing.assert_allclose(after, before, atol=TOLERANCE, rtol=0)


def test_every_activation_computes_the_same_as_in_keras_3(tmp_path: Path) -> None:
    """By its name, and as an object; on values of both signs."""
    given = keras.Input((3, 6))
    names = [it for it in every.activations(keras) if it != "threshold"]  # it needs arguments
    ends = [layers.Activation(it, name=f"a_{it}")(given) for it in names]
    objects = [
        layers.LeakyReLU(negative_slope=0.1),
        layers.ReLU(1.0, 0.2, 0.1),
        layers.Softmax(),
    ]
    ends += [layers.Dense(4, activation=it)(given) for it in objects]
    ends += [layers.GRU(3, recurrent_activation="hard_sigmoid")(given)]
    ends += [layers.Conv1D(3, 2, activation="celu")(given)]
    model = keras.Model(given, ends)
    x = np.random.default_rng(0).normal(scale=3, size=(4, 3, 6)).astype("float32")
    file = rebuilt(model, tmp_path)
    got = dict(zip(names, file.model(x), strict=False))
    np.testing.assert_allclose(got["hard_sigmoid"], np.clip(x / 6 + 0.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(got["celu"], np.where(x > 0, x, np.expm1(x)), atol=1e-6)
    np.testing.assert_allclose(got["tanh_shrink"], x - np.tanh(x), atol=1e-6)
    np.testing.assert_allclose(got["log_sigmoid"], -np.log1p(np.exp(-x)), atol=1e-6)
    assert_same(model, file, x, tmp_path)


IMAGES = [
    layers.Resizing(5, 4, antialias=True),
    layers.Resizing(5, 12, pad_to_aspect_ratio=True, fill_value=2.0),
    layers.CenterCrop(5, 3, data_format="channels_first"),
    layers.LeakyReLU(0.05),
    layers.LeakyReLU(negative_slope=0.1),
    layers.RMSNormalization(),
    layers.SeparableConv2D(3, 2, data_format="channels_first"),
    layers.AdaptiveAveragePooling2D(3),
    layers.Conv2D(6, 3, groups=3, use_bias=False),
    layers.DepthwiseConv2D(3, depth_multiplier=2),
    layers.TimeDistributed(layers.BatchNormalization()),
    layers.TimeDistributed(layers.SpectralNormalization(layers.Dense(3))),
    layers.TimeDistributed(layers.Bidirectional(layers.LSTM(2))),
    layers.TimeDistributed(keras.Sequential([layers.Dense(3), layers.BatchNormalization()])),
    layers.SpectralNormalization(layers.Conv2D(3, 2)),
    layers.Normalization(),
    layers.RandomHue(0.2, seed=1),
]


def test_settings_and_wrappers_of_keras_3_compute_the_same(tmp_path: Path) -> None:
    """Those that Keras 2 lacks, names or orders differently; in one model."""
    given = keras.Input((8, 8, 3))
    model = keras.Model(given, [it(given) for it in IMAGES])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    file = rebuilt(model, tmp_path)
    resized, padded = (file.model(x)[index].numpy() for index in (0, 1))
    assert padded[0, 0, 0, 0] == 2.0
    assert resized.shape == (2, 5, 4, 3)
    calling = {type(it).__name__ for _, it in layers_of(file.model) if isinstance(it, Keras3Layer)}
    assert calling >= {"Resizing", "RMSNormalization", "AdaptiveAveragePooling2D", "RandomHue"}
    first = next(
        it for _, it in layers_of(file.model) if isinstance(it, Keras3Layer) and it.weights
    )
    assert first.trainable_weights
    assert [it.shape for it in kernels(file.model.get_layer(IMAGES[6].name))] == [(1, 1, 8, 3)]
    assert_same(model, file, x, tmp_path)
    drawn = [file.model(x, training=True)[-1].numpy() for _ in range(2)]
    assert not np.array_equal(*drawn)


def test_constraints_and_regularizers_hold_in_training(tmp_path: Path) -> None:
    """In layers of Keras 2, in wrappers, and in called layers of Keras 3."""
    given = keras.Input((4, 6))
    options: dict[str, Any] = {
        "kernel_constraint": "non_neg",
        "kernel_regularizer": keras.regularizers.L2(0.1),
    }
    x = layers.TimeDistributed(layers.Dense(5, **options))(given)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, **options))(x)
    x = layers.GroupQueryAttention(4, 2, 1, **options)(x, x)
    x = layers.Dense(
        3, kernel_constraint=keras.constraints.MaxNorm(0.5, axis=[0, 1]), name="bounded"
    )(x)
    model = keras.Model(given, layers.Dense(2, bias_constraint="unit_norm", **options)(x))
    file = rebuilt(model, tmp_path)
    its = float(sum(float(it) for it in model.losses))
    assert float(sum(float(it) for it in file.model.losses)) == pytest.approx(its, rel=1e-5)
    file.model.compile(tf_keras.optimizers.SGD(0.5), "mse")
    random = np.random.default_rng(0)
    file.model.fit(random.normal(size=(32, 4, 6)), random.normal(size=(32, 4, 2)) - 3, verbose=0)
    saved = save(file.model, file, tmp_path / "saved.keras").original
    kept = {it.path: it.numpy() for it in saved.weights if it.constraint is not None}
    assert len(kept) == 10
    for path, value in kept.items():
        if "bias" in path:
            assert np.linalg.norm(value) == pytest.approx(1, abs=1e-4)
        elif path.startswith("bounded"):
            assert np.linalg.norm(value) <= 0.5 + 1e-4
        else:
            assert value.min() >= 0
            assert (value == 0).any() or value.size < 20, path
    assert saved.layers[-1].kernel_regularizer.l2 == pytest.approx(0.1)


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"groups": 2}])
def test_a_conv2d_with_its_channels_first_is_pruned_and_converted(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """Its kernel can be pruned, and the .tflite gives the same."""
    conv = layers.Conv2D(4, 3, data_format="channels_first", **options)
    model = keras.Sequential([keras.Input((2, 9, 9)), conv, layers.Flatten(), layers.Dense(2)])
    file = rebuilt(model, tmp_path)
    x = np.random.default_rng(0).random((4, 2, 9, 9)).astype("float32")
    assert [it.shape for it in kernels(file.model.get_layer(conv.name))] == [conv.kernel.shape]
    content = tf.lite.TFLiteConverter.from_keras_model(file.model).convert()
    run = Interpreter(model_content=content).get_signature_runner()
    (answer,) = run(**{next(iter(run.get_input_details())): x}).values()
    np.testing.assert_allclose(answer, model.predict(x, verbose=0), rtol=1e-5)
    assert_same(model, file, x, tmp_path)


def test_a_layer_that_can_not_be_rebuilt_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The layer, its class and the reason; never that the file is corrupt."""
    quantized = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="packed")])
    quantized.quantize("int8")
    lora = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="adapted")])
    lora.layers[0].enable_lora(2)
    first = keras.Sequential(
        [keras.Input((6, 8)), layers.Conv1D(3, 2, data_format="channels_first", name="turned")]
    )
    inner = layers.Dense(3, activity_regularizer="l2", name="noted")
    wrapped = keras.Sequential([keras.Input((2, 6)), layers.TimeDistributed(inner)])
    slope = keras.Sequential([keras.Input((6,)), layers.Dense(3, activation=layers.PReLU())])
    for model, name, reason in (
        (slope, "p_re_lu", "weights"),
        (quantized, "packed", "quantized"),
        (lora, "adapted", "LoRA"),
        (first, "turned", "the converter to .tflite fails"),
        (wrapped, "noted", "activity_regularizer"),
    ):
        model.save(tmp_path / "m.keras")
        with pytest.raises(InputError) as caught:
            read(tmp_path / "m.keras")
        assert name in caught.value.what
        assert reason in caught.value.what
        assert "corrupt" not in str(caught.value)
