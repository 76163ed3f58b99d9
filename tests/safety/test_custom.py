"""Custom classes and text: named as what they are."""

from __future__ import annotations

from typing import Any

import pytest

from job.errors import InputError
from job.safety.config import find_dangers, refuse_text

NODES: dict[str, tuple[dict[str, Any], str]] = {
    "Keras 2": ({"class_name": "MyPkg>Scale"}, "custom class 'MyPkg>Scale'"),
    "Keras 3": (
        {"class_name": "Scale", "module": "my.layers", "registered_name": "MyPkg>Scale"},
        "custom class 'MyPkg>Scale' of the module 'my.layers'",
    ),
    "not registered": ({"class_name": "Scale", "registered_name": "Scale"}, "class 'Scale'"),
}
TEXT: dict[str, tuple[str, dict[str, str | bool]]] = {
    "TextVectorization": ("TextVectorization", {}),
    "StringLookup": ("StringLookup", {"invert": True, "dtype": "int64"}),
    "an input": ("InputLayer", {"dtype": "string"}),
    "Hashing": ("Hashing", {"dtype": "string"}),
}


def model(layer: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one layer in a nested model."""
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer]}}
    return {"class_name": "Functional", "config": {"name": "outer", "layers": [inner]}}


@pytest.mark.parametrize("case", NODES)
def test_what_is_custom_is_named(case: str) -> None:
    """With its layer, and that trust does not bring its code."""
    node, said = NODES[case]
    (danger,) = find_dangers(model(node | {"config": {"name": "x"}}), "m.keras")
    assert said in danger.what
    assert danger.layer == "outer/inner/x"
    assert not danger.is_code
    assert '"trust"' in danger.to_do


@pytest.mark.parametrize("case", TEXT)
def test_a_model_of_text_is_refused_as_one(case: str) -> None:
    """Wherever its layer stands."""
    kind, config = TEXT[case]
    with pytest.raises(InputError, match="takes or gives text") as caught:
        refuse_text(model({"class_name": kind, "config": {**config, "name": "t"}}), "m.keras")
    assert caught.value.where == "m.keras, layer t"
    numbers = {"class_name": "Hashing", "config": {"name": "t", "dtype": "int64"}}
    refuse_text(model(numbers), "m.keras")


def test_a_class_that_is_no_name_is_damage() -> None:
    """Wherever it stands; a fuzzer made such files."""
    with pytest.raises(InputError, match="a class is named"):
        find_dangers(model({"class_name": {"a": 1}, "config": {"name": "t"}}), "m.keras")
