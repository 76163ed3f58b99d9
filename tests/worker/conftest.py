"""What tests of the child's modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.searching import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.h5`` of two layers, and its data; see ``support/searching.py``."""
    place = tmp_path_factory.mktemp("small")
    save_model(place)
    return place
