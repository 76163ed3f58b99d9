"""Settings of stores that need files which no pod has."""

from __future__ import annotations

from typing import Any

import pytest

from job.errors import ManifestError
from tests.kubernetes.rendered import BATCH, JOB, documents


def problems(document: dict[str, Any], **options: Any) -> list[str]:
    """The paths and first words of what is refused."""
    try:
        documents(document, **options)
    except ManifestError as error:
        return [line.strip() for line in error.what.splitlines()[1:]]
    return []


def test_a_profile_needs_a_configuration_that_the_image_has() -> None:
    """Nothing else of a pod could hold one."""
    document = JOB | {"storage": {"profile": "night"}}
    (said,) = problems(document)
    assert said.startswith("storage.profile: a pod has no AWS configuration")
    assert "--secret" in said
    assert problems(document, env={"AWS_CONFIG_FILE": "/etc/aws/config"}) == []


def test_certificates_are_in_the_image() -> None:
    """At an absolute path."""
    assert problems(JOB | {"storage": {"ca_bundle": "/etc/ssl/certs/mine.pem"}}) == []
    (said,) = problems(JOB | {"storage": {"ca_bundle": "mine.pem"}})
    assert said.startswith("storage.ca_bundle: 'mine.pem' is relative")


@pytest.mark.parametrize("section", ["model", "dataset", "destination"])
def test_a_place_with_a_store_of_its_own_is_told_with_its_path(section: str) -> None:
    """Beside what is wrong with its URI."""
    document = JOB | {section: {"uri": "~/x", "storage": {"profile": "night"}}}
    assert [it.split(": ")[0] for it in problems(document)] == [
        f"{section}.uri",
        f"{section}.storage.profile",
    ]


def test_a_batchs_stores_are_told_where_they_are_written() -> None:
    """Those of the defaults once."""
    storage = {"storage": {"profile": "night"}}
    document = BATCH | storage
    document |= {"defaults": {"dataset": {"uri": "s3://models/d.npz"} | storage}}
    document |= {"discover": {"uri": "s3://models/"} | storage}
    entry = {"name": "a", "model": {"uri": "s3://models/a.h5"} | storage}
    document |= {"jobs": [*BATCH["jobs"], entry]}
    assert {it.split(": ")[0] for it in problems(document)} == {
        "storage.profile",
        "defaults.dataset.storage.profile",
        "discover.storage.profile",
        "jobs.3.model.storage.profile",
    }
