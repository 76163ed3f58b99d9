"""How a model file was compiled: its losses and their weights, read as data.

Nothing of it is deserialized: names and numbers are looked up in what the manifest may say of a
loss. What is no loss of Keras's own, or has a setting that is not supported, is a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import h5py
from pydantic import ValidationError

from job.manifest.keras_names import CROSSENTROPIES, LOSS_ALIASES, KnownLoss
from job.manifest.training import OPTIONS, LossConfig
from job.safety import saved_model
from job.safety.judge import CONFIG, Judged
from job.safety.limits import MAX_CONFIG_BYTES

# What decides nothing; and settings of losses with the values that are Keras's defaults.
IGNORED = ("name", "fn", "dtype", "reduction")
DEFAULTS = {"axis": -1, "ignore_class": None, "apply_class_balancing": False}
REDUCTIONS = ("auto", "sum_over_batch_size", "none", None)


def losses(judged: Judged, outputs: Sequence[str]) -> dict[str, LossConfig | str]:
    """The losses that a judged file was compiled with, by output.

    Args:
        judged: The file.
        outputs: The outputs' names, in the model's order.

    Returns:
        A text is the reason why a loss can't be used; outputs without a loss are left out.
    """
    by_output = _by_output(_settings(judged).get("loss"), outputs)
    return {name: _loss(given) for name, given in by_output.items() if given is not None}


def weights(judged: Judged, outputs: Sequence[str]) -> dict[str, float]:
    """The losses' weights that a judged file was compiled with, by output."""
    by_output = _by_output(_settings(judged).get("loss_weights"), outputs, is_for_all=False)
    return {
        name: float(weight)
        for name, weight in by_output.items()
        if isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < 3e38
    }


def _settings(judged: Judged) -> Mapping[str, Any]:
    match judged.format:
        case "h5":
            with h5py.File(judged.path, "r") as file:
                text = file.attrs.get("training_config", "{}")
            found = _parsed(text)
        case "keras":
            assert judged.archive is not None  # a .keras file is an archive
            config = _parsed(judged.archive.read(CONFIG))
            found = config.get("compile_config") if isinstance(config, dict) else None
        case "saved_model":
            assert judged.archive is not None  # a SavedModel is a folder or an archive
            found = saved_model.training_config(judged.archive)
    if isinstance(found, dict) and found.get("class_name") == "CompileConfig":
        found = found.get("config")
    return found if isinstance(found, dict) else {}


def _parsed(text: object) -> object:
    if not isinstance(text, str | bytes) or len(text) > MAX_CONFIG_BYTES:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _by_output(given: object, outputs: Sequence[str], *, is_for_all: bool = True) -> dict[str, Any]:
    """One for every output, a list in their order, or a map from their names."""
    if isinstance(given, dict) and not {"class_name", "config"} <= given.keys():
        return {name: given[name] for name in outputs if name in given}
    if isinstance(given, list):
        return dict(zip(outputs, given, strict=False)) if len(given) == len(outputs) else {}
    return dict.fromkeys(outputs, given) if is_for_all else {}


def _loss(given: object) -> LossConfig | str:
    name: object = given
    settings: object = {}
    if isinstance(given, dict):
        name, settings = given.get("class_name"), given.get("config")
        if name == "function":
            name, settings = settings, {}
    if not isinstance(name, str) or not isinstance(settings, dict):
        return "the file was compiled with a loss of its own"
    registered = given.get("registered_name") if isinstance(given, dict) else None
    wrapped = settings.get("fn")
    if name == "LossFunctionWrapper" and isinstance(wrapped, str):
        name = wrapped
    short = name.rpartition(">")[2][:60]
    kind = LOSS_ALIASES.get(name, name)
    if kind not in get_args(KnownLoss) or registered not in (None, name, "function"):
        return f"the file was compiled with {short!r}, which is none of the losses known here"
    other = _other_settings(settings)
    if other:
        return f"the file was compiled with {kind} and {other}, which is not supported here"
    return _config(kind, settings)


def _other_settings(settings: Mapping[str, Any]) -> str:
    """A setting that is not supported, and would change the loss."""
    for key, value in settings.items():
        if key == "reduction" and value not in REDUCTIONS:
            return f"reduction {value!r:.40}"
        if key in IGNORED or key in OPTIONS:
            continue
        if key not in DEFAULTS or value != DEFAULTS[key]:
            return f"{key!r:.40} {value!r:.40}"
    return ""


def _config(kind: str, settings: Mapping[str, Any]) -> LossConfig | str:
    known = {key: value for key, value in settings.items() if key in OPTIONS}
    if kind in CROSSENTROPIES:
        known.setdefault("from_logits", False)
    if kind == "binary_focal_crossentropy":  # without class balancing it has no meaning
        known.pop("alpha", None)
    if known.get("label_smoothing") == 0:
        del known["label_smoothing"]
    try:
        return LossConfig.model_validate({"type": kind, **known}, strict=False)
    except ValidationError:
        return f"the file was compiled with {kind} and settings that it does not have"
