"""How the model is fine-tuned while it is pruned; its optimizer."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from job.manifest.fields import Config, Count, Fraction, OutputName, Positive
from job.manifest.keras_names import BINARY, CROSSENTROPIES, ONE_HOT, LossName, MetricName
from job.manifest.objective import ObjectiveConfig
from job.manifest.preprocess import AugmentConfig

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


CLASS_INDEX = re.compile(r"[0-9]{1,9}")


def _class_index(given: str) -> str:
    if not CLASS_INDEX.fullmatch(given):
        raise ValueError(
            f"{given[:60]!r} is not a class; classes are numbers from 0, as in the targets"
        )
    return given


def _weights_of_one_kind(given: object) -> object:
    """Class weights are a word or an object; an object is of classes or of outputs, not of both."""
    if not isinstance(given, str | dict):
        raise ValueError(  # noqa: TRY004 (pydantic reports no TypeError)
            'this must be "balanced", or an object from class to weight: {"9": 2.5}'
        )
    if isinstance(given, dict) and given:
        of_outputs = [isinstance(weight, str | dict) for weight in given.values()]
        if any(of_outputs) and not all(of_outputs):
            raise ValueError(
                'this must be either an object from class to weight, {"9": 2.5}, '
                'or one from output name to such an object or to "balanced"'
            )
    return given


Balanced = Literal["balanced"]
ClassIndex = Annotated[
    str, AfterValidator(_class_index), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,9}$"})
]
Weight = Annotated[float, Field(ge=0, le=3e38)]
PerClass = Annotated[dict[ClassIndex, Weight], Field(min_length=1)]


def _one_class_weights_shape(value: object) -> str:
    return "classes" if isinstance(value, dict) else "balanced"


def _class_weights_shape(value: object) -> str:
    """An object whose values are weights again is of outputs, whatever these are called."""
    is_mapping = isinstance(value, dict) and any(
        isinstance(it, str | dict) for it in value.values()
    )
    return "mapping" if is_mapping else _one_class_weights_shape(value)


OneClassWeights = Annotated[
    Annotated[Balanced, Tag("balanced")] | Annotated[PerClass, Tag("classes")],
    Discriminator(_one_class_weights_shape),
]
ClassWeights = Annotated[
    Annotated[Balanced, Tag("balanced")]
    | Annotated[PerClass, Tag("classes")]
    | Annotated[dict[OutputName, OneClassWeights], Field(min_length=1), Tag("mapping")],
    Discriminator(_class_weights_shape),
    BeforeValidator(_weights_of_one_kind),
]


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


class EarlyStoppingConfig(Config):
    """The training ends where the loss on held-out rows gets no better."""

    patience: Count = 3
    """Epochs without a better loss, counted from the best one after the pruning schedule's end."""


class TeacherConfig(Config):
    """A dense copy of the baseline, trained further: what the small model starts from and learns
    from.
    """

    epochs: Count
    """Passes over the training rows."""


class TrainingConfig(Config):
    """The fine-tuning."""

    epochs: Count | None = None
    """Passes over the training rows. Left out: the tutorial's 2 where these are enough steps to
    prune and to heal; more for small data, and the result says how many and why."""
    batch_size: Count = 128
    """Rows in a training step."""
    validation_split: Fraction | None = None
    """The part of the training rows that is held out, a sample of all classes drawn with the seed.
    Of the epochs after the pruning schedule's end, the one with the lowest loss on them is
    published. Left out: 0.1 where there is an epoch to choose, or else 0."""
    early_stopping: EarlyStoppingConfig | None = None
    """When to end the training before its last epoch; null: never."""
    seed: int = Field(default=7, ge=0, lt=2**31)
    """Decides shuffling, dropout, which rows are held out, and calibration rows."""
    shuffle_seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Decides the order of the rows and dropout alone, where the other things are to stay as
    ``seed`` has them; a search varies it. Left out: ``seed``."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    freeze_batch_normalization: bool | None = None
    """Run ``BatchNormalization`` as in inference while training, with the statistics, scales and
    offsets that it has. Where a model's own outputs are to stay, it then starts from these outputs;
    with statistics of batches it starts from others. Left out: in a search that is judged by the
    model's own outputs; in no other training."""
    augment: AugmentConfig | None = None
    """Random changes of the training images; test, validation and calibration rows stay as they
    are. Null: none."""
    objective: ObjectiveConfig | None = None
    """``supervised``, ``distill`` or ``none``, or an object with a type and its settings. Left out:
    ``supervised`` where there are targets, ``distill`` with inputs alone, ``none`` without data."""
    teacher: TeacherConfig | None = None
    """Train a dense copy of the baseline first, start from it, and learn from its outputs (with the
    objective ``distill``; left out, half of the loss is that of the targets, where there are any).
    Null: the baseline itself is the start."""
    loss: Loss | None = None
    """One for every output, or output name to loss. Left out: the one that the file was compiled
    with, where it fits the targets; else inferred from the targets and the model's last layers,
    checked on its outputs. The result has the reason."""
    metrics: MetricList | dict[OutputName, MetricList] | None = None
    """A list for every output, or output name to list. Left out: inferred with the loss."""
    loss_weights: dict[OutputName, Positive] = Field(default={})
    """Output name to the weight of its loss in the total; left out, the one that the file was
    compiled with, if its loss is used; else 1."""
    class_weights: ClassWeights | None = None
    """How much each class's rows count in the loss: ``balanced`` (rows / (classes * rows of the
    class)) or class index to weight, where a class left out counts 1: ``{"9": 2.5}``. Of several
    outputs: output name to one of these. Metrics are not weighted."""

    @model_validator(mode="after")
    def _stops_early_by_held_out_rows(self) -> Self:
        if self.early_stopping is not None and self.validation_split == 0:
            raise ValueError(
                "early_stopping needs held-out rows, and validation_split is 0; "
                "leave validation_split out, or set it to 0.1"
            )
        return self

    @property
    def order_seed(self) -> int:
        """What decides the order of the rows."""
        return self.seed if self.shuffle_seed is None else self.shuffle_seed

    def loss_of(self, output: str) -> LossConfig | None:
        """The loss of an output in its long form; None where it is left out."""
        given = self.loss.get(output) if isinstance(self.loss, dict) else self.loss
        return LossConfig(type=given) if isinstance(given, str) else given

    @property
    def class_weighted_outputs(self) -> list[str]:
        """The outputs that ``class_weights`` names; none where they are for every output."""
        given = self.class_weights
        if isinstance(given, dict) and _class_weights_shape(given) == "mapping":
            return list(given)
        return []

    def class_weights_of(self, output: str) -> Balanced | dict[str, float] | None:
        """The class weights of an output; None where they are left out."""
        given = self.class_weights
        if isinstance(given, dict) and _class_weights_shape(given) == "mapping":
            found = given.get(output)
            assert not isinstance(found, float)
            return found
        return given  # type: ignore[return-value]  # of every output

    def metrics_of(self, output: str) -> list[MetricName] | None:
        """The metrics of an output; None where they are left out."""
        return self.metrics.get(output) if isinstance(self.metrics, dict) else self.metrics
