"""What the API server refuses and its schemas do not: enumerations, quantities, fields together.

From the API's own validation: https://github.com/kubernetes/kubernetes, pkg/apis/batch/validation
and pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Job = dict[str, Any]
# apimachinery's, and what it says of a suffix.
QUANTITY = re.compile(
    r"[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]+)"
)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")
ANNOTATION = re.compile(rf"({SUBDOMAIN.pattern}/)?[a-z0-9]([-a-z0-9_.]{{0,61}}[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
ACTIONS = ("FailJob", "FailIndex", "Ignore", "Count")


@dataclass(frozen=True)
class ApiRule:
    """A rule, and ways to break it."""

    name: str
    holds: Callable[[Job], bool]
    broken_by: tuple[Callable[[Job], Any], ...]


def pod(job: Job) -> dict[str, Any]:
    """The pods' specification."""
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def container(job: Job) -> dict[str, Any]:
    """The one container."""
    (only,) = pod(job)["containers"]
    found: dict[str, Any] = only
    return found


def quantities(job: Job) -> list[object]:
    """Every amount of something."""
    resources = container(job)["resources"]
    limits = [it["emptyDir"].get("sizeLimit", "1") for it in volumes(job, "emptyDir")]
    return [*resources["requests"].values(), *resources["limits"].values(), *limits]


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def volumes(job: Job, kind: str) -> list[dict[str, Any]]:
    """The volumes of a kind."""
    return [it for it in pod(job)["volumes"] if kind in it]


def rules(job: Job) -> list[dict[str, Any]]:
    """Those of the pod failure policy."""
    found: list[dict[str, Any]] = job["spec"]["podFailurePolicy"]["rules"]
    return found


def exit_rules(job: Job) -> list[dict[str, Any]]:
    """What they say of exit codes."""
    return [it["onExitCodes"] for it in rules(job) if "onExitCodes" in it]


def labels(job: Job) -> dict[str, str]:
    """All labels of the Job and its pods."""
    of_pods: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    of_job: dict[str, str] = job["metadata"]["labels"]
    return of_pods | of_job


