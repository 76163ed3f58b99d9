"""sensitivity: what is tried on each layer alone, and on how many rows."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from job.manifest.fields import Config, Count
from job.manifest.quantize import WeightBits


def _rise(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"these must rise, each once: {', '.join(f'{it:g}' for it in values)}")
    return values


def _fall(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values), reverse=True):
        raise ValueError(f"these must fall, each once: {', '.join(map(str, values))}")
    return values


Sparsity = Annotated[float, Field(gt=0, lt=1)]


class SensitivityConfig(Config):
    """What a sparsity or a bit width of one layer alone costs, without training: measured on
    held-out rows, or else on a sample of the training rows, never on test rows.
    """

    sparsities: Annotated[tuple[Sparsity, ...], AfterValidator(_rise)] = (
        *(0.5, 0.7, 0.8, 0.9, 0.95, 0.98),
    )
    """The fractions of zeros that are tried, each by magnitude; they rise."""
    weight_bits: Annotated[tuple[WeightBits, ...], AfterValidator(_fall)] = (8, 4, 2)
    """The widths that the kernels are rounded to; they fall. 2 is ternary."""
    rows: Count = 2000
    """At most so many rows are used: each of them goes through the model once for every layer and
    every value."""

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not self.sparsities and not self.weight_bits:
            raise ValueError("sparsities and weight_bits are both empty: nothing is measured")
        return self
