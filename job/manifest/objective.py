"""What the pruned model is trained to do: ``supervised``, ``distill``, or nothing."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from job.manifest.fields import Config


class SupervisedConfig(Config):
    """It learns the targets of the training rows."""

    type: Literal["supervised"]


class DistillConfig(Config):
    """It learns the outputs of the model that came in (Hinton, Vinyals, Dean, "Distilling the
    knowledge in a neural network", 2015): the Kullback-Leibler divergence where an output is a
    distribution (softmax, sigmoid, or the logits of one), else the mean squared error, divided by
    the output's variance.
    """

    type: Literal["distill"]
    temperature: float = Field(default=1.0, ge=0.05, le=100)
    """For distributions: logits are divided by it, so that a higher one makes small probabilities
    count more."""
    label_weight: float = Field(default=0.0, ge=0, le=1)
    """The weight of the supervised loss, where there are targets; the rest is that of the teacher's
    outputs."""
    cache_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 1 << 30
    """Up to this size the teacher's outputs for all training rows are computed once and kept, also
    for a run that goes on; if they are larger, they are computed batch by batch."""


class NoTrainingConfig(Config):
    """It is not trained: weights are pruned in one shot, to the schedule's final sparsity, and the
    statistics of ``BatchNormalization`` are estimated again where there are inputs.
    """

    type: Literal["none"]


ObjectiveName = Literal["supervised", "distill", "none"]
AnyObjective = SupervisedConfig | DistillConfig | NoTrainingConfig


def _shape(value: object) -> str:
    return "name" if isinstance(value, str) else "object"


ObjectiveConfig = Annotated[
    Annotated[ObjectiveName, Tag("name")]
    | Annotated[Annotated[AnyObjective, Field(discriminator="type")], Tag("object")],
    Discriminator(_shape),
]


def long_form(given: ObjectiveName | AnyObjective) -> AnyObjective:
    """An objective; one that is given by its name has its defaults."""
    match given:
        case "supervised":
            return SupervisedConfig(type=given)
        case "distill":
            return DistillConfig(type=given)
        case "none":
            return NoTrainingConfig(type=given)
    return given
