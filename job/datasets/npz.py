"""NumPy archives -> a data set: the arrays of one file, or of several joined row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from job.datasets.data import Array, Dataset, Split
from job.datasets.npz_file import Header, opened
from job.errors import InputError
from job.manifest.datasets import NpzConfig, SplitConfig, TrainSplitConfig
from job.result import TensorSpec

Names = str | list[str] | dict[str, str]


def open_npz(
    paths: Sequence[Path], config: NpzConfig, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> Dataset:
    """Read the arrays that the manifest names, and join those of several files in their order.

    All headers are checked before any array is read. A joined array is made once and filled file
    by file, so that at most one array of one file is in memory beside the data; the arrays of a
    single file are not copied.

    Args:
        paths: The archives, at least one. All arrays of a split come from the same ones; an
            archive may have no array of a split.
        config: Which arrays are what.
        inputs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.

    Returns:
        The arrays, each (rows, ...), in this machine's byte order; booleans as uint8. Nothing is
        held out.

    Raises:
        InputError: Where an archive is corrupt, an array is missing or pickled, the arrays of a
            split differ in their rows, or an array's dtype or rows' shape differs between files.
    """
    train, test = (
        _Names.of(which, names, inputs, outputs)
        for which, names in (("train", config.train), ("test", config.test))
    )
    parts = {names.which: _parts(paths, names) for names in (train, test)}
    train_rows, test_rows = (
        _read(parts[names.which], names, inputs, config.scale) for names in (train, test)
    )
    if not len(train_rows) or not len(test_rows):
        raise InputError(
            "The data set has no rows to train or to test on.",
            where=_place(paths),
            hint="Give it rows.",
        )
    return Dataset(train=train_rows, validation=None, test=test_rows)


@dataclass(frozen=True)
class _Names:
    """The arrays of a split."""

    which: str
    inputs: list[str]
    """In the model's order."""
    targets: list[str]
    """In the model's order."""
    weights: list[str | None]
    """Of each output; empty where none has any."""

    @classmethod
    def of(
        cls, which: str, names: SplitConfig, inputs: list[TensorSpec], outputs: list[TensorSpec]
    ) -> _Names:
        given = _ordered(names.inputs, inputs, "input", f"dataset.{which}.inputs")
        wanted = _ordered(names.targets, outputs, "output", f"dataset.{which}.targets")
        return cls(which, given, wanted, _weights(names, outputs))

    @property
    def all(self) -> list[str]:
        weights = [name for name in self.weights if name is not None]
        return [*self.inputs, *self.targets, *weights]


@dataclass(frozen=True)
class _Part:
    """What one file has of a split."""

    path: Path
    headers: dict[str, Header]
    """By the array's name; they have the same rows."""


def _parts(paths: Sequence[Path], names: _Names) -> list[_Part]:
    """Find a split's arrays in all files; only their headers are read."""
    parts: list[_Part] = []
    seen: set[str] = set()
    for path in paths:
        with opened(path) as file:
            missing = [name for name in names.all if name not in file.names]
            if missing and len(paths) == 1:
                raise _no_such_array(missing[0], path, file.names)
            seen |= set(file.names)
            if len(missing) == len(names.all):
                continue
            if missing:
                raise _half_a_split(missing[0], names, path, file.names)
            part = _Part(path, {name: file.header(name) for name in names.all})
        _check_rows(part, names)
        if parts:
            _check_alike(parts[0], part)
        parts.append(part)
    if not parts:
        raise _no_such_array(names.all[0], _place(paths), sorted(seen))
    return parts


def _check_rows(part: _Part, names: _Names) -> None:
    last = part.headers[names.all[-1]].shape
    for name, (shape, _) in part.headers.items():
        if not shape or not last or shape[0] != last[0]:
            raise InputError(
                f"The arrays of the {names.which} split differ in their rows: {name} has the "
                f"shape {shape}, {names.all[-1]} has {last}.",
                where=str(part.path),
                hint=f"Check dataset.{names.which} in the manifest.",
            )


