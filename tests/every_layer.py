"""Every layer class and every activation of Keras 2 and 3, as models of one layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
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
ABSTRACT = {"AbstractRNNCell", "InputSpec", "Layer", "Wrapper"}
# They hold code, which is refused before Keras sees it.
CODE = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}


@dataclass(frozen=True)
class Sample:
    """A layer, and what it is called on."""

    make: Make
    shapes: tuple[Shape, ...] = (ROW,)
    highest: int = 0
    """Where it takes integers: one more than the largest."""
    call: Callable[[Any, list[Any]], Any] = lambda layer, given: layer(
        given if len(given) > 1 else given[0]
    )


def _on(shape: Shape, make: Make, **options: Any) -> Sample:
    return Sample(make, (shape,), **options)


def _pair(make: Make, shape: Shape = STEPS) -> Sample:
    return Sample(make, (shape, shape))


def _attention(make: Make) -> Sample:
    return Sample(make, (STEPS, STEPS), call=lambda layer, given: layer(*given))


def _by_rank(name: str, shapes: tuple[Shape, ...], make: Callable[[Any, str, int], Any]) -> Any:
    return {
        f"{name}{rank}D": _on(
            shape, lambda L, rank=rank: make(L, f"{name}{rank}D", rank)
        )
        for rank, shape in enumerate(shapes, 1)
    }


THREE = (STEPS, IMAGE, VOLUME)
TWO = (STEPS, IMAGE)

SAMPLES: dict[str, Sample] = {
    "Activation": _on(ROW, lambda L: L.Activation("relu")),
    "ActivityRegularization": _on(ROW, lambda L: L.ActivityRegularization(0.1, 0.2)),
    "Add": _pair(lambda L: L.Add()),
    "AdditiveAttention": _pair(lambda L: L.AdditiveAttention()),
    "AlphaDropout": _on(ROW, lambda L: L.AlphaDropout(0.3)),
    "Attention": _pair(lambda L: L.Attention(use_scale=True, score_mode="concat")),
    "AugMix": _on(IMAGE, lambda L: L.AugMix()),
    "AutoContrast": _on(IMAGE, lambda L: L.AutoContrast()),
    "Average": _pair(lambda L: L.Average()),
    "BatchNormalization": _on(ROW, lambda L: L.BatchNormalization()),
    "Bidirectional": _on(STEPS, lambda L: L.Bidirectional(L.LSTM(3, return_sequences=True))),
    "CategoryEncoding": _on(ROW, lambda L: L.CategoryEncoding(9, "count"), highest=9),
    "CenterCrop": _on(IMAGE, lambda L: L.CenterCrop(5, 4)),
    "Concatenate": _pair(lambda L: L.Concatenate(axis=1)),
    "ContrastLimitedAdaptiveHistogramEqualization": _on(
        IMAGE, lambda L: L.ContrastLimitedAdaptiveHistogramEqualization()
    ),
    "CutMix": _on(IMAGE, lambda L: L.CutMix()),
    "Dense": _on(ROW, lambda L: L.Dense(3)),
    "Discretization": _on(ROW, lambda L: L.Discretization([-1.0, 0.0, 1.0])),
    "Dot": _pair(lambda L: L.Dot(axes=2, normalize=True)),
    "Dropout": _on(ROW, lambda L: L.Dropout(0.3)),
    "ELU": _on(ROW, lambda L: L.ELU(0.7)),
    "EinsumDense": _on(STEPS, lambda L: L.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d")),
    "Embedding": _on(ROW, lambda L: L.Embedding(9, 4), highest=9),
    "Equalization": _on(IMAGE, lambda L: L.Equalization()),
    "Flatten": _on(STEPS, lambda L: L.Flatten()),
    "GRU": _on(STEPS, lambda L: L.GRU(3)),
    "GRUCell": _on(STEPS, lambda L: L.RNN(L.GRUCell(3))),
    "GaussianDropout": _on(ROW, lambda L: L.GaussianDropout(0.3)),
    "GaussianNoise": _on(ROW, lambda L: L.GaussianNoise(0.3)),
    "GroupNormalization": _on(IMAGE, lambda L: L.GroupNormalization(3)),
    "GroupQueryAttention": _attention(lambda L: L.GroupQueryAttention(3, 4, 2)),
    "HashedCrossing": Sample(lambda L: L.HashedCrossing(7), ((1,), (1,)), highest=9),
    "Hashing": _on(ROW, lambda L: L.Hashing(7), highest=9),
    "Identity": _on(ROW, lambda L: L.Identity()),
    "IntegerLookup": _on(ROW, lambda L: L.IntegerLookup(vocabulary=[3, 5, 7]), highest=9),
    "LSTM": _on(STEPS, lambda L: L.LSTM(3)),
    "LSTMCell": _on(STEPS, lambda L: L.RNN(L.LSTMCell(3))),
    "LayerNormalization": _on(STEPS, lambda L: L.LayerNormalization()),
    "LeakyReLU": _on(ROW, lambda L: L.LeakyReLU(0.05)),
    "Masking": _on(STEPS, lambda L: L.Masking()),
    "MaxNumBoundingBoxes": _on(IMAGE, lambda L: L.MaxNumBoundingBoxes(3)),
    "Maximum": _pair(lambda L: L.Maximum()),
    "MelSpectrogram": _on((256,), lambda L: L.MelSpectrogram(64, 32, sampling_rate=800, num_mel_bins=8)),
    "Minimum": _pair(lambda L: L.Minimum()),
    "MixUp": _on(IMAGE, lambda L: L.MixUp()),
    "MultiHeadAttention": _attention(lambda L: L.MultiHeadAttention(2, 3)),
    "Multiply": _pair(lambda L: L.Multiply()),
    "Normalization": _on(STEPS, lambda L: L.Normalization()),
    "PReLU": _on(STEPS, lambda L: L.PReLU(shared_axes=[1])),
    "Permute": _on(STEPS, lambda L: L.Permute((2, 1))),
    "Pipeline": _on(IMAGE, lambda L: L.Pipeline([L.Rescaling(0.5)])),
    "RMSNormalization": _on(STEPS, lambda L: L.RMSNormalization()),
    "RNN": _on(STEPS, lambda L: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(2)])),
    "RandAugment": _on(IMAGE, lambda L: L.RandAugment()),
    "RandomBrightness": _on(IMAGE, lambda L: L.RandomBrightness(0.2)),
    "RandomColorDegeneration": _on(IMAGE, lambda L: L.RandomColorDegeneration(0.2)),
    "RandomColorJitter": _on(IMAGE, lambda L: L.RandomColorJitter()),
    "RandomContrast": _on(IMAGE, lambda L: L.RandomContrast(0.2)),
    "RandomCrop": _on(IMAGE, lambda L: L.RandomCrop(5, 4)),
    "RandomElasticTransform": _on(IMAGE, lambda L: L.RandomElasticTransform()),
    "RandomErasing": _on(IMAGE, lambda L: L.RandomErasing()),
    "RandomFlip": _on(IMAGE, lambda L: L.RandomFlip()),
    "RandomGaussianBlur": _on(IMAGE, lambda L: L.RandomGaussianBlur()),
    "RandomGrayscale": _on(IMAGE, lambda L: L.RandomGrayscale()),
    "RandomHeight": _on(IMAGE, lambda L: L.RandomHeight(0.2)),
    "RandomHue": _on(IMAGE, lambda L: L.RandomHue(0.2)),
    "RandomInvert": _on(IMAGE, lambda L: L.RandomInvert()),
    "RandomPerspective": _on(IMAGE, lambda L: L.RandomPerspective()),
    "RandomPosterization": _on(IMAGE, lambda L: L.RandomPosterization(4)),
    "RandomRotation": _on(IMAGE, lambda L: L.RandomRotation(0.2)),
    "RandomSaturation": _on(IMAGE, lambda L: L.RandomSaturation(0.2)),
    "RandomSharpness": _on(IMAGE, lambda L: L.RandomSharpness(0.2)),
    "RandomShear": _on(IMAGE, lambda L: L.RandomShear(0.2)),
    "RandomTranslation": _on(IMAGE, lambda L: L.RandomTranslation(0.2, 0.2)),
    "RandomWidth": _on(IMAGE, lambda L: L.RandomWidth(0.2)),
    "RandomZoom": _on(IMAGE, lambda L: L.RandomZoom(0.2)),
    "ReLU": _on(ROW, lambda L: L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)),
    "RepeatVector": _on(ROW, lambda L: L.RepeatVector(3)),
    "Rescaling": _on(IMAGE, lambda L: L.Rescaling([0.5, 0.4, 0.3], offset=[1.0, 2.0, 3.0])),
    "Reshape": _on(STEPS, lambda L: L.Reshape((10, -1))),
    "Resizing": _on(IMAGE, lambda L: L.Resizing(5, 4)),
    "ReversibleEmbedding": _on(ROW, lambda L: L.ReversibleEmbedding(9, 4), highest=9),
    "STFTSpectrogram": _on((256,), lambda L: L.STFTSpectrogram(frame_length=64, frame_step=32)),
    "SimpleRNN": _on(STEPS, lambda L: L.SimpleRNN(3)),
    "SimpleRNNCell": _on(STEPS, lambda L: L.RNN(L.SimpleRNNCell(3))),
    "Softmax": _on(STEPS, lambda L: L.Softmax(axis=1)),
    "Solarization": _on(IMAGE, lambda L: L.Solarization()),
    "SpectralNormalization": _on(ROW, lambda L: L.SpectralNormalization(L.Dense(3))),
    "StackedRNNCells": _on(STEPS, lambda L: L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)]))),
    "StringLookup": _on(ROW, lambda L: L.StringLookup(vocabulary=["a"])),
    "Subtract": _pair(lambda L: L.Subtract()),
    "TextVectorization": _on(ROW, lambda L: L.TextVectorization(vocabulary=["a"])),
    "ThresholdedReLU": _on(ROW, lambda L: L.ThresholdedReLU(0.5)),
    "TimeDistributed": _on(FRAMES, lambda L: L.TimeDistributed(L.BatchNormalization())),
    "UnitNormalization": _on(STEPS, lambda L: L.UnitNormalization()),
    **_by_rank("AdaptiveAveragePooling", THREE, lambda L, name, rank: getattr(L, name)((2,) * rank)),
    **_by_rank("AdaptiveMaxPooling", THREE, lambda L, name, rank: getattr(L, name)((2,) * rank)),
    **_by_rank("AveragePooling", THREE, lambda L, name, _: getattr(L, name)(2, padding="same")),
    **_by_rank("MaxPooling", THREE, lambda L, name, _: getattr(L, name)(2)),
    **_by_rank("GlobalAveragePooling", THREE, lambda L, name, _: getattr(L, name)()),
    **_by_rank("GlobalMaxPooling", THREE, lambda L, name, _: getattr(L, name)()),
    **_by_rank("Conv", THREE, lambda L, name, _: getattr(L, name)(3, 2)),
    **{
        f"Conv{rank}DTranspose": _on(
            THREE[rank - 1], lambda L, rank=rank: getattr(L, f"Conv{rank}DTranspose")(3, 2, 2)
        )
        for rank in (1, 2, 3)
    },
    **_by_rank("SeparableConv", TWO, lambda L, name, _: getattr(L, name)(3, 2)),
    **_by_rank("DepthwiseConv", TWO, lambda L, name, _: getattr(L, name)(2, depth_multiplier=2)),
    **_by_rank("LocallyConnected", TWO, lambda L, name, _: getattr(L, name)(3, 2)),
    **_by_rank(
        "ConvLSTM", ((3, 6, 2), FRAMES, (2, 4, 4, 4, 2)), lambda L, name, _: getattr(L, name)(2, 2)
    ),
    **_by_rank("Cropping", THREE, lambda L, name, _: getattr(L, name)(1)),
    **_by_rank("ZeroPadding", THREE, lambda L, name, _: getattr(L, name)(1)),
    **_by_rank("UpSampling", THREE, lambda L, name, _: getattr(L, name)(2)),
    **_by_rank("SpatialDropout", THREE, lambda L, name, _: getattr(L, name)(0.2)),
}

# Settings that Keras 2 calls otherwise or lacks, and arrangements in which weights get confused.
VARIANTS: dict[str, Sample] = {
    "Resizing antialias": _on(IMAGE, lambda L: L.Resizing(5, 4, antialias=True)),
    "Resizing bicubic": _on(IMAGE, lambda L: L.Resizing(5, 12, "bicubic")),
    "Resizing nearest": _on(IMAGE, lambda L: L.Resizing(5, 12, "nearest")),
    "Resizing lanczos3": _on(IMAGE, lambda L: L.Resizing(5, 12, "lanczos3")),
    "Resizing crop": _on(IMAGE, lambda L: L.Resizing(5, 12, crop_to_aspect_ratio=True)),
    "Resizing pad": _on(IMAGE, lambda L: L.Resizing(5, 12, pad_to_aspect_ratio=True, fill_value=2.0)),
    "Resizing channels_first": _on(IMAGE, lambda L: L.Resizing(5, 4, data_format="channels_first")),
    "CenterCrop channels_first": _on(IMAGE, lambda L: L.CenterCrop(5, 2, data_format="channels_first")),
    "CenterCrop larger": _on(IMAGE, lambda L: L.CenterCrop(12, 9)),
    "ZeroPadding1D channels_first": _on(STEPS, lambda L: L.ZeroPadding1D(1, data_format="channels_first")),
    "RandomContrast value_range": _on(IMAGE, lambda L: L.RandomContrast(0.2, value_range=(0, 1))),
    "Conv1D causal": _on(STEPS, lambda L: L.Conv1D(3, 2, padding="causal", dilation_rate=2)),
    "Conv1D channels_first": _on(STEPS, lambda L: L.Conv1D(3, 2, data_format="channels_first")),
    "Conv2D channels_first": _on(IMAGE, lambda L: L.Conv2D(3, 2, data_format="channels_first")),
    "Conv2D groups": _on((8, 8, 4), lambda L: L.Conv2D(4, 3, groups=2, strides=2, padding="same")),
    "Conv2DTranspose same": _on(IMAGE, lambda L: L.Conv2DTranspose(3, 3, 2, padding="same")),
    "Conv2DTranspose output_padding": _on(
        IMAGE, lambda L: L.Conv2DTranspose(3, 3, 2, padding="same", output_padding=1)
    ),
    "Conv2DTranspose dilation": _on(IMAGE, lambda L: L.Conv2DTranspose(3, 3, dilation_rate=2)),
    "Conv1DTranspose output_padding": _on(
        STEPS, lambda L: L.Conv1DTranspose(3, 3, 2, padding="same", output_padding=0)
    ),
    "DepthwiseConv2D channels_first": _on(IMAGE, lambda L: L.DepthwiseConv2D(2, data_format="channels_first")),
    "SeparableConv2D channels_first": _on(IMAGE, lambda L: L.SeparableConv2D(3, 2, data_format="channels_first")),
    "MaxPooling2D channels_first": _on(IMAGE, lambda L: L.MaxPooling2D(2, data_format="channels_first")),
    "AveragePooling1D channels_first": _on(STEPS, lambda L: L.AveragePooling1D(2, data_format="channels_first")),
    "GlobalAveragePooling2D keepdims": _on(IMAGE, lambda L: L.GlobalAveragePooling2D(keepdims=True)),
    "Flatten channels_first": _on(IMAGE, lambda L: L.Flatten("channels_first")),
    "UpSampling2D bilinear": _on(IMAGE, lambda L: L.UpSampling2D(2, interpolation="bilinear")),
    "UpSampling2D bicubic": _on(IMAGE, lambda L: L.UpSampling2D(2, interpolation="bicubic")),
    "UpSampling2D lanczos5": _on(IMAGE, lambda L: L.UpSampling2D(2, interpolation="lanczos5")),
    "UpSampling2D channels_first": _on(IMAGE, lambda L: L.UpSampling2D(2, data_format="channels_first")),
    "BatchNormalization plain": _on(IMAGE, lambda L: L.BatchNormalization(axis=1, scale=False, center=False)),
    "LayerNormalization axes": _on(IMAGE, lambda L: L.LayerNormalization(axis=[1, 3], epsilon=0.1)),
    "GroupNormalization axis": _on(IMAGE, lambda L: L.GroupNormalization(4, axis=1)),
    "UnitNormalization axes": _on(IMAGE, lambda L: L.UnitNormalization(axis=[1, 2])),
    "Normalization values": _on(STEPS, lambda L: L.Normalization(mean=0.5, variance=2.0)),
    "Normalization inverse": _on(STEPS, lambda L: L.Normalization(axis=-1, mean=[1.0] * 4, variance=[2.0] * 4, invert=True)),
    "Softmax axes": _on(IMAGE, lambda L: L.Softmax(axis=[1, 2])),
    "Discretization one_hot": _on((1,), lambda L: L.Discretization([0.0, 1.0], output_mode="one_hot")),
    "CategoryEncoding multi_hot": _on(ROW, lambda L: L.CategoryEncoding(9), highest=9),
    "CategoryEncoding one_hot": _on((1,), lambda L: L.CategoryEncoding(9, "one_hot"), highest=9),
    "IntegerLookup one_hot": _on((1,), lambda L: L.IntegerLookup(vocabulary=[3, 5, 7], output_mode="one_hot", num_oov_indices=2), highest=9),
    "Hashing salt": _on(ROW, lambda L: L.Hashing(7, salt=5), highest=9),
    "Embedding mask": _on(ROW, lambda L: L.Embedding(9, 4, mask_zero=True), highest=9),
    "Attention plain": _pair(lambda L: L.Attention()),
    "AdditiveAttention plain": _pair(lambda L: L.AdditiveAttention(use_scale=False)),
    "MultiHeadAttention axes": Sample(
        lambda L: L.MultiHeadAttention(2, 3, value_dim=5, output_shape=7, use_bias=False),
        (STEPS, STEPS),
        call=lambda layer, given: layer(given[0], given[1], use_causal_mask=True),
    ),
    "MultiHeadAttention axes of images": Sample(
        lambda L: L.MultiHeadAttention(2, 3, attention_axes=(1, 2)),
        ((4, 4, 3), (4, 4, 3)),
        call=lambda layer, given: layer(*given),
    ),
    "GRU reset_before": _on(STEPS, lambda L: L.GRU(3, reset_after=False, go_backwards=True)),
    "GRU hard_sigmoid": _on(STEPS, lambda L: L.GRU(3, recurrent_activation="hard_sigmoid")),
    "LSTM hard_sigmoid": _on(STEPS, lambda L: L.LSTM(3, recurrent_activation="hard_sigmoid", unit_forget_bias=False, use_bias=False)),
    "LSTM unrolled sequences": _on(STEPS, lambda L: L.LSTM(3, return_sequences=True, unroll=True, go_backwards=True)),
    "Bidirectional GRU sum": _on(STEPS, lambda L: L.Bidirectional(L.GRU(3, activation="relu"), merge_mode="sum")),
    "Bidirectional SimpleRNN mul": _on(STEPS, lambda L: L.Bidirectional(L.SimpleRNN(3, return_sequences=True), merge_mode="mul")),
    "Bidirectional of two": _on(
        STEPS,
        lambda L: L.Bidirectional(
            L.LSTM(3), "ave", backward_layer=L.GRU(3, go_backwards=True, recurrent_activation="hard_sigmoid")
        ),
    ),
    "Bidirectional RNN of cells": _on(
        STEPS, lambda L: L.Bidirectional(L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True))
    ),
    "Bidirectional ConvLSTM2D": _on(FRAMES, lambda L: L.Bidirectional(L.ConvLSTM2D(2, 2, return_sequences=True))),
    "TimeDistributed Dense": _on(STEPS, lambda L: L.TimeDistributed(L.Dense(3, activation="relu"))),
    "TimeDistributed SeparableConv2D": _on(FRAMES, lambda L: L.TimeDistributed(L.SeparableConv2D(3, 2))),
    "TimeDistributed twice": _on(FRAMES, lambda L: L.TimeDistributed(L.TimeDistributed(L.BatchNormalization()))),
    "TimeDistributed Bidirectional": _on(FRAMES[1:], lambda L: L.TimeDistributed(L.Dense(2))),
    "SpectralNormalization Conv2D": _on(IMAGE, lambda L: L.SpectralNormalization(L.Conv2D(3, 2), 2)),
    "TimeDistributed SpectralNormalization": _on(STEPS, lambda L: L.TimeDistributed(L.SpectralNormalization(L.Dense(3)))),
    "frozen": _on(ROW, lambda L: L.Dense(3, trainable=False)),
    "frozen TimeDistributed": _on(STEPS, lambda L: L.TimeDistributed(L.BatchNormalization(trainable=False))),
}
# Those that Keras 3 alone can make.
KERAS3_VARIANTS: dict[str, Sample] = {
    "LeakyReLU negative_slope": _on(ROW, lambda L: L.LeakyReLU(negative_slope=0.1)),
    "Dense LeakyReLU as activation": _on(ROW, lambda L: L.Dense(3, activation=L.LeakyReLU(negative_slope=0.1))),
    "Dense PReLU as activation": _on(ROW, lambda L: L.Dense(3, activation=L.PReLU("ones"))),
    "Dense Softmax as activation": _on(ROW, lambda L: L.Dense(3, activation=L.Softmax())),
    "Dense ReLU as activation": _on(ROW, lambda L: L.Dense(3, activation=L.ReLU(1.0, 0.2))),
    "MultiHeadAttention gate": _attention(lambda L: L.MultiHeadAttention(2, 3, use_gate=True)),
    "MultiHeadAttention window": _attention(lambda L: L.MultiHeadAttention(2, 3, sliding_window=2)),
    "MultiHeadAttention flash": _attention(lambda L: L.MultiHeadAttention(2, 3, flash_attention=False)),
    "LayerNormalization rms": _on(STEPS, lambda L: L.LayerNormalization(rms_scaling=True)),
    "RMSNormalization axes": _on(IMAGE, lambda L: L.RMSNormalization(axis=(1, 3))),
    "BatchNormalization renorm": _on(ROW, lambda L: L.BatchNormalization(renorm=True)),
    "TimeDistributed RMSNormalization": _on(STEPS, lambda L: L.TimeDistributed(L.RMSNormalization())),
    "ReversibleEmbedding reversed": _on(STEPS, lambda L: L.ReversibleEmbedding(9, 4), call=lambda layer, given: layer(given[0], reverse=True)),
    "IntegerLookup salt": _on(ROW, lambda L: L.IntegerLookup(vocabulary=[3, 5], num_oov_indices=3, oov_method="farmhash"), highest=9),
    "RandomCrop channels_first": _on(IMAGE, lambda L: L.RandomCrop(5, 2, data_format="channels_first")),
    "frozen RMSNormalization": _on(STEPS, lambda L: L.RMSNormalization(trainable=False)),
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
    return _on(STEPS, lambda L: L.Dense(6, activation=name))


def model_of(kit: Any, sample: Sample) -> Any:
    """A functional model of one layer, its weights random: no bias or mean is zero."""
    dtype = "int32" if sample.highest else "float32"
    given = [kit.Input(shape, dtype=dtype) for shape in sample.shapes]
    model = kit.Model(given, sample.call(sample.make(kit.layers), given))
    random = np.random.default_rng(3)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            weight.assign(0.2 + random.random(weight.shape))
    return model


def rows_of(sample: Sample) -> list[NDArray[Any]]:
    """Random rows for it: of both signs, or of the whole range of integers."""
    random = np.random.default_rng(7)
    shapes = [(4, *shape) for shape in sample.shapes]
    if sample.highest:
        return [random.integers(0, sample.highest, it).astype("int32") for it in shapes]
    return [random.normal(scale=2.0, size=it).astype("float32") for it in shapes]
