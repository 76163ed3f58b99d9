"""search: the smallest file within a stated loss."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from job.manifest.cluster import Clusters
from job.manifest.fields import Config, Count, Fraction, Positive
from job.manifest.gates import Metric, SizeOf, check_drop, check_reachable
from job.manifest.quantize import WeightBits

# The loss that is allowed where the manifest states none.
MAX_DROP = 0.005
MIN_AGREEMENT = 0.99
MIN_SNR_DB = 30.0
# By which figure files are judged; those of a metric need targets.
OF_METRICS = ("max_drop", "min_value")
LOSSES = (*OF_METRICS, "min_agreement", "min_snr_db")


class BudgetConfig(Config):
    """When the search ends, whichever comes first; it then has the best file so far."""

    minutes: Positive = 30.0
    """Wall time of all trials. It also decides how long each of them is trained."""
    trials: Count = 40
    """How many are made."""


class RangesConfig(Config):
    """What is searched."""

    # Lists, not tuples: behind the validator of ``Search`` pydantic takes no list for a tuple.
    sparsity: list[Fraction] = Field(default=[0.0, 0.998], min_length=2, max_length=2)
    """The lowest and the highest fraction of zeros of all kernels together."""
    weight_bits: list[WeightBits] = Field(default=[2, 4, 8], min_length=1)
    """The widths of the kernels. Of ``weight_only``, where nothing is pruned and that is still
    beyond the loss, the layers that lose most have 8 bits beside 4, and float16 beside 8."""
    clusters: list[Clusters | None] = Field(default=[None, 16, 8], min_length=1)
    """How many distinct values kernels of 8 bits may have; null: any number."""

    @model_validator(mode="after")
    def _sparsity_rises(self) -> Self:
        low, high = self.sparsity
        if low >= high:
            raise ValueError(f"the lowest sparsity, {low:g}, is not below the highest, {high:g}")
        return self


class SearchConfig(Config):
    """Find the settings of prune, cluster and quantize that give the smallest file, on held-out
    rows, within a loss. At most one of ``max_drop``, ``min_value``, ``min_agreement`` and
    ``min_snr_db`` is given; left out: a ``max_drop`` of 0.005 of the first metric where there are
    labels, else an agreement of 0.99, or a signal-to-noise ratio of 30 dB where the outputs are no
    distribution.
    """

    objective: SizeOf = "smallest_encoding"
    """Which bytes are to be small: those of the smallest encoding, or of the plain file."""
    max_drop: float | None = Field(default=None, ge=0)
    """At most this much worse than the baseline, in the metric's own unit."""
    min_value: float | None = None
    """At least this good, whatever the baseline is; a loss or an error: at most this large."""
    metric: Metric | None = None
    """Of ``max_drop`` or ``min_value``; left out, the first metric that is measured."""
    min_agreement: float | None = Field(default=None, ge=0, le=1)
    """At least this share of the baseline's answers is unchanged."""
    min_snr_db: float | None = None
    """At least this signal-to-noise ratio, in decibels."""
    confidence: float | None = Field(default=None, ge=0.5, le=0.999)
    """Left out: the value on held-out rows must be within the loss. Else the worse end of its
    two-sided interval of this level: fewer files pass, and those that do pass on test rows, too."""
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    over: RangesConfig = Field(default_factory=RangesConfig)

    @model_validator(mode="after")
    def _one_loss(self) -> Self:
        given = [name for name in LOSSES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of them")
        if self.metric is not None and given and given[0] not in OF_METRICS:
            raise ValueError(f"metric belongs to {' and '.join(OF_METRICS)}; {given[0]} is given")
        return self

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.metric is not None and self.min_value is not None:
            check_reachable(self.metric, self.min_value)
        if self.metric is not None and self.max_drop is not None:
            check_drop(self.metric, self.max_drop)
        return self

    @property
    def tries_clusters(self) -> bool:
        """Whether there may be a clustered model."""
        return 8 in self.over.weight_bits and any(self.over.clusters)


def _all_defaults(value: object) -> object:
    return {} if value is True else value


Search = Annotated[
    SearchConfig,
    BeforeValidator(_all_defaults, json_schema_input_type=SearchConfig | Literal[True]),
]
