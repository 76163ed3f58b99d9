"""Judge a model's configuration before anything of it is deserialized: a model is a program.

``tf_keras.models.load_model`` runs code that a file carries (``Lambda`` layers) and imports what
a file names (the pattern of CVE-2025-1550). So the configuration is read as data first, and every
class and function in it, wherever it stands, must be a built-in one that carries no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from job.errors import InputError
from job.models import allowed

# Keras nests a layer's configuration some ten objects deep; nobody nests models a hundred deep.
MAX_DEPTH = 400
HINT = "Rebuild the model of built-in layers and functions; other code is not loaded."


def read_config(text: str, where: str) -> dict[str, Any]:
    """Parse and judge a model's configuration.

    Args:
        text: JSON, as Keras wrote it.
        where: The file, for messages.

    Returns:
        The configuration.

    Raises:
        InputError: Where it is corrupt, or names what could run code or read files.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The model file is corrupt: its configuration is no JSON ({error}).", where=where
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise InputError(
            "The model file is corrupt: its configuration names no model class.", where=where
        )
    for place, node in _objects(config, "", where):
        _judge(node, f"{where}, layer {place.strip('/') or '(the model)'}")
    return config


def _objects(
    config: dict[str, Any], place: str, where: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the configuration, with the names of the layers around it."""
    pending: list[tuple[Any, str, int]] = [(config, place, 0)]
    while pending:
        node, place, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise InputError("The model's configuration is nested too deeply.", where=where)
        if isinstance(node, dict):
            if "class_name" in node:
                inner = node.get("config")
                named = inner.get("name") if isinstance(inner, dict) else None
                place = f"{place}/{named or node.get('name') or node['class_name']}"
            yield place, node
            pending.extend((value, place, depth + 1) for value in node.values())
        elif isinstance(node, list):
            pending.extend((value, place, depth + 1) for value in node)


def _judge(node: dict[str, Any], where: str) -> None:
    for key in ("module", "fn_module", "function_type", "module_name"):
        if node.get(key) is not None:
            _judge_module(node[key], where)
    if "class_name" in node:
        _judge_class(node, where)


def _judge_module(module: object, where: str) -> None:
    if not isinstance(module, str) or module.split(".")[0] not in allowed.MODULES:
        raise InputError(
            f"The model names code of the module {module!r}, which is not Keras's.",
            where=where,
            hint=HINT,
        )


def _judge_class(node: dict[str, Any], where: str) -> None:
    name, config = node["class_name"], node.get("config")
    if not isinstance(name, str):
        raise InputError(
            f"The model file is corrupt: a class is named {name!r:.60}.", where=where, hint=HINT
        )
    if name in allowed.CARRY_CODE:
        raise InputError(
            f"The model holds a {name} layer, which is code that would run here.",
            where=where,
            hint="Replace it with a built-in layer (Rescaling, Reshape, ...) and save it again.",
        )
    if name in allowed.CALL_FUNCTIONS:
        _judge_function(config, where)
    elif name == "function":
        if not isinstance(config, str) or config not in allowed.function_names():
            raise InputError(
                f"The model names the unknown function {config!r:.60}.", where=where, hint=HINT
            )
    elif name not in allowed.class_names():
        raise InputError(
            f"The model holds the class {name!r}, which is not built into Keras.",
            where=where,
            hint=HINT,
        )
    if name in allowed.READ_FILES and isinstance(config, dict):
        vocabulary = config.get("vocabulary")
        if isinstance(vocabulary, str):
            raise InputError(
                f"The {name} layer reads its vocabulary from a file of its own ({vocabulary}).",
                where=where,
                hint="Save the model with the vocabulary in it.",
            )


def _judge_function(config: object, where: str) -> None:
    function = config.get("function") if isinstance(config, dict) else None
    if not isinstance(function, str) or function not in allowed.HARMLESS_FUNCTIONS:
        raise InputError(
            f"The model calls the function {function!r}, which is not known to be harmless.",
            where=where,
            hint="Replace the call with a built-in layer, and save the model again.",
        )
