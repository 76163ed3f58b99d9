"""Labels that are written as text: integers, numbers, or the names of classes."""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from job.datasets.source import Source
from job.datasets.text_lines import place
from job.errors import InputError
from job.rows.lazy import Array
from job.text import first_names

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def are_integers(labels: Iterable[str]) -> bool:
    """Whether each label is an integer of 64 bits."""
    return all(INTEGER.fullmatch(label) for label in labels)


def not_numbers(labels: Iterable[str]) -> list[str]:
    """The labels that are no decimal numbers."""
    return [label for label in labels if not NUMBER.fullmatch(label)]


def float32_of(labels: Sequence[str], place_of: Callable[[int], str]) -> Array:
    """Decimal numbers as float32, (rows,).

    Args:
        labels: The numbers.
        place_of: Where a label is, by its index.

    Raises:
        InputError: Where a number is too large.
    """
    values = np.asarray([float(label) for label in labels])
    is_large = np.abs(values) > np.finfo(np.float32).max
    if is_large.any():
        index = int(is_large.argmax())
        raise InputError(
            f"The label {labels[index]} is too large for float32.",
            where=place_of(index),
            hint="Scale the labels.",
        )
    return values.astype(np.float32)


class Labels:
    """The labels of one output in all splits.

    With class names, each label is one of them, and becomes its index. Without, they are integers
    (int64) if all are, numbers (float32) if all are, and else names, which become their index in
    sorted order (int64). White space around labels does not count.

    Args:
        class_names: In the order of their indices; None where the labels tell.

    Raises:
        InputError: Where a class is named twice.
    """

    def __init__(self, class_names: Sequence[str] | None) -> None:
        twice = [name for name, count in Counter(class_names).items() if count > 1]
        if twice:
            raise InputError(
                f"dataset.class_names has {twice[0]!r} twice.",
                where="dataset.class_names",
                hint="Name each class once, in the order of the model's outputs.",
            )
        self._given = class_names
        self._known = frozenset(class_names or ())
        self._codes: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self._seen: dict[str, tuple[int, Path, int]] = {}
        """Each label's code, and where it was first seen."""

    def count(self, split: str) -> int:
        """How many labels a split has."""
        return len(self._codes.get(split, ()))

    def append(self, split: str, label: str, path: Path, line: int) -> None:
        """Add a row's label.

        Raises:
            InputError: Where it is empty or no class.
        """
        label = label.strip()
        if label not in self._seen:
            if not label:
                raise InputError(
                    "The label is empty.",
                    where=place(path, line),
                    hint="Each text needs a label: give it one, or remove both.",
                )
            if self._given is not None and label not in self._known:
                raise InputError(
                    f"The label {label!r} is not one of dataset.class_names.",
                    where=place(path, line),
                    hint=f"They are: {first_names(self._given)}.",
                )
            self._seen[label] = (len(self._seen), path, line)
        self._codes[split].append(self._seen[label][0])

    def finish(self) -> tuple[dict[str, Array], tuple[str, ...]]:
        """The labels of each split, (rows,), and the classes, empty where labels are numbers.

        Raises:
            InputError: Where some labels are numbers and others are not.
        """
        names, values = self._values()
        return {split: values[np.asarray(codes)] for split, codes in self._codes.items()}, names

    def only_outside(self, split: str) -> list[str]:
        """The labels that a split does not have, sorted."""
        here = set(self._codes.get(split, ()))
        return sorted(label for label, (code, *_) in self._seen.items() if code not in here)

    def check_classes(self, most: int, names: Sequence[str]) -> None:
        """Refuse more classes than the model has, where the labels tell what classes there are.

        Args:
            most: The model's classes.
            names: Those that were found.

        Raises:
            InputError: With the rarest label, and the line where it is first.
        """
        if self._given is not None or len(names) <= most:
            return
        counts = Counter(code for codes in self._codes.values() for code in codes)
        rarest = min(names, key=lambda name: (counts[self._seen[name][0]], name))
        raise InputError(
            f"The labels are {len(names):,} classes, and the model has {most:,}: "
            f"{first_names(names)}. The rarest is {rarest!r}.",
            where=self._place(rarest),
            hint="Correct the label if it is misspelt, or list the model's classes in "
            "dataset.class_names.",
        )

    def _values(self) -> tuple[tuple[str, ...], Array]:
        """The classes, and the value of each code."""
        labels = list(self._seen)
        if self._given is None:
            if are_integers(labels):
                return (), np.asarray([int(label) for label in labels], np.int64)
            others = not_numbers(labels)
            if not others:
                return (), float32_of(labels, lambda index: self._place(labels[index]))
            if len(others) < len(labels):
                raise InputError(
                    f"The label {others[0]!r} is no number, and others are.",
                    where=self._place(others[0]),
                    hint="Correct it, or list all labels in dataset.class_names if they are names.",
                )
        names = tuple(sorted(labels) if self._given is None else self._given)
        indices = {name: index for index, name in enumerate(names)}
        return names, np.asarray([indices[label] for label in labels], np.int64)

    def _place(self, label: str) -> str:
        """Where a label was first seen."""
        _, path, line = self._seen[label]
        return place(path, line)


@dataclass
class Targets:
    """The labels of all outputs."""

    values: list[dict[str, Array]]
    """Of each output: by split, (rows,)."""
    classes: tuple[str, ...] = ()
    """Of the first output whose labels are names."""
    decisions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, labels: Sequence[Labels], source: Source) -> Targets:
        """What the labels turned out to be.

        Raises:
            InputError: Where some labels are numbers and others are not, or there are more names
                than the model, of one output, has classes.
        """
        targets = cls([])
        for spec, of_output in zip(source.outputs, labels, strict=True):
            values, names = of_output.finish()
            classes = spec.shape[-1] if spec.shape and len(source.outputs) == 1 else None
            if classes is not None and classes > 1:
                of_output.check_classes(classes, names)
            targets.values.append(values)
            if not values:
                continue
            targets.classes = targets.classes or names
            what = (
                f"{len(names)} classes: {first_names(names)}"
                if names
                else f"{_dtype(values)} numbers"
            )
            targets.decisions += (f"The labels of {spec.name} are {what}.",)
            elsewhere = of_output.only_outside("train") if names and "train" in values else []
            if elsewhere:
                targets.warnings += (
                    f"No training row of {spec.name} has the label {first_names(elsewhere)}.",
                )
        return targets

    def of_split(self, which: str) -> tuple[Array, ...]:
        """Of each output; empty where the split has no labels."""
        return tuple(values[which] for values in self.values if which in values)


def _dtype(values: Mapping[str, Array]) -> np.dtype[Any]:
    return next(iter(values.values())).dtype
