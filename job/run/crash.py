"""A child that crashed without AVX2, remembered beside the pieces that are made after it.

What is computed with AVX2 has other last digits than what is computed without, so the two never
mix: the folders are emptied, and a later run of the same job begins with AVX2.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from job.artifact import Record
from job.resume.checkpoints import Index, Piece, read_index, write_index
from job.worker.main import Task

# The name of the piece, which holds no work.
CRASHED = "crashed"


class Crash(Record):
    """How a child ended."""

    message: str
    """What the user was told."""
    stage: str
    signal: int


def begin_anew(task: Task, crash: Crash) -> None:
    """Empty the folders of a task, and remember why.

    Raises:
        OSError: Where that can't be done.
    """
    for folder in (task.output, task.kept):
        shutil.rmtree(folder)
        Path(folder).mkdir()
    write_index(Path(task.kept), Index(pieces={CRASHED: Piece(record=crash.model_dump())}))


def earlier_crash(task: Task) -> Crash | None:
    """The crash of an earlier run of this job, if there was one."""
    with contextlib.suppress(ValueError, OSError):  # the child tells of an index that is damaged
        piece = read_index(Path(task.kept)).pieces.get(CRASHED)
        return Crash.model_validate(piece.record) if piece else None
    return None
