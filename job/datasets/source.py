"""What a reader of a type of data sets is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.errors import InputError
from job.manifest.data_fields import SplitConfig, TrainSplitConfig
from job.manifest.datasets import ArraysConfig
from job.result.specs import TensorSpec
from job.rows.lazy import Array, Rows, whole
from job.rows.store import Store
from job.rows.validation import refuse_unknown
from job.text import first_names, matches


@dataclass(frozen=True)
class Source:
    """The files of a data set, and the model that it is for."""

    files: Mapping[str, Path]
    """By their names below the data set's folder (with slashes), sorted."""
    inputs: Sequence[TensorSpec]
    """The model's inputs, in its order."""
    outputs: Sequence[TensorSpec]
    """The model's outputs, in its order."""
    store: Store
    """Where decoded rows are put."""
    threads: int = 1
    """How many may decode at once."""

    @property
    def place(self) -> str:
        """What errors of all files name."""
        first, more = next(iter(self.files.values())), len(self.files) - 1
        return f"{first} and {more:,} more" if more else str(first)


@dataclass(frozen=True)
class SplitRows:
    """The rows of a split, before they are preprocessed."""

    inputs: tuple[Rows, ...]
    """In the model's order, each (rows, ...)."""
    targets: tuple[Array, ...]
    """In the order of the model's outputs; empty where there are no labels."""
    weights: tuple[Array | None, ...] = ()
    """Of each output, (rows,); empty where none has any."""


@dataclass(frozen=True)
class Opened:
    """A data set whose rows were all seen once: what can't be decoded was refused."""

    train: SplitRows
    test: SplitRows | None
    """None where the manifest names none."""
    validation: SplitRows | None = None
    decisions: tuple[str, ...] = ()
    """What was decided, for the result: the classes that were found, what was left out."""
    warnings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    """In the order of their indices; empty where labels are not names."""

    @classmethod
    def of(
        cls,
        splits: Mapping[str, SplitRows],
        decisions: Iterable[str] = (),
        warnings: Iterable[str] = (),
        class_names: tuple[str, ...] = (),
    ) -> Opened:
        """Of the splits by their names in the manifest."""
        return cls(
            splits["train"],
            splits.get("test"),
            splits.get("validation"),
            tuple(decisions),
            tuple(warnings),
            class_names,
        )


@dataclass(frozen=True)
class ArraysOfSplit:
    """The names of a split's arrays."""

    which: str
    inputs: list[str]
    """In the model's order."""
    targets: list[str]
    """In the model's order; empty where there are none."""
    weights: list[str | None]
    """Of each output; empty where none has any."""

    @classmethod
    def of(cls, which: str, names: SplitConfig, source: Source) -> ArraysOfSplit:
        """As the manifest names them, in the model's order.

        Raises:
            InputError: Where they are not one for each of the model's inputs or outputs.
        """
        given = ordered(names.inputs, source.inputs, "input", f"dataset.{which}.inputs")
        wanted = []
        if names.targets is not None:
            wanted = ordered(names.targets, source.outputs, "output", f"dataset.{which}.targets")
        weights = names.weights if isinstance(names, TrainSplitConfig) else None
        return cls(which, given, wanted, weights_of(weights, source.outputs))

    @property
    def all(self) -> list[str]:
        """Every array."""
        weights = [name for name in self.weights if name is not None]
        return [*self.inputs, *self.targets, *weights]

    def rows(self, arrays: Mapping[str, Rows]) -> SplitRows:
        """The split. Targets and weights are read into memory; an array that is named twice stays
        one object, since rows are held out in place.
        """
        return SplitRows(
            tuple(arrays[name] for name in self.inputs),
            tuple(whole(arrays[name]) for name in self.targets),
            tuple(None if name is None else whole(arrays[name]) for name in self.weights),
        )

    def check_counts(self, counts: Mapping[str, int], where: str) -> None:
        """Refuse arrays of different numbers of rows.

        Args:
            counts: The rows of each array.
            where: What the error names.

        Raises:
            InputError: With each array's number.
        """
        if len(set(counts.values())) > 1:
            listed = first_names(f"{name} has {count:,}" for name, count in counts.items())
            raise InputError(
                f"The arrays of the {self.which} split differ in their rows: {listed}.",
                where=where,
                hint=f"Check dataset.{self.which} in the manifest.",
            )


def arrays_of_splits(source: Source, config: ArraysConfig) -> list[ArraysOfSplit]:
    """The arrays of each split that the manifest names; see ``ArraysOfSplit.of``."""
    return [ArraysOfSplit.of(which, names, source) for which, names in config.splits.items()]


def no_such_array(name: str, there: Iterable[str], where: str) -> InputError:
    """The error for an array that the manifest names and the data set does not have."""
    return InputError(
        f"The data set has no array {name!r}.",
        where=where,
        hint=f"It has: {first_names(there)}. Name one of these under dataset in the manifest.",
    )


def ordered(names: Any, specs: Sequence[TensorSpec], kind: str, where: str) -> list[Any]:
    """What the manifest names, in the order of the model's inputs or outputs.

    Args:
        names: One name, a list in the model's order, or a mapping from the model's names.
        specs: The model's inputs or outputs.
        kind: ``input`` or ``output``.
        where: The place in the manifest.

    Raises:
        InputError: Where they are not one for each.
    """
    wanted = [spec.name for spec in specs]
    if isinstance(names, dict):
        if sorted(names) != sorted(wanted):
            raise InputError(
                f"{where} names {', '.join(sorted(names))}; "
                f"the model's {kind}s are {', '.join(wanted)}.",
                where=where,
                hint=f"Name each {kind} of the model once.",
            )
        return [names[name] for name in wanted]
    listed = [names] if isinstance(names, str) else names
    if len(listed) != len(wanted):
        raise InputError(
            f"{where} names {len(listed)} arrays; the model has {len(wanted)} {kind}s: "
            f"{', '.join(wanted)}.",
            where=where,
            hint=f"Name one array for each {kind}, in this order, or map {kind} names to arrays.",
        )
    return list(listed)


def weights_of(
    given: str | Mapping[str, str] | None, outputs: Sequence[TensorSpec]
) -> list[str | None]:
    """The arrays of the rows' weights, by output; empty for a split without weights.

    Raises:
        InputError: Where the model has no such output.
    """
    if given is None:
        return []
    if isinstance(given, str):
        return [given for _ in outputs]
    refuse_unknown(given, outputs, "output", "dataset.train.weights")
    return [given.get(spec.name) for spec in outputs]


def shared(files: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Warnings of files that are in two splits."""
    warnings = []
    splits = list(files)
    for place, which in enumerate(splits):
        for other in splits[place + 1 :]:
            both = [name for name in files[which] if name in files[other]]
            if both:
                warnings.append(
                    f"The {which} and the {other} split have {len(both):,} files in common, "
                    f"{both[0]} first: name those of each in dataset.{which}.files and "
                    f"dataset.{other}.files."
                )
    return tuple(warnings)


def matching(source: Source, pattern: str | None, where: str) -> dict[str, Path]:
    """The files of a split, sorted by name.

    Args:
        source: All files.
        pattern: As in ``data_fields.py``; None for all.
        where: The place in the manifest.

    Raises:
        InputError: Where no file matches.
    """
    found = {name: source.files[name] for name in matches(source.files, pattern or "**/*")}
    if not found:
        raise InputError(
            f"No file of the data set matches {pattern}.",
            where=where,
            hint=f"There are: {first_names(source.files)}.",
        )
    return found
