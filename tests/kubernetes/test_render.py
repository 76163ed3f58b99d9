"""What is in the documents, and why: retries, shards, the manifest, the options."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml

from job.errors import ManifestError
from job.kubernetes.render import MAX_CONFIG_MAP_BYTES
from tests.kubernetes.rendered import BATCH, EVERYTHING, IMAGE, JOB, documents, rendered

CODES = {0, 1, 2, 3, 4, 5, 6, 130, 137, 143}


def job(document: dict[str, Any] = JOB, **options: Any) -> dict[str, Any]:
    """The Job alone."""
    return documents(document, **options)[-1]


def container(document: dict[str, Any] = JOB, **options: Any) -> dict[str, Any]:
    """The Job's container."""
    found: dict[str, Any] = job(document, **options)["spec"]["template"]["spec"]["containers"][0]
    return found


def actions(document: dict[str, Any]) -> dict[int, str]:
    """Exit code to what happens to a pod that no disruption took."""
    found = {}
    for code in CODES - {0}:
        for rule in job(document)["spec"]["podFailurePolicy"]["rules"]:
            if code in rule.get("onExitCodes", {}).get("values", []):
                found[code] = rule["action"]
                break
    return found


def test_a_job_is_not_tried_again_where_it_would_fail_again() -> None:
    """A wrong manifest, a refused input, a failed stage, a missed gate; the rest counts."""
    again = dict.fromkeys((1, 6, 137, 143), "Count")
    assert actions(JOB) == dict.fromkeys((2, 3, 4, 5), "FailJob") | again
    assert actions(BATCH) == {2: "FailJob"} | dict.fromkeys((3, 4, 5), "FailIndex") | again


def test_a_disruption_is_no_failure() -> None:
    """A node that goes away costs no retry, whatever code the pod ends with on its way out."""
    for document in (JOB, BATCH):
        rules = job(document)["spec"]["podFailurePolicy"]["rules"]
        (ignored,) = [it for it in rules if it["action"] == "Ignore"]
        assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert rules.index(ignored) < [it["action"] for it in rules].index("Count")


def test_a_single_job_has_a_limit_of_retries_and_no_index() -> None:
    """Six, or as many as are asked for."""
    assert job()["spec"]["backoffLimit"] == 6
    assert job(retries=0)["spec"]["backoffLimit"] == 0
    assert "completionMode" not in job()["spec"]
    assert "PAREDOWN_SHARDS" not in [it["name"] for it in container()["env"]]


def test_a_batch_is_indexed_and_one_shard_does_not_stop_the_others() -> None:
    """A shard for each job, at most eight; each has its own retries, all of them may fail."""
    spec = job(BATCH)["spec"]
    assert {key: spec.get(key) for key in INDEXED} == {
        "completionMode": "Indexed",
        "completions": 3,
        "parallelism": 3,
        "backoffLimitPerIndex": 3,
        "maxFailedIndexes": 3,
        "backoffLimit": None,
    }
    assert {"name": "PAREDOWN_SHARDS", "value": "3"} in container(BATCH)["env"]
    listed = [{"name": f"j{it}", "model": {"uri": "s3://models/m.h5"}} for it in range(20)]
    assert job(BATCH | {"jobs": listed})["spec"]["completions"] == 8
    spec = job(BATCH, shards=20, parallelism=4, retries_per_index=0)["spec"]
    assert [spec[key] for key in INDEXED[1:5]] == [20, 4, 0, 20]


INDEXED = (
    "completionMode",
    "completions",
    "parallelism",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "backoffLimit",
)


def test_a_note_says_that_shards_of_models_yet_to_be_found_are_a_guess() -> None:
    """Eight, unless the command line says otherwise."""
    found = BATCH | {"jobs": [], "discover": {"uri": "s3://models/"}}
    guessed = rendered(found)
    assert list(yaml.safe_load_all(guessed.text))[-1]["spec"]["completions"] == 8
    assert "8 shards; --shards" in guessed.notes[0]
    assert rendered(found, shards=2).notes == []


