"""What a test needs beside Python: without it the test is skipped, or fails where it must be."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str, reason: str) -> NoReturn:
    """Skip the test and say why; fail where ``PAREDOWN_REQUIRE`` (names and commas) has it."""
    if what in os.environ.get("PAREDOWN_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
