"""No single layer stops a model: each is pruned or has a reason, and the model goes all the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.events import Stage
from job.manifest.prune import PruneConfig
from job.manifest.quantize import QuantizeConfig, WeightOnlyConfig
from job.metrics.litert import custom_operators
from job.models.layers import signature
from job.models.load import ModelFile, save
from job.models.prunable import plan_layers, results, targets
from job.result.artifact import KerasFormat
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.prepare import prepare
from job.stages.prune import mask_weights, plan_window, wrap
from job.stages.small_file import small_file
from job.stages.strip import strip
from job.tflite.interpret import predictor
from job.tflite.runtimes import hybrid_operators
from tests.support.batches import InOrder, no_metrics
from tests.support.conversion import answers, convert
from tests.support.rare import few

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
layers = tf_keras.layers
Floats = NDArray[np.floating]

# Of the types with weights, those that stay dense; every other one here is pruned.
DENSE = {
    "AdditiveAttention",
    "Attention",
    "BatchNormalization",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "GroupNormalization",
    "LayerNormalization",
    "Normalization",
    "PReLU",
}


def stack(shape: Sequence[int], *parts: tf_keras.layers.Layer) -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer(shape), *parts])


def pictures() -> tf_keras.Model:
    return stack(
        (10, 10, 4),
        layers.Rescaling(0.5),
        layers.Normalization(mean=[0.1] * 4, variance=[2.0] * 4),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomContrast(0.1),
        layers.RandomBrightness(0.1),
        layers.RandomCrop(9, 9),
        layers.Resizing(8, 8),
        layers.CenterCrop(6, 6),
        layers.ZeroPadding2D(2),
        layers.Cropping2D(1),
        layers.SeparableConv2D(16, 3),
        layers.DepthwiseConv2D(3),
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.SpatialDropout2D(0.1),
        layers.Conv2DTranspose(8, 3),
        layers.UpSampling2D(2),
        layers.Conv2D(8, 3, dilation_rate=2, groups=2),
        layers.LocallyConnected2D(4, 3, strides=2),
        layers.GlobalAveragePooling2D(),
    )


def signals() -> tf_keras.Model:
    return stack(
        (12, 8),
        layers.GaussianNoise(0.1),
        layers.ZeroPadding1D(1),
        layers.Cropping1D(1),
        layers.Conv1D(8, 3, padding="causal", dilation_rate=2),
        layers.SeparableConv1D(16, 3),
        layers.DepthwiseConv1D(3),
        layers.LayerNormalization(),
        layers.GroupNormalization(4),
        layers.UnitNormalization(),
        layers.UpSampling1D(2),
        layers.Conv1DTranspose(8, 3),
        layers.LocallyConnected1D(8, 3),
        layers.EinsumDense("abc,cd->abd", (None, 16), bias_axes="d"),
        layers.SpatialDropout1D(0.1),
    )


def volumes() -> tf_keras.Model:
    return stack(
        (5, 5, 5, 2),
        layers.Conv3D(8, 3),
        layers.Conv3DTranspose(8, 2),
        layers.ZeroPadding3D(1),
        layers.Cropping3D(1),
        layers.UpSampling3D(2),
        layers.Flatten(),
        layers.Dense(8),
    )


def frames() -> tf_keras.Model:
    return stack((3, 6, 6, 2), layers.ConvLSTM2D(4, 3), layers.Flatten(), layers.Dense(8))


def words() -> tf_keras.Model:
    """Recurrent layers are mostly unrolled here: graphs with many loops take long to be built."""
    return stack(
        (3,),
        layers.Embedding(30, 16, mask_zero=True),
        layers.Bidirectional(layers.SimpleRNN(8, return_sequences=True, unroll=True)),
        layers.TimeDistributed(layers.Dense(8)),
        layers.LSTM(8, unroll=True),
    )


def cells() -> tf_keras.Model:
    return stack(
        (3, 8),
        layers.Masking(),
        layers.GRU(8, return_sequences=True, unroll=True),
        layers.SimpleRNN(8, return_sequences=True, unroll=True),
        layers.RNN(layers.LSTMCell(8), return_sequences=True, unroll=True),
        layers.RNN([layers.GRUCell(8), layers.SimpleRNNCell(6)]),
    )


def directions() -> tf_keras.Model:
    """All the ways in which the two directions are merged, and two that differ."""
    x = given = tf_keras.Input((2, 8))
    for mode in ("sum", "mul", "ave", "concat"):
        inner = layers.SimpleRNN(8, return_sequences=True, unroll=True)
        x = layers.Bidirectional(inner, merge_mode=mode)(x)
    forth, back = layers.SimpleRNN(8, unroll=True), layers.GRU(8, go_backwards=True, unroll=True)
    both = layers.Bidirectional(forth, merge_mode=None, backward_layer=back)(x)
    return tf_keras.Model(given, layers.Multiply()(both))


def steps() -> tf_keras.Model:
    """Models, wrappers and convolutions in a wrapper."""
    frame = stack((9, 9, 2), layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU())
    return stack(
        (3, 9, 9, 2),
        layers.TimeDistributed(frame),
        layers.TimeDistributed(layers.Conv2D(4, 3)),
        layers.TimeDistributed(layers.TimeDistributed(layers.Flatten())),
        layers.TimeDistributed(layers.Bidirectional(layers.SimpleRNN(8, unroll=True))),
    )


def attention() -> tf_keras.Model:
    given = tf_keras.Input((6, 16))
    other = layers.Dense(16)(given)
    x = layers.MultiHeadAttention(2, 8)(given, other)
    x = layers.Add()([x, layers.Attention(use_scale=True)([given, other])])
    x = layers.Concatenate()([x, layers.AdditiveAttention()([given, other])])
    x = layers.Dot(axes=2)([x, layers.Dense(32)(other)])
    return tf_keras.Model(given, layers.Average()([x, layers.Permute((2, 1))(x)]))


MODELS = [pictures, signals, volumes, frames, words, cells, directions, steps, attention]


def inputs_of(model: tf_keras.Model, rows: int) -> Floats:
    """Random numbers; for an Embedding random words, some of them padding."""
    random = np.random.default_rng(0)
    shape = (rows, *model.input_shape[1:])
    if isinstance(model.layers[0], layers.Embedding):
        return random.integers(0, 4, shape).astype("float32")
    return random.normal(size=shape).astype("float32")


def prune(model: tf_keras.Model, config: PruneConfig, x: Floats) -> tf_keras.Model:
    """Half of the weights, in four steps."""
    wanted = targets(plan_layers(model, config), "m")
    wrapped = wrap(model, wanted, config, plan_window(config, 4))
    wrapped.compile("sgd", "mean_squared_error")
    y = np.zeros((len(x), *model.output_shape[1:]), "float32")
    batches = InOrder(x, y, size=2)
    fine_tune(wrapped, batches, TrainingSettings(4, 1), no_metrics, Stage("prune", lambda _: None))
    mask_weights(wrapped)
    return strip(wrapped, model)


@pytest.mark.parametrize("make", few(MODELS, 2))
def test_every_layer_is_pruned_or_has_a_reason(
    make: Callable[[], tf_keras.Model], tmp_path: Path
) -> None:
    """The zeros survive both formats, and the file that is converted answers as the model does."""
    tf_keras.utils.set_random_seed(3)
    model = make()
    config = PruneConfig.model_validate(
        {"schedule": {"type": "constant", "target_sparsity": 0.5}, "min_weights": 32}
    )
    plans = plan_layers(model, config)
    x = inputs_of(model, 8)
    stripped = prune(model, config, x)
    formats: tuple[KerasFormat, ...] = ("h5", "keras")
    for kind in formats:
        like = ModelFile(kind, "2.21.0", stripped, stripped)
        saved = save(stripped, like, tmp_path / f"m.{kind}").model
        for it in results(plans, saved):
            assert it.pruned == (it.type not in DENSE), it
            half = pytest.approx(0.5, abs=4 / max(1, it.prunable_weights))
            assert it.achieved_sparsity == (half if it.pruned else 0), it
            assert it.reason
    expected = saved(x, training=False).numpy()
    path = tmp_path / "m.tflite"
    variant: TypeAdapter[Any] = TypeAdapter(QuantizeConfig)
    convert(saved, variant.validate_python({"type": "dynamic_range"}), [x], path)
    assert custom_operators(path) == []
    spread = math.fabs(expected.max() - expected.min())
    np.testing.assert_allclose(answers(saved, path, [x]), expected, atol=0.05 * spread)


@pytest.mark.parametrize("make", few(MODELS, 2))
def test_every_layer_computes_with_small_weights_in_float(
    make: Callable[[], tf_keras.Model], tmp_path: Path
) -> None:
    """Each kernel that is there is stored small, and the file answers as the model does."""
    tf_keras.utils.set_random_seed(3)
    model = make()
    rows = inputs_of(model, 4)
    inputs, outputs = signature(model, "here")
    sizes = [replace(it, shape=rows.shape[1:]) for it in inputs]
    prepared, _ = prepare(model, sizes, outputs, one_row=True)
    expected = model(rows, training=False).numpy()
    spread = math.fabs(expected.max() - expected.min())
    for bits, error in ((8, 0.05), (16, 0.005)):
        path = tmp_path / f"{bits}.tflite"
        config = WeightOnlyConfig(type="weight_only", weight_bits=bits)
        found = small_file(prepared, config, (rows[:1],), path)
        assert found is not None
        assert custom_operators(path) == []
        assert hybrid_operators(path.read_bytes()) == []
        for resolver in ("xnnpack", "builtin"):
            names = [it.name for it in inputs], [it.name for it in outputs]
            answer = predictor(path, *names, 1, resolver)
            near = np.concatenate([answer((row[None],))[0] for row in rows])
            np.testing.assert_allclose(near, expected, atol=error * spread, err_msg=str(bits))
