"""The bill of materials is of what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version


def test_every_package_of_the_installation_is_listed() -> None:
    """With its version, its package URL and its licence; sorted, and the same each time."""
    runs = [
        subprocess.run([sys.executable, "-m", "job.sbom"], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    document = json.loads(runs[0])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["component"]["name"] == "paredown"
    listed = {it["name"]: it for it in document["components"]}
    assert list(listed) == sorted(listed)
    for name in ("boto3", "tf-keras", "tensorflow-model-optimization", "pydantic"):
        assert listed[name]["version"] == version(name)
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
        assert listed[name]["licenses"]
