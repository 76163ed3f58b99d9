"""Why a job has no result: ``failure.json``."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field

from job.errors import ParedownError
from job.result.record import Record
from job.result.result import StageResult


class Failure(Record):
    """Why a job has no result; recorded where its results would be, until it has one."""

    name: str
    exit_code: Annotated[int, Field(ge=1, le=255)]
    """What a run of this job alone would have ended with."""
    error: str
    """Its kind: ``InputError``, ``StageError``, ``StorageError``, ``ManifestError``..."""
    what: str
    where: str = ""
    to_do: str = ""
    at: str
    """UTC, ISO 8601."""
    seconds: float
    """Of work, without ``waited_s``."""
    waited_s: float = 0.0
    """Seconds that it waited for a worker."""
    schema_version: Literal[1] = 1
    manifest: dict[str, Any] = {}
    """With the defaults filled in; URIs as they were written."""
    versions: dict[str, str] = {}
    environment: dict[str, Any] = {}
    stages: list[StageResult] = []
    """Those that ended before."""
    stage: str = ""
    """The one that it failed in."""
    warnings: list[str] = []

    @property
    def reason(self) -> str:
        """In one line."""
        return " ".join(self.what.split()) + (f" ({self.where})" if self.where else "")


def failure_of(name: str, error: ParedownError, seconds: float, waited_s: float = 0.0) -> Failure:
    """The record of the error that a job ended with, after so many seconds of work."""
    return Failure(
        name=name,
        exit_code=error.exit_code,
        error=type(error).__name__,
        what=error.what,
        where=error.where,
        to_do=error.hint,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        waited_s=round(waited_s, 3),
    )
