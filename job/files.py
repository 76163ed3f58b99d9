"""What a result says of a file that a user could ship, so that a program can read and run it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# A plain file name, never of a file outside its own folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
# A result names files of the kinds that a run writes, and no others:
# whoever may replace a run removes what its result names.
_MODEL = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]*"
    r"\.(h5|keras|tflite|savedmodel\.(tar|tar\.gz|tar\.bz2|tar\.xz|zip))"
)
ModelName = Annotated[str, Field(pattern=rf"{_MODEL}$")]
EncodingName = Annotated[str, Field(pattern=rf"{_MODEL}\.(zip|gz|zopfli\.gz|zst|br|xz)$")]


Decoder = Literal["zip", "gzip", "zstd", "brotli", "xz"]


class Record(BaseModel):
    """Frozen; unknown fields are refused, so that a result of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncodingResult(Record):
    """One lossless encoding of a file, decoded and compared before it counts."""

    path: EncodingName
    bytes: int
    sha256: str
    decoder: Decoder | None = None
    """What opens it. A zip has one member, which has the artifact's name."""


class TensorResult(Record):
    """An input or output of a file."""

    name: str
    """Of a ``.tflite`` as its signature calls it."""
    dtype: str
    shape: list[int | None]
    """With the batch, which is null where a call takes any number of rows."""
    scale: float | None = None
    """For quantized ones: real = scale * (value - zero_point)."""
    zero_point: int | None = None
    multiply_by: float | None = None
    """Of an artifact's inputs: real = multiply_by * value, for values as the data set has them
    (the manifest's ``dataset.scale``); 1 for integers, which the model takes as they are."""


class UsageResult(Record):
    """How a file is loaded and called; see docs/using-the-files.md."""

    loader: Literal["ai_edge_litert", "keras", "tf_keras"]
    """The Python package that reads it: LiteRT, Keras 3 or Keras 2."""
    has_state: bool = False
    """Whether it keeps a state from call to call: call ``reset_all_variables()`` first."""
