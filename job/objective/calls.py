"""One call of a layer in a model's graph, as the rules about its values see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from job.objective.ranges import UNKNOWN, Shape, Values


def is_symbolic(value: object) -> bool:
    """Whether a value is a tensor of a model's graph, and no constant."""
    return hasattr(value, "_keras_history")


@dataclass(frozen=True)
class Call:
    """A call of a layer; shapes and axes are counted with the batch's."""

    layer: Any
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: Any
    """One of the tensors that it answers with."""
    index: int
    """Which one."""
    of: Callable[[Any], Values]
    """What is known of a tensor of the graph."""

    @property
    def tensors(self) -> list[Any]:
        """The tensors of the graph that it is given, in order."""
        given = tf.nest.flatten([self.arguments, dict(self.keywords)])
        return [it for it in given if is_symbolic(it)]

    @property
    def given(self) -> list[Values]:
        """What is known of them."""
        return [self.of(it) for it in self.tensors]

    @property
    def first(self) -> Values:
        """What is known of the first one."""
        tensors = self.tensors
        return self.of(tensors[0]) if tensors else UNKNOWN

    @property
    def before(self) -> Shape:
        """The shape of the first one."""
        return tuple(self.tensors[0].shape)

    @property
    def after(self) -> Shape:
        """The shape of the output."""
        return tuple(self.output.shape)

    @property
    def last(self) -> int:
        """The last axis of the output."""
        return len(self.after) - 1

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """A constant or a tensor that the call is given by its place or its name."""
        if name in self.keywords:
            return self.keywords[name]
        return self.arguments[position] if position < len(self.arguments) else default

    def axis(self, position: int = 1, name: str = "axis", default: int = -1) -> int | None:
        """An argument that is an axis of the first tensor; None where it is no single one."""
        found = self.argument(position, name, default)
        found = default if found is None else found
        if isinstance(found, list | tuple) and len(found) == 1:
            found = found[0]
        if not isinstance(found, int):
            return None
        return found % max(1, len(self.before))
