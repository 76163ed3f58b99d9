"""Rare combinations: ``make test`` leaves them out, ``make test-all`` runs them, too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pytest

V = TypeVar("V")

EVERY = bool(os.environ.get("PAREDOWN_EVERY_TEST"))
# On a test that is left out by ``make test``.
rare = pytest.mark.skipif(not EVERY, reason="rare: make test-all runs it")


def some(cases: Mapping[str, V], *usual: str) -> dict[str, V]:
    """The cases that are run each time; all of them by ``make test-all``."""
    return dict(cases) if EVERY else {name: cases[name] for name in usual}


def few(cases: Sequence[V], usual: int = 1) -> Sequence[V]:
    """The first of several cases of a kind; all of them by ``make test-all``."""
    return cases if EVERY else cases[:usual]


def marked(*values: Any) -> Any:
    """A case of several parameters that is rare."""
    return pytest.param(*values, marks=rare)
