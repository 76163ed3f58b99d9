"""Manifests whose URIs can't work in a pod."""

from __future__ import annotations

from typing import Any

import pytest

from job.errors import ManifestError
from tests.kubernetes.rendered import BATCH, JOB, documents

IN_A_BUCKET = "s3://models/team/manifest.json"


def problems(document: dict[str, Any], source: str | None = None) -> list[str]:
    """The paths and first words of what is refused."""
    try:
        documents(document, source=source)
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


def test_all_uris_that_can_not_work_are_told_at_once() -> None:
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


def test_a_batchs_uris_are_told_where_they_are_written() -> None:
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
