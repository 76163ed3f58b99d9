"""The Job and its pods: what is retried, what is not, how a batch is divided; no privileges.

https://kubernetes.io/docs/concepts/workloads/controllers/job/. The exit codes are paredown's
contract; one that the pod failure policy does not name counts as a failure and is retried.

A pod writes only to its scratch volumes, and meets the Pod Security Standard "restricted":
https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from typing import Any

from job.errors import (
    GATE_MISSED_EXIT_CODE,
    BugError,
    InputError,
    ManifestError,
    StageError,
    StorageError,
)
from job.kubernetes.options import RETRIES, Options
from job.kubernetes.parse import QUEUE_LABEL, Toleration
from job.kubernetes.workload import MOUNT, Shards, Workload

# The manifest is wrong: for the whole batch.
WRONG_FOR_ALL = [ManifestError.exit_code]
# Retries would fail again, but only for this job.
WRONG_AGAIN = [InputError.exit_code, StageError.exit_code, GATE_MISSED_EXIT_CODE]
# Killed because of its memory or its node, or told to stop; storage unavailable.
TRY_AGAIN = [BugError.exit_code, StorageError.exit_code, 137, 143]
# A user that owns nothing on a node; the image's user, too.
USER = 65_532
CONTAINER = "paredown"
SCRATCH = "/scratch"
# For software that ignores TMPDIR.
TMP_SIZE = "1Gi"


def job(workload: Workload) -> dict[str, Any]:
    """The Job; that of a batch is Indexed, with an index for each shard."""
    options, shards = workload.options, workload.shards
    metadata = workload.metadata(workload.name)
    spec: dict[str, Any] = {}
    if options.queue is not None:  # Kueue resumes it when there is room
        metadata["labels"][QUEUE_LABEL] = options.queue
        spec["suspend"] = True
    if options.deadline is not None:
        spec["activeDeadlineSeconds"] = options.deadline
    spec |= _single(options) if shards is None else _indexed(shards)
    spec |= {
        # Not while the old pod is still writing: the new one would find its lock.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _rules(indexed=shards is not None)},
        "ttlSecondsAfterFinished": options.ttl,
        "template": pod_template(workload),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def pod_template(workload: Workload) -> dict[str, Any]:
    """The template of the Job's pods."""
    options = workload.options
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": workload.grace_s,
    }
    spec |= _identity(options)
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if options.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": options.pull_secret}]
    if options.priority_class is not None:
        spec["priorityClassName"] = options.priority_class
    if options.node_selector:
        spec["nodeSelector"] = dict(options.node_selector)
    if options.toleration:
        spec["tolerations"] = [_toleration(it) for it in options.toleration]
    spec["containers"] = [_container(workload)]
    spec["volumes"] = _volumes(workload)
    metadata: dict[str, Any] = {"labels": workload.labels()}
    if options.annotation:
        metadata["annotations"] = dict(options.annotation)
    return {"metadata": metadata, "spec": spec}


def _identity(options: Options) -> dict[str, Any]:
    """The pod has a token only if a service account is asked for."""
    if options.service_account is None:
        return {"automountServiceAccountToken": False, "enableServiceLinks": False}
    return {
        "serviceAccountName": options.service_account,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
    }


def _container(workload: Workload) -> dict[str, Any]:
    options = workload.options
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options.image,
        **({"imagePullPolicy": options.image_pull_policy} if options.image_pull_policy else {}),
        "args": ["run", literally(workload.manifest), "--log", "json"],
        "env": _environment(workload),
    }
    if options.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": options.secret}}]
    container["resources"] = _resources(options)
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container["volumeMounts"] = _mounts(workload)
    container["terminationMessagePath"] = "/dev/termination-log"
    container["terminationMessagePolicy"] = "File"
    return container


def _resources(options: Options) -> dict[str, Any]:
    """Requests of memory and disk equal the limits: a pod that uses more than it requests may be
    evicted. A CPU limit would only slow it down; without one it may use idle cores.
    """
    fixed = {"memory": options.memory, "ephemeral-storage": options.scratch}
    limits: dict[str, Any] = dict(fixed)
    if options.cpu_limit is not None:
        limits["cpu"] = options.cpu_limit
    if options.gpus is not None:
        limits["nvidia.com/gpu"] = options.gpus
    return {"requests": {"cpu": options.cpu} | fixed, "limits": limits}


def _environment(workload: Workload) -> list[dict[str, Any]]:
    """Kubernetes sets a shard's number, ``JOB_COMPLETION_INDEX``, and labels pods with the Job's
    id.
    """
    variables = {"TMPDIR": SCRATCH}
    if workload.shards is not None:
        variables["PAREDOWN_SHARDS"] = str(workload.shards.count)
    variables |= workload.options.env
    named: list[dict[str, Any]] = [
        {"name": name, "value": literally(value)} for name, value in variables.items()
    ]
    if workload.shards is not None:
        path = "metadata.labels['batch.kubernetes.io/controller-uid']"
        source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
        named.append({"name": "PAREDOWN_BATCH_ID", "valueFrom": source})
    return named


def _mounts(workload: Workload) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
    ]
    if workload.config_map is not None:
        mounts.append({"name": "manifest", "mountPath": MOUNT, "readOnly": True})
    return mounts


def _volumes(workload: Workload) -> list[dict[str, Any]]:
    """Both are on disk: in memory they would count against the pod's memory limit."""
    volumes: list[dict[str, Any]] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": workload.options.scratch}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
    ]
    if workload.config_map is not None:
        volumes.append({"name": "manifest", "configMap": {"name": workload.config_map}})
    return volumes


def _toleration(toleration: Toleration) -> dict[str, str]:
    rule = {"key": toleration.key}
    if toleration.value is None:
        rule["operator"] = "Exists"
    else:
        rule |= {"operator": "Equal", "value": toleration.value}
    if toleration.effect is not None:
        rule["effect"] = toleration.effect
    return rule


def literally(text: str) -> str:
    """Text escaped so that Kubernetes does not expand ``$(NAME)`` and ``$$`` in it."""
    return text.replace("$", "$$")


def _single(options: Options) -> dict[str, Any]:
    return {"backoffLimit": RETRIES if options.retries is None else options.retries}


def _indexed(shards: Shards) -> dict[str, Any]:
    """A shard that fails does not stop the others: all may fail, each by its own limit."""
    return {
        "completionMode": "Indexed",
        "completions": shards.count,
        "parallelism": shards.parallelism,
        "backoffLimitPerIndex": shards.retries,
        "maxFailedIndexes": shards.count,
    }


def _rules(*, indexed: bool) -> list[dict[str, Any]]:
    """The first rule that matches decides. The exit code of a disrupted pod means nothing."""
    if indexed:
        failures = [_on_exit("FailJob", WRONG_FOR_ALL), _on_exit("FailIndex", WRONG_AGAIN)]
    else:
        failures = [_on_exit("FailJob", WRONG_FOR_ALL + WRONG_AGAIN)]
    disrupted = {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    return [*failures, disrupted, _on_exit("Count", TRY_AGAIN)]


def _on_exit(action: str, codes: list[int]) -> dict[str, Any]:
    """Of this container: one that a cluster injects into pods has other exit codes."""
    on = {"containerName": CONTAINER, "operator": "In", "values": codes}
    return {"action": action, "onExitCodes": on}
