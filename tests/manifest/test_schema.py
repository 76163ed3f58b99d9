"""The JSON Schema, and the manifests that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from job.errors import ManifestError
from job.manifest.load import read_manifest
from job.manifest.schema import schema_text
from tests.conftest import ROOT, paredown

MANIFESTS = ROOT / "manifests"
FOLDERS = ("examples", "quickstart", "kubernetes")
SHIPPED = [path for it in FOLDERS for path in sorted(MANIFESTS.glob(f"{it}/*.json"))]
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
    assert {path.parent.name for path in SHIPPED} == set(FOLDERS)


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


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"jobs": [{"name": "a", "model": {"uri": "m"}, "training": {"epochs": 3}}]},
        {"jobs": [{"name": "a", "model": {"uri": "m"}, "prune": None}]},
        {"jobs": [{"name": "a", "model": {"uri": "m"}, "kind": "job", "schema_version": 1}]},
        {"jobs": [{"name": "a", "model": {"uri": "m"}, "trainig": {}}]},
        {"jobs": [{"name": "a b", "model": {"uri": "m"}}]},
        {"jobs": [{"name": "a"}]},
        {"defaults": {"dataset": {"uri": "d"}, "model": {"uri": "m"}}, "jobs": [{"name": "a"}]},
        {"defaults": {"dataset": {"uri": "d"}, "model": {}}, "jobs": [{"name": "a"}]},
        {"jobs": [3]},
        {"jobs": None},
        {"defaults": {"dataset": {"uri": "d"}, "name": "a"}},
        {"defaults": []},
        {"workers": 2},
        {"workers": "auto"},
        {"workers": "many"},
        {"discover": {"uri": "s3://models/", "pattern": "**/*.keras"}},
        {"discover": {"pattern": "*"}},
        {"timeout_s": -1},
        {"memory_limit_bytes": 1 << 30},
        {"$schema": "manifest.schema.json"},
        {"model": {"uri": "m"}},
        {"kind": "bach"},
    ],
)
def test_the_schema_and_the_command_agree_on_batches(
    fields: dict[str, Any], validator: Any
) -> None:
    """What the parts of a job hold is looked at by the command alone, when they are merged."""
    batch = {"kind": "batch", "name": "b", "defaults": {"dataset": {"uri": "d"}}}
    document = batch | {"jobs": [{"name": "a", "model": {"uri": "m"}}]} | fields
    try:
        read_manifest(json.dumps(document), "here.json")
        taken = True
    except ManifestError:
        taken = False
    assert validator.is_valid(document) == taken


def test_the_kind_decides_which_mistakes_are_shown(validator: Any) -> None:
    """Those of the kind that is meant: an editor does not say that none of two fits."""
    (error,) = validator.iter_errors({"kind": "batch", "name": "b", "jobs": 3})
    assert list(error.path) == ["jobs"]
    (error,) = validator.iter_errors(MINIMAL | {"prune": 3})
    assert list(error.path) == ["prune"]


def test_every_field_is_described() -> None:
    """Editors show a sentence for each field that is no section or tag of its own."""
    schema = json.loads(schema_text())
    bare = {
        f"{kind}.{field}"
        for kind, definition in schema["$defs"].items()
        for field, described in definition.get("properties", {}).items()
        if "description" not in described and "$ref" not in json.dumps(described)
    }
    untold = {name for name in bare if name.split(".")[1] not in TOLD_BY_THEIR_NAMES}
    assert {name.split(".")[1] for name in untold} <= {"metric", "value"}
