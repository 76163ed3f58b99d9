"""Where the data sets of ``keras.datasets`` are: in Keras's cache on this machine, or on the web.

This is the parent's side: it imports neither Keras nor TensorFlow. Names are those that
``keras.utils.get_file`` stores files under: today's, and those of older versions and of tf_keras.
"""

from __future__ import annotations

import os
from pathlib import Path

from job.errors import InputError, StorageError
from job.manifest.datasets import FASHION_MNIST_FILES, KERAS_ADDRESSES, KerasConfig
from job.manifest.storage import StorageConfig
from job.storage import find
from job.storage.backend import Found, Stores
from job.storage.place import Place, find_place

DOING = "Reading the data set"
FASHION_MNIST_FOLDER = "fashion-mnist"
# The first one is where a user may put a file.
CACHED = {
    "mnist": ("mnist.npz",),
    "cifar10": (
        "cifar-10-batches-py.tar.gz",
        "cifar-10-batches-py-target_archive",
        "cifar-10-batches-py_archive",
    ),
    "cifar100": (
        "cifar-100-python.tar.gz",
        "cifar-100-python-target_archive",
        "cifar-100-python_archive",
    ),
    "imdb": ("imdb.npz",),
}


def find_keras(asked: KerasConfig, config: StorageConfig, base: Place, stores: Stores) -> Found:
    """Find a data set of Keras.

    Where the manifest has Keras's own address, a file in Keras's cache is taken. Whether it is the
    right one is seen by its SHA-256 when it is read.

    Raises:
        InputError: Where it is missing or can't be read.
        StorageError: Where storage or the network fails.
    """
    is_own = asked.uri == KERAS_ADDRESSES[asked.name]
    found = _cached(asked.name, base, stores, config) if is_own else None
    if found is not None:
        return found
    place = find_place(asked.uri, base)
    backend = stores.reader(place, config)
    try:
        if asked.name == "fashion_mnist" and place.scheme == "https":
            items = [backend.stat(place.child(name), DOING) for name in FASHION_MNIST_FILES]
            return Found(place, tuple(item for item in items if item is not None))
        return find.find(place, base, asked.in_folder, backend, DOING)
    except (InputError, StorageError) as error:
        if not is_own:
            raise
        hint = f"{error.hint} Without a network, put {_where_to_put(asked.name)}."
        raise type(error)(error.what, where=error.where, hint=hint.strip()) from None


def is_cached(asked: object, found: Found) -> bool:
    """Whether what was found is in Keras's cache, and not where the manifest says."""
    is_remote = isinstance(asked, KerasConfig) and asked.uri == KERAS_ADDRESSES[asked.name]
    return is_remote and found.place.scheme == "file"


def cache() -> Path:
    """The folder of Keras's cache: ``$KERAS_HOME/datasets``, or ``~/.keras/datasets``.

    Raises:
        InputError: Where there is no home folder.
    """
    try:
        return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
    except RuntimeError as error:
        raise InputError(
            f"Keras's cache can't be found: {error}.",
            where="KERAS_HOME",
            hint="Set HOME, or KERAS_HOME to the folder of Keras's cache.",
        ) from None


def _cached(name: str, base: Place, stores: Stores, config: StorageConfig) -> Found | None:
    """The files in Keras's cache; None where they are not all there."""
    if name == "fashion_mnist":
        folder = cache() / FASHION_MNIST_FOLDER
        is_there = all((folder / file).is_file() for file in FASHION_MNIST_FILES)
        there, pattern = [folder] if is_there else [], "*-ubyte.gz"
    else:
        there, pattern = [cache() / file for file in CACHED[name]], None
        there = [path for path in there if path.is_file()]
    if not there:
        return None
    place = Place("file", str(there[0]))
    return find.find(place, base, pattern, stores.reader(place, config), DOING)


def _where_to_put(name: str) -> str:
    if name == "fashion_mnist":
        return f"{', '.join(FASHION_MNIST_FILES)} into {cache() / FASHION_MNIST_FOLDER}"
    return f"the file at {cache() / CACHED[name][0]}"
