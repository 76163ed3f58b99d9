"""TFRecords -> a data set: records of ``tf.train.Example`` in one or more files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from job.datasets.images import ImageDecoding, decode_image, in_order
from job.datasets.source import ArraysOfSplit, Opened, Source, SplitRows, matching, shared
from job.datasets.tfrecord_features import Feature, parse
from job.datasets.tfrecord_file import Shard, open_shard
from job.datasets.tfrecord_frames import MAX_RECORD_BYTES
from job.errors import InputError
from job.manifest.datasets import TFRecordConfig
from job.rows.lazy import PART_BYTES, Array, Indices
from job.rows.store import RowWriter

# Small records are parsed so many at a time.
BATCH = 4096


def open_tfrecord(source: Source, config: TFRecordConfig) -> Opened:
    """Read the features that the manifest names; others are not parsed.

    Args:
        source: The files; those of a split are read in the sorted order of their names.
        config: Which features are what, and how each is read.

    Returns:
        The rows: of numbers, of the described shape and dtype (``raw``'s of bytes); of images,
        (rows, height, width, channels), uint8, or float32 where they are resized. Records beyond
        ``cache_bytes`` are read again; those of compressed files can't be.

    Raises:
        InputError: Where no file matches, a file or record is corrupt,
            a record is no ``tf.train.Example``, one of its features is missing or not as it is
            described, or images have several sizes and no ``image_size``.
    """
    shards: dict[str, Shard] = {}
    files: dict[str, list[str]] = {}
    splits: dict[str, SplitRows] = {}
    decisions: list[str] = []
    described = sum(Feature(name, it).stored_bytes for name, it in config.features.items())
    for which, split in config.splits.items():
        names = ArraysOfSplit.of(which, split, source)
        features = _described(names, config)
        found = matching(source, split.files, f"dataset.{which}.files")
        files[which] = list(found)
        for name, path in found.items():
            shards[name] = shards.get(name) or open_shard(path, config.compression, described)
        reader = _Reader(which, [shards[name] for name in found], features, source)
        splits[which] = reader.read(names)
        decisions += reader.decisions
    return Opened.of(splits, decisions, shared(files))


def _described(names: ArraysOfSplit, config: TFRecordConfig) -> dict[str, Feature]:
    """The features that a split needs, each once."""
    features = {name: Feature(name, config.features[name]) for name in names.all}
    for name, feature in features.items():
        if feature.row_bytes > MAX_RECORD_BYTES:
            raise InputError(
                f"A row of the feature {name!r} takes {feature.row_bytes:,} bytes; at most "
                f"{MAX_RECORD_BYTES:,} are read.",
                where=f"dataset.features.{name}.shape",
                hint="Correct the shape.",
            )
    return features


@dataclass
class _Reader:
    """Reads the records of a split."""

    which: str
    shards: Sequence[Shard]
    features: Mapping[str, Feature]
    source: Source
    sizes: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    """Of each feature of images: the shape of the first one, and its place."""
    defaulted: dict[str, int] = field(default_factory=dict)
    """Of each feature: the records that have it by its default."""

    def read(self, names: ArraysOfSplit) -> SplitRows:
        """All rows."""
        writers: dict[str, RowWriter] = {}
        here: dict[str, list[Array]] = {
            name: [] for name in (*names.targets, *names.weights) if name is not None
        }
        for name, part in self._parts():
            if name in names.inputs:
                if name not in writers:
                    writers[name] = self._writer(name, part)
                writers[name].append(part)
            if name in here:
                here[name].append(part)
        inputs = {name: writer.finish() for name, writer in writers.items()}
        arrays = {name: np.concatenate(parts) for name, parts in here.items()}
        return SplitRows(
            tuple(inputs[name] for name in names.inputs),
            tuple(arrays[name] for name in names.targets),
            tuple(None if name is None else arrays[name] for name in names.weights),
        )

    @property
    def decisions(self) -> list[str]:
        """What was decided while rows were read."""
        records = sum(shard.records for shard in self.shards)
        return [
            f"{count:,} of the {records:,} records of the {self.which} split have no {name!r}; "
            f"it counts as {self.features[name].config.default:g}."
            for name, count in sorted(self.defaulted.items())
        ]

    def decode(self, name: str, rows: Indices) -> Array:
        """A feature's rows by their index, from files that are not compressed."""
        ends = np.cumsum([shard.records for shard in self.shards])
        owners = np.searchsorted(ends, rows, side="right")
        found: Array | None = None
        for owner in np.unique(owners):
            shard = self.shards[owner]
            mine = np.flatnonzero(owners == owner)
            numbers = (rows[mine] - (ends[owner] - shard.records)).tolist()
            start = 0
            for part in self._read_again(name, shard, numbers):
                if found is None:
                    found = np.empty((len(rows), *part.shape[1:]), part.dtype)
                found[mine[start : start + len(part)]] = part
                start += len(part)
        assert found is not None  # no index is no question
        return found

    def _parts(self) -> Iterator[tuple[str, Array]]:
        """All features' rows, part by part."""
        for shard in self.shards:
            for first, records in shard.batches(self._batch(shard)):
                place = partial(_place, shard, range(first, first + len(records)))
                rows, defaulted = parse(records, self.features, place)
                for name, count in defaulted.items():
                    self.defaulted[name] = self.defaulted.get(name, 0) + count
                for name, values in rows.items():
                    for part in self._decoded(name, values, place):
                        yield name, part

    def _batch(self, shard: Shard) -> int:
        """So many records of a file are a part."""
        row_bytes = sum(feature.row_bytes for feature in self.features.values())
        return max(1, min(BATCH, PART_BYTES // max(1, shard.longest, row_bytes)))

    def _read_again(self, name: str, shard: Shard, numbers: Sequence[int]) -> Iterator[Array]:
        """A feature's rows of some records, part by part: records may be much larger than it."""
        step = self._batch(shard)
        for start in range(0, len(numbers), step):
            chosen = numbers[start : start + step]
            place = partial(_place, shard, chosen)
            rows, _ = parse(shard.read(chosen), {name: self.features[name]}, place)
            yield from self._decoded(name, rows[name], place)

    def _writer(self, name: str, part: Array) -> RowWriter:
        can_read_again = all(shard.ends is not None for shard in self.shards)
        called = f"The feature {name!r}"
        if not can_read_again:
            called += ", whose compressed records can't be decoded again,"
        decode = partial(self.decode, name) if can_read_again else None
        return self.source.store.writer(called, part.shape[1:], part.dtype, decode)

    def _decoded(self, name: str, values: Array, place: Callable[[int], str]) -> Iterator[Array]:
        """The rows of a feature, (n, ...): of images, they are decoded, part by part."""
        image = self.features[name].config.image
        if image is None:
            yield values
            return
        how = ImageDecoding(image.color_mode, image.image_size, max_pixels=image.max_pixels)

        def decode(numbered: tuple[int, bytes]) -> Array:
            return decode_image(numbered[1], how, f"{place(numbered[0])}, feature {name!r}")

        part: list[Array] = []
        for record, pixels in enumerate(
            in_order(decode, enumerate(values.tolist()), self.source.threads)
        ):
            self._check_size(name, pixels, place(record))
            part.append(pixels)
            if len(part) * pixels.nbytes >= PART_BYTES:
                yield np.stack(part)
                part = []
        if part:
            yield np.stack(part)

    def _check_size(self, name: str, pixels: Array, place: str) -> None:
        size, first = self.sizes.setdefault(name, (pixels.shape, place))
        if pixels.shape != size:
            raise InputError(
                f"The images of the feature {name!r} are of mixed sizes: this one has "
                f"{_pixels(pixels.shape)} pixels, the one of {first} has {_pixels(size)}.",
                where=place,
                hint=f"Set dataset.features.{name}.image.image_size to [height, width], which all "
                "are resized to.",
            )


def _place(shard: Shard, numbers: Sequence[int], record: int) -> str:
    """The place of the n-th of some records."""
    return shard.place(numbers[record])


def _pixels(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"
