"""Files of TFRecords, and their records: in their order, or some again."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from job.datasets.tfrecord_frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_RECORD_BYTES,
    decompressed,
    frames,
)
from job.errors import InputError
from job.rows.lazy import Indices

_TENSORFLOW = {"none": "", "gzip": "GZIP", "zlib": "ZLIB"}


@dataclass(frozen=True)
class Shard:
    """A file whose frames are good."""

    path: Path
    compression: str
    records: int
    longest: int
    """The bytes of its largest record."""
    ends: Indices | None
    """Where each record's frame ends; None of a compressed file, which has no random access."""

    def place(self, record: int) -> str:
        """The place of a record, counted from 0, for messages."""
        place = f"{self.path}, record {record} (from 0)"
        return place if self.ends is None else f"{place}, byte {self._start(record)}"

    def batches(self, most: int) -> Iterator[tuple[int, Any]]:
        """All records in their order: the first one's number, and a string tensor of ``(n,)``.

        Args:
            most: The records of a batch.

        Raises:
            InputError: Where a record's checksum is wrong, or the file was changed.
        """
        first = 0
        try:
            for batch in self._dataset().batch(most):
                yield first, batch
                first += len(batch)
        except tf.errors.OpError:
            raise self._corrupt() from None
        if first != self.records:
            raise self._changed()

    def read(self, records: Sequence[int]) -> list[bytes]:
        """Some records of a file that is not compressed; their checksums were verified before.

        Raises:
            InputError: Where the file was changed.
        """
        assert self.ends is not None  # else nobody asks
        found = []
        with self.path.open("rb", buffering=0) as file:
            for record in records:
                start = self._start(record)
                size = int(self.ends[record]) - start - FRAME_BYTES
                content = os.pread(file.fileno(), size, start + HEADER_BYTES)
                if len(content) != size:
                    raise self._changed()
                found.append(content)
        return found

    def size(self, record: int) -> int:
        """The bytes of a record of a file that is not compressed."""
        assert self.ends is not None  # else nobody asks
        return int(self.ends[record]) - self._start(record) - FRAME_BYTES

    def _start(self, record: int) -> int:
        assert self.ends is not None  # else nobody asks
        return int(self.ends[record - 1]) if record else 0

    def _dataset(self) -> Any:
        return tf.data.TFRecordDataset(
            os.fsencode(self.path), compression_type=_TENSORFLOW[self.compression]
        )

    def _corrupt(self) -> InputError:
        """Find the record that TensorFlow refuses."""
        record = 0
        try:
            for _ in self._dataset():
                record += 1
        except tf.errors.OpError:
            frame = next(islice(frames(self.path, self.compression), record, None), None)
            if frame is None:
                return InputError(
                    f"The file has bytes behind its last record, {record - 1} (from 0).",
                    where=str(self.path),
                    hint="Write or copy the file again.",
                )
            return InputError(
                f"Record {record} (from 0) is corrupt: its bytes do not have its checksum.",
                where=f"{self.path}, byte {frame[0]}{decompressed(self.compression)}",
                hint="Write or copy the file again.",
            )
        return self._changed()

    def _changed(self) -> InputError:
        return InputError(
            "The data set's file has changed while it was read.",
            where=str(self.path),
            hint="Run again once nothing writes to it.",
        )


def open_shard(path: Path, compression: str, described: int = MAX_RECORD_BYTES) -> Shard:
    """Follow a file's frames from its beginning to its end; no record is read.

    Args:
        path: The file.
        compression: ``none``, ``gzip`` or ``zlib``.
        described: The most bytes that the described features take of a record.

    Raises:
        InputError: Where the file has no records, is none of TFRecords, is compressed in another
            way, is cut off, or declares a record that is larger than it, or than ``frames`` allows.
    """
    ends = array("q")
    records = longest = 0
    for offset, size in frames(path, compression, described):
        records, longest = records + 1, max(longest, size)
        if compression == "none":
            ends.append(offset + FRAME_BYTES + size)
    if not records:
        raise InputError(
            "The file has no records.",
            where=str(path),
            hint="Remove it, or leave it out of the split's files.",
        )
    known = np.frombuffer(ends, np.int64) if compression == "none" else None
    return Shard(path, compression, records, longest, known)
