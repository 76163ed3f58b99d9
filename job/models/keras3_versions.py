"""Whether a Keras 3 model is what it was in the version of Keras that saved it.

The file has the model's configuration and not its code, so another version may compute something
else with it. The shapes in the file tell some of that; what is known besides is a rule here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from job.errors import InputError
from job.models.layers import every_layer, scope_name
from job.safety.judge import Judged

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Change:
    """How a layer behaved at inference in versions before ``first``."""

    layers: tuple[str, ...]
    first: tuple[int, int]
    before: str
    now: str
    applies: Callable[[Any], bool] = lambda _: True


CHANGES = (
    Change(
        ("RandomCrop",),
        (3, 7),
        "cut the middle out of each image at inference",
        "leaves images as they are: use a CenterCrop instead",
    ),
    Change(
        ("CategoryEncoding", "Discretization"),
        (3, 6),
        "gave a code for each value of a row, (1, n) for one",
        "gives one row of codes, (n)",
        lambda layer: layer.output_mode == "one_hot",
    ),
    Change(
        ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        (3, 13),
        "took output_padding=0 for no padding",
        "takes it for the default, which may be 1: leave it out, or use a Cropping layer",
        lambda layer: 0 in keras.tree.flatten(layer.output_padding),
    ),
)
# Keras recorded a wrong shape of these, while the values are the same since the change above.
WRONGLY_RECORDED = ("Discretization",)


def warnings(judged: Judged, model: keras.Model) -> tuple[str, ...]:
    """What may be different from the version that saved the file, though the shapes are equal."""
    saved = judged.keras_version
    numbers = tuple(int(it) for it in re.findall(r"\d+", saved)[:2])
    found = [
        f"{layer.name} ({type(layer).__name__}): Keras {saved}, which saved the model, "
        f"{change.before}, and Keras {keras.__version__} {change.now}."
        for layer in every_layer(model)
        for change in CHANGES
        if type(layer).__name__ in change.layers
        and numbers < change.first
        and change.applies(layer)
    ]
    return (*found, *_other_inputs(judged, model))


def refuse_other_shapes(judged: Judged, model: keras.Model) -> None:
    """Compare the shapes that a functional model's calls had when it was saved.

    Raises:
        InputError: If a layer's output has another shape in this version of Keras.
    """
    found = _shapes(model, "output_tensors")
    kinds = {layer.name: type(layer).__name__ for layer in every_layer(model)}
    for name, before in _recorded(judged.config):
        after = found.get(scope_name(name))
        if after and not any(_agree(before, it) for it in after):
            if kinds[scope_name(name)] in WRONGLY_RECORDED:
                return  # the shapes after it are wrong, too
            raise InputError(
                f"The output of {name} has the shape {_text(after[0])} in Keras "
                f"{keras.__version__}, and had {_text(before)} in Keras {judged.keras_version}, "
                "which saved the model: that layer, or one before it, computes something else.",
                where=judged.where,
                hint=f"Load it in Keras {judged.keras_version}, replace that layer (or set what "
                "its default was), and save it again.",
            )


def _other_inputs(judged: Judged, model: keras.Model) -> Iterator[str]:
    """Of Sequential models, the file has only the shape that each layer was built with. It is no
    proof: a layer may have been built elsewhere.
    """
    found = _shapes(model, "input_tensors")
    for config in _parts(judged.config):
        if config.get("class_name") != "Sequential":
            continue
        for layer in config["config"].get("layers", ()):
            name, built = layer["config"].get("name", ""), layer.get("build_config") or {}
            before, after = built.get("input_shape"), found.get(scope_name(name))
            if not after or not _is_shape(before) or any(_agree(before, it) for it in after):
                continue
            yield (
                f"{name} was built for inputs of the shape {_text(before)} in Keras "
                f"{judged.keras_version}, and gets {_text(after[0])} here: a layer before it may "
                f"compute something else in Keras {keras.__version__}."
            )


def _shapes(model: keras.Model, side: str) -> dict[str, list[Shape]]:
    """The shapes of the inputs or outputs of each layer's calls, by the layer's name."""
    found: dict[str, list[Shape]] = {}
    for layer in every_layer(model):
        for node in layer._inbound_nodes:  # noqa: SLF001 - no other way
            tensors = getattr(node, side)
            found.setdefault(layer.name, []).extend(tuple(it.shape) for it in tensors)
    return found


def _recorded(config: Any) -> Iterator[tuple[str, Shape]]:
    """The layer that a tensor comes from, and its shape, for each tensor in a configuration."""
    for part in _parts(config):
        settings = part.get("config")
        if part.get("class_name") != "__keras_tensor__" or not isinstance(settings, dict):
            continue
        history, shape = settings.get("keras_history"), settings.get("shape")
        if isinstance(history, list) and history and isinstance(shape, list) and _is_shape(shape):
            yield str(history[0]), tuple(shape)


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Every object of a configuration, at any depth."""
    if isinstance(config, dict):
        yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _parts(part)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(it is None or isinstance(it, int) for it in value)


def _agree(before: Any, after: Shape) -> bool:
    """Whether two shapes, but for the batch, can be the same; an open dimension is any."""
    if len(before) != len(after):
        return False
    return all(
        None in pair or pair[0] == pair[1] for pair in zip(before[1:], after[1:], strict=True)
    )


def _text(shape: Any) -> str:
    return f"({', '.join('any' if it is None else str(it) for it in shape[1:])})"
