"""``model.trust``: code of a model runs where somebody has pinned it, and the result says so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras

from tests.conftest import paredown
from tests.support.published import read_result, write_manifest
from tests.support.rare import few


def doubled(kit: Any) -> Any:
    """A model with harmless code in it."""
    given = kit.Input((8, 8), name="picture")
    x = kit.layers.Lambda(eval("lambda x: x * 2"), name="twice")(given)  # noqa: S307 - the code
    return kit.Model(given, kit.layers.Dense(4)(kit.layers.Flatten()(x)))


def h5(folder: Path) -> Path:
    doubled(tf_keras).save(folder / "m.h5", save_format="h5")
    return folder / "m.h5"


def keras2(folder: Path) -> Path:
    doubled(tf_keras).save(folder / "m.keras")
    return folder / "m.keras"


def keras3(folder: Path) -> Path:
    doubled(keras).save(folder / "m.keras")
    return folder / "m.keras"


@pytest.mark.parametrize("make", few([keras3, h5, keras2]))
def test_pinned_code_runs_and_is_reported(
    make: Callable[[Path], Path], tiny: Path, tmp_path: Path
) -> None:
    """The whole job; the layer is named in the warnings and in the log."""
    path = make(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"uri": str(path), "sha256": digest, "trust": True}
    run = paredown("run", write_manifest(tmp_path, tiny, model=model))
    assert run.code == 0, run.err
    warnings = read_result(tmp_path / "out")["warnings"]
    assert any("model.trust" in it and "twice" in it for it in warnings)
    assert any("model.trust" in it.get("message", "") for it in run.events)


def test_trust_needs_a_digest(tiny: Path, tmp_path: Path) -> None:
    """A manifest without one is wrong, before anything is read."""
    model = {"uri": "m.h5", "trust": True}
    run = paredown("validate", write_manifest(tmp_path, tiny, model=model))
    assert run.code == 2
    assert "trust lets the model's code run" in run.err


def test_trust_is_for_the_pinned_file_alone(tiny: Path, tmp_path: Path) -> None:
    """Another file is refused, whatever it holds."""
    model = {"uri": str(h5(tmp_path)), "sha256": "0" * 64, "trust": True}
    run = paredown("run", write_manifest(tmp_path, tiny, model=model))
    assert run.code == 3
    assert "pins" in run.error["what"]
