"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from job import __version__
from tests.conftest import ROOT
from tests.container.engine import call

MOST_BYTES = 1_500_000_000


@pytest.fixture(scope="module")
def config(image: str) -> dict[str, Any]:
    """The image's configuration."""
    (found,) = json.loads(call("image", "inspect", image))
    return dict(found)


def sh(image: str, script: str) -> str:
    """What a shell in the image prints."""
    return call("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)


def test_it_is_small(config: dict[str, Any]) -> None:
    """As small as TensorFlow lets it be."""
    assert config["Size"] < MOST_BYTES


def test_it_runs_as_nobody_and_says_what_it_is(config: dict[str, Any]) -> None:
    """The user, the entry point without a shell, the labels of OCI."""
    assert config["Config"]["User"] == "65532:65532"
    assert config["Config"]["Entrypoint"] == ["paredown"]
    assert "/scratch" in config["Config"]["Volumes"]
    labels = config["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"]


def test_nothing_is_in_it_that_only_builders_need(image: str) -> None:
    """No compiler, no header, no cache, no pip in the virtual environment."""
    found = sh(
        image,
        "command -v gcc cc g++ ld make; find /opt/paredown -name '*.h' | head -3;"
        "ls -d /root/.cache /build 2>/dev/null; ls /opt/paredown/bin | grep -x pip; true",
    )
    assert found == ""


def test_everything_in_it_is_compiled(image: str) -> None:
    """The root is read-only when it runs: what is not compiled now would be each time."""
    found = sh(
        image,
        "cd /opt/paredown/lib/python3.11/site-packages && for f in job/*.py job/storage/*.py "
        'tensorflow/*.py boto3/*.py; do c="$(dirname $f)/__pycache__/$(basename $f .py).cpython-311'
        '.pyc"; test -f "$c" || echo "$f"; done',
    )
    assert found == ""


def test_its_packages_are_those_of_the_lock(image: str) -> None:
    """According to its bill of materials, which names licences; without two that nothing uses."""
    bill = json.loads(sh(image, "cat /opt/paredown/share/paredown/sbom.cdx.json"))
    assert bill["metadata"]["component"]["version"] == __version__
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert "serialNumber" not in bill
    components = {re.sub(r"[-_.]+", "-", it["name"]).lower(): it for it in bill["components"]}
    assert components["boto3"]["purl"] == f"pkg:pypi/boto3@{components['boto3']['version']}"
    assert all(components[name]["licenses"] for name in ("boto3", "tf-keras", "pydantic"))
    has = {f"{name}=={it['version']}" for name, it in components.items()}
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.split()[0] for line in lock if line[:1].isalpha()}
    assert {it.split("==")[0] for it in locked - has} == {"libclang", "scipy"}
    assert has <= locked
