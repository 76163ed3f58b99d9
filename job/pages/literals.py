"""Names and numbers of a result in source code: escaped, so that no name ends its literal."""

from __future__ import annotations

import keyword
import math
from collections.abc import Sequence

from job.result.artifact import TensorResult

MOST = 60


def _escaped(text: str) -> str:
    """Text with all that a reader can't see, and quotes and backslashes, as Python escapes."""
    shown = []
    for letter in text:
        if letter in '"\\':
            shown.append("\\" + letter)
        elif letter.isprintable():
            shown.append(letter)
        else:
            code = ord(letter)
            shown.append(f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}")
    return "".join(shown)


def quoted(text: str) -> str:
    """A Python string literal."""
    return f'"{_escaped(text)}"'


def remark(name: str) -> str:
    """A name in a comment of any language: one line, which ends neither a comment nor a docstring;
    a long one is cut.
    """
    cut = name if len(name) <= MOST else name[: MOST - 1] + "…"
    plain = _escaped(cut.replace('"', "'").replace("\\", "/"))
    return f'"{plain.replace("*/", "* /").replace("/*", "/ *")}"'


def is_argument(name: str) -> bool:
    """Whether Python takes the name before ``=`` in a call, as it is: it normalizes others than
    ASCII, and a method's first argument is ``self``.
    """
    known = keyword.iskeyword(name) or name == "self"
    return name.isascii() and name.isidentifier() and not known


def single(value: float) -> str:
    """A number as C++ and Kotlin write a 32-bit float."""
    return f"{float(value)!r}f"


def sizes(shape: Sequence[int | None], unknown: str = "any") -> str:
    """A shape as a reader has it: ``1 x 28 x 28``."""
    return " x ".join(unknown if size is None else str(size) for size in shape) or "one value"


def factor(tensor: TensorResult) -> float:
    """What values of the data set are multiplied by, where no ``preprocess`` says more."""
    if tensor.preprocess is not None or tensor.multiply_by is None:
        return 1.0
    return tensor.multiply_by


def limits(dtype: str) -> tuple[int, int]:
    """The least and the largest value of an integer dtype."""
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    if dtype.startswith("u"):
        return 0, (1 << bits) - 1
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def elements(shape: Sequence[int | None]) -> int:
    """The values of one call; an open dimension is 1."""
    return math.prod(size or 1 for size in shape)


def resized(tensor: TensorResult) -> list[str]:
    """The one step that the Python lines leave to the reader."""
    steps = tensor.preprocess
    if steps is None or steps.resize is None:
        return []
    how = remark(steps.interpolation or "bilinear")
    return [f"resized to {sizes(steps.resize)} ({how}, as tf.image.resize does)"]


def offset_by(whole: int) -> str:
    """A whole number, added to what is on the left."""
    return f" {'-' if whole < 0 else '+'} {abs(whole)}" if whole else ""
