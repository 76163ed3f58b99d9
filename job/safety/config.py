"""Validate a model's configuration before anything in it is deserialized: a model is a program.

``tf_keras.models.load_model`` runs code that a file holds (``Lambda`` layers) and imports modules
that a file names (the pattern of CVE-2025-1550). So the configuration is first read as data, and
every class and function anywhere in it must be a built-in one that holds no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from job.errors import InputError
from job.safety import allowed
from job.safety.archive import SAVE_AGAIN, corrupt
from job.safety.limits import MAX_CONFIG_BYTES

# Keras nests a layer's configuration some ten objects deep; nobody nests models a hundred deep.
MAX_DEPTH = 400
MAX_NAME = 1000
KNOWN = allowed.CLASS_NAMES | allowed.CARRY_CODE | {"function"}
BUILT_IN = (
    "Build the model of built-in layers with the functional API, copy the weights, and save it "
    'again. "trust" does not help: it allows code embedded in the model to run, and this code is '
    "not in it."
)
# They take or give text, whatever their configuration says. Others have the dtype of their inputs.
TEXT_LAYERS = ("TextVectorization", "StringLookup")


@dataclass(frozen=True)
class Danger:
    """Something in a model that could run code or read files when it is loaded."""

    what: str
    """A sentence."""
    layer: str
    """The path of its layer in the model: ``branch/crop``."""
    is_code: bool = False
    """Whether the code is in the file, so that trusting it is enough to load it."""
    to_do: str = ""
    """What to do about it, if known."""


def read_config(text: str, where: str) -> dict[str, Any]:
    """Parse a model's JSON configuration, without the compile settings, which are never loaded.

    Raises:
        InputError: If it is corrupt.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise InputError(
            f"The model's configuration has {len(text):,} characters.", where=where, hint=SAVE_AGAIN
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise corrupt(f"its configuration is no JSON ({error!s:.200})", where) from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise corrupt("its configuration names no model class", where)
    config.pop("compile_config", None)
    return config


def without_compile_configs(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Remove the compile settings of nested models: a custom loss or metric is not needed to run.

    Only for files that are loaded from the configuration returned here. (Keras itself reads an HDF5
    file, so all of its configuration is validated.) ``config`` is changed.

    Raises:
        InputError: If the configuration is nested too deeply.
    """
    for _, node in _objects(config, where):
        if isinstance(node.get("class_name"), str):
            node.pop("compile_config", None)
    return config


def find_dangers(config: dict[str, Any], where: str) -> list[Danger]:
    """The first danger of each layer in a model's configuration, in the file's order.

    Raises:
        InputError: If the configuration is nested too deeply, or a class name is not a name.
    """
    found: dict[str, Danger] = {}
    for place, node in _objects(config, where):
        layer = place.strip("/") or "(the model)"
        _refuse_quantized(node, layer, where)
        inside = [it for it in found if f"{layer}/".startswith(f"{it}/")]
        for what in _judge(node, where):
            if not inside:  # the code and the module of a Lambda were reported with it
                is_code = node.get("class_name") == "Lambda"
                to_do = BUILT_IN if _custom_class(node) else ""
                found.setdefault(layer, Danger(what, layer, is_code, to_do))
    return list(found.values())


def refuse_text(config: dict[str, Any], where: str) -> None:
    """Refuse a model with inputs of text, or a layer for text: nothing made here could run it.

    Raises:
        InputError: With the layer.
    """
    for _, node in _objects(config, where):
        kind, inner = node.get("class_name"), node.get("config")
        fields = inner if isinstance(inner, dict) else {}
        if isinstance(kind, str) and (kind in TEXT_LAYERS or fields.get("dtype") == "string"):
            name = " ".join(str(fields.get("name", kind)).split())[:100]
            raise InputError(
                f"The model takes or gives text: {name} ({kind}) is of strings. Pruning, .tflite "
                "files and .npz data sets are for numbers.",
                where=f"{where}, layer {name}",
                hint="Turn text into numbers before the model: save the part behind this layer, "
                "keras.Model(numbers, model.output), and give its inputs (token ids, say) as the "
                "data set.",
            )


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
    """Every object of the configuration, with the path of the layers around it."""
    pending: list[tuple[Any, str, int]] = [(config, "", 0)]
    while pending:
        node, place, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise InputError(
                "The model's configuration is nested too deeply.", where=where, hint=SAVE_AGAIN
            )
        if isinstance(node, dict):
            if "class_name" in node:
                place = f"{place}/{_name(node, where)}"
            yield place, node
            pending.extend((value, place, depth + 1) for value in reversed(node.values()))
        elif isinstance(node, list):
            pending.extend((value, place, depth + 1) for value in reversed(node))


def _name(node: dict[str, Any], where: str) -> str:
    """A layer's name in messages: on one line, whatever the file contains."""
    inner = node.get("config")
    named = inner.get("name") if isinstance(inner, dict) else None
    name = str(named or node.get("name") or node["class_name"])
    if len(name) > MAX_NAME:
        raise corrupt(f"a name has {len(name):,} characters", where)
    return " ".join(name.split())


def _judge(node: dict[str, Any], where: str) -> Iterator[str]:
    custom = _custom_class(node)
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
        raise corrupt(f"a class is named {name!r:.60}", where)
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


def _custom_class(node: dict[str, Any]) -> str:
    """A description of a custom class, whose code is not in the file; "" for other objects."""
    name, registered = node.get("class_name"), node.get("registered_name")
    if not isinstance(name, str) or name in KNOWN:
        return ""
    named = registered if isinstance(registered, str) and ">" in registered else name
    module = node.get("module")
    of = f" of the module {module!r:.80}" if isinstance(module, str) else ""
    return (
        f"The model holds the custom class {named!r:.80}{of}: it is not built into Keras, and its "
        "code is not in the file."
    )


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
