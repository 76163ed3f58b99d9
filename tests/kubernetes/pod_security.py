"""The Pod Security Standard "restricted", rule by rule, and how each is broken.

https://kubernetes.io/docs/concepts/security/pod-security-standards/: the controls of "baseline",
which "restricted" has too, and then its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True)
class Rule:
    """A control of the standard."""

    name: str
    holds: Callable[[Spec], bool]
    broken_by: tuple[Callable[[Spec], Any], ...]
    """Ways to break it; each changes a specification that meets it."""


def containers(spec: Spec) -> list[Spec]:
    """All of them."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [it for kind in kinds for it in spec.get(kind, [])]


def context(part: Spec) -> Spec:
    """The security context of a pod or a container."""
    found: Spec = part.get("securityContext", {})
    return found


def everywhere(spec: Spec, field: str) -> list[Any]:
    """The values of a field of security contexts, of the pod and of all containers."""
    return [context(it)[field] for it in [spec, *containers(spec)] if field in context(it)]


def of_each(spec: Spec, field: str) -> list[Any]:
    """What holds for each container: its own value, or else the pod's, or None."""
    return [context(it).get(field, context(spec).get(field)) for it in containers(spec)]


def capabilities(spec: Spec, what: str) -> list[list[str]]:
    """What is added to, or dropped from, each container's capabilities."""
    return [context(it).get("capabilities", {}).get(what, []) for it in containers(spec)]


def hosts(spec: Spec) -> Iterator[str]:
    """The hosts that probes and hooks of the containers call."""
    for container in containers(spec):
        hooks = container.get("lifecycle", {})
        handlers = [*(container.get(it, {}) for it in HANDLERS), *hooks.values()]
        for handler in handlers:
            for action in ("httpGet", "tcpSocket"):
                yield handler.get(action, {}).get("host", "")


def ports(spec: Spec) -> list[int]:
    """The host's ports that are taken."""
    return [port.get("hostPort", 0) for it in containers(spec) for port in it.get("ports", [])]


def set_pod(field: str, value: Any) -> Callable[[Spec], Any]:
    """Set a field of the pod."""
    return lambda spec: spec.update({field: value})


def set_container(field: str, value: Any) -> Callable[[Spec], Any]:
    """Set a field of the container."""
    return lambda spec: spec["containers"][0].update({field: value})


def set_context(field: str, value: Any) -> Callable[[Spec], Any]:
    """Set a field of the container's security context."""
    return lambda spec: spec["containers"][0]["securityContext"].update({field: value})


def set_pod_context(field: str, value: Any) -> Callable[[Spec], Any]:
    """Set a field of the pod's security context."""
    return lambda spec: spec["securityContext"].update({field: value})


def add_container(container: Spec) -> Callable[[Spec], Any]:
    """Add a container that starts before the others."""
    return lambda spec: spec.setdefault("initContainers", []).append(container)


def add_volume(volume: Spec) -> Callable[[Spec], Any]:
    """Add a volume."""
    return lambda spec: spec["volumes"].append({"name": "other"} | volume)


