"""The manifest of kind ``job``: one model in, smaller models and their proof out."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from job.manifest.cluster import ClusterConfig
from job.manifest.compress import ENCODINGS, CodecConfig, CompressConfig
from job.manifest.datasets import DatasetConfig
from job.manifest.fields import Config, Count, Name, Sha256, Uri
from job.manifest.gates import GateConfig
from job.manifest.objective import AnyObjective, DistillConfig, long_form
from job.manifest.prune import PruneConfig
from job.manifest.quantize import DynamicRangeConfig, PackedConfig, QuantizeConfig, TrainedConfig
from job.manifest.report import ReportConfig
from job.manifest.search import Search
from job.manifest.sensitivity import SensitivityConfig
from job.manifest.storage import DestinationConfig, ResumeConfig, StorageConfig
from job.manifest.training import TrainingConfig

# How much of the loss is that of the targets, where a teacher was trained for the job.
TEACHER_LABEL_WEIGHT = 0.5
StageName = Literal["baseline", "sensitivity", "prune", "cluster", "compress", "quantize"]


def _rises(given: tuple[float, float]) -> tuple[float, float]:
    if given[0] >= given[1]:
        raise ValueError(f"the lowest value, {given[0]:g}, is not below the highest, {given[1]:g}")
    return given


InputRange = Annotated[tuple[float, float], AfterValidator(_rises)]


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
    input_ranges: dict[Annotated[str, Field(min_length=1)], InputRange] = Field(default={})
    """Input name to lowest and highest value: ``{"image": [0, 1]}``. For inputs that are drawn,
    where ``dataset`` is null; left out, numbers go from 0 to 1, integers over the rows of the
    Embedding that they go to."""
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
    "sensitivity": JobStage(),
    "prune": JobStage(writes_model=True),
    "cluster": JobStage(writes_model=True),
    "compress": JobStage(),
    "quantize": JobStage(),
}


class JobConfig(Config):
    """A job. A section that is left out takes the tutorial's setting; a stage that is null is
    skipped. The order of the stages is fixed: sensitivity, prune, strip,
    cluster, compress, quantize.
    """

    schema_version: Literal[1] = 1
    kind: Literal["job"] = "job"
    name: Name
    """What the job is called in tables and logs."""
    model: ModelConfig
    dataset: DatasetConfig | None
    """Null: there are no data. Inputs are drawn with the seed as the model's inputs allow, and what
    is measured on them is called synthetic."""
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    sensitivity: SensitivityConfig | None = None
    """Null: it is not measured what each layer alone can lose."""
    prune: PruneConfig | None = Field(default_factory=PruneConfig)
    cluster: ClusterConfig | None = None
    """Null: weights are not clustered."""
    compress: CompressConfig | None = Field(default_factory=CompressConfig)
    quantize: tuple[QuantizeConfig, ...] | None = Field(
        default_factory=lambda: (DynamicRangeConfig(type="dynamic_range"),)
    )
    """The TFLite variants that are made of the pruned model. Left out: ``dynamic_range``; of a
    search that is judged by the model's own outputs, ``weight_only``."""
    search: Search | None = None
    """Find the settings of prune, cluster and quantize that give the smallest file; ``true`` takes
    all defaults. Null: they are as this manifest has them."""
    report: ReportConfig | None = Field(default_factory=ReportConfig)
    """The pages of the run, ``report.html`` and ``report.md`` (a model card); null leaves
    them out."""
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
    def objective(self) -> AnyObjective:
        """What the model is trained to do: as asked, or by what the data set has."""
        if self.training.objective is not None:
            return long_form(self.training.objective)
        if self.dataset is None:
            return long_form("none")
        if self.training.teacher is not None and self.has_train_targets:
            return DistillConfig(type="distill", label_weight=TEACHER_LABEL_WEIGHT)
        # A search that is judged by the model's own outputs learns them.
        is_labelled = self.has_train_targets and not self.keeps_outputs
        return long_form("supervised" if is_labelled else "distill")

    @property
    def aware_variants(self) -> dict[str, TrainedConfig]:
        """The variants that are trained for their grids."""
        if self.objective.type == "none":
            return {}
        return {
            name: it
            for name, it in self.variants.items()
            if isinstance(it, TrainedConfig) and is_aware(it)
        }

    @property
    def trains_again(self) -> bool:
        """Whether anything is trained beside the pruning."""
        if self.objective.type == "none":
            return False
        return (
            self.cluster is not None
            or self.training.teacher is not None
            or bool(self.aware_variants)
        )

    @property
    def is_trained(self) -> bool:
        """Whether anything is trained at all."""
        return self.objective.type != "none" and (self.prune is not None or self.trains_again)

    @property
    def keeps_outputs(self) -> bool:
        """Whether there is a search that is judged by the model's own outputs."""
        search = self.search
        return search is not None and (
            search.min_agreement is not None
            or search.min_snr_db is not None
            or not (self.has_train_targets and self.has_test_targets)
        )

    @property
    def has_test_targets(self) -> bool:
        """Whether files are measured on labelled rows."""
        if self.dataset is None:
            return False
        return bool((self.dataset.test or self.dataset.train).has_targets)

    @property
    def has_train_targets(self) -> bool:
        """Whether the training rows are labelled."""
        return self.dataset is not None and bool(self.dataset.train.has_targets)

    @property
    def libraries(self) -> list[str]:
        """The packages of codecs whose versions are in the result and in the run id."""
        asked = {codec.type for codec in self.codecs}
        return [
            it.library
            for codec, it in ENCODINGS.items()
            if it.library and (it.in_every_run_id or codec in asked)
        ]


def is_aware(variant: TrainedConfig) -> bool:
    """Whether a variant asks to be trained for its grid: as it says, or else for its few bits."""
    if variant.aware is not None:
        return variant.aware
    if not isinstance(variant, PackedConfig):
        return False
    return min(variant.widths.values()) < 8


# The sections that null skips.
SKIPPABLE = tuple(
    name for name, it in JobConfig.model_fields.items() if type(None) in get_args(it.annotation)
)
