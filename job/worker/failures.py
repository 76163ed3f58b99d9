"""An error that ends the work, in a user's words."""

from __future__ import annotations

import errno
import shutil
import traceback
from pathlib import Path

from job.errors import (
    BugError,
    InputError,
    ParedownError,
    StageError,
    from_os_error,
    is_disk_full,
)

SCRATCH = "Writing to scratch"
# With less, libraries fail in ways of their own: TensorFlow then complains of its graph.
LEAST_FREE_BYTES = 1 << 16


def in_words(error: BaseException, scratch: str) -> ParedownError:
    """What a user should be told of an error that ends the work.

    Args:
        error: What was raised.
        scratch: The folder that the work writes to, whose disk may be full.
    """
    disk_is_full = shutil.disk_usage(scratch).free < LEAST_FREE_BYTES
    if is_disk_full(error) or (disk_is_full and not isinstance(error, InputError)):
        return from_os_error(OSError(errno.ENOSPC, ""), SCRATCH, writing=True, place=scratch)
    if isinstance(error, ParedownError):
        return error
    if isinstance(error, MemoryError):
        return StageError(
            "The worker process ran out of memory.",
            hint="Give the job more memory, or lower training.batch_size.",
        )
    if isinstance(error, ImportError):
        return StageError(
            f"TensorFlow can't be loaded: {error}",
            hint="Give the job more memory, or install paredown again.",
        )
    if isinstance(error, OSError):
        return from_os_error(error, SCRATCH, writing=True, place=scratch)
    if type(error).__module__.startswith("tensorflow."):
        return StageError(
            f"TensorFlow refused to compute this: {_first_line(error)}",
            hint="Most likely the data does not suit the model (an index out of range?).",
        )
    place = traceback.extract_tb(error.__traceback__)[-1]
    return BugError(
        f"{type(error).__name__}: {str(error)[:500]}",
        where=f"{Path(place.filename).name}, line {place.lineno}",
        hint="This is a bug in paredown: please report it with the output of --verbose.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
