"""A CSV of the labels of files."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from job.datasets.source import Source
from job.datasets.text_lines import place
from job.datasets.text_lines import rows as csv_rows
from job.errors import InputError, from_os_error
from job.text import first_names


@dataclass(frozen=True)
class Columns:
    """Of a CSV of labels."""

    file: str
    label: str


class FileLabel(NamedTuple):
    """The label of a file."""

    text: str
    """Without white space around it."""
    line: int
    """Where it is in the CSV, from 1."""


def read_label_file(
    source: Source, name: str, prefix: str, which: str, columns: Columns
) -> dict[str, FileLabel]:
    """Read a CSV of labels.

    Args:
        source: All files of the data set; no other is read.
        name: The CSV's.
        prefix: What the names that it has are relative to; empty, or with a slash at its end.
        which: The split.
        columns: Which are read.

    Returns:
        Labels by the files' names in the data set.

    Raises:
        InputError: With the line, where it is no CSV, has a row of more than 1 MiB, or names what
            is not there, or names it twice.
    """
    path = source.files.get(name)
    if path is None:
        raise InputError(
            f"The data set has no file {name}.",
            where=f"dataset.{which}.labels",
            hint='Name a CSV below dataset.uri, or "folders".',
        )
    found: dict[str, FileLabel] = {}
    try:
        read = csv_rows(path, ",")
        _, header = next(read, (1, []))
        columns_of = [_column(header, it, path) for it in (columns.file, columns.label)]
        for line, cells in read:
            if not cells:
                continue
            where = place(path, line)
            if len(cells) != len(header):
                raise InputError(
                    f"The line has {len(cells)} cells, the first one {len(header)}.",
                    where=where,
                    hint="Put quotation marks around cells that have commas.",
                )
            image, label = (cells[column] for column in columns_of)
            image, label = prefix + image, label.strip()
            _check_row(source, image, label, found, where)
            found[image] = FileLabel(label, line)
    except OSError as error:
        raise from_os_error(error, "Reading labels", writing=False, place=path) from None
    if not found:
        raise InputError("The CSV names no images.", where=str(path), hint="Add a line for each.")
    return found


def _check_row(source: Source, image: str, label: str, found: Container[str], where: str) -> None:
    if image not in source.files:
        raise InputError(
            f"The data set has no file {image}.",
            where=where,
            hint="Name files relative to the split's folder, without a leading / or ./ and "
            "without .. in them.",
        )
    if image in found:
        raise InputError(
            f"The file {image} has a label already.", where=where, hint="Name each file once."
        )
    if not label:
        raise InputError(
            f"The file {image} has no label.", where=where, hint="Fill it in, or remove the line."
        )


def _column(header: Sequence[str], name: str, path: Path) -> int:
    if header.count(name) != 1:
        raise InputError(
            f"The CSV has {header.count(name) or 'no'} columns {name!r}.",
            where=f"{path}, line 1",
            hint=f"It has: {first_names(header)}. Set dataset.file_column and "
            "dataset.label_column.",
        )
    return header.index(name)
