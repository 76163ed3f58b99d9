"""Size of a file, and its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path


def measure_size(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 (hexadecimal) of the file as it is on disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
