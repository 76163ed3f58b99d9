"""The files of a run: their formats, names and media types, and what a result says of each.

``result.py`` puts it together. Times are milliseconds (``LatencyResult``), sparsities fractions of
zeros.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from job.manifest.compress import ENCODINGS, CodecName, Encoding

KerasFormat = Literal["h5", "keras", "saved_model"]
Format = Literal[KerasFormat, "tflite"]


@dataclass(frozen=True)
class ModelFormat:
    """What is known of a format of model files."""

    suffix: str
    """Of the files that are made here."""
    media_type: str = "application/octet-stream"
    packed: Mapping[bytes, str] = field(default_factory=dict)
    """The first bytes of archives that a baseline may be instead, and the suffix of each."""
    discovered: tuple[str, ...] = ()
    """Suffixes by which a batch discovers models, in lower case."""

    @property
    def suffixes(self) -> list[str]:
        """All that files of a run may have."""
        return [self.suffix, *self.packed.values()]


FORMATS: dict[Format, ModelFormat] = {
    "h5": ModelFormat(".h5", "application/x-hdf5", discovered=(".h5", ".hdf5")),
    "keras": ModelFormat(".keras", "application/zip", discovered=(".keras",)),
    "saved_model": ModelFormat(
        ".savedmodel.tar",
        "application/x-tar",
        packed={
            b"\x1f\x8b": ".savedmodel.tar.gz",
            b"BZh": ".savedmodel.tar.bz2",
            b"\xfd7zXZ": ".savedmodel.tar.xz",
            b"PK": ".savedmodel.zip",
        },
        discovered=(".zip", ".tar", ".tar.gz", ".tgz"),
    ),
    "tflite": ModelFormat(".tflite"),
}


def _one_of(suffixes: Iterable[str]) -> str:
    return f"({'|'.join(map(re.escape, suffixes))})"


# A result names files of the kinds that a run writes, and no others: another run that may replace
# it removes the files that it names.
_MODEL = "^[A-Za-z0-9][A-Za-z0-9._-]*" + _one_of(
    suffix for it in FORMATS.values() for suffix in it.suffixes
)
ModelName = Annotated[str, Field(pattern=f"{_MODEL}$")]
EncodingName = Annotated[
    str, Field(pattern=f"{_MODEL}{_one_of(it.suffix for it in ENCODINGS.values())}$")
]

_KNOWN: list[ModelFormat | Encoding] = [*FORMATS.values(), *ENCODINGS.values()]
# By the last suffix: what is encoded has the media type of its encoding.
MEDIA_TYPES = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
} | {Path(f"x{it.suffix}").suffix: it.media_type for it in _KNOWN}


def media_type(name: str) -> str:
    """The media type of a file that a run or a batch writes."""
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")


def file_digest(path: Path) -> tuple[int, str]:
    """A file's size in bytes, and its SHA-256 in hexadecimal.

    Raises:
        OSError: Where it can't be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


class Record(BaseModel):
    """Frozen; unknown fields are refused, so that a result of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncodingResult(Record):
    """One lossless encoding of a file, decoded and compared before it counts."""

    path: EncodingName
    bytes: int
    sha256: str
    decoder: CodecName | None = None
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


class LayerResult(Record):
    """What was done with a layer that has weights."""

    name: str
    type: str
    parameters: int
    prunable_weights: int
    """The weights that a mask can cover; biases are none of them."""
    pruned: bool
    reason: str
    """Why, or why not."""
    target_sparsity: float | None = None
    achieved_sparsity: float


class ObjectiveResult(Record):
    """The loss and the metrics of an output, and where they came from."""

    loss: str
    from_logits: bool | None = None
    weight: float = 1.0
    """The loss's weight in the total."""
    options: dict[str, float] = {}
    """The loss's other settings, by their names in Keras: ``label_smoothing``, ``delta``."""
    metrics: list[str]
    reason: str


class AnswerResult(Record):
    """What an output's values are, which says how they are compared with the baseline's."""

    kind: Literal["softmax", "sigmoid", "numbers"]
    """``softmax``: one class of several; ``sigmoid``: each value is true or false; ``numbers``: all
    else."""
    from_logits: bool
    loss: str = ""
    """The loss of the teacher's outputs, where the model is distilled."""
    reason: str


class TeacherResult(Record):
    """The outputs of the model that came in, which a distilled model learns."""

    rows: int
    """For how many rows they were computed in this run; 0 where an earlier run had saved them."""
    bytes: int
    """Of the outputs of all training and held-out rows."""
    computed: Literal["once", "each batch"]


class TrainedForResult(Record):
    """What the pruned model was trained to do."""

    objective: Literal["supervised", "distill", "none"]
    reason: str
    """Why that one."""
    temperature: float | None = None
    label_weight: float | None = None
    outputs: dict[str, AnswerResult]
    """By output, in the model's order."""
    teacher: TeacherResult | None = None


class SplitResult(Record):
    """The rows of one split."""

    rows: int
    sha256: str
    """Of the arrays, as they are in memory: dtypes, shapes and numbers, of inputs and targets."""
    source: Literal["arrays", "held out", "synthetic"]
    """Named in the manifest, a sample of the training rows, or drawn at random."""
    has_targets: bool


class EpochResult(Record):
    """The training's metrics after an epoch; those on held-out rows begin with ``val_``."""

    epoch: int
    metrics: dict[str, float]


class TrainingResult(Record):
    """The fine-tuning as it was, with what the manifest left out."""

    epochs: int
    """How many were planned; ``epochs`` of the result has those that were trained."""
    steps: int
    """Of all planned epochs."""
    rows: int
    """Rows that were trained on."""
    held_out: int
    """Training rows that were held out, drawn with the seed."""
    pruned_at: int
    """The step at which the pruning schedule ends."""
    published_epoch: int
    """The epoch whose weights are published, from 1 on."""
    reason: str
    """Why that one."""
    class_weights: dict[str, dict[str, float]] = {}
    """By output and class, where classes were weighted."""
    sample_weights: bool = False
    """Whether rows were weighted by an array of the data set."""
