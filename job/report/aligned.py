"""Columns of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def aligned(rows: Iterable[Sequence[str]], *, right: bool = False) -> Iterator[str]:
    """Lines of columns that are as wide as their longest cell.

    Args:
        rows: As many cells each.
        right: Whether cells are numbers, and stand on the right; the last ones never do.
    """
    whole = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(whole[0]))]
    for row in whole:
        *cells, last = (
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width in zip(row, widths, strict=True)
        )
        yield "  ".join([*cells, row[-1] if right else last]).rstrip()
