"""Manifests whose URIs, profiles or certificates can't work in a pod."""

from __future__ import annotations

from typing import Any

import pytest

from job.errors import ManifestError
from tests.kubernetes.rendered import BATCH, JOB, documents

IN_A_BUCKET = "s3://models/team/manifest.json"


def problems(document: dict[str, Any], source: str | None = None, **options: Any) -> list[str]:
    """The paths and first words of what is refused."""
    try:
        documents(document, source=source, **options)
    except ManifestError as error:
        return [line.strip() for line in error.what.splitlines()[1:]]
    return []


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model": {"uri": "https://host/m.h5"}},
        {"model": {"uri": "/opt/models/m.h5"}},
        {"model": {"uri": "file:///opt/models/m.h5"}},
        {"dataset": {"uri": "s3://models/shard-*.npz"}},
    ],
)
def test_uris_that_mean_the_same_in_a_pod_are_taken(sections: dict[str, Any]) -> None:
    """Those of buckets and web servers, and files that the image has."""
    assert problems(JOB | sections) == []


def test_all_uris_that_can_not_work_are_reported_at_once() -> None:
    """Each with its path and what to do."""
    document = JOB | {"model": {"uri": "m.h5"}, "dataset": {"uri": "~/d.npz"}, "destination": {}}
    said = problems(document)
    assert [line.split(": ")[0] for line in said] == [
        "model.uri",
        "dataset.uri",
        "destination.uri",
    ]
    assert "'m.h5' is relative" in said[0]
    assert "s3://bucket/key" in said[0]
    assert "'out' is on the pod's own disk and lost with it; write s3://bucket/prefix" in said[2]


@pytest.mark.parametrize("uri", ["/out", "file:///out", "out", "../out", "~/out"])
def test_results_are_never_left_on_the_pods_disk(uri: str) -> None:
    """They would be lost with it."""
    (said,) = problems(JOB | {"destination": {"uri": uri}})
    assert said.startswith(f"destination.uri: {uri!r} is on the pod's own disk")


@pytest.mark.parametrize("uri", ["s3://", "s3:/b/k", "s3://b/../k", "https://h"])
def test_a_uri_that_is_none_is_refused_now_and_not_in_the_pod(uri: str) -> None:
    """What the run would say is said here."""
    assert problems(JOB | {"model": {"uri": uri}})[0].startswith("model.uri: ")


def test_a_manifest_in_a_bucket_may_have_relative_uris() -> None:
    """They are relative to it, for results too; only a home folder is nowhere."""
    document = JOB | {"model": {"uri": "m.h5"}, "destination": {"uri": "out"}}
    assert problems(document, IN_A_BUCKET) == []
    (said,) = problems(document | {"destination": {"uri": "/out"}}, IN_A_BUCKET)
    assert said.startswith("destination.uri: ")
    assert len(problems(document | {"model": {"uri": "../../m.h5"}}, IN_A_BUCKET)) == 1
    assert len(problems(document | {"model": {"uri": "~/m.h5"}}, IN_A_BUCKET)) == 1


def test_a_manifest_on_this_machine_or_a_web_server_may_not() -> None:
    """It is put in a ConfigMap."""
    document = JOB | {"model": {"uri": "m.h5"}}
    for source in ("/home/me/manifest.json", None):
        assert len(problems(document, source)) == 1


def test_a_batchs_uris_are_reported_where_they_are_written() -> None:
    """Those of the defaults once, not for each job."""
    said = problems(
        BATCH
        | {
            "defaults": {"dataset": {"uri": "d.npz"}},
            "jobs": [
                {"name": "a", "model": {"uri": "s3://models/a.h5"}},
                {"name": "b", "model": {"uri": "b.h5"}, "dataset": {"uri": "b.npz"}},
            ],
            "discover": {"uri": "models"},
            "destination": {"uri": "/out"},
        }
    )
    assert [line.split(": ")[0] for line in said] == [
        "discover.uri",
        "defaults.dataset.uri",
        "jobs.1.model.uri",
        "jobs.1.dataset.uri",
        "destination.uri",
    ]


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
def test_a_section_with_its_own_storage_is_reported_with_its_path(section: str) -> None:
    """Beside what is wrong with its URI."""
    document = JOB | {section: {"uri": "~/x", "storage": {"profile": "night"}}}
    assert [it.split(": ")[0] for it in problems(document)] == [
        f"{section}.uri",
        f"{section}.storage.profile",
    ]


def test_a_batchs_stores_are_reported_where_they_are_written() -> None:
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
