"""Every layer class and every activation of Keras 2 and 3, as models of one layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The layers of a Keras -> a layer.
Make = Callable[[Any], Any]
Shape = tuple[int, ...]

# Shapes of rows, by what they are.
ROW, STEPS, STEPS_LAST = (6,), (5, 4), (4, 5)
IMAGE, VOLUME, FRAMES = (8, 8, 3), (5, 5, 5, 2), (3, 6, 6, 2)
# No layers of a model: base classes, and what holds another object.
ABSTRACT = {"AbstractRNNCell", "DenseFeatures", "InputLayer", "InputSpec", "Layer", "Wrapper"}
# They hold code, which is refused before Keras sees it.
CODE = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}


@dataclass(frozen=True)
class Sample:
    """A layer, and what it is called on."""

    make: Make
    shapes: tuple[Shape, ...] = (ROW,)
    highest: int = 0
    """Where it takes integers: one more than the largest."""
    is_text: bool = False
    call: Callable[[Any, list[Any]], Any] = lambda layer, given: layer(
        given if len(given) > 1 else given[0]
    )


def on(shape: Shape, make: Make, **options: Any) -> Sample:
    return Sample(make, (shape,), **options)


def pair(make: Make, shape: Shape = STEPS) -> Sample:
    return Sample(make, (shape, shape))


def attention(make: Make) -> Sample:
    return Sample(make, (STEPS, STEPS), call=lambda layer, given: layer(*given))


def _by_rank(name: str, shapes: tuple[Shape, ...], make: Callable[..., Any]) -> Any:
    return {
        f"{name}{rank}D": on(shape, partial(make, name=f"{name}{rank}D", rank=rank))
        for rank, shape in enumerate(shapes, 1)
    }


THREE = (STEPS, IMAGE, VOLUME)
TWO = (STEPS, IMAGE)

SAMPLES: dict[str, Sample] = {
    "Activation": on(ROW, lambda k: k.Activation("relu")),
    "ActivityRegularization": on(ROW, lambda k: k.ActivityRegularization(0.1, 0.2)),
    "Add": pair(lambda k: k.Add()),
    "AdditiveAttention": pair(lambda k: k.AdditiveAttention()),
    "AlphaDropout": on(ROW, lambda k: k.AlphaDropout(0.3)),
    "Attention": pair(lambda k: k.Attention(use_scale=True, score_mode="concat")),
    "AugMix": on(IMAGE, lambda k: k.AugMix()),
    "AutoContrast": on(IMAGE, lambda k: k.AutoContrast()),
    "Average": pair(lambda k: k.Average()),
    "BatchNormalization": on(ROW, lambda k: k.BatchNormalization()),
    "Bidirectional": on(STEPS, lambda k: k.Bidirectional(k.LSTM(3, return_sequences=True))),
    "CategoryEncoding": on(ROW, lambda k: k.CategoryEncoding(9, "count"), highest=9),
    "CenterCrop": on(IMAGE, lambda k: k.CenterCrop(5, 4)),
    "Concatenate": pair(lambda k: k.Concatenate(axis=1)),
    "ContrastLimitedAdaptiveHistogramEqualization": on(
        IMAGE, lambda k: k.ContrastLimitedAdaptiveHistogramEqualization()
    ),
    "CutMix": on(IMAGE, lambda k: k.CutMix()),
    "Dense": on(ROW, lambda k: k.Dense(3)),
    "Discretization": on(ROW, lambda k: k.Discretization([-1.0, 0.0, 1.0])),
    "Dot": pair(lambda k: k.Dot(axes=2, normalize=True)),
    "Dropout": on(ROW, lambda k: k.Dropout(0.3)),
    "ELU": on(ROW, lambda k: k.ELU(0.7)),
    "EinsumDense": on(STEPS, lambda k: k.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d")),
    "Embedding": on(ROW, lambda k: k.Embedding(9, 4), highest=9),
    "Equalization": on(IMAGE, lambda k: k.Equalization(value_range=(0, 1))),
    "Flatten": on(STEPS, lambda k: k.Flatten()),
    "GRU": on(STEPS, lambda k: k.GRU(3)),
    "GRUCell": on(STEPS, lambda k: k.RNN(k.GRUCell(3))),
    "GaussianDropout": on(ROW, lambda k: k.GaussianDropout(0.3)),
    "GaussianNoise": on(ROW, lambda k: k.GaussianNoise(0.3)),
    "GroupNormalization": on(IMAGE, lambda k: k.GroupNormalization(3)),
    "GroupQueryAttention": attention(lambda k: k.GroupQueryAttention(3, 4, 2)),
    "HashedCrossing": Sample(lambda k: k.HashedCrossing(7), ((1,), (1,)), highest=9),
    "Hashing": on(ROW, lambda k: k.Hashing(7), highest=9),
    "Identity": on(ROW, lambda k: k.Identity()),
    "IntegerLookup": on(ROW, lambda k: k.IntegerLookup(vocabulary=[3, 5, 7]), highest=9),
    "LSTM": on(STEPS, lambda k: k.LSTM(3)),
    "LSTMCell": on(STEPS, lambda k: k.RNN(k.LSTMCell(3))),
    "LayerNormalization": on(STEPS, lambda k: k.LayerNormalization()),
    "LeakyReLU": on(ROW, lambda k: k.LeakyReLU(0.05)),
    "Masking": on(STEPS, lambda k: k.Masking()),
    "MaxNumBoundingBoxes": on(IMAGE, lambda k: k.MaxNumBoundingBoxes(3)),
    "Maximum": pair(lambda k: k.Maximum()),
    "MelSpectrogram": on(
        (256,), lambda k: k.MelSpectrogram(64, 32, sampling_rate=800, num_mel_bins=8)
    ),
    "Minimum": pair(lambda k: k.Minimum()),
    "MixUp": on(IMAGE, lambda k: k.MixUp()),
    "MultiHeadAttention": attention(lambda k: k.MultiHeadAttention(2, 3)),
    "Multiply": pair(lambda k: k.Multiply()),
    "Normalization": on(STEPS, lambda k: k.Normalization()),
    "PReLU": on(STEPS, lambda k: k.PReLU(shared_axes=[1])),
    "Permute": on(STEPS, lambda k: k.Permute((2, 1))),
    "Pipeline": on(IMAGE, lambda k: k.Pipeline([k.Rescaling(0.5)])),
    "RMSNormalization": on(STEPS, lambda k: k.RMSNormalization()),
    "RNN": on(STEPS, lambda k: k.RNN([k.LSTMCell(3), k.GRUCell(2), k.SimpleRNNCell(2)])),
    "RandAugment": on(IMAGE, lambda k: k.RandAugment()),
    "RandomBrightness": on(IMAGE, lambda k: k.RandomBrightness(0.2)),
    "RandomColorDegeneration": on(IMAGE, lambda k: k.RandomColorDegeneration(0.2)),
    "RandomColorJitter": on(IMAGE, lambda k: k.RandomColorJitter()),
    "RandomContrast": on(IMAGE, lambda k: k.RandomContrast(0.2)),
    "RandomCrop": on(IMAGE, lambda k: k.RandomCrop(5, 4)),
    "RandomElasticTransform": on(IMAGE, lambda k: k.RandomElasticTransform()),
    "RandomErasing": on(IMAGE, lambda k: k.RandomErasing()),
    "RandomFlip": on(IMAGE, lambda k: k.RandomFlip()),
    "RandomGaussianBlur": on(IMAGE, lambda k: k.RandomGaussianBlur()),
    "RandomGrayscale": on(IMAGE, lambda k: k.RandomGrayscale()),
    "RandomHeight": on(IMAGE, lambda k: k.RandomHeight(0.2)),
    "RandomHue": on(IMAGE, lambda k: k.RandomHue(0.2)),
    "RandomInvert": on(IMAGE, lambda k: k.RandomInvert()),
    "RandomPerspective": on(IMAGE, lambda k: k.RandomPerspective()),
    "RandomPosterization": on(IMAGE, lambda k: k.RandomPosterization(4)),
    "RandomRotation": on(IMAGE, lambda k: k.RandomRotation(0.2)),
    "RandomSaturation": on(IMAGE, lambda k: k.RandomSaturation(0.2)),
    "RandomSharpness": on(IMAGE, lambda k: k.RandomSharpness(0.2)),
    "RandomShear": on(IMAGE, lambda k: k.RandomShear(0.2)),
    "RandomTranslation": on(IMAGE, lambda k: k.RandomTranslation(0.2, 0.2)),
    "RandomWidth": on(IMAGE, lambda k: k.RandomWidth(0.2)),
    "RandomZoom": on(IMAGE, lambda k: k.RandomZoom(0.2)),
    "ReLU": on(ROW, lambda k: k.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)),
    "RepeatVector": on(ROW, lambda k: k.RepeatVector(3)),
    "Rescaling": on(IMAGE, lambda k: k.Rescaling([0.5, 0.4, 0.3], offset=[1.0, 2.0, 3.0])),
    "Reshape": on(STEPS, lambda k: k.Reshape((10, -1))),
    "Resizing": on(IMAGE, lambda k: k.Resizing(5, 4)),
    "ReversibleEmbedding": on(ROW, lambda k: k.ReversibleEmbedding(9, 4), highest=9),
    "STFTSpectrogram": on((256, 1), lambda k: k.STFTSpectrogram(frame_length=64, frame_step=32)),
    "SimpleRNN": on(STEPS, lambda k: k.SimpleRNN(3)),
    "SimpleRNNCell": on(STEPS, lambda k: k.RNN(k.SimpleRNNCell(3))),
    "Softmax": on(STEPS, lambda k: k.Softmax(axis=1)),
    "Solarization": on(IMAGE, lambda k: k.Solarization()),
    "SpectralNormalization": on(ROW, lambda k: k.SpectralNormalization(k.Dense(3))),
    "StackedRNNCells": on(STEPS, lambda k: k.RNN(k.StackedRNNCells([k.GRUCell(3), k.LSTMCell(2)]))),
    "StringLookup": on(ROW, lambda k: k.StringLookup(vocabulary=["a"]), is_text=True),
    "Subtract": pair(lambda k: k.Subtract()),
    "TextVectorization": on((1,), lambda k: k.TextVectorization(vocabulary=["a"]), is_text=True),
    "ThresholdedReLU": on(ROW, lambda k: k.ThresholdedReLU(0.5)),
    "TimeDistributed": on(FRAMES, lambda k: k.TimeDistributed(k.BatchNormalization())),
    "UnitNormalization": on(STEPS, lambda k: k.UnitNormalization()),
    **_by_rank(
        "AdaptiveAveragePooling", THREE, lambda k, name, rank: getattr(k, name)((2,) * rank)
    ),
    **_by_rank("AdaptiveMaxPooling", THREE, lambda k, name, rank: getattr(k, name)((2,) * rank)),
    **_by_rank("AveragePooling", THREE, lambda k, name, **_: getattr(k, name)(2, padding="same")),
    **_by_rank("MaxPooling", THREE, lambda k, name, **_: getattr(k, name)(2)),
    **_by_rank("GlobalAveragePooling", THREE, lambda k, name, **_: getattr(k, name)()),
    **_by_rank("GlobalMaxPooling", THREE, lambda k, name, **_: getattr(k, name)()),
    **_by_rank("Conv", THREE, lambda k, name, **_: getattr(k, name)(3, 2)),
    "Conv1DTranspose": on(STEPS, lambda k: k.Conv1DTranspose(3, 2, 2)),
    "Conv2DTranspose": on(IMAGE, lambda k: k.Conv2DTranspose(3, 2, 2)),
    "Conv3DTranspose": on(VOLUME, lambda k: k.Conv3DTranspose(3, 2, 2)),
    **_by_rank("SeparableConv", TWO, lambda k, name, **_: getattr(k, name)(3, 2)),
    **_by_rank("DepthwiseConv", TWO, lambda k, name, **_: getattr(k, name)(2, depth_multiplier=2)),
    **_by_rank("LocallyConnected", TWO, lambda k, name, **_: getattr(k, name)(3, 2)),
    **_by_rank(
        "ConvLSTM",
        ((3, 6, 2), FRAMES, (2, 4, 4, 4, 2)),
        lambda k, name, **_: getattr(k, name)(2, 2),
    ),
    **_by_rank("Cropping", THREE, lambda k, name, **_: getattr(k, name)(1)),
    **_by_rank("ZeroPadding", THREE, lambda k, name, **_: getattr(k, name)(1)),
    **_by_rank("UpSampling", THREE, lambda k, name, **_: getattr(k, name)(2)),
    **_by_rank("SpatialDropout", THREE, lambda k, name, **_: getattr(k, name)(0.2)),
}


def classes(kit: Any) -> list[str]:
    """The names of a Keras's layer classes, each once: an alias is none."""
    found = {name: it for name, it in vars(kit.layers).items() if inspect.isclass(it)}
    return sorted(name for name, it in found.items() if it.__name__ == name)


