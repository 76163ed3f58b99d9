"""The layers of a model: how they are found and named, and its inputs and outputs.

Keras 3 allows any layer name without a slash. Keras 2 makes a TensorFlow scope of it, which allows
few characters. So the counterpart of such a layer in Keras 2 has an escaped name, which can be
decoded; users only see and write the name itself.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.result.specs import TensorSpec

# Names of scopes. (TensorFlow allows a backslash there, but not in what is inside; and after each >
# what a name may begin with.)
SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./-]*(>[A-Za-z0-9.][A-Za-z0-9_./-]*)*")
# The prefix of an escaped name.
SPELT = "spelt>."
CODE = re.compile(r">([0-9a-f]+)\.")


def every_layer(model: Any) -> Iterator[Any]:
    """A model or layer of Keras 2 or 3, and every layer inside it, at any depth."""
    # There is no public API for it: submodules fails for recurrent dropout.
    yield from model._flatten_layers()  # noqa: SLF001 - as above


def graph_of(model: Any) -> Any:
    """The functional model; Keras 3 wraps that of a Sequential."""
    return getattr(model, "_functional", None) or model


def layers_of(model: tf_keras.Model) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Every layer that is not a model, also in nested models, each once, in the model's order.

    Yields:
        The layer's path, and the layer. The path is its name; in a nested model ``branch/dense``,
        since two nested models may hold layers of one name.
    """
    seen: set[int] = set()

    def walk(inner: tf_keras.Model, prefix: str) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
        for layer in inner.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if isinstance(layer, tf_keras.Model):
                yield from walk(layer, f"{prefix}{layer.name}/")
            else:
                yield f"{prefix}{layer.name}", layer

    yield from walk(model, "")


def scope_name(name: str) -> str:
    """A layer's name as TensorFlow allows it: most are unchanged."""
    if SCOPE.fullmatch(name):
        return name
    return SPELT + re.sub(r"[^A-Za-z0-9_.-]", lambda found: f">{ord(found[0]):x}.", name)


def users_name(path: str) -> str:
    """The name of a layer, or of its path (``branch/dense``), as the user gave it."""
    return "/".join(
        CODE.sub(lambda found: chr(int(found[1], 16)), part.removeprefix(SPELT))
        if part.startswith(SPELT)
        else part
        for part in path.split("/")
    )


def take_scope_names(model: Any) -> None:
    """Rename the layers of a Keras 3 model to names that Keras 2 allows.

    With TensorFlow, Keras 3 can't compute graphs under other names either. Inputs keep theirs,
    which are not scopes.
    """
    _rename(model, scope_name)


@contextlib.contextmanager
def in_users_names(model: Any) -> Iterator[None]:
    """Give the layers of a Keras 3 model the user's names while it is saved."""
    _rename(model, users_name)
    try:
        yield
    finally:
        take_scope_names(model)


def _rename(model: Any, new_name: Callable[[str], str]) -> None:
    for layer in list(every_layer(model)):
        if type(layer).__name__ != "InputLayer":
            layer.name = new_name(layer.name)


def scales_inputs(model: tf_keras.Model) -> bool:
    """Whether a layer of the model scales its inputs, so that the data need not be scaled."""
    return any(type(it).__name__ in ("Rescaling", "Normalization") for _, it in layers_of(model))


def signature(model: tf_keras.Model, where: str) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """The model's inputs and its outputs, each in the model's order.

    Outputs in a dict are named by its keys, others by their layers.

    Raises:
        InputError: If they are not supported: nested lists or dicts, strings, ragged tensors, a
            fixed batch size.
    """
    specs: list[TensorSpec] = []
    count = len(model.inputs)
    names = [*model.input_names, *_output_names(model, where)]
    for name, tensor in zip(names, [*model.inputs, *model.outputs], strict=True):
        kind = tensor.type_spec
        is_flag = len(specs) < count and kind.dtype.is_bool  # an input that is a mask
        if not isinstance(kind, tf.TensorSpec) or not (
            kind.dtype.is_floating or kind.dtype.is_integer or is_flag
        ):
            raise InputError(
                f"{name} is a {type(kind).__name__} of {kind.dtype.name}; numbers in plain tensors "
                "are supported.",
                where=where,
                hint="Do the preprocessing of texts and ragged data outside the model.",
            )
        if tensor.shape[0] is not None:
            raise InputError(
                f"{name} has the fixed batch size {tensor.shape[0]}, which an operator inside the "
                "model sets, whatever the inputs have.",
                where=where,
                hint="Build the model without a batch size: -1 instead of the number in a reshape.",
            )
        specs.append(TensorSpec(name, tuple(tensor.shape[1:]), kind.dtype.name))
    return specs[:count], specs[count:]


def _output_names(model: tf_keras.Model, where: str) -> list[str]:
    """In the order of ``tf.nest.flatten``, which sorts a dict by its keys."""
    output = model.output
    if not tf.nest.is_nested(output):
        return [users_name(name) for name in model.output_names]
    is_dict = isinstance(output, Mapping)
    if any(tf.nest.is_nested(it) for it in (output.values() if is_dict else output)):
        raise InputError(
            "The model's outputs are nested lists or dicts; a tensor, or one list or dict of "
            "tensors is supported.",
            where=where,
            hint="Make a model whose outputs are one list or one dict.",
        )
    return sorted(output) if is_dict else [users_name(name) for name in model.output_names]
