"""Records of ``tf.train.Example`` -> the arrays of their features.

Features are parsed as ragged ones, so that one that is missing or has another number of values is
found here, with its record; ``FixedLenFeature`` stops at the first and does not say which it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.data_fields import FeatureConfig
from job.rows.lazy import Array
from job.text import first_names

_KINDS = {"float32": "float_list", "int64": "int64_list", "bytes": "bytes_list"}
_DTYPES = {kind: dtype for dtype, kind in _KINDS.items()}
# What TensorFlow raises; the latter where its message quotes a record's bytes.
_REFUSALS = (tf.errors.OpError, UnicodeDecodeError)
# The most bytes that protocol buffers take for a value: varints, and floats with a tag each.
_STORED_BYTES = {"float32": 5, "int64": 11}
# Of an encoded image in a record; a BMP has four for each pixel, and others less.
_IMAGE_BYTES, _PIXEL_BYTES = 1 << 26, 4
_TENSORFLOW = {"float32": tf.float32, "int64": tf.int64, "bytes": tf.string}


@dataclass(frozen=True)
class Feature:
    """A feature that is read."""

    name: str
    config: FeatureConfig

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row; of an image's file, a single value."""
        return self.config.shape

    @property
    def values(self) -> int:
        """How many values a record has: of bytes, one."""
        return 1 if self.config.dtype == "bytes" else math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a row; of an image, that of objects: its file."""
        if self.config.image:
            return np.dtype(object)
        return np.dtype(self.config.raw or self.config.dtype)

    @property
    def row_bytes(self) -> int:
        """Of a row's numbers; of an image, 0."""
        return 0 if self.config.image else math.prod(self.shape) * self.dtype.itemsize

    @property
    def stored_bytes(self) -> int:
        """The most that its values take of a record."""
        if self.config.image:
            return min(self.config.image.max_pixels * _PIXEL_BYTES, _IMAGE_BYTES)
        if self.config.raw:
            return self.row_bytes
        return self.values * _STORED_BYTES[self.config.dtype]

    @property
    def default(self) -> Array | None:
        """What a record without it has, flat, as the record would have it."""
        if self.config.default is None:
            return None
        if self.config.dtype != "bytes":
            return np.full(self.values, self.config.default, self.dtype)
        stored = np.full(math.prod(self.shape), self.config.default, self._stored)
        return np.array([stored.tobytes()], object)

    @property
    def _stored(self) -> np.dtype[Any]:
        return self.dtype.newbyteorder("<")

    def rows(self, values: Array, place: Callable[[int], str]) -> Array:
        """What rows are made of these values: flat, ``values`` of each record.

        Raises:
            InputError: Where bytes are not as many numbers as the shape has.
        """
        if self.config.image:
            return values
        if self.config.raw is None:
            return values.reshape(-1, *self.shape)
        for record, content in enumerate(values):
            if len(content) != self.row_bytes:
                raise InputError(
                    f"The feature {self.name!r} has {len(content):,} bytes; {self.dtype} of the "
                    f"shape {self.shape} takes {self.row_bytes:,}.",
                    where=place(record),
                    hint=f"Correct raw or shape in dataset.features.{self.name}, or the record.",
                )
        found = np.frombuffer(b"".join(values), self._stored).reshape(-1, *self.shape)
        return found.astype(self.dtype, copy=False)


def parse(
    records: Any, features: Mapping[str, Feature], place: Callable[[int], str]
) -> tuple[dict[str, Array], dict[str, int]]:
    """Parse records of ``tf.train.Example``.

    Args:
        records: A string tensor, or a list of bytes, of (n,).
        features: What is read of them; the others are not.
        place: Gives the place of the n-th of these records, for messages.

    Returns:
        Each feature's rows, (n, ...), of images the files as an array of objects, (n,); and how
        many of the records have a feature by its default, where there are any.

    Raises:
        InputError: Where a record is no ``tf.train.Example``, or a feature is missing, of another
            dtype, or of another number of values.
    """
    wanted = {
        name: tf.io.RaggedFeature(_TENSORFLOW[feature.config.dtype], row_splits_dtype=tf.int64)
        for name, feature in features.items()
    }
    try:
        found = tf.io.parse_example(records, wanted)
    except _REFUSALS:
        raise _refused(records, features, wanted, place) from None
    rows, defaulted = {}, {}
    for name, feature in features.items():
        values = found[name].flat_values.numpy()
        lengths = found[name].row_lengths().numpy()
        wrong = np.flatnonzero(lengths != feature.values)
        for record in wrong.tolist():
            if problem := _problem(_bytes(records, record), feature, place(record)):
                raise problem
        if len(wrong):
            defaulted[name] = len(wrong)
            values = _with_default(values, lengths > 0, feature)
        rows[name] = feature.rows(values, place)
    return rows, defaulted


def _with_default(values: Array, is_there: NDArray[np.bool_], feature: Feature) -> Array:
    """The values with the default's where a record has none."""
    assert feature.default is not None  # else it was refused
    filled = np.empty((len(is_there), feature.values), values.dtype)
    filled[is_there] = values.reshape(-1, feature.values)
    filled[~is_there] = feature.default
    return filled.reshape(-1)


def _refused(
    records: Any,
    features: Mapping[str, Feature],
    wanted: Mapping[str, Any],
    place: Callable[[int], str],
) -> InputError:
    """Find the record and the feature that TensorFlow refuses."""
    for record in range(len(records)):
        for feature in features.values():
            if problem := _problem(_bytes(records, record), feature, place(record)):
                return problem
    # TensorFlow refuses some that the library of protocol buffers reads.
    for record in range(len(records)):
        try:
            tf.io.parse_example([_bytes(records, record)], wanted)
        except _REFUSALS:
            return _no_example(place(record))
    return _no_example(f"{place(0)}, or one of the {len(records) - 1} after it")


def _problem(record: bytes, feature: Feature, place: str) -> InputError | None:
    """What is wrong with a record's feature; None: nothing, or its default stands for it."""
    try:
        there = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return _no_example(place)
    kind = there[feature.name].WhichOneof("kind") if feature.name in there else None
    if kind is None:
        return None if feature.config.default is not None else _missing(feature, there, place)
    if kind != _KINDS[feature.config.dtype]:
        return InputError(
            f"The feature {feature.name!r} is of {_DTYPES[kind]}, and described as "
            f"{feature.config.dtype}.",
            where=place,
            hint=f'Set dataset.features.{feature.name}.dtype to "{_DTYPES[kind]}".',
        )
    values = len(getattr(there[feature.name], kind).value)
    if values == feature.values:
        return None
    wanted = "one" if feature.values == 1 else f"{feature.values:,} (shape {feature.shape})"
    return InputError(
        f"The feature {feature.name!r} has {values:,} values, and is described as having {wanted}.",
        where=place,
        hint=f"Correct dataset.features.{feature.name}.shape, or the record.",
    )


def _bytes(records: Any, record: int) -> bytes:
    found = records[record]
    return found if isinstance(found, bytes) else bytes(found.numpy())


def _missing(feature: Feature, there: Mapping[str, Any], place: str) -> InputError:
    return InputError(
        f"A feature is missing: the record has no {feature.name!r}.",
        where=place,
        hint=f"It has: {first_names(sorted(there))}. Name one of these, or give "
        f"dataset.features.{feature.name} a default.",
    )


def _no_example(place: str) -> InputError:
    return InputError(
        "The record is no tf.train.Example.",
        where=place,
        hint="Write records with tf.train.Example(...).SerializeToString().",
    )
