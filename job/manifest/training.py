"""How the model is fine-tuned while it is pruned; its optimizer."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from job.manifest.fields import Config, Count, Fraction, OutputName, Positive
from job.manifest.keras_names import BINARY, CROSSENTROPIES, ONE_HOT, LossName, MetricName

FOCAL = ("binary_focal_crossentropy", "categorical_focal_crossentropy")
# An option of a loss -> the losses that have it.
OPTIONS = {
    "from_logits": CROSSENTROPIES,
    "label_smoothing": (*ONE_HOT, *BINARY),
    "delta": ("huber",),
    "alpha": FOCAL,
    "gamma": FOCAL,
}


class CosineDecayConfig(Config):
    """tf_keras.optimizers.schedules.CosineDecay, from the optimizer's learning rate."""

    type: Literal["cosine_decay"]
    decay_steps: Count | None = None
    """Steps until the end of the decay; left out, all the steps of the training."""
    alpha: float = Field(default=0.0, ge=0, le=1)
    """What is left of the learning rate at the end, as a fraction."""


class ExponentialDecayConfig(Config):
    """tf_keras.optimizers.schedules.ExponentialDecay, from the optimizer's learning rate."""

    type: Literal["exponential_decay"]
    decay_steps: Count
    """Steps for one application of the decay rate."""
    decay_rate: Positive
    """The factor for each ``decay_steps``."""
    staircase: bool = False
    """Whether the learning rate falls in steps and not smoothly."""


class LossConfig(Config):
    """A loss with its options, which are those of the class in ``tf_keras.losses``."""

    type: LossName
    from_logits: bool | None = None
    """For crossentropies: whether the model ends in logits. Left out: found in the model's graph,
    and checked on its outputs for rows of the data."""
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """For crossentropies of one-hot rows, and of 0 and 1; left out, 0."""
    delta: Positive | None = None
    """For ``huber``: where the loss becomes linear; left out, 1."""
    alpha: float | None = Field(default=None, ge=0, le=1)
    """For focal crossentropies; left out, 0.25. (``binary_focal_crossentropy`` uses it only with
    class balancing, which it switches on.)"""
    gamma: float | None = Field(default=None, ge=0, le=100)
    """For focal crossentropies; left out, 2."""

    @model_validator(mode="after")
    def _options_have_a_meaning(self) -> Self:
        for option, losses in OPTIONS.items():
            if getattr(self, option) is not None and self.type not in losses:
                raise ValueError(f"{option} has no meaning for the loss {self.type}")
        return self


def _one_loss_shape(value: object) -> str:
    """Which shape of a loss is meant: so that only that shape's mistakes are reported."""
    return "LossConfig" if isinstance(value, LossConfig | dict) else "LossName"


def _loss_shape(value: object) -> str:
    """As above; an object with a field of LossConfig is one, whatever outputs are called."""
    is_mapping = isinstance(value, dict) and not LossConfig.model_fields.keys() & value.keys()
    return "mapping" if is_mapping else _one_loss_shape(value)


OneLoss = Annotated[
    Annotated[LossName, Tag("LossName")] | Annotated[LossConfig, Tag("LossConfig")],
    Discriminator(_one_loss_shape),
]
Loss = Annotated[
    Annotated[LossName, Tag("LossName")]
    | Annotated[LossConfig, Tag("LossConfig")]
    | Annotated[dict[OutputName, OneLoss], Field(min_length=1), Tag("mapping")],
    Discriminator(_loss_shape),
]
MetricList = Annotated[list[MetricName], Field(min_length=1)]


class OptimizerConfig(Config):
    """The optimizer of the fine-tuning."""

    type: Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "adagrad"] = "adam"
    learning_rate: Positive = 0.001
    """The learning rate, or the one that the schedule starts from."""
    learning_rate_schedule: (
        Annotated[CosineDecayConfig | ExponentialDecayConfig, Field(discriminator="type")] | None
    ) = None
    """How the learning rate falls; left out, it stays."""
    momentum: float | None = Field(default=None, ge=0, le=1)
    """For ``sgd`` and ``rmsprop``; left out, Keras's default."""
    clipnorm: Positive | None = None
    """The gradient of each weight is clipped to this norm; left out, it is not."""

    @model_validator(mode="after")
    def _momentum_has_a_meaning(self) -> Self:
        if self.momentum is not None and self.type not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum has no meaning for the optimizer {self.type}")
        return self


class TrainingConfig(Config):
    """The fine-tuning."""

    epochs: Count = 2
    """Passes over the training rows."""
    batch_size: Count = 128
    """Rows in a training step."""
    validation_split: Fraction = 0.1
    """The last part of the training rows that is held out and measured after each epoch."""
    seed: int = Field(default=7, ge=0, lt=2**31)
    """Decides shuffling, dropout and calibration rows."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    loss: Loss | None = None
    """One for every output, or output name to loss. Left out: the one that the file was compiled
    with, where it fits the targets; else inferred from the targets and the model's last layers,
    checked on its outputs. The result has the reason."""
    metrics: MetricList | dict[OutputName, MetricList] | None = None
    """A list for every output, or output name to list. Left out: inferred with the loss."""
    loss_weights: dict[OutputName, Positive] = Field(default={})
    """Output name to the weight of its loss in the total; left out, the one that the file was
    compiled with, if its loss is used; else 1."""

    def loss_of(self, output: str) -> LossConfig | None:
        """The loss of an output in its long form; None where it is left out."""
        given = self.loss.get(output) if isinstance(self.loss, dict) else self.loss
        return LossConfig(type=given) if isinstance(given, str) else given

    def metrics_of(self, output: str) -> list[MetricName] | None:
        """The metrics of an output; None where they are left out."""
        return self.metrics.get(output) if isinstance(self.metrics, dict) else self.metrics
