"""The manifest of kind ``job``: one model in, smaller models and their proof out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from job.manifest.compress import ENCODINGS, CodecConfig, CompressConfig
from job.manifest.datasets import DatasetConfig
from job.manifest.fields import Config, Count, Name, Sha256, Uri
from job.manifest.gates import GateConfig
from job.manifest.problems import Problem, checked
from job.manifest.prune import PruneConfig
from job.manifest.quantize import DynamicRangeConfig, QuantizeConfig
from job.manifest.storage import DestinationConfig, ResumeConfig, StorageConfig
from job.manifest.training import TrainingConfig

StageName = Literal["baseline", "prune", "compress", "quantize"]


class ModelConfig(Config):
    """The trained model."""

    uri: Uri
    """Where the model is: a ``.h5``, ``.hdf5`` or ``.keras`` file, or a SavedModel as a folder, a
    zip or a tar. A relative URI is relative to the manifest. In a bucket, a SavedModel's folder is
    a prefix that ends with ``/``."""
    storage: StorageConfig | None = None
    """Where it is, if not in the manifest's ``storage``."""
    sha256: Sha256 | None = None
    """Its SHA-256, in hexadecimal; ``paredown inspect`` prints it. Another model is refused."""
    input_shapes: dict[Annotated[str, Field(min_length=1)], list[Count]] = Field(default={})
    """Input name to its sizes without the samples' axis: ``{"image": [96, 96, 3]}``. For inputs
    with open dimensions, which a .tflite has fixed; left out, they are the data set's."""
    draws: Count = 1
    """For a model that answers at random (``Dropout`` that was called with ``training=True``, a
    sampling layer): how many passes over the test rows each metric is the mean of. Every pass of
    every file draws numbers of its own."""
    trust: bool = False
    """Whether code that the model carries (``Lambda`` layers and the like) may run. It needs a
    pinned ``sha256``, so that it is the code that somebody has looked at."""

    @model_validator(mode="after")
    def _trust_is_pinned(self) -> Self:
        if self.trust and self.sha256 is None:
            raise ValueError(
                "trust lets the model's code run, so it needs the sha256 of the model that you "
                "have looked at; `paredown inspect` prints it"
            )
        return self


@dataclass(frozen=True)
class JobStage:
    """What is known of a stage, beside the section of its name that asks for it."""

    writes_model: bool = False
    """Whether it writes a Keras model, whose file has the stage's name."""


# The baseline, which is always measured, and the stages that null skips.
STAGES: dict[StageName, JobStage] = {
    "baseline": JobStage(writes_model=True),
    "prune": JobStage(writes_model=True),
    "compress": JobStage(),
    "quantize": JobStage(),
}


