"""A child that crashed without AVX2, recorded beside the checkpoints of the next one.

What is computed with AVX2 has other last digits than what is computed without, so the two never
mix: the folders are emptied, and a later run of the same job begins with AVX2.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from job.artifact import Record
from job.resume.index import Checkpoint, Index, read_index, write_index
from job.worker.protocol import Task

# The name of the checkpoint, which holds no work.
CRASHED = "crashed"


class Crash(Record):
    """How a child ended."""

    message: str
    """What was reported to the user."""
    stage: str
    signal: int


def start_again(task: Task, crash: Crash) -> None:
    """Empty the folders of a task, and record why.

    Raises:
        OSError: Where that can't be done.
    """
    for folder in (task.output, task.checkpoints):
        shutil.rmtree(folder)
        Path(folder).mkdir()
    crashed = Checkpoint(record=crash.model_dump())
    write_index(Path(task.checkpoints), Index(pieces={CRASHED: crashed}))


def earlier_crash(task: Task) -> Crash | None:
    """The crash of an earlier run of this job, if there was one."""
    with contextlib.suppress(ValueError, OSError):  # the child warns of an index that is damaged
        checkpoint = read_index(Path(task.checkpoints)).pieces.get(CRASHED)
        return Crash.model_validate(checkpoint.record) if checkpoint else None
    return None
