"""Judge an HDF5 file as data: no links out of it, no data from elsewhere, no shape bombs.

The cases are those of CVE-2026-0897 (a data set that declares a petabyte) and of HDF5's external
links, external storage and virtual data sets, with which a model file reads any file.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py

from job.errors import InputError

# DEFLATE can't make data smaller than by this factor.
MAX_COMPRESSION = 1032
HINT = "Load the model where it was trained, and save it with model.save('model.h5')."


def read_attributes(path: Path) -> dict[str, str]:
    """What Keras writes about a model into the root's attributes.

    Args:
        path: The file.

    Returns:
        Those of ``model_config``, ``keras_version`` and ``backend`` that are there.

    Raises:
        InputError: Where the file is no HDF5, is damaged, leads to other files, or declares more
            than it can hold.
    """
    try:
        with h5py.File(path, "r") as file:
            _judge_links(file, path)
            return {
                name: value.decode() if isinstance(value, bytes) else str(value)
                for name, value in file.attrs.items()
                if name in ("model_config", "keras_version", "backend")
            }
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(
                "The model file is truncated: it ends before the data that it announces.",
                where=str(path),
                hint="Copy it again, and pin its sha256 in the manifest.",
            ) from None
        what = (
            "a zip archive (a .keras file?) and no" if zipfile.is_zipfile(path) else "no readable"
        )
        raise InputError(
            f"The model file is {what} HDF5 file.",
            where=str(path),
            hint="Give a whole Keras 2 model, saved with model.save('model.h5').",
        ) from None
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises all kinds on damaged files
        raise InputError(
            f"The model file is corrupt: {type(error).__name__}: {error}.",
            where=str(path),
            hint=HINT,
        ) from None


def judge_hdf5(path: Path, where: str) -> None:
    """Judge an HDF5 file of weights.

    Raises:
        InputError: As ``read_attributes``; messages name ``where``.
    """
    try:
        with h5py.File(path, "r") as file:
            _judge_links(file, path)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises all kinds on damaged files
        raise InputError(
            f"The model's weights are no readable HDF5 file: {error}.", where=where, hint=HINT
        ) from None


def _judge_links(file: h5py.File, path: Path) -> None:
    """Refuse what leads out of the file, and data sets that declare more than the file holds.

    Links are read and not followed; a group that is linked twice is looked at once.
    """
    size = path.stat().st_size
    pending, seen = [file["/"]], set()
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            where = f"{path}, {group.name.rstrip('/')}/{name}"
            if not isinstance(link, h5py.HardLink):
                raise InputError("The model file links to other places.", where=where, hint=HINT)
            item = group[name]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                _judge_dataset(item, size, where)


def _judge_dataset(data: h5py.Dataset, file_size: int, where: str) -> None:
    if data.external or data.is_virtual:
        raise InputError("The model file takes data from other files.", where=where, hint=HINT)
    if data.dtype.kind in "cV":
        raise InputError(f"The weights are {data.dtype}, not real numbers.", where=where, hint=HINT)
    limit = file_size * (MAX_COMPRESSION if data.chunks else 1)
    if data.size and data.nbytes > limit:
        raise InputError(
            f"The model file declares {data.nbytes:,} bytes in a file of {file_size:,}.",
            where=where,
            hint="It is damaged, or made to exhaust the memory.",
        )
