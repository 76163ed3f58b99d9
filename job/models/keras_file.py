"""``.keras`` files, written so that the same model gives the same bytes."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from job.safety.judge import METADATA


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
