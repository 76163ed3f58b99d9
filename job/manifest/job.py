"""The manifest of kind ``job``: one model in, smaller models and their proof out."""

from typing import Literal

from pydantic import Field, field_validator

from job.manifest.fields import Config, Name
from job.manifest.inputs import ModelConfig, NpzConfig
from job.manifest.outputs import (
    CodecConfig,
    CompressConfig,
    DestinationConfig,
    DynamicRangeConfig,
    GateConfig,
    QuantizeConfig,
)
from job.manifest.prune import PruneConfig
from job.manifest.storage import ResumeConfig, StorageConfig
from job.manifest.training import TrainingConfig


class JobConfig(Config):
    """A job. A section that is left out takes the tutorial's setting; a stage that is null is
    skipped. The order of the stages is fixed: prune, strip, compress, quantize.
    """

    schema_version: Literal[1] = 1
    kind: Literal["job"] = "job"
    name: Name
    """What the job is called in tables and logs."""
    model: ModelConfig
    dataset: NpzConfig
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
            if name in ("baseline", "prune"):
                raise ValueError(f"{name!r} is the name of a stage, not of a variant")
        return variants

    @property
    def codecs(self) -> list[CodecConfig]:
        """The codecs in their long form, in the order asked for."""
        listed = self.compress.codecs if self.compress else []
        return [CodecConfig(type=codec) if isinstance(codec, str) else codec for codec in listed]

    @property
    def variants(self) -> dict[str, QuantizeConfig]:
        """The quantized variants by the names of their files."""
        return {variant.name or variant.type: variant for variant in self.quantize or []}