def _check_alike(first: _Part, part: _Part) -> None:
    """Refuse arrays that can't be joined without a silent change of their numbers."""
    for name, (shape, dtype) in part.headers.items():
        joined = first.headers[name]
        if dtype != joined.dtype:
            raise InputError(
                f"The array {name!r} is of {dtype}, in {first.path} it is of {joined.dtype}.",
                where=str(part.path),
                hint="Save it with the same dtype in every file.",
            )
        if shape[1:] != joined.shape[1:]:
            raise InputError(
                f"The rows of the array {name!r} have the shape {shape[1:]}, in {first.path} they "
                f"have {joined.shape[1:]}.",
                where=str(part.path),
                hint="Save it with rows of the same shape in every file.",
            )


def _read(parts: Sequence[_Part], names: _Names, inputs: list[TensorSpec], scale: float) -> Split:
    arrays = _alone(parts[0]) if len(parts) == 1 else _joined(parts)
    return Split(
        tuple(arrays[name] for name in names.inputs),
        tuple(arrays[name] for name in names.targets),
        scale,
        tuple(spec.dtype for spec in inputs),
        tuple(None if name is None else arrays[name] for name in names.weights),
    )


def _alone(part: _Part) -> dict[str, Array]:
    with opened(part.path) as file:
        return {
            name: file.read(name, header).astype(_stored(header.dtype), copy=False)
            for name, header in part.headers.items()
        }


def _joined(parts: Sequence[_Part]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, header in parts[0].headers.items():
        rows = sum(part.headers[name].shape[0] for part in parts)
        arrays[name] = np.empty((rows, *header.shape[1:]), _stored(header.dtype))
    start = 0
    for part in parts:
        with opened(part.path) as file:
            for name, header in part.headers.items():
                stop = start + header.shape[0]
                # Not bound to a name, which would keep it while the next one is read.
                arrays[name][start:stop] = file.read(name, header)
        start = stop
    return arrays


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of an array in memory: TensorFlow takes this machine's byte order only."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def _place(paths: Sequence[Path]) -> str:
    more = len(paths) - 1
    return f"{paths[0]} and {more} more" if more else str(paths[0])


def _no_such_array(name: str, where: Path | str, there: Sequence[str]) -> InputError:
    return InputError(
        f"The data set has no array {name!r}.",
        where=str(where),
        hint=f"It has: {', '.join(there) or 'none'}. "
        "Name one of these under dataset in the manifest.",
    )


def _half_a_split(missing: str, names: _Names, path: Path, there: Sequence[str]) -> InputError:
    found = next(name for name in names.all if name in there)
    return InputError(
        f"The file has the array {found!r} of the {names.which} split and no {missing!r}.",
        where=str(path),
        hint=f"It has: {', '.join(there)}. Put all arrays of a split into the same files, or name "
        "others under dataset in the manifest.",
    )


def _weights(names: SplitConfig, outputs: list[TensorSpec]) -> list[str | None]:
    """The arrays of the rows' weights, by output; empty for a split without weights."""
    given = names.weights if isinstance(names, TrainSplitConfig) else None
    if given is None:
        return []
    if isinstance(given, str):
        return [given for _ in outputs]
    unknown = sorted(set(given) - {spec.name for spec in outputs})
    if unknown:
        raise InputError(
            f"The model has no output {', '.join(unknown)}; its outputs: "
            f"{', '.join(spec.name for spec in outputs)}.",
            where="dataset.train.weights",
            hint="Name one of these.",
        )
    return [given.get(spec.name) for spec in outputs]


def _ordered(names: Names, specs: list[TensorSpec], kind: str, where: str) -> list[str]:
    """The array names in the order of the model's inputs or outputs (``kind``)."""
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
    return listed
