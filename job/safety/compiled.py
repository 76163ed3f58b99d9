"""The losses that a model file was compiled with, and their weights, read as data.

Nothing is deserialized: names and numbers are matched with the manifest's losses. A custom loss, or
one with a setting that is not supported, gives the reason why it can't be used.
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

# Settings without effect; and other settings with Keras's defaults.
IGNORED = ("name", "fn", "dtype", "reduction")
DEFAULTS = {"axis": -1, "ignore_class": None, "apply_class_balancing": False}
REDUCTIONS = ("auto", "sum_over_batch_size", "none", None)


def losses(judged: Judged, outputs: Sequence[str]) -> dict[str, LossConfig | str]:
    """The losses that a file was compiled with, by output: each a loss, or why it can't be used.

    Outputs without a loss are left out. ``outputs`` are their names in the model's order.
    """
    by_output = _by_output(_settings(judged).get("loss"), outputs)
    return {name: _loss(given) for name, given in by_output.items() if given is not None}


def weights(judged: Judged, outputs: Sequence[str]) -> dict[str, float]:
    """The losses' weights that a validated file was compiled with, by output."""
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
            config = _parsed(judged.contents.read(CONFIG))
            found = config.get("compile_config") if isinstance(config, dict) else None
        case "saved_model":
            found = saved_model.training_config(judged.contents)
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
    """Settings given as one for every output, a list in their order, or a dict by their names."""
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
    """A setting that changes the loss and is not supported; "" if there is none."""
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
    if kind == "binary_focal_crossentropy":  # it has no effect without class balancing
        known.pop("alpha", None)
    if known.get("label_smoothing") == 0:
        del known["label_smoothing"]
    try:
        return LossConfig.model_validate({"type": kind, **known}, strict=False)
    except ValidationError:
        return f"the file was compiled with {kind} and settings that it does not have"
