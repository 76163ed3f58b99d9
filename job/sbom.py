"""The bill of materials of an installation: CycloneDX 1.5, on standard output.

``python -m job.sbom``. See https://cyclonedx.org/docs/1.5/json/. Packages are sorted, and there is
no time stamp: the same installation gives the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def bill() -> dict[str, Any]:
    """The document: every Python package that this interpreter sees, with its licence."""
    found = {_name(it): it for it in distributions()}
    me = found.pop("paredown", None)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(me, "application")} if me else {},
        "components": [_component(found[name], "library") for name in sorted(found)],
    }


def _component(package: Distribution, kind: str) -> dict[str, Any]:
    name, version = _name(package), package.version
    purl = f"pkg:pypi/{name}@{version}"
    component: dict[str, Any] = {
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    licence = _licence(package)
    if licence:
        component["licenses"] = [licence]
    return component


def _name(package: Distribution) -> str:
    """As PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def _licence(package: Distribution) -> dict[str, Any] | None:
    """The SPDX expression, or what the package says in its own words."""
    said = package.metadata.json
    expression = said.get("license_expression")
    if expression:
        return {"expression": str(expression)}
    classifiers = said.get("classifier", [])
    named = [it.rpartition("::")[2].strip() for it in classifiers if it.startswith("License ::")]
    text = ", ".join(named) or str(said.get("license", "")).strip().partition("\n")[0]
    return {"license": {"name": text[:200]}} if text else None


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