def activations(kit: Any) -> list[str]:
    """The names of a Keras's activations."""
    found = {name for name, it in vars(kit.activations).items() if callable(it)}
    return sorted(found - {"deserialize", "get", "serialize"})


def of_activation(name: str) -> Sample:
    """A Dense layer with an activation."""
    return on(STEPS, lambda k: k.Dense(6, activation=name))


def model_of(kit: Any, sample: Sample) -> Any:
    """A functional model of one layer, its weights random: no bias or mean is zero."""
    dtype = "int32" if sample.highest else "string" if sample.is_text else "float32"
    given = [kit.Input(shape, dtype=dtype) for shape in sample.shapes]
    model = kit.Model(given, sample.call(sample.make(kit.layers), given))
    random = np.random.default_rng(3)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            weight.assign(0.2 + random.random(weight.shape))
    for layer in model.layers:
        if isinstance(layer, kit.layers.Normalization):
            layer.finalize_state()
    return model


def rows_of(sample: Sample) -> list[NDArray[Any]]:
    """Random rows for it: of both signs, or of the whole range of integers."""
    random = np.random.default_rng(7)
    shapes = [(4, *shape) for shape in sample.shapes]
    if sample.highest:
        return [random.integers(0, sample.highest, it).astype("int32") for it in shapes]
    if sample.is_text:
        return [np.full(it, "a") for it in shapes]
    return [random.normal(scale=2.0, size=it).astype("float32") for it in shapes]
