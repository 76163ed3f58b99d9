"""The reviews of IMDB, as ``keras.datasets.imdb.load_data`` and ``pad_sequences`` give them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from job.datasets.keras_pickles import Pickled, load_arrays
from job.datasets.npz_file import opened, read_header
from job.datasets.padded_rows import PaddedRows
from job.errors import InputError
from job.manifest.datasets import KerasConfig
from job.rows.lazy import Array, Rows
from job.rows.store import Store

# What Keras's load_data has as its defaults.
SEED = 113
START, UNKNOWN, INDEX_FROM = 1, 2, 3
# The reviews of a split are 15 MB of pickle.
MAX_PICKLE_BYTES = 1 << 26
MAX_INTEGER = 2**31 - 1 - INDEX_FROM


def read_imdb(file: IO[bytes], path: Path, config: KerasConfig, store: Store) -> dict[str, Rows]:
    """Read the reviews and their labels, in the order that Keras shuffles them to.

    Without ``num_words``, the word of the largest integer counts as unknown: so it does in Keras.

    Args:
        file: The ``.npz``, open.
        path: Where it is.
        config: How long rows are, and how many words are known.
        store: Where rows are put.

    Returns:
        Reviews are (rows, sequence_length), int32; labels (rows,).

    Raises:
        InputError: Where the archive is damaged or holds anything but lists of integers.
    """
    assert config.sequence_length is not None  # the manifest's class sees to it
    reviews = {split: _reviews(file, f"x_{split}", path) for split in ("train", "test")}
    every = [review for of_split in reviews.values() for review in of_split]
    largest = max((int(it.max()) + INDEX_FROM for it in every if it.size), default=START)
    limit = config.num_words or largest
    random = np.random.RandomState(SEED)
    arrays: dict[str, Rows] = {}
    for split, found in reviews.items():
        labels = _labels(path, f"y_{split}", len(found))
        order = np.arange(len(found))
        random.shuffle(order)
        rows = PaddedRows(store, f"x_{split} of imdb", config.sequence_length)
        for index in order:
            words = np.concatenate(([START], found[index] + INDEX_FROM))
            words[words >= limit] = UNKNOWN
            kept = words[-config.sequence_length :]
            rows.append(kept, config.sequence_length - len(kept))
        arrays[f"x_{split}"], arrays[f"y_{split}"] = rows.finish(), labels[order]
    return arrays


def _reviews(file: IO[bytes], name: str, path: Path) -> list[Array]:
    where = f"{path}, {name}"
    try:
        with zipfile.ZipFile(file) as archive:
            given = _unpickled(archive, name, where)
    except InputError:
        raise
    except (Exception, MemoryError) as error:  # noqa: BLE001 - zipfile and its codecs raise all kinds
        raise InputError(
            f"The data set is no readable imdb.npz: {error}.",
            where=where,
            hint="Download it again.",
        ) from None
    reviews = given.value if isinstance(given, Pickled) else None
    if not isinstance(reviews, list):
        raise _no_reviews(where)
    return [_review(it, where) for it in reviews]


def _unpickled(archive: zipfile.ZipFile, name: str, where: str) -> Any:
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > MAX_PICKLE_BYTES:
        raise InputError(
            f"The reviews have more than {MAX_PICKLE_BYTES:,} bytes.",
            where=where,
            hint="It is not Keras's imdb.npz. Download it again.",
        )
    with archive.open(entry) as member:
        read_header(member)
        return load_arrays(member, where)


def _review(given: Any, where: str) -> Array:
    if not isinstance(given, list) or not all(type(it) is int for it in given):
        raise _no_reviews(where)
    if given and not 0 <= min(given) <= max(given) <= MAX_INTEGER:
        raise _no_reviews(where)
    return np.asarray(given, np.int32)


def _labels(path: Path, name: str, rows: int) -> Array:
    with opened(path) as archive:
        header = archive.header(name) if name in archive.names else None
        labels = archive.read(name, header) if header and header.shape == (rows,) else None
    if labels is None:
        raise InputError(
            f"The archive has not one label in {name} for each of {rows:,} reviews.",
            where=str(path),
            hint="It is not Keras's imdb.npz. Download it again.",
        )
    return labels


def _no_reviews(where: str) -> InputError:
    return InputError(
        "The array is no array of lists of integers.",
        where=where,
        hint="It is not Keras's imdb.npz. Download it again.",
    )
