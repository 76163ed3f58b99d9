"""Which columns of a table are which array of the data set."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from job.datasets.source import Source, ordered, weights_of
from job.errors import InputError
from job.manifest.data_fields import TableSplitConfig
from job.text import first_names

ANY = "*"


@dataclass(frozen=True)
class Slot:
    """An array of a split, and the columns it is made of."""

    role: str
    """``inputs``, ``targets`` or ``weights``."""
    index: int
    """Of the model's input or output."""
    where: str
    """The place in the manifest."""
    given: tuple[str, ...]
    """As the manifest names them."""
    is_stack: bool
    """Whether columns are stacked along a last axis, even if it is a single one."""
    columns: tuple[str, ...] = ()
    """Their names in the file."""

    @property
    def key(self) -> tuple[str, int]:
        """The same in each split."""
        return self.role, self.index

    @property
    def has_pattern(self) -> bool:
        """Whether the columns depend on the file."""
        return any(ANY in name for name in self.given)


def slots_of(which: str, config: TableSplitConfig, source: Source) -> list[Slot]:
    """The arrays that the manifest names for a split; their columns are not known yet.

    Raises:
        InputError: Where they are not those of the model.
    """
    found = []
    asked = (("inputs", config.inputs, source.inputs), ("targets", config.targets, source.outputs))
    for role, names, specs in asked:
        if names is None:
            continue
        where = f"dataset.{which}.{role}"
        if not isinstance(names, dict) and len(specs) > 1:
            wanted = ", ".join(spec.name for spec in specs)
            raise InputError(
                f"{where} names the columns of one array; the model has {len(specs)} {role}: "
                f"{wanted}.",
                where=where,
                hint=f"Map these names to columns: {{{specs[0].name!r}: [...], ...}}.",
            )
        kind = "input" if role == "inputs" else "output"
        one_each: Any = names if isinstance(names, dict) else [names]
        for index, given in enumerate(ordered(one_each, specs, kind, where)):
            single = isinstance(given, str)
            listed = (given,) if single else tuple(given)
            is_stack = not single or (ANY in given)
            found.append(Slot(role, index, where, listed, is_stack))
    for index, name in enumerate(weights_of(config.weights, source.outputs)):
        if name is not None:
            where = f"dataset.{which}.weights"
            found.append(Slot("weights", index, where, (name,), is_stack=False, columns=(name,)))
    return found


def resolved(slots: Sequence[Slot], names: Sequence[str], place: str, more: str) -> list[Slot]:
    """The slots with the columns that a file has for them, in the file's order for a pattern.

    A pattern takes no column that the split names by its whole name, and one of inputs none that is
    a target.

    Args:
        slots: Those of a split.
        names: The columns of the file.
        place: The file, for messages.
        more: What else may be wrong where a column is missing.

    Raises:
        InputError: Where a column is missing, or is there or named twice.
    """
    literal = {name for slot in slots for name in slot.given if name in names or ANY not in name}
    for slot in slots:
        for name in slot.given:
            if name in literal and name not in names:
                raise _no_column(name, slot, names, place, more)
    targets: set[str] = set()
    found: dict[tuple[str, int], Slot] = {}
    for slot in sorted(slots, key=lambda slot: slot.role == "inputs"):
        columns: list[str] = []
        for given in slot.given:
            if given in literal:
                columns.append(given)
                continue
            expression = _expression(given)
            matching = [it for it in names if it not in literal | targets and expression.match(it)]
            if not matching:
                raise _no_column(given, slot, names, place, more)
            columns += matching
        _check_once(columns, slot, names, place)
        targets.update(columns if slot.role != "inputs" else ())
        found[slot.key] = replace(slot, columns=tuple(columns))
    return [found[slot.key] for slot in slots]


def aligned(slots: Sequence[Slot], first: Sequence[Slot], place: str) -> list[Slot]:
    """The slots of a further file or split, with a pattern's columns in the order of the first.

    Raises:
        InputError: Where the same pattern has other columns there.
    """
    before = {slot.key: slot for slot in first}
    found = []
    for slot in slots:
        model = before.get(slot.key)
        if model is None or not slot.has_pattern or slot.given != model.given:
            found.append(slot)
            continue
        odd = sorted(set(slot.columns) ^ set(model.columns))
        if odd:
            here = [name for name in odd if name in slot.columns]
            raise InputError(
                f"{', '.join(slot.given)} matches other columns here than before: "
                f"{'additional' if here else 'missing'} {first_names(here or odd)}.",
                where=place,
                hint=f"Give all files the same columns, or name them in {slot.where}.",
            )
        found.append(replace(slot, columns=model.columns))
    return found


def decisions_of(slots: Iterable[Slot], names: Sequence[str]) -> list[str]:
    """What patterns were taken to mean, as messages."""
    slots = list(slots)
    taken = {name for slot in slots for name in slot.columns}
    found = []
    for slot in slots:
        if not slot.has_pattern:
            continue
        expressions = [_expression(given) for given in slot.given if ANY in given]
        others = [
            name
            for name in names
            if name in taken - set(slot.columns) and any(it.match(name) for it in expressions)
        ]
        without = f", without {first_names(others)}, used elsewhere" if others else ""
        found.append(
            f"{slot.where}: {', '.join(slot.given)} is {len(slot.columns):,} columns, "
            f"{slot.columns[0]} to {slot.columns[-1]}{without}"
        )
    return found


def _check_once(columns: Sequence[str], slot: Slot, names: Sequence[str], place: str) -> None:
    there, used = Counter(names), Counter(columns)
    for name in columns:
        if there[name] > 1:
            raise InputError(
                f"The file has {there[name]} columns {name!r}.",
                where=place,
                hint="Give each column a name of its own.",
            )
        if used[name] > 1:
            raise InputError(
                f"{slot.where} names the column {name!r} twice.",
                where=slot.where,
                hint="Name each column once.",
            )


def _expression(pattern: str) -> re.Pattern[str]:
    """``*`` is any characters; all others are themselves."""
    plain = pattern.replace("[", "[[]").replace("?", "[?]")
    return re.compile(fnmatch.translate(plain))


def _no_column(name: str, slot: Slot, names: Sequence[str], place: str, more: str) -> InputError:
    return InputError(
        f"The file has no column {name!r}{' that is not used elsewhere' if ANY in name else ''}.",
        where=place,
        hint=f"It has: {first_names(map(repr, names))}. Name one of these in {slot.where}.{more}",
    )
