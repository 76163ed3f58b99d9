"""What every step of a job needs: what is asked, where files go, who is told, what is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from job.events import Journal
from job.manifest.job import JobConfig
from job.resume.checkpoints import Kept
from job.stages.compress import Encoder


@dataclass(frozen=True)
class Work:
    """A job that is being done."""

    job: JobConfig
    output: Path
    """The folder of the model files and their encodings."""
    journal: Journal
    encoder: Encoder
    kept: Kept
    """What is done is not done again."""
