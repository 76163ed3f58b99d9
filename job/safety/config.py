"""Judge a model's configuration before anything of it is deserialized: a model is a program.

``tf_keras.models.load_model`` runs code that a file carries (``Lambda`` layers) and imports what
a file names (the pattern of CVE-2025-1550). So the configuration is read as data first, and every
class and function in it, wherever it stands, must be a built-in one that carries no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from job.errors import InputError
from job.safety import allowed
from job.safety.custom import advice_of, describe
from job.safety.limits import MAX_CONFIG_BYTES

# Keras nests a layer's configuration some ten objects deep; nobody nests models a hundred deep.
MAX_DEPTH = 400
MAX_NAME = 1000
HINT = "Load the model where it was trained, and save it again."


@dataclass(frozen=True)
class Danger:
    """Something in a model that could run code or read files when it is loaded."""

    what: str
    """A sentence."""
    layer: str
    """The layer that it is in, with the models around it: ``branch/crop``."""
    is_code: bool = False
    """Whether the code is in the file, so that trusting it is enough to load it."""
    to_do: str = ""
    """What to do about it, where that is known."""


def read_config(text: str, where: str) -> dict[str, Any]:
    """Parse a model's configuration; it is data, and nothing of it is carried out.

    Args:
        text: JSON, as Keras wrote it.
        where: The file, for messages.

    Returns:
        The configuration, without how the model was compiled: that is never loaded.

    Raises:
        InputError: Where it is corrupt.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise InputError(
            f"The model's configuration has {len(text):,} characters.", where=where, hint=HINT
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The model file is corrupt: its configuration is no JSON ({error!s:.200}).",
            where=where,
            hint=HINT,
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise InputError(
            "The model file is corrupt: its configuration names no model class.",
            where=where,
            hint=HINT,
        )
    config.pop("compile_config", None)
    return config


def without_compile_configs(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Set aside how the models inside a model were compiled: a custom loss or metric is not needed
    to run them.

    Only for files that are loaded from the configuration returned here. (An HDF5 file is read by
    Keras itself, and so is judged with all that is in it.)

    Args:
        config: What ``read_config`` gave; it is changed.
        where: The file, for messages.

    Raises:
        InputError: Where the configuration is nested beyond reason.
    """
    for _, node in _objects(config, where):
        if isinstance(node.get("class_name"), str):
            node.pop("compile_config", None)
    return config


def find_dangers(config: dict[str, Any], where: str) -> list[Danger]:
    """Everything in a model's configuration that could run code or read files when it is loaded.

    Args:
        config: What ``read_config`` gave.
        where: The file, for messages.

    Returns:
        The first of each layer, in the file's order.

    Raises:
        InputError: Where the configuration is nested beyond reason, or its classes are no names.
    """
    found: dict[str, Danger] = {}
    for place, node in _objects(config, where):
        layer = place.strip("/") or "(the model)"
        _refuse_quantized(node, layer, where)
        inside = [it for it in found if f"{layer}/".startswith(f"{it}/")]
        for what in _judge(node, where):
            if not inside:  # of a Lambda its code and its module are no news
                is_code = node.get("class_name") == "Lambda"
                found.setdefault(layer, Danger(what, layer, is_code, advice_of(node)))
    return list(found.values())


def _refuse_quantized(node: dict[str, Any], layer: str, where: str) -> None:
    name = node.get("class_name")
    if isinstance(name, str) and name in allowed.QUANTIZED:
        raise InputError(
            f"The layer {layer.rpartition('/')[0]} is quantized ({layer.rpartition('/')[2]}): such "
            "weights can't be trained.",
            where=where,
            hint="Give the float model; paredown quantizes it.",
        )


def _objects(config: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the configuration, with the names of the layers around it."""
    pending: list[tuple[Any, str, int]] = [(config, "", 0)]
    while pending:
        node, place, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise InputError(
                "The model's configuration is nested too deeply.", where=where, hint=HINT
            )
        if isinstance(node, dict):
            if "class_name" in node:
                place = f"{place}/{_name(node, where)}"
            yield place, node
            pending.extend((value, place, depth + 1) for value in reversed(node.values()))
        elif isinstance(node, list):
            pending.extend((value, place, depth + 1) for value in reversed(node))


def _name(node: dict[str, Any], where: str) -> str:
    """What a layer is called in messages: on one line, whatever its file calls it."""
    inner = node.get("config")
    named = inner.get("name") if isinstance(inner, dict) else None
    name = str(named or node.get("name") or node["class_name"])
    if len(name) > MAX_NAME:
        raise InputError(
            f"The model file is corrupt: a name has {len(name):,} characters.",
            where=where,
            hint=HINT,
        )
    return " ".join(name.split())


def _judge(node: dict[str, Any], where: str) -> Iterator[str]:
    custom = describe(node)
    if custom:
        yield custom
    for key in ("module", "fn_module", "module_name"):
        module = node.get(key)
        if module is not None and not _is_keras(module):
            yield f"The model names code of the module {module!r:.80}, which is not Keras's."
    if "class_name" not in node:
        return
    name, registered = node["class_name"], node.get("registered_name")
    if not isinstance(name, str):
        raise InputError(
            f"The model file is corrupt: a class is named {name!r:.60}.", where=where, hint=HINT
        )
    # Keras looks for the registered name in the module, too.
    if registered not in (None, name) and (name, registered) != ("function", node.get("config")):
        yield f"The model names the class {name!r:.80}, and means {registered!r:.80}."
    if str(node.get("module")).startswith("keras.src.ops.") and name not in allowed.CLASS_NAMES:
        raise InputError(
            f"The model calls keras.ops.{name:.60}, which is not known here.",
            where=f"{where}, layer {_name(node, where)}",
            hint="Replace it with a layer. Operations that call functions can't be carried over.",
        )
    yield from _judge_class(name, node.get("config"))


def _is_keras(module: object) -> bool:
    return isinstance(module, str) and allowed.MODULES.fullmatch(module) is not None


def _judge_class(name: str, config: object) -> Iterator[str]:
    fields = config if isinstance(config, dict) else {}
    if name in allowed.CARRY_CODE:
        yield f"The model holds a {name} layer, which is code that would run here."
    elif name in allowed.CALL_FUNCTIONS:
        function = fields.get("function")
        if not isinstance(function, str) or function not in allowed.HARMLESS_FUNCTIONS:
            yield f"The model calls the function {function!r:.80}, not known to be harmless."
    elif name == "function":
        if not isinstance(config, str) or config not in allowed.FUNCTION_NAMES:
            yield f"The model names the function {config!r:.80}, which is not built into Keras."
    elif name not in allowed.CLASS_NAMES:
        yield f"The model holds the class {name!r:.80}, which is not built into Keras."
    if name in allowed.READ_FILES:
        yield from _judge_text_layer(name, fields)


def _judge_text_layer(name: str, fields: dict[str, Any]) -> Iterator[str]:
    vocabulary = fields.get("vocabulary")
    if isinstance(vocabulary, str):
        yield f"The model's {name} layer reads its vocabulary from the file {vocabulary!r:.80}."
    for step in ("standardize", "split"):
        if isinstance(fields.get(step), dict):
            yield f"The model's {name} layer calls a function of the file's to {step} texts."
