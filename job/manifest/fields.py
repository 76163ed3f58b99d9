"""What the manifest's models share: strictness, and the small types of several sections."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Frozen, and every field known: a misspelt one is an error, never a default in disguise.

    Validators are built when first used (``defer_build``), and defaults that are models are made
    by factories: a command that only validates starts in half the time.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
    )


Uri = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=3e38)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Step = Annotated[int, Field(ge=0, le=2**31 - 1)]
OutputName = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