BASELINE = (
    Rule(
        "HostProcess",
        lambda spec: not any(it.get("hostProcess") for it in everywhere(spec, "windowsOptions")),
        (
            set_pod_context("windowsOptions", {"hostProcess": True}),
            set_context("windowsOptions", {"hostProcess": True}),
        ),
    ),
    Rule(
        "Host Namespaces",
        lambda spec: not any(spec.get(it) for it in ("hostNetwork", "hostPID", "hostIPC")),
        (set_pod("hostNetwork", True), set_pod("hostPID", True), set_pod("hostIPC", True)),
    ),
    Rule(
        "Privileged Containers",
        lambda spec: not any(everywhere(spec, "privileged")),
        (set_context("privileged", True), add_container({"securityContext": {"privileged": True}})),
    ),
    Rule(
        "HostPath Volumes",
        lambda spec: not any("hostPath" in it for it in spec.get("volumes", [])),
        (add_volume({"hostPath": {"path": "/"}}),),
    ),
    Rule(
        "Host Ports",
        lambda spec: not any(ports(spec)),
        (set_container("ports", [{"containerPort": 1, "hostPort": 1}]),),
    ),
    Rule(
        "Host Probes / Lifecycle Hooks",
        lambda spec: not any(hosts(spec)),
        (
            set_container("livenessProbe", {"httpGet": {"host": "h", "port": 1}}),
            set_container("lifecycle", {"preStop": {"tcpSocket": {"host": "h", "port": 1}}}),
        ),
    ),
    Rule(
        "AppArmor",
        lambda spec: all(
            it.get("type") in ("RuntimeDefault", "Localhost")
            for it in everywhere(spec, "appArmorProfile")
        ),
        (
            set_pod_context("appArmorProfile", {"type": "Unconfined"}),
            set_context("appArmorProfile", {"type": "Unconfined"}),
        ),
    ),
    Rule(
        "SELinux",
        lambda spec: all(
            it.get("type", "") in SELINUX and not it.get("user") and not it.get("role")
            for it in everywhere(spec, "seLinuxOptions")
        ),
        (
            set_context("seLinuxOptions", {"type": "spc_t"}),
            set_pod_context("seLinuxOptions", {"user": "system_u"}),
            set_pod_context("seLinuxOptions", {"role": "sysadm_r"}),
        ),
    ),
    Rule(
        "/proc Mount Type",
        lambda spec: all(it == "Default" for it in everywhere(spec, "procMount")),
        (set_context("procMount", "Unmasked"),),
    ),
    Rule(
        "Sysctls",
        lambda spec: all(it["name"] in SYSCTLS for it in context(spec).get("sysctls", [])),
        (set_pod_context("sysctls", [{"name": "kernel.msgmax", "value": "1"}]),),
    ),
)
RESTRICTED = (
    Rule(
        "Volume Types",
        lambda spec: all(VOLUMES & it.keys() for it in spec.get("volumes", [])),
        (add_volume({"nfs": {"server": "s", "path": "/"}}), add_volume({"hostPath": {}})),
    ),
    Rule(
        "Privilege Escalation",
        lambda spec: all(
            context(it).get("allowPrivilegeEscalation") is False for it in containers(spec)
        ),
        (
            set_context("allowPrivilegeEscalation", True),
            lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
            add_container({}),
        ),
    ),
    Rule(
        "Running as Non-root",
        lambda spec: all(it is True for it in of_each(spec, "runAsNonRoot")),
        (
            set_pod_context("runAsNonRoot", False),
            set_context("runAsNonRoot", False),
            lambda spec: spec["securityContext"].pop("runAsNonRoot"),
        ),
    ),
    Rule(
        "Running as Non-root user",
        lambda spec: 0 not in everywhere(spec, "runAsUser"),
        (set_pod_context("runAsUser", 0), set_context("runAsUser", 0)),
    ),
    Rule(
        "Seccomp",
        lambda spec: all(
            (it or {}).get("type") in ("RuntimeDefault", "Localhost")
            for it in [*of_each(spec, "seccompProfile"), *everywhere(spec, "seccompProfile")]
        ),
        (
            set_pod_context("seccompProfile", {"type": "Unconfined"}),
            set_context("seccompProfile", {"type": "Unconfined"}),
            lambda spec: spec["securityContext"].pop("seccompProfile"),
        ),
    ),
    Rule(
        "Capabilities",
        lambda spec: (
            all("ALL" in it for it in capabilities(spec, "drop"))
            and all(set(it) <= {"NET_BIND_SERVICE"} for it in capabilities(spec, "add"))
        ),
        (
            set_context("capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
            set_context("capabilities", {"drop": ["NET_RAW"]}),
            set_context("capabilities", {}),
            add_container({"securityContext": {"allowPrivilegeEscalation": False}}),
        ),
    ),
)
RULES = BASELINE + RESTRICTED
