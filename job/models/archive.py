"""Judge a ``.keras`` file, which is a zip archive, before anything is unpacked.

The cases: entries that would land elsewhere (absolute paths, ``..``, links), zip bombs, and entries
that Keras does not write.
"""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from job.errors import InputError
from job.models.scan import read_config
from job.models.scan_hdf5 import MAX_COMPRESSION, judge_hdf5

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
METADATA = "metadata.json"
# A configuration is some kilobytes for a layer; a model of a thousand layers has a few megabytes.
MAX_JSON_BYTES = 1 << 27
HINT = "Load the model where it was trained, and save it with model.save('model.keras')."


def judge(path: Path) -> str:
    """Read and judge a ``.keras`` file.

    Args:
        path: The file. Its weights are unpacked into a temporary folder to be looked at.

    Returns:
        The version of Keras that wrote it.

    Raises:
        InputError: Where the archive is damaged or dangerous, or its configuration is refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            for entry in entries.values():
                _judge_entry(entry, path)
            _judge_names(entries, path)
            metadata = json.loads(archive.read(METADATA))
            read_config(archive.read(CONFIG).decode(), str(path))
            if WEIGHTS in entries:
                _judge_weights(archive, path)
            return str(metadata["keras_version"])
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile, zlib and json raise all kinds
        raise InputError(
            f"The model file is corrupt: {type(error).__name__}: {error}.",
            where=str(path),
            hint=HINT,
        ) from None


def _judge_names(names: Collection[str], path: Path) -> None:
    if CONFIG not in names or METADATA not in names:
        raise InputError(
            "The model file is a zip archive, and no Keras model: it has no config.json.",
            where=str(path),
            hint=HINT,
        )


def _judge_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    where = f"{path}, {entry.filename}"
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0]:
        raise InputError("An entry of the archive leads out of it.", where=where, hint=HINT)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InputError("An entry of the archive is a link.", where=where, hint=HINT)
    if entry.file_size > entry.compress_size * MAX_COMPRESSION + 1024:
        raise InputError(
            f"An entry declares {entry.file_size:,} bytes of {entry.compress_size:,} packed ones.",
            where=where,
            hint=HINT,
        )
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks these without a bound, whatever size the entry declares.
        raise InputError(
            "An entry of the archive is packed in a way that Keras does not use.",
            where=where,
            hint=HINT,
        )
    if entry.filename in (CONFIG, METADATA) and entry.file_size > MAX_JSON_BYTES:
        raise InputError(
            f"The configuration has {entry.file_size:,} bytes.", where=where, hint=HINT
        )


def _judge_weights(archive: zipfile.ZipFile, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        judge_hdf5(Path(archive.extract(WEIGHTS, folder)), str(path))


def repack(path: Path) -> None:
    """Write a ``.keras`` file anew without the times that Keras puts into it, so that the same
    model gives the same bytes.
    """
    timeless = path.with_name(f"{path.name}.timeless")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(timeless, "w") as target:
        for name in sorted(archive.namelist()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.file_size = archive.getinfo(name).file_size  # zip64, where it needs that
            with archive.open(name) as before, target.open(entry, "w") as after:
                if name == METADATA:
                    metadata = json.load(before) | {"date_saved": "1980-01-01@00:00:00"}
                    after.write(json.dumps(metadata).encode())
                else:
                    shutil.copyfileobj(before, after, 1 << 20)
    timeless.replace(path)