class JobConfig(Config):
    """A job. A section that is left out takes the tutorial's setting; a stage that is null is
    skipped. The order of the stages is fixed: prune, strip, compress, quantize.
    """

    schema_version: Literal[1] = 1
    kind: Literal["job"] = "job"
    name: Name
    """What the job is called in tables and logs."""
    model: ModelConfig
    dataset: DatasetConfig
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    prune: PruneConfig | None = Field(default_factory=PruneConfig)
    compress: CompressConfig | None = Field(default_factory=CompressConfig)
    quantize: tuple[QuantizeConfig, ...] | None = Field(
        default_factory=lambda: (DynamicRangeConfig(type="dynamic_range"),)
    )
    """The TFLite variants that are made of the pruned model."""
    gates: tuple[GateConfig, ...] = ()
    """What must hold for the results. A missed gate still publishes; the exit code is 5."""
    destination: DestinationConfig = Field(default_factory=DestinationConfig)
    storage: StorageConfig = Field(default_factory=StorageConfig)
    """The store of all ``s3://`` URIs that name none of their own."""
    resume: ResumeConfig | None = Field(default_factory=ResumeConfig)
    """How a run that was killed goes on; null saves nothing."""

    @field_validator("quantize")
    @classmethod
    def _names_differ(
        cls, variants: tuple[QuantizeConfig, ...] | None
    ) -> tuple[QuantizeConfig, ...] | None:
        names = [variant.name or variant.type for variant in variants or ()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is there twice; give one of them another name")
            if name in STAGES and STAGES[name].writes_model:
                raise ValueError(f"{name!r} is the name of a stage, not of a variant")
        return variants

    @property
    def models(self) -> list[StageName]:
        """The Keras models that it writes, by the stages that write them; the baseline first."""
        return [
            name
            for name, stage in STAGES.items()
            if stage.writes_model and getattr(self, name, True) is not None
        ]

    @property
    def codecs(self) -> list[CodecConfig]:
        """The codecs in their long form, in the order asked for."""
        listed = self.compress.codecs if self.compress else []
        return [CodecConfig(type=codec) if isinstance(codec, str) else codec for codec in listed]

    @property
    def variants(self) -> dict[str, QuantizeConfig]:
        """The quantized variants by the names of their files."""
        return {variant.name or variant.type: variant for variant in self.quantize or []}

    @property
    def libraries(self) -> list[str]:
        """The packages of codecs whose versions are in the result and in the run id."""
        asked = {codec.type for codec in self.codecs}
        return [
            it.library
            for codec, it in ENCODINGS.items()
            if it.library and (it.in_every_run_id or codec in asked)
        ]


# The sections that null skips.
SKIPPABLE = tuple(
    name for name, it in JobConfig.model_fields.items() if type(None) in get_args(it.annotation)
)


def checked_job(document: dict[str, Any]) -> JobConfig | list[Problem]:
    """The document as a job; else every problem that it has, within and between sections."""
    job = checked(document, JobConfig)
    return job if isinstance(job, list) else [*_work(job), *_uris(job), *_gates(job)] or job


def _work(job: JobConfig) -> Iterator[Problem]:
    if job.prune is None and not job.quantize:
        yield Problem("prune", "prune is null and quantize asks for nothing: no work is left")


def _uris(job: JobConfig) -> Iterator[Problem]:
    uris = {"model": job.model.uri, "dataset": job.dataset.uri, "destination": job.destination.uri}
    for section, uri in uris.items():
        known = ("file", "s3") if section == "destination" else ("file", "s3", "https")
        yield from unsupported(f"{section}.uri", uri, known)


def unsupported(path: str, uri: str, known: tuple[str, ...]) -> Iterator[Problem]:
    """The problem of a URI at ``path`` whose scheme is none of those that are known there."""
    scheme, colon, _ = uri.partition("://")
    if colon and scheme.lower() not in known:
        yield Problem(
            path,
            f"{scheme}:// is not supported here; use a path, or a URI that begins with "
            + ", ".join(f"{it}://" for it in known),
        )


def _gates(job: JobConfig) -> Iterator[Problem]:
    made = [*job.models[1:], *job.variants]
    for index, gate in enumerate(job.gates):
        if gate.artifact not in (None, "*", *made):
            yield Problem(
                f"gates.{index}.artifact",
                f"{gate.artifact!r} is not made by this job, which makes {', '.join(made)}",
            )
        measured = _measured(job, getattr(gate, "output", None))
        metric = getattr(gate, "metric", None) or "loss"
        if measured is not None and metric not in measured:
            yield Problem(
                f"gates.{index}.metric",
                f"{metric!r} is not measured, only {', '.join(measured)}; "
                "add it to training.metrics",
            )


def _measured(job: JobConfig, output: str | None) -> list[str] | None:
    """The metrics of an output, or of all; None where the model decides what is measured."""
    metrics = job.training.metrics
    if isinstance(metrics, dict):  # outputs that it does not name have metrics too
        metrics = metrics.get(output or "")
    return None if metrics is None else ["loss", *metrics]
