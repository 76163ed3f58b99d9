"""Settings and arrangements of layers that Keras 2 and 3 call otherwise, or one of them lacks."""

from __future__ import annotations

from tests.support.every_layer import FRAMES, IMAGE, ROW, STEPS, Sample, attention, on, pair

# Settings that Keras 2 calls otherwise or lacks, and arrangements in which weights get confused.
VARIANTS: dict[str, Sample] = {
    "Resizing antialias": on(IMAGE, lambda k: k.Resizing(5, 4, antialias=True)),
    "Resizing bicubic": on(IMAGE, lambda k: k.Resizing(5, 12, "bicubic")),
    "Resizing nearest": on(IMAGE, lambda k: k.Resizing(5, 12, "nearest")),
    "Resizing lanczos3": on(IMAGE, lambda k: k.Resizing(5, 12, "lanczos3")),
    "Resizing crop": on(IMAGE, lambda k: k.Resizing(5, 12, crop_to_aspect_ratio=True)),
    "Resizing pad": on(
        IMAGE, lambda k: k.Resizing(5, 12, pad_to_aspect_ratio=True, fill_value=2.0)
    ),
    "Resizing channels_first": on(IMAGE, lambda k: k.Resizing(5, 4, data_format="channels_first")),
    "CenterCrop channels_first": on(
        IMAGE, lambda k: k.CenterCrop(5, 2, data_format="channels_first")
    ),
    "CenterCrop larger": on(IMAGE, lambda k: k.CenterCrop(12, 9)),
    "ZeroPadding1D channels_first": on(
        STEPS, lambda k: k.ZeroPadding1D(1, data_format="channels_first")
    ),
    "RandomContrast value_range": on(IMAGE, lambda k: k.RandomContrast(0.2, value_range=(0, 1))),
    "Conv1D causal": on(STEPS, lambda k: k.Conv1D(3, 2, padding="causal", dilation_rate=2)),
    "Conv1D channels_first": on(STEPS, lambda k: k.Conv1D(3, 2, data_format="channels_first")),
    "Conv2D channels_first": on(IMAGE, lambda k: k.Conv2D(3, 2, data_format="channels_first")),
    "Conv2D groups": on((8, 8, 4), lambda k: k.Conv2D(4, 3, groups=2, strides=2, padding="same")),
    "Conv2DTranspose same": on(IMAGE, lambda k: k.Conv2DTranspose(3, 3, 2, padding="same")),
    "Conv2DTranspose output_padding": on(
        IMAGE, lambda k: k.Conv2DTranspose(3, 3, 2, padding="same", output_padding=1)
    ),
    "Conv2DTranspose dilation": on(IMAGE, lambda k: k.Conv2DTranspose(3, 3, dilation_rate=2)),
    "Conv1DTranspose output_padding": on(
        STEPS, lambda k: k.Conv1DTranspose(3, 3, 2, padding="same", output_padding=0)
    ),
    "DepthwiseConv2D channels_first": on(
        IMAGE, lambda k: k.DepthwiseConv2D(2, data_format="channels_first")
    ),
    "SeparableConv2D channels_first": on(
        IMAGE, lambda k: k.SeparableConv2D(3, 2, data_format="channels_first")
    ),
    "MaxPooling2D channels_first": on(
        IMAGE, lambda k: k.MaxPooling2D(2, data_format="channels_first")
    ),
    "AveragePooling1D channels_first": on(
        STEPS, lambda k: k.AveragePooling1D(2, data_format="channels_first")
    ),
    "GlobalAveragePooling2D keepdims": on(IMAGE, lambda k: k.GlobalAveragePooling2D(keepdims=True)),
    "Flatten channels_first": on(IMAGE, lambda k: k.Flatten("channels_first")),
    "UpSampling2D bilinear": on(IMAGE, lambda k: k.UpSampling2D(2, interpolation="bilinear")),
    "UpSampling2D bicubic": on(IMAGE, lambda k: k.UpSampling2D(2, interpolation="bicubic")),
    "UpSampling2D lanczos5": on(IMAGE, lambda k: k.UpSampling2D(2, interpolation="lanczos5")),
    "UpSampling2D channels_first": on(
        IMAGE, lambda k: k.UpSampling2D(2, data_format="channels_first")
    ),
    "BatchNormalization plain": on(
        IMAGE, lambda k: k.BatchNormalization(axis=1, scale=False, center=False)
    ),
    "LayerNormalization axes": on(IMAGE, lambda k: k.LayerNormalization(axis=[1, 3], epsilon=0.1)),
    "GroupNormalization axis": on(IMAGE, lambda k: k.GroupNormalization(4, axis=1)),
    "UnitNormalization axes": on(IMAGE, lambda k: k.UnitNormalization(axis=[1, 2])),
    "Normalization values": on(STEPS, lambda k: k.Normalization(mean=0.5, variance=2.0)),
    "Normalization inverse": on(
        STEPS, lambda k: k.Normalization(axis=-1, mean=[1.0] * 4, variance=[2.0] * 4, invert=True)
    ),
    "Softmax axes": on(IMAGE, lambda k: k.Softmax(axis=[1, 2])),
    "Discretization one_hot": on(
        (1,), lambda k: k.Discretization([0.0, 1.0], output_mode="one_hot")
    ),
    "CategoryEncoding multi_hot": on(ROW, lambda k: k.CategoryEncoding(9), highest=9),
    "CategoryEncoding one_hot": on((1,), lambda k: k.CategoryEncoding(9, "one_hot"), highest=9),
    "IntegerLookup one_hot": on(
        (1,),
        lambda k: k.IntegerLookup(vocabulary=[3, 5, 7], output_mode="one_hot", num_oov_indices=2),
        highest=9,
    ),
    "Hashing salt": on(ROW, lambda k: k.Hashing(7, salt=5), highest=9),
    "Embedding mask": on(ROW, lambda k: k.Embedding(9, 4, mask_zero=True), highest=9),
    "Attention plain": pair(lambda k: k.Attention()),
    "AdditiveAttention plain": pair(lambda k: k.AdditiveAttention(use_scale=False)),
    "MultiHeadAttention axes": Sample(
        lambda k: k.MultiHeadAttention(2, 3, value_dim=5, output_shape=7, use_bias=False),
        (STEPS, STEPS),
        call=lambda layer, given: layer(given[0], given[1], use_causal_mask=True),
    ),
    "MultiHeadAttention axes of images": Sample(
        lambda k: k.MultiHeadAttention(2, 3, attention_axes=(1, 2)),
        ((4, 4, 3), (4, 4, 3)),
        call=lambda layer, given: layer(*given),
    ),
    "GRU reset_before": on(STEPS, lambda k: k.GRU(3, reset_after=False, go_backwards=True)),
    "GRU hard_sigmoid": on(STEPS, lambda k: k.GRU(3, recurrent_activation="hard_sigmoid")),
    "LSTM hard_sigmoid": on(
        STEPS,
        lambda k: k.LSTM(
            3, recurrent_activation="hard_sigmoid", unit_forget_bias=False, use_bias=False
        ),
    ),
    "LSTM unrolled sequences": on(
        STEPS, lambda k: k.LSTM(3, return_sequences=True, unroll=True, go_backwards=True)
    ),
    "Bidirectional GRU sum": on(
        STEPS, lambda k: k.Bidirectional(k.GRU(3, activation="relu"), merge_mode="sum")
    ),
    "Bidirectional SimpleRNN mul": on(
        STEPS, lambda k: k.Bidirectional(k.SimpleRNN(3, return_sequences=True), merge_mode="mul")
    ),
    "Bidirectional of two": on(
        STEPS,
        lambda k: k.Bidirectional(
            k.LSTM(3),
            "ave",
            backward_layer=k.GRU(3, go_backwards=True, recurrent_activation="hard_sigmoid"),
        ),
    ),
    "Bidirectional RNN of cells": on(
        STEPS,
        lambda k: k.Bidirectional(k.RNN([k.LSTMCell(3), k.GRUCell(2)], return_sequences=True)),
    ),
    "Bidirectional ConvLSTM2D": on(
        FRAMES, lambda k: k.Bidirectional(k.ConvLSTM2D(2, 2, return_sequences=True))
    ),
    "TimeDistributed Dense": on(STEPS, lambda k: k.TimeDistributed(k.Dense(3, activation="relu"))),
    "TimeDistributed SeparableConv2D": on(
        FRAMES, lambda k: k.TimeDistributed(k.SeparableConv2D(3, 2))
    ),
    "TimeDistributed twice": on(
        FRAMES, lambda k: k.TimeDistributed(k.TimeDistributed(k.BatchNormalization()))
    ),
    "TimeDistributed Bidirectional": on(
        (3, 4, 2), lambda k: k.TimeDistributed(k.Bidirectional(k.LSTM(2)))
    ),
    "SpectralNormalization Conv2D": on(IMAGE, lambda k: k.SpectralNormalization(k.Conv2D(3, 2), 2)),
    "TimeDistributed SpectralNormalization": on(
        STEPS, lambda k: k.TimeDistributed(k.SpectralNormalization(k.Dense(3)))
    ),
    "frozen": on(ROW, lambda k: k.Dense(3, trainable=False)),
    "frozen TimeDistributed": on(
        STEPS, lambda k: k.TimeDistributed(k.BatchNormalization(trainable=False))
    ),
}
# Those that Keras 3 alone can make.
KERAS3_VARIANTS: dict[str, Sample] = {
    "LeakyReLU negative_slope": on(ROW, lambda k: k.LeakyReLU(negative_slope=0.1)),
    "Dense LeakyReLU as activation": on(
        ROW, lambda k: k.Dense(3, activation=k.LeakyReLU(negative_slope=0.1))
    ),
    "Dense PReLU as activation": on(ROW, lambda k: k.Dense(3, activation=k.PReLU("ones"))),
    "Dense Softmax as activation": on(ROW, lambda k: k.Dense(3, activation=k.Softmax())),
    "Dense ReLU as activation": on(ROW, lambda k: k.Dense(3, activation=k.ReLU(1.0, 0.2))),
    "MultiHeadAttention gate": attention(lambda k: k.MultiHeadAttention(2, 3, use_gate=True)),
    "MultiHeadAttention window": attention(lambda k: k.MultiHeadAttention(2, 3, sliding_window=2)),
    "MultiHeadAttention flash": attention(
        lambda k: k.MultiHeadAttention(2, 3, flash_attention=False)
    ),
    "LayerNormalization rms": on(STEPS, lambda k: k.LayerNormalization(rms_scaling=True)),
    "RMSNormalization axes": on(IMAGE, lambda k: k.RMSNormalization(axis=(1, 3))),
    "BatchNormalization renorm": on(ROW, lambda k: k.BatchNormalization(renorm=True)),
    "TimeDistributed RMSNormalization": on(
        STEPS, lambda k: k.TimeDistributed(k.RMSNormalization())
    ),
    "ReversibleEmbedding reversed": on(
        STEPS,
        lambda k: k.ReversibleEmbedding(9, 4),
        call=lambda layer, given: layer(given[0], reverse=True),
    ),
    "IntegerLookup salt": on(
        ROW,
        lambda k: k.IntegerLookup(vocabulary=[3, 5], num_oov_indices=3, oov_method="farmhash"),
        highest=9,
    ),
    "RandomCrop channels_first": on(
        IMAGE, lambda k: k.RandomCrop(5, 2, data_format="channels_first")
    ),
    "frozen RMSNormalization": on(STEPS, lambda k: k.RMSNormalization(trainable=False)),
}
