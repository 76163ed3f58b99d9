"""TFRecords that tests write."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from job.datasets.tfrecord_frames import masked_crc


def feature(value: Any) -> Any:
    """A feature of floats, of integers, or of bytes, by what it is given."""
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    values = np.atleast_1d(value).reshape(-1)
    if values.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if values.dtype.kind == "S":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values.tolist()))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**values: Any) -> bytes:
    """A ``tf.train.Example``."""
    features = tf.train.Features(feature={name: feature(it) for name, it in values.items()})
    return bytes(tf.train.Example(features=features).SerializeToString(deterministic=True))


def write(path: Path, records: Iterable[bytes], compression: str = "") -> Path:
    """A file of records; ``compression`` is ``GZIP``, ``ZLIB`` or none."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


def write_shards(
    folder: Path, name: str, records: Sequence[bytes], shards: int, compression: str = ""
) -> None:
    """The records, in their order, in so many files of nearly the same number of them."""
    borders = np.linspace(0, len(records), shards + 1).astype(int)
    for shard, (start, stop) in enumerate(itertools.pairwise(borders)):
        path = folder / f"{name}.tfrecord-{shard:05}-of-{shards:05}"
        write(path, records[start:stop], compression)


def header(size: int) -> bytes:
    """The header of a record that declares any size, with its checksum."""
    packed = struct.pack("<Q", size)
    return packed + struct.pack("<I", masked_crc(packed))
