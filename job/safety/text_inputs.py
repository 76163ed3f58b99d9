"""Models that take text: nothing of what is made here could run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from job.errors import InputError

# They take or give text, whatever their configuration says. Others take what their inputs are.
TEXT_LAYERS = ("TextVectorization", "StringLookup")
STRING = "string"


def refuse_text(config: dict[str, Any], where: str) -> None:
    """Refuse a model with inputs of text, or a layer that is made for text.

    Args:
        config: The model's configuration, as data.
        where: The file, for messages.

    Raises:
        InputError: With the layer.
    """
    found = next(_text(config), None)
    if found is None:
        return
    kind, name = found
    raise InputError(
        f"The model takes or gives text: {name} ({kind}) is of strings. Pruning, .tflite files and "
        ".npz data sets are for numbers.",
        where=f"{where}, layer {name}",
        hint="Turn text into numbers before the model: save the part behind this layer, "
        "keras.Model(numbers, model.output), and give its inputs (token ids, say) as the data set.",
    )


def _text(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Class and name of each layer of text, the first ones first."""
    pending: list[Any] = [config]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(reversed(node))
        if not isinstance(node, dict):
            continue
        kind, inner = node.get("class_name"), node.get("config")
        fields = inner if isinstance(inner, dict) else {}
        if isinstance(kind, str) and (kind in TEXT_LAYERS or fields.get("dtype") == STRING):
            yield kind, " ".join(str(fields.get("name", kind)).split())[:100]
        pending.extend(reversed(node.values()))
