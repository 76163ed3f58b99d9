"""How parent and child speak: lines of JSON, on the child's standard input and output.

A task goes to the child as one line; the next one when it is done. The line ``stop`` asks it to
save what it is doing and to end, and may come at any time. The child answers with events, a line
each; the last one of a task is ``work_result``, ``work_error`` or ``stopped``.
"""

from __future__ import annotations

import errno
import shutil
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from job.errors import (
    BY_NAME,
    BugError,
    InputError,
    ParedownError,
    StageError,
    from_os_error,
    is_disk_full,
    quoted_in,
)
from job.events import Event
from job.text import first_line

# What asks the child to stop.
STOP = "stop\n"
SCRATCH = "Writing to scratch"
# With less, libraries fail in ways of their own: TensorFlow then complains of its graph.
LEAST_FREE_BYTES = 1 << 16


@dataclass(frozen=True)
class Task:
    """What the child is to do, with local paths."""

    kind: Literal["transform", "inspect"]
    model: str
    """The model: a file or a folder."""
    model_name: str
    """What it is called in messages."""
    model_bytes: int
    output: str
    """An empty folder for the results."""
    scratch: str
    """The folder that holds ``output`` and ``checkpoints``; removed when the run ends, however."""
    checkpoints: str
    """The folder of checkpoints, with those of an earlier run of the same job."""
    save_every_s: float = 60.0
    """How often the training's state is saved there, in seconds."""
    trust: bool = False
    """Whether code embedded in the model may run."""
    variants: bool = True
    """Whether an inspection tries every quantize variant."""
    manifest: dict[str, Any] | None = None
    """The job; None where the model is inspected without data."""
    datasets: dict[str, str] = field(default_factory=dict)
    """The data set's files by their names below its folder, in their order; empty where there are
    no data."""


def error_event(raised: BaseException, scratch: str) -> Event:
    """The event that a task ends with where an error was raised.

    Args:
        raised: The error.
        scratch: The folder that the work writes to, whose disk may be full.
    """
    error = _explained(raised, scratch)
    return {
        "event": "work_error",
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
    }


def error_of(event: Event) -> ParedownError:
    """The error that such an event reports."""
    return BY_NAME[event["error"]](event["what"], where=event["where"], hint=event["hint"])


def _reason(error: BaseException) -> str:
    """The line that says why; TensorFlow's first one may only say that a graph failed."""
    lines = [line.strip() for line in str(error).splitlines()]
    found = next((it for it in lines if "is not in [" in it), "")
    return found[:300] or first_line(error)


def _explained(error: BaseException, scratch: str) -> ParedownError:
    """The error as the user should see it."""
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
        return quoted_in(str(error)) or StageError(
            f"TensorFlow refused to compute this: {_reason(error)}",
            hint="Most likely the data does not suit the model (an index out of range?). Where "
            "dataset is null, set model.input_ranges.",
        )
    place = traceback.extract_tb(error.__traceback__)[-1]
    return BugError(
        f"{type(error).__name__}: {str(error)[:500]}",
        where=f"{Path(place.filename).name}, line {place.lineno}",
        hint="This is a bug in paredown: please report it with the output of --verbose.",
    )
