"""Small texts, apart from the rest so that commands that only read a manifest start fast."""

from __future__ import annotations

from pathlib import Path

from job.errors import InputError, from_os_error


def read_text(path: Path, doing: str) -> str:
    """A small text file's content.

    Raises:
        InputError: Where it can't be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, doing, writing=False) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{doing} failed: this is no UTF-8 text ({error.reason}).", where=str(path)
        ) from None
