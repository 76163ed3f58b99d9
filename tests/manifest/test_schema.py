"""The JSON Schema, and the manifests that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from job.errors import ManifestError
from job.manifest.read import read_manifest
from job.manifest.schema import schema_text
from tests.conftest import ROOT, paredown

MANIFESTS = ROOT / "manifests"
SHIPPED = sorted(MANIFESTS.glob("examples/*.json")) + sorted(MANIFESTS.glob("quickstart/*.json"))
TOLD_BY_THEIR_NAMES = ("type", "schema_version", "kind", "$schema")
MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


@pytest.fixture(scope="module")
def validator() -> Any:
    """A validator of the schema, which is itself checked first."""
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_what_the_command_prints() -> None:
    """``manifests/manifest.schema.json`` has not drifted."""
    printed = paredown("schema")
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == (MANIFESTS / "manifest.schema.json").read_text()


def test_manifests_are_shipped() -> None:
    """The tests that go through them go through something."""
    assert any(path.parent.name == "quickstart" for path in SHIPPED)
    assert any(path.parent.name == "examples" for path in SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_manifest_is_valid_and_fits_the_schema(path: Path, validator: Any) -> None:
    """The schema takes what the command takes."""
    read_manifest(path.read_text(), str(path))
    assert list(validator.iter_errors(json.loads(path.read_text()))) == []


@pytest.mark.parametrize(
    "sections",
    [
        {"trainig": {}},
        {"model": {}},
        {"quantize": [{"type": "int9"}]},
        {"training": {"epochs": 0}},
        {"compress": {"codecs": []}},
        {"compress": {"codecs": ["zap"]}},
        {"name": "../up"},
    ],
)
def test_the_schema_refuses_what_the_command_refuses(
    sections: dict[str, Any], validator: Any
) -> None:
    """An editor marks the same mistakes."""
    document = MINIMAL | sections
    assert list(validator.iter_errors(document))
    with pytest.raises(ManifestError):
        read_manifest(json.dumps(document), "here.json")


@pytest.mark.parametrize(
    "sections",
    [
        {"prune": {"schedule": {"final_sparsity": 0.9}}},
        {"prune": {"structure": {}}},
        {"dataset": {"uri": "d", "scale": 2}},
        {"quantize": [{}]},
        {"training": {"epochs": "2"}},
        {"destination": {"overwrite": 1}},
        {"$schema": "manifest.schema.json"},
    ],
)
def test_the_schema_and_the_command_agree(sections: dict[str, Any], validator: Any) -> None:
    """Where a ``type`` may be left out and what a whole number is: both say the same."""
    document = MINIMAL | sections
    try:
        read_manifest(json.dumps(document), "here.json")
        taken = True
    except ManifestError:
        taken = False
    assert validator.is_valid(document) == taken


def test_every_field_is_described() -> None:
    """Editors show a sentence for each field that is no section or tag of its own."""
    schema = json.loads(schema_text())
    bare = {
        f"{kind}.{field}"
        for kind, definition in {"JobConfig": schema, **schema["$defs"]}.items()
        for field, described in definition.get("properties", {}).items()
        if "description" not in described and "$ref" not in json.dumps(described)
    }
    untold = {name for name in bare if name.split(".")[1] not in TOLD_BY_THEIR_NAMES}
    assert {name.split(".")[1] for name in untold} <= {"metric", "value"}
