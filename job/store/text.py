"""Small texts, apart from the rest so that commands that only read a manifest start fast."""

from __future__ import annotations

import sys
from pathlib import Path

from job.errors import ManifestError, from_os_error

# No manifest is larger; /dev/zero is.
MAX_BYTES = 1 << 26


def read_manifest_text(path: Path | None) -> str:
    """A manifest's text; from standard input where ``path`` is None.

    Raises:
        ManifestError: Where it can't be read, or is no UTF-8.
    """
    where = "standard input" if path is None else str(path)
    try:
        if path is not None:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        elif sys.stdin is not None:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            content = b""
        if len(content) > MAX_BYTES:
            raise ManifestError(f"A manifest has at most {MAX_BYTES:,} bytes.", where=where)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"The manifest is no UTF-8 text: {error.reason} at byte {error.start}.", where=where
        ) from None
    except OSError as error:
        refusal = from_os_error(error, "Reading the manifest", writing=False)
        hint = "Give a path, a file:// URI, or - for standard input."
        raise ManifestError(refusal.what, where=where, hint=hint) from None
