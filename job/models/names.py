"""Names of Keras 3 layers that Keras 2 can't give: with spaces, letters that are not ASCII, signs.

Keras 3 takes any name without a slash. Keras 2 makes a TensorFlow scope of it, which takes few
characters. So the twin of such a layer is called by its name in another spelling, which can be read
back; what a user sees and writes is the name itself.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

# What a scope can be called. (TensorFlow takes a backslash there, but not in what is inside.)
SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]*")
# How a name in the other spelling begins.
SPELT = "spelt>"
CODE = re.compile(">([0-9a-f]+)>")


def scope_name(name: str) -> str:
    """A layer's name as TensorFlow can take it: most are what they are."""
    if SCOPE.fullmatch(name):
        return name
    return SPELT + re.sub(r"[^A-Za-z0-9_.-]", lambda it: f">{ord(it[0]):x}>", name)


def users_name(path: str) -> str:
    """The name of a layer, or of its path (``branch/dense``), as the user gave it."""
    return "/".join(
        CODE.sub(lambda it: chr(int(it[1], 16)), part.removeprefix(SPELT))
        if part.startswith(SPELT)
        else part
        for part in path.split("/")
    )


def take_scope_names(model: Any) -> None:
    """Call the layers of a Keras 3 model as Keras 2 can call them.

    With TensorFlow, Keras 3 can't compute graphs under other names either. Inputs keep theirs,
    which are no scopes.
    """
    for layer in _layers(model):
        layer.name = scope_name(layer.name)


@contextlib.contextmanager
def in_users_names(model: Any) -> Iterator[None]:
    """Let the layers of a Keras 3 model have the user's names while it is saved."""
    for layer in _layers(model):
        layer.name = users_name(layer.name)
    try:
        yield
    finally:
        take_scope_names(model)


def _layers(model: Any) -> list[Any]:
    layers = [model, *model._flatten_layers(include_self=False)]  # noqa: SLF001 - public API has no walk
    return [it for it in layers if type(it).__name__ != "InputLayer"]
