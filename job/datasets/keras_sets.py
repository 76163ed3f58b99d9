"""The data sets of ``keras.datasets``, with the arrays that ``load_data()`` gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from job.datasets.keras_archives import CIFAR, read_cifar, read_fashion_mnist
from job.datasets.keras_imdb import read_imdb
from job.datasets.npz import open_npz
from job.datasets.source import Opened, Source, SplitRows, arrays_of_splits, no_such_array
from job.errors import InputError
from job.manifest.datasets import FASHION_MNIST_FILES, KerasConfig
from job.rows.lazy import LazyRows, Rows
from job.text import first_names

# SHA-256, as in Keras's own source: keras/src/datasets/*.py. It has none for fashion_mnist.
PINNED = {
    "mnist": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    "cifar10": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar100": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    "imdb": "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
}


def open_keras(source: Source, config: KerasConfig) -> Opened:
    """Read a data set of Keras; its SHA-256 is compared before anything in it is read.

    Args:
        source: Its file; of ``fashion_mnist`` its four files.
        config: Which one, which of its arrays are what, and how long reviews are.

    Returns:
        The arrays, with the shapes and dtypes that Keras gives them; reviews are padded.

    Raises:
        InputError: Where there are other files, the SHA-256 is another one, a file is damaged, or
            an array is named that there is not.
    """
    if config.name == "fashion_mnist":
        arrays = read_fashion_mnist(source.files, source.store)
        notes = ["fashion_mnist: Keras pins no SHA-256 of its files."]
        others = [name for name in source.files if name not in FASHION_MNIST_FILES]
        if others:
            notes.append(f"fashion_mnist: other files were not read: {first_names(others)}.")
        return _selected(arrays, source, config, tuple(notes))
    path = _only_file(source, config)
    with path.open("rb") as file:
        note = _verify(file, path, config)
        file.seek(0)
        if config.name == "mnist":
            return replace(open_npz(source, config), decisions=(note,))
        if config.name in CIFAR:
            arrays = read_cifar(file, config.name, source.store, str(path))
        else:
            arrays = read_imdb(file, path, config, source.store)
    return _selected(arrays, source, config, (note,))


def _only_file(source: Source, config: KerasConfig) -> Path:
    if len(source.files) != 1:
        raise InputError(
            f"The data set {config.name} is one file, and dataset.uri names {len(source.files)}.",
            where="dataset.uri",
            hint="Give the URI of one of them, or leave dataset.uri out: "
            f"{first_names(source.files)}.",
        )
    return next(iter(source.files.values()))


def _verify(file: IO[bytes], path: Path, config: KerasConfig) -> str:
    """Which SHA-256 it has, for the result. Raises InputError where it has another one."""
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    who, pinned = "Keras", PINNED[config.name]
    if config.sha256 is not None:
        who, pinned = "the manifest", config.sha256.lower()
    if found == pinned:
        return f"{config.name}: the file has the SHA-256 that {who} pins."
    raise InputError(
        f"The file of {config.name} has the SHA-256 {found}; {who} pins {pinned}.",
        where=str(path),
        hint="It is damaged or another one. Delete it, and it is downloaded again; if it is meant, "
        "give its SHA-256 as dataset.sha256.",
    )


def _selected(
    arrays: Mapping[str, Rows], source: Source, config: KerasConfig, decisions: tuple[str, ...]
) -> Opened:
    """The arrays that the manifest names."""
    splits: dict[str, SplitRows] = {}
    used: set[str] = set()
    for names in arrays_of_splits(source, config):
        where = f"dataset.{names.which}"
        missing = [name for name in names.all if name not in arrays]
        if missing:
            raise no_such_array(missing[0], sorted(arrays), where)
        names.check_counts({name: len(arrays[name]) for name in names.all}, where)
        # Rows are held out in place, so no two splits may share an array.
        splits[names.which] = names.rows(
            {name: _copy(arrays[name]) if name in used else arrays[name] for name in names.all}
        )
        used.update(names.all)
    return Opened.of(splits, decisions)


def _copy(rows: Rows) -> Rows:
    return rows if isinstance(rows, LazyRows) else rows.copy()
