"""The pod: it may do nothing that it need not, and writes to its scratch alone.

It meets the strictest Pod Security Standard, "restricted":
https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from typing import Any

from job.kubernetes.options import Options, Toleration
from job.kubernetes.plan import MOUNT, Plan

# Nobody: an identity that owns nothing on a node. The image runs as it, too.
USER = 65_532
CONTAINER = "paredown"
SCRATCH = "/scratch"
# For what does not heed TMPDIR.
TMP_SIZE = "1Gi"


def pod_template(plan: Plan, options: Options) -> dict[str, Any]:
    """The template of the Job's pods."""
    spec: dict[str, Any] = {"restartPolicy": "Never", "terminationGracePeriodSeconds": plan.grace_s}
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
    if options.tolerations:
        spec["tolerations"] = [_toleration(it) for it in options.tolerations]
    spec["containers"] = [_container(plan, options)]
    spec["volumes"] = _volumes(plan, options)
    metadata: dict[str, Any] = {"labels": plan.labels(options)}
    if options.annotations:
        metadata["annotations"] = dict(options.annotations)
    return {"metadata": metadata, "spec": spec}


def _identity(options: Options) -> dict[str, Any]:
    """Without a service account that is asked for, no token is in the pod."""
    if options.service_account is None:
        return {"automountServiceAccountToken": False, "enableServiceLinks": False}
    return {
        "serviceAccountName": options.service_account,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
    }


def _container(plan: Plan, options: Options) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options.image,
        **({"imagePullPolicy": options.image_pull_policy} if options.image_pull_policy else {}),
        "args": ["run", literally(plan.manifest), "--log", "json"],
        "env": _environment(plan, options),
    }
    if options.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": options.secret}}]
    # The threads follow the CPU limit; without one they would be as many as the node has cores.
    container["resources"] = _resources(options)
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container["volumeMounts"] = _mounts(plan)
    container["terminationMessagePath"] = "/dev/termination-log"
    container["terminationMessagePolicy"] = "File"
    return container


def _resources(options: Options) -> dict[str, Any]:
    """Memory and disk that a pod asks for are what it may use: with more it could be evicted
    whenever its node runs short. A limit of CPU would only slow it down; without one it may use
    cores that nobody else does.
    """
    fixed = {"memory": options.memory, "ephemeral-storage": options.scratch}
    limits: dict[str, Any] = dict(fixed)
    if options.cpu_limit is not None:
        limits["cpu"] = options.cpu_limit
    if options.gpus is not None:
        limits["nvidia.com/gpu"] = options.gpus
    return {"requests": {"cpu": options.cpu} | fixed, "limits": limits}


def _environment(plan: Plan, options: Options) -> list[dict[str, Any]]:
    """Kubernetes itself tells a shard its number, in ``JOB_COMPLETION_INDEX``, and labels the pods
    of a Job with its id.
    """
    variables = {"TMPDIR": SCRATCH}
    if plan.shards is not None:
        variables["PAREDOWN_SHARDS"] = str(plan.shards.count)
    variables |= options.env
    named: list[dict[str, Any]] = [
        {"name": name, "value": literally(value)} for name, value in variables.items()
    ]
    if plan.shards is not None:
        path = "metadata.labels['batch.kubernetes.io/controller-uid']"
        source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
        named.append({"name": "PAREDOWN_BATCH_ID", "valueFrom": source})
    return named


def _mounts(plan: Plan) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
    ]
    if plan.config_map is not None:
        mounts.append({"name": "manifest", "mountPath": MOUNT, "readOnly": True})
    return mounts


def _volumes(plan: Plan, options: Options) -> list[dict[str, Any]]:
    """Both are on disk: in memory they would count as the pod's."""
    volumes: list[dict[str, Any]] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": options.scratch}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
    ]
    if plan.config_map is not None:
        volumes.append({"name": "manifest", "configMap": {"name": plan.config_map}})
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
    """Text as it is: Kubernetes puts variables in for ``$(NAME)``, and makes one ``$`` of two."""
    return text.replace("$", "$$")
