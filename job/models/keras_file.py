"""``.keras`` files: read as they were judged, and written so that a model has the same bytes."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from job.safety.judge import CONFIG, METADATA, WEIGHTS, Judged

ASSETS = "assets/"


def write_judged(judged: Judged, folder: Path) -> Path:
    """Write a ``.keras`` file of what was judged, and of nothing else, for Keras to read.

    Its configuration is the one that was looked at, without how the model was compiled.

    Args:
        judged: A ``.keras`` file.
        folder: Where the file goes.
    """
    archive = judged.archive
    assert archive is not None  # a .keras file is an archive
    target = folder / "model.keras"
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr(CONFIG, json.dumps(judged.config))
        packed.writestr(METADATA, archive.read(METADATA))
        for name in archive.sizes:
            if name == WEIGHTS or name.startswith(ASSETS):
                content = archive.unpack(name, folder)
                packed.write(content, name)
                content.unlink()
    return target


def repack(path: Path) -> None:
    """Write a ``.keras`` file anew: its entries in order, and without the times that Keras puts
    into it.
    """
    repacked = path.with_name(path.name + ".new")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(repacked, "w") as after:
        for old in sorted(before.infolist(), key=lambda it: it.filename):
            new = zipfile.ZipInfo(old.filename, date_time=(1980, 1, 1, 0, 0, 0))
            new.external_attr = 0o644 << 16
            if old.filename == METADATA:
                metadata = json.loads(before.read(old)) | {"date_saved": "1980-01-01@00:00:00"}
                after.writestr(new, json.dumps(metadata))
                continue
            new.file_size = old.file_size  # it decides whether the entry needs the large format
            with before.open(old) as content, after.open(new, "w") as target:
                shutil.copyfileobj(content, target, 1 << 20)
    repacked.replace(path)