def indexed(job: Job) -> bool:
    """Whether its pods are numbered."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def put(*path: str | int, value: Any) -> Callable[[Job], Any]:
    """Put a value in a place of the Job."""

    def change(job: Job) -> None:
        node: Any = job
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value

    return change


RULE = ("spec", "podFailurePolicy", "rules")
SPEC = ("spec", "template", "spec")
API_RULES = (
    ApiRule(
        "restartPolicy is Never: a pod failure policy needs it",
        lambda job: pod(job)["restartPolicy"] == "Never",
        (put(*SPEC, "restartPolicy", value="Always"), put(*SPEC, "restartPolicy", value="never")),
    ),
    ApiRule(
        "quantities",
        lambda job: all(QUANTITY.fullmatch(str(it)) for it in quantities(job)),
        (
            put(*SPEC, "containers", 0, "resources", "requests", "memory", value="4GB"),
            put(*SPEC, "volumes", 0, "emptyDir", "sizeLimit", value="ten"),
        ),
    ),
    ApiRule(
        "requests are at most limits",
        lambda job: (
            container(job)["resources"]["requests"]["memory"]
            == container(job)["resources"]["limits"]["memory"]
            and container(job)["resources"]["requests"]["ephemeral-storage"]
            == container(job)["resources"]["limits"]["ephemeral-storage"]
            and _cores(container(job)["resources"]["requests"]["cpu"])
            <= _cores(container(job)["resources"]["limits"].get("cpu", "1000"))
        ),
        (
            put(*SPEC, "containers", 0, "resources", "limits", "memory", value="1Mi"),
            put(*SPEC, "containers", 0, "resources", "limits", "ephemeral-storage", value="1Mi"),
            put(*SPEC, "containers", 0, "resources", "limits", "cpu", value="1m"),
        ),
    ),
    ApiRule(
        "the image is pulled by a policy there is",
        lambda job: (
            container(job).get("imagePullPolicy") in (None, "Always", "IfNotPresent", "Never")
        ),
        (put(*SPEC, "containers", 0, "imagePullPolicy", value="always"),),
    ),
    ApiRule(
        "a priority class is named as an object is",
        lambda job: SUBDOMAIN.fullmatch(pod(job).get("priorityClassName", "a")) is not None,
        (put(*SPEC, "priorityClassName", value="High"),),
    ),
    ApiRule(
        "a deadline is not negative",
        lambda job: job["spec"].get("activeDeadlineSeconds", 0) >= 0,
        (put("spec", "activeDeadlineSeconds", value=-1),),
    ),
    ApiRule(
        "annotations: keys as of labels, values of text, 256 KiB in all",
        lambda job: all(
            ANNOTATION.fullmatch(key.lower()) and isinstance(value, str) and len(value) < 262_144
            for part in (job, job["spec"]["template"])
            for key, value in part["metadata"].get("annotations", {}).items()
        ),
        (
            put("spec", "template", "metadata", "annotations", value={"a b": "c"}),
            put("metadata", "annotations", "x", value=1),
        ),
    ),
    ApiRule(
        "actions of the pod failure policy",
        lambda job: all(it["action"] in ACTIONS for it in rules(job)),
        (put(*RULE, 0, "action", value="Fail"),),
    ),
    ApiRule(
        "a rule has exit codes or conditions, not both",
        lambda job: all(("onExitCodes" in it) != ("onPodConditions" in it) for it in rules(job)),
        (put(*RULE, 0, "onPodConditions", value=[]),),
    ),
    ApiRule(
        "exit codes: an operator, sorted, each once, none of them 0, of a container there is",
        lambda job: all(
            it["operator"] in ("In", "NotIn")
            and it["values"] == sorted(set(it["values"]))
            and 0 not in it["values"]
            and 0 < len(it["values"]) <= 255
            and it["containerName"] == container(job)["name"]
            for it in exit_rules(job)
        ),
        (
            put(*RULE, 0, "onExitCodes", "operator", value="in"),
            put(*RULE, 0, "onExitCodes", "values", value=[2, 2]),
            put(*RULE, 0, "onExitCodes", "values", value=[3, 2]),
            put(*RULE, 0, "onExitCodes", "values", value=[0, 2]),
            put(*RULE, 0, "onExitCodes", "containerName", value="other"),
        ),
    ),
    ApiRule(
        "conditions are of a status that is text",
        lambda job: all(
            it["status"] in ("True", "False", "Unknown")
            for rule in rules(job)
            for it in rule.get("onPodConditions", [])
        ),
        (put(*RULE, -2, "onPodConditions", 0, "status", value="true"),),
    ),
    ApiRule(
        "podReplacementPolicy is Failed: a pod failure policy needs it",
        lambda job: job["spec"]["podReplacementPolicy"] == "Failed",
        (put("spec", "podReplacementPolicy", value="TerminatingOrFailed"),),
    ),
    ApiRule(
        "fields of indexes are those of an Indexed Job",
        lambda job: indexed(job) or not job["spec"].keys() & {"backoffLimitPerIndex"},
        (put("spec", "completionMode", value="NonIndexed"),),
    ),
    ApiRule(
        "FailIndex and maxFailedIndexes need backoffLimitPerIndex",
        lambda job: (
            "backoffLimitPerIndex" in job["spec"]
            or ("maxFailedIndexes" not in job["spec"] and "FailIndex" not in str(rules(job)))
        ),
        (lambda job: job["spec"].pop("backoffLimitPerIndex"),),
    ),
    ApiRule(
        "maxFailedIndexes and parallelism are at most completions",
        lambda job: (
            not indexed(job)
            or (
                job["spec"]["maxFailedIndexes"] <= job["spec"]["completions"] <= 100_000
                and job["spec"]["parallelism"] <= job["spec"]["completions"]
            )
        ),
        (put("spec", "maxFailedIndexes", value=10**6), put("spec", "parallelism", value=10**6)),
    ),
    ApiRule(
        "names: the Job's is a DNS label, its pods' hosts are too",
        lambda job: (
            len(f"{job['metadata']['name']}-{job['spec'].get('completions', 0)}") <= 63
            and LABEL.fullmatch(job["metadata"]["name"]) is not None
        ),
        (
            put("metadata", "name", value="a" * 63),
            put("metadata", "name", value="a.b"),
            put("metadata", "name", value="A"),
        ),
    ),
    ApiRule(
        "labels are short and plain",
        lambda job: all(
            len(value) <= 63 and LABEL_VALUE.fullmatch(value) for value in labels(job).values()
        ),
        (put("metadata", "labels", "x", value="a b"), put("metadata", "labels", "x", value="-")),
    ),
    ApiRule(
        "each mount is of a volume, at a place of its own",
        lambda job: (
            {it["name"] for it in container(job)["volumeMounts"]}
            == {it["name"] for it in pod(job)["volumes"]}
            and len({it["mountPath"] for it in container(job)["volumeMounts"]})
            == len(container(job)["volumeMounts"])
        ),
        (
            put(*SPEC, "containers", 0, "volumeMounts", 0, "name", value="x"),
            put(*SPEC, "containers", 0, "volumeMounts", 0, "mountPath", value="/tmp"),  # noqa: S108
        ),
    ),
    ApiRule(
        "variables have names, each once, and values that are text",
        lambda job: (
            all(
                re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", it["name"])
                and (isinstance(it["value"], str) if "value" in it else it["valueFrom"])
                for it in container(job)["env"]
            )
            and len({it["name"] for it in container(job)["env"]}) == len(container(job)["env"])
        ),
        (
            put(*SPEC, "containers", 0, "env", 0, "name", value="1A"),
            put(*SPEC, "containers", 0, "env", 0, "value", value=3),
            put(*SPEC, "containers", 0, "env", 0, value={"name": "A", "valueFrom": None}),
        ),
    ),
    ApiRule(
        "what is taken from the pod is a label that Kubernetes gives it",
        lambda job: all(
            it["valueFrom"]["fieldRef"]["fieldPath"]
            == "metadata.labels['batch.kubernetes.io/controller-uid']"
            for it in container(job)["env"]
            if "valueFrom" in it
        ),
        (
            put(
                *(*SPEC, "containers", 0, "env", 0),
                value={"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uuid"}}},
            ),
        ),
    ),
    ApiRule(
        "termination messages are read from a file",
        lambda job: (
            container(job)["terminationMessagePolicy"] == "File"
            and container(job)["terminationMessagePath"] == "/dev/termination-log"
        ),
        (put(*SPEC, "containers", 0, "terminationMessagePolicy", value="file"),),
    ),
    ApiRule(
        "the profile of system calls has a type there is",
        lambda job: pod(job)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
        (put(*SPEC, "securityContext", "seccompProfile", "type", value="runtimeDefault"),),
    ),
    ApiRule(
        "tolerations: an operator, a value only for Equal, an effect there is",
        lambda job: all(
            it["operator"] == ("Equal" if "value" in it else "Exists")
            and it.get("effect") in (None, "NoSchedule", "PreferNoSchedule", "NoExecute")
            for it in pod(job).get("tolerations", [])
        ),
        (
            put(*SPEC, "tolerations", value=[{"key": "a", "operator": "Exists", "value": "b"}]),
            put(*SPEC, "tolerations", value=[{"operator": "Exists", "effect": "noschedule"}]),
        ),
    ),
)
