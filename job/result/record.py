"""What all records of what happened are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen; unknown fields are refused, so that a result of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
