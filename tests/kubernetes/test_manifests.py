"""The YAML that is shipped is what the command prints."""

from __future__ import annotations

import re

import pytest
import yaml
from kubernetes_validate.utils import latest_version, validate

from job import __version__
from tests.conftest import ROOT, paredown
from tests.kubernetes.api_rules import API_RULES
from tests.kubernetes.pod_security import RULES

FOLDER = ROOT / "manifests" / "kubernetes"
GENERATED = ("quickstart", "batch")


@pytest.mark.parametrize("name", GENERATED)
def test_the_shipped_yaml_has_not_drifted(name: str) -> None:
    """``make manifests`` writes it anew."""
    manifest = f"manifests/kubernetes/{name}.json"
    image = f"paredown:{__version__}"
    done = paredown("kubernetes", manifest, "--image", image, "--secret", "paredown-s3")
    assert (done.code, done.err) == (0, "")
    assert done.out == (FOLDER / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", GENERATED)
def test_the_shipped_yaml_keeps_all_rules(name: str) -> None:
    """Those of the API and of the restricted standard."""
    job = list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))[-1]
    assert [rule.name for rule in API_RULES if not rule.holds(job)] == []
    pod = job["spec"]["template"]["spec"]
    assert [rule.name for rule in RULES if not rule.holds(pod)] == []


def test_make_writes_what_the_test_compares() -> None:
    """With the same options."""
    recipe = (ROOT / "Makefile").read_text().partition("\nmanifests: ")[2].partition("\n\n")[0]
    assert f"for it in {' '.join(GENERATED)}; do" in recipe
    assert "--image paredown:$(VERSION)" in recipe
    assert "--secret paredown-s3 > manifests/kubernetes/$$it.yaml" in recipe


def test_the_kustomization_names_what_is_there() -> None:
    """Its resources are files, and the image that it replaces is theirs."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert kustomization["resources"] == [f"{name}.yaml" for name in GENERATED]
    (image,) = kustomization["images"]
    assert image["newTag"] == __version__
    for name in GENERATED:
        text = (FOLDER / f"{name}.yaml").read_text()
        assert re.findall(r"image: ([a-z]+):", text) == [image["name"]]


def test_the_secret_has_the_name_that_the_jobs_ask_for_and_no_secret() -> None:
    """Placeholders alone."""
    secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
    validate(secret, latest_version(), strict=True)
    assert secret["metadata"]["name"] == "paredown-s3"
    values = {key: it for key, it in secret["stringData"].items() if "KEY" in key}
    assert set(values.values()) == {"replace-me"}
