"""What is pruned, how far, when and in which pattern; fields are named as in tfmot."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from job.manifest.fields import Auto, Config, Count, Fraction, Step, auto_or_rules


def _end_shape(value: object) -> str:
    """Which kind of end is meant: so that only that kind's mistakes are reported."""
    return "share" if isinstance(value, float) else "step"


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(
            "this must be a step (a whole number), or a fraction of the steps up to 1.0, "
            f"not {value}"
        )
    return value


EndStep = Annotated[
    Annotated[Step, Tag("step")] | Annotated[float, AfterValidator(_share), Tag("share")],
    Discriminator(_end_shape),
    WithJsonSchema(  # pydantic's own says that a 1 is one of both, and so none
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ]
        }
    ),
]


class _Window(Config):
    """The steps at which masks are updated."""

    begin_step: Step = 0
    """The first step of the schedule."""
    end_step: EndStep | None = None
    """The last step of the schedule, or a fraction of the training's steps with a decimal point
    (0.75, 1.0). Left out: the last step of a training of one or two epochs, as in the tutorial; of
    a longer one three quarters, so that what was cut heals."""
    frequency: Count | None = None
    """Steps between two updates. Left out: 100, or 10 where layers share a sparsity
    (``allocation``); or a quarter of the schedule where that is less."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if isinstance(self.end_step, int) and self.end_step <= self.begin_step:
            raise ValueError(
                f"end_step ({self.end_step}) must be larger than begin_step ({self.begin_step})"
            )
        return self


class PolynomialDecayConfig(_Window):
    """tfmot.sparsity.keras.PolynomialDecay: sparsity grows quickly first, then slowly."""

    type: Literal["polynomial_decay"]
    initial_sparsity: Fraction = 0.5
    """The fraction of zeros at ``begin_step``."""
    final_sparsity: Fraction = 0.8
    """The fraction of zeros at ``end_step``."""
    power: float = Field(default=3.0, gt=0)
    """The exponent of the decay."""

    @model_validator(mode="after")
    def _sparsity_grows(self) -> Self:
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                f"initial_sparsity ({self.initial_sparsity}) must not be larger than "
                f"final_sparsity ({self.final_sparsity})"
            )
        return self


class ConstantConfig(_Window):
    """tfmot.sparsity.keras.ConstantSparsity: the same sparsity from the first update on."""

    type: Literal["constant"]
    target_sparsity: Fraction = 0.5
    """The fraction of zeros."""


class UnstructuredConfig(Config):
    """Any weight may be zero: the best quality at a given sparsity."""

    type: Literal["unstructured"]


class BlockConfig(Config):
    """Whole blocks are zero. For kernels of two dimensions; others are left alone, and said."""

    type: Literal["block"]
    block_size: tuple[Count, Count] = (1, 4)
    """Rows and columns of a block."""
    block_pooling_type: Literal["AVG", "MAX"] = "AVG"
    """What stands for a block: the average or the largest magnitude in it."""


class MByNConfig(Config):
    """m zeros in every n weights, in a row along the input axis: 2:4 is what GPUs speed up."""

    type: Literal["m_by_n"]
    sparsity_m_by_n: tuple[Count, Count] = (2, 4)
    """m and n. The masks are set once, at the first step; the schedule's sparsity is not used."""

    @model_validator(mode="after")
    def _m_is_smaller(self) -> Self:
        m, n = self.sparsity_m_by_n
        if m >= n:
            raise ValueError(f"m ({m}) must be smaller than n ({n})")
        return self


class LayerRule(Config):
    """Another sparsity for some layers, or none. The first rule that fits a layer is taken."""

    name: str | None = None
    """A layer's name or path, or a pattern as in a shell: ``block_*``; ``/dense`` fits
    the outermost layer of this name alone."""
    type: str | None = None
    """A layer class: ``Conv2D``."""
    target_sparsity: Fraction | None = None
    """The sparsity that these layers end with."""
    skip: bool = False
    """Leave these layers as they are."""

    @model_validator(mode="after")
    def _says_which_and_what(self) -> Self:
        if self.name is None and self.type is None:
            raise ValueError("a rule needs a name pattern, a layer type, or both")
        if (self.target_sparsity is None) != self.skip:
            raise ValueError('a rule needs either a target_sparsity or "skip": true')
        return self


Schedule = Annotated[PolynomialDecayConfig | ConstantConfig, Field(discriminator="type")]
Structure = Annotated[UnstructuredConfig | BlockConfig | MByNConfig, Field(discriminator="type")]


class PruneConfig(Config):
    """Magnitude pruning while fine-tuning."""

    schedule: Schedule = Field(
        default_factory=lambda: PolynomialDecayConfig(type="polynomial_decay")
    )
    structure: Structure = Field(default_factory=lambda: UnstructuredConfig(type="unstructured"))
    allocation: Literal["uniform", "global", "lamp"] = "uniform"
    """How the schedule's sparsity is shared among the layers: ``uniform``, the same for each;
    ``global``, the smallest weights of all layers together are pruned; ``lamp``, the same by
    layer-adaptive magnitude (Lee and others, https://arxiv.org/abs/2010.07611)."""
    layers: Annotated[
        Auto | Annotated[tuple[LayerRule, ...], Tag("rules")], Discriminator(auto_or_rules)
    ] = ()
    """Rules for single layers; ``auto``: those that lose much when half of their weights alone are
    zero are left as they are."""
    min_weights: int = Field(default=64, ge=0)
    """Layers with fewer prunable weights are left alone: nothing to win, and much to lose."""

    @property
    def rules(self) -> tuple[LayerRule, ...]:
        """The rules for single layers; none yet where they are found by sensitivity."""
        return self.layers if isinstance(self.layers, tuple) else ()

    @model_validator(mode="after")
    def _rules_can_be_met(self) -> Self:
        if self.structure.type == "m_by_n":
            for rule in self.rules:
                if rule.target_sparsity is not None:
                    raise ValueError(
                        "with the structure m_by_n the sparsity is m/n for every layer; "
                        "rules can only skip"
                    )
        return self
