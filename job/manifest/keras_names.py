"""Losses and metrics by their names in Keras, and Keras's other names for them.

Keras takes ``mse``, ``MSE``, ``mean_squared_error`` and ``MeanSquaredError`` for one loss. All of
them are accepted; the manifest that is written beside the results has the long name.
"""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

KnownLoss = Literal[
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "categorical_focal_crossentropy",
    "binary_focal_crossentropy",
    "kl_divergence",
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "poisson",
    "cosine_similarity",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
]

KnownMetric = Literal[
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
    "auc",
    "precision",
    "recall",
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "root_mean_squared_error",
    "log_cosh",
    "poisson",
    "kl_divergence",
    "cosine_similarity",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
]

# Losses whose outputs are read as probabilities, or as logits.
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy")
CROSSENTROPIES = ("sparse_categorical_crossentropy", *ONE_HOT, *BINARY)
# Losses whose targets are rows with one number for each class: one-hot, or probabilities.
ROWS_OF_CLASSES = (*ONE_HOT, "kl_divergence", "categorical_hinge")
# Losses whose targets are -1 and 1, and outputs on the same sides of 0.
HINGES = ("hinge", "squared_hinge")

# Keras's short names, and those of older versions.
_SHORT = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
}
_SHORT_METRICS = {
    "acc": "accuracy",
    "log_cosh_error": "log_cosh",
    "cosine_proximity": "cosine_similarity",
}
# Class names whose words are not those of the name; and names without a class that means the same:
# the class Accuracy counts outputs that are equal to their targets.
_NO_CLASS = ("accuracy", "auc", "kl_divergence")
_CLASSES = {"KLDivergence": "kl_divergence", "AUC": "auc", "LogCoshError": "log_cosh"}


def _class_name(name: str) -> str:
    """``mean_squared_error`` -> ``MeanSquaredError``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _aliases(known: tuple[str, ...], short: dict[str, str]) -> dict[str, str]:
    names = {alias: name for alias, name in short.items() if name in known}
    names |= {alias.upper(): name for alias, name in names.items() if len(alias) <= 4}
    names |= {_class_name(name): name for name in known if name not in _NO_CLASS}
    return names | {alias: name for alias, name in _CLASSES.items() if name in known}


LOSS_ALIASES = _aliases(get_args(KnownLoss), _SHORT)
METRIC_ALIASES = _aliases(get_args(KnownMetric), _SHORT | _SHORT_METRICS)


def loss_name(given: object) -> object:
    """The long name of a loss; what is no name of one stays as it is."""
    return LOSS_ALIASES.get(given, given) if isinstance(given, str) else given


def metric_name(given: object) -> object:
    """The long name of a metric; what is no name of one stays as it is."""
    return METRIC_ALIASES.get(given, given) if isinstance(given, str) else given


# The JSON Schema lists the long names and the others; a Literal's members are known to it alone
# where they are spelled out.
LossName = Annotated[
    KnownLoss,
    BeforeValidator(
        loss_name, json_schema_input_type=Literal[(*get_args(KnownLoss), *LOSS_ALIASES)]
    ),
]
MetricName = Annotated[
    KnownMetric,
    BeforeValidator(
        metric_name, json_schema_input_type=Literal[(*get_args(KnownMetric), *METRIC_ALIASES)]
    ),
]

RISE = ("accuracy", "auc", "precision", "recall", "cosine_similarity")
# The metrics that fall when a model gets better. Every other one rises.
LOWER_IS_BETTER = ("loss", *(it for it in get_args(KnownMetric) if not it.endswith(RISE)))


def lower_is_better(metric: str) -> bool:
    """Whether a metric falls when a model gets better; it may begin with an output's name."""
    return any(metric == name or metric.endswith(f"_{name}") for name in LOWER_IS_BETTER)
