"""Files that the parent writes into a run's scratch folder, before they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from job.errors import from_os_error

DOING = "Writing to scratch"


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON; raises as ``write_bytes`` does."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        StorageError: Where the disk is full.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise from_os_error(error, DOING, writing=True) from None