def test_a_note_says_that_some_shards_will_have_no_job() -> None:
    """They would start, find nothing to do, and end well."""
    assert rendered(BATCH, shards=3).notes == []
    (note,) = rendered(BATCH, shards=4).notes
    assert "has 3 jobs" in note


@pytest.mark.parametrize(
    ("document", "options", "said"),
    [
        (JOB, {"shards": 2}, "--shards is for a batch"),
        (JOB, {"parallelism": 2}, "--parallelism is for a batch"),
        (JOB, {"retries_per_index": 2}, "--retries-per-index is for a batch"),
        (BATCH, {"retries": 2}, "--retries is for a job"),
        (BATCH, {"shards": 2, "parallelism": 3}, "--parallelism is 3, but there are 2 shards"),
    ],
)
def test_options_of_the_other_kind_are_refused(
    document: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    """They would be without effect."""
    with pytest.raises(ManifestError, match=said) as caught:
        rendered(document, **options)
    assert caught.value.hint


PATIENT = BATCH["jobs"][0] | {"name": "patient", "resume": {"grace_s": 90}}


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        (JOB, 30),
        (JOB | {"resume": None}, 30),
        (JOB | {"resume": {"grace_s": 1}}, 30),
        (JOB | {"resume": {"grace_s": 60.2}}, 71),
        (BATCH, 30),
        (BATCH | {"defaults": BATCH["defaults"] | {"resume": {"grace_s": 100}}}, 110),
        (BATCH | {"jobs": [*BATCH["jobs"], PATIENT]}, 100),
        (
            {
                "kind": "batch",
                "name": "b",
                "defaults": BATCH["defaults"] | {"resume": {"grace_s": 50}},
                "discover": {"uri": "s3://models/"},
                "destination": {"uri": "s3://results"},
            },
            60,
        ),
    ],
)
def test_a_pod_has_time_for_its_last_save(document: dict[str, Any], seconds: int) -> None:
    """The longest that a job of it asks for, and ten seconds to end; thirty at least."""
    assert job(document)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


