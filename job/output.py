"""Standard output and standard error, whatever their encoding is and wherever they go.

A terminal or a pipe may be of an encoding that lacks characters (``LC_ALL=C``, Latin-1): those are
escaped, so that no run fails because of how it is shown. What is for programs (YAML, JSON) is UTF-8
everywhere, as their standards say.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from job.errors import ParedownError, from_os_error

ESCAPE = "backslashreplace"
# Ways to handle characters that an encoding lacks, which may raise an error.
MAY_FAIL = ("strict", "surrogateescape", "surrogatepass")


def prepare() -> None:
    """Make both fit for any text; one that is closed (``>&-``) is replaced by nothing."""
    if sys.stdout is None or sys.stderr is None:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in MAY_FAIL:
            stream.reconfigure(errors=ESCAPE)


def forget() -> None:
    """Let what is still buffered for standard output go nowhere: writing it would fail again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def failure(error: OSError, hint: str = "") -> ParedownError:
    """What a user is told of standard output that can't be written to."""
    told = from_os_error(error, "Writing to standard output", writing=True)
    told.where = "standard output"
    told.hint = hint or "Free some space, or send the output elsewhere."
    return told


def print_data(text: str, stream: TextIO) -> None:
    """Print what programs read: in UTF-8 and with plain line feeds, whatever the encoding is."""
    content = f"{text}\n"
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # replaced by something that takes text alone
        stream.write(content)
    else:
        stream.flush()
        buffer.write(content.encode("utf-8", "backslashreplace"))
    stream.flush()
