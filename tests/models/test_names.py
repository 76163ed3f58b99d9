"""names: layers that Keras 2 could not name so, under their own names for the user."""

from __future__ import annotations

import string
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.manifest.prune import PruneConfig
from job.models.layers import SCOPE, layers_of, scope_name, signature, users_name
from job.models.load import read, save
from job.models.prunable import plan_layers, results


@given(st.lists(st.text(min_size=1).filter(lambda it: "/" not in it), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_every_name_can_be_a_scope_and_is_read_back(parts: list[str]) -> None:
    """Also as a part of a path."""
    scopes = [scope_name(it) for it in parts]
    assert all(SCOPE.fullmatch(it) for it in scopes)
    assert users_name("/".join(scopes)) == "/".join(parts)


@pytest.mark.parametrize("name", ["dense", "conv2d_1", "A.b-c", string.ascii_letters])
def test_usual_names_stay(name: str) -> None:
    """They are scopes as they are."""
    assert scope_name(name) == users_name(name) == name


def test_a_keras3_model_goes_through_under_its_own_names(tmp_path: Path) -> None:
    """Inputs, layers, nested models, outputs; and the file that is written has them again."""
    x = taken = keras.Input((8,), name="Größe [cm]")
    inner_given = keras.Input((8,), name="in ner")
    inner = keras.Model(
        inner_given, keras.layers.Dense(16, name="b c")(inner_given), name="my inner"
    )
    x = keras.layers.Dense(8, name="_hidden (1)")(inner(x))
    built = keras.Model(taken, keras.layers.Dense(2, name="ja/nein".replace("/", " ÷ "))(x))
    built.save(tmp_path / "m.keras")
    file = read(tmp_path / "m.keras")
    inputs, outputs = signature(file.model, "here")
    assert [it.name for it in inputs] == ["Größe [cm]"]
    assert [it.name for it in outputs] == ["ja ÷ nein"]
    rules = PruneConfig.model_validate(
        {
            "layers": [
                {"name": "_hidden (1)", "skip": True},
                {"name": "my inner/*", "target_sparsity": 0.5},
            ]
        }
    )
    plans = plan_layers(file.model, rules)
    assert len(plans) == len([it for _, it in layers_of(file.model) if it.weights])
    found = results(plans, file.model)
    assert [it.name for it in found] == ["my inner/b c", "_hidden (1)", "ja ÷ nein"]
    assert ["a rule" in it.reason for it in found] == [True, True, False]
    save(file.model, file, tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    assert [it.name for it in again.layers] == [it.name for it in built.layers]
    assert [it.name for it in again.get_layer("my inner").layers] == ["in ner", "b c"]