def test_a_manifest_is_put_in_a_config_map_as_it_was_written() -> None:
    """Its name has a digest of it, so that it can't be changed under a Job that reads it."""
    text = json.dumps(JOB, indent=3) + "\n\n"
    config_map, made = documents(JOB, text=text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert config_map["data"] == {"manifest.json": text}
    assert config_map["immutable"] is True
    assert config_map["metadata"]["name"] == f"mnist-{digest[:10]}"
    pod = made["spec"]["template"]["spec"]
    (volume,) = [it for it in pod["volumes"] if "configMap" in it]
    assert volume["configMap"] == {"name": config_map["metadata"]["name"]}
    (mount,) = [it for it in container(JOB)["volumeMounts"] if it["name"] == volume["name"]]
    assert mount["readOnly"] is True
    assert container()["args"] == ["run", f"{mount['mountPath']}/manifest.json", "--log", "json"]
    for document in (config_map, made):
        assert document["metadata"]["annotations"] == {"paredown/manifest-sha256": digest}


def test_a_manifest_in_a_bucket_stays_there() -> None:
    """Its URI is the argument, a dollar in it is one, and the digest is that of what was read."""
    source = "s3://models/a $(HOME) $$b/manifest.json"
    (made,) = documents(JOB, source=source)
    (only,) = made["spec"]["template"]["spec"]["containers"]
    assert only["args"][1] == "s3://models/a $$(HOME) $$$$b/manifest.json"
    assert "manifest" not in [it["name"] for it in only["volumeMounts"]]
    assert len(made["metadata"]["annotations"]["paredown/manifest-sha256"]) == 64


def test_a_manifest_too_large_for_a_config_map_is_refused() -> None:
    """It says what to do; in a bucket it may be larger."""
    text = json.dumps(JOB)
    text += " " * (MAX_CONFIG_MAP_BYTES - len(text))
    assert len(rendered(JOB, text=text).notes) == 1
    with pytest.raises(ManifestError, match="900,001 bytes") as caught:
        rendered(JOB, text=text + " ")
    assert "s3://" in caught.value.hint
    assert rendered(JOB, text=text + " ", source="s3://models/m.json").notes == []


def test_kubectls_own_limit_is_reported_before_kubectl_does() -> None:
    """Client-side apply keeps a copy in an annotation of at most 256 KiB."""
    assert rendered(JOB, text=json.dumps(JOB) + " " * 200_000).notes == []
    (note,) = rendered(JOB, text=json.dumps(JOB) + "\n" * 150_000).notes
    assert "--server-side" in note


def test_the_same_manifest_and_options_give_the_same_bytes() -> None:
    """Another manifest or another option gives others."""
    text = rendered(JOB, **EVERYTHING).text
    assert rendered(JOB, **EVERYTHING).text == text
    assert rendered(JOB, **EVERYTHING | {"cpu": "3"}).text != text
    assert rendered(JOB | {"training": {"epochs": 3}}, **EVERYTHING).text != text


def test_every_option_is_in_the_job() -> None:
    """At its place, as it was given."""
    config_map, made = documents(JOB, **EVERYTHING)
    pod = made["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    assert made["metadata"]["name"] == "my-job"
    assert made["metadata"]["namespace"] == config_map["metadata"]["namespace"] == "models"
    assert only["resources"] == {
        "requests": {"cpu": "500m", "memory": "1.5Gi", "ephemeral-storage": "20G"},
        "limits": {
            "cpu": "1.5",
            "memory": "1.5Gi",
            "ephemeral-storage": "20G",
            "nvidia.com/gpu": 1,
        },
    }
    assert only["imagePullPolicy"] == "Always"
    assert pod["priorityClassName"] == "batch-low"
    assert made["spec"]["activeDeadlineSeconds"] == 3600
    asked = {"example.org/note": "safe: {to} evict\n", "y": ""}
    assert made["spec"]["template"]["metadata"]["annotations"] == asked
    assert asked.items() <= made["metadata"]["annotations"].items()
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": "20G"}
    assert only["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["serviceAccountName"] == "reader"
    assert only["env"][1:] == [
        {"name": "AWS_REGION", "value": "eu-central-1"},
        {"name": "PRICE", "value": "$$(HOME) is $$$$5"},
    ]
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "spot", "operator": "Equal", "value": "1e3", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "", "effect": "NoExecute"},
    ]
    assert made["spec"]["ttlSecondsAfterFinished"] == 0
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "nightly"
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels.items() <= made["metadata"]["labels"].items()
    assert (labels["team"], labels["example.org/cost"]) == ("y", "0x10")


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    """And the defaults are those of the command's help."""
    made = job()
    pod = made["spec"]["template"]["spec"]
    assert made["metadata"]["name"] == "mnist"
    assert "namespace" not in made["metadata"]
    assert "suspend" not in made["spec"]
    assert made["spec"]["ttlSecondsAfterFinished"] == 24 * 60 * 60
    assert pod.keys().isdisjoint(
        {
            *("nodeSelector", "tolerations", "serviceAccountName", "imagePullSecrets"),
            "priorityClassName",
        }
    )
    assert "activeDeadlineSeconds" not in made["spec"]
    assert "annotations" not in made["spec"]["template"]["metadata"]
    assert "imagePullPolicy" not in container()
    assert "envFrom" not in container()
    assert container()["image"] == IMAGE
    assert container()["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"},
        "limits": {"memory": "4Gi", "ephemeral-storage": "10Gi"},
    }


def test_objects_carry_the_standard_labels() -> None:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/."""
    for document, component in ((JOB, "job"), (BATCH, "batch")):
        for made in documents(document):
            labels = made["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == "paredown"
            assert labels["app.kubernetes.io/managed-by"] == "paredown"
            assert labels["app.kubernetes.io/component"] == component
            assert labels["app.kubernetes.io/instance"] == document["name"]
            assert labels["app.kubernetes.io/version"]
