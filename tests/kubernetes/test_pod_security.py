"""The pods meet the Pod Security Standard "restricted", and go further."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.kubernetes.pod_security import RULES, Rule
from tests.kubernetes.rendered import CASES, Case

BREAKS = [(rule, number) for rule in RULES for number in range(len(rule.broken_by))]
names: Callable[[Any], str] = lambda it: getattr(it, "name", str(it))  # noqa: E731


@pytest.mark.parametrize("case", CASES, ids=names)
@pytest.mark.parametrize("rule", RULES, ids=names)
def test_the_pod_meets_every_rule_of_the_restricted_standard(rule: Rule, case: Case) -> None:
    """Whatever the options are."""
    assert rule.holds(case.pod())


@pytest.mark.parametrize(("rule", "number"), BREAKS, ids=names)
def test_each_rule_sees_a_pod_that_breaks_it(rule: Rule, number: int) -> None:
    """No check passes whatever it is given."""
    spec = copy.deepcopy(CASES[0].pod())
    rule.broken_by[number](spec)
    assert not rule.holds(spec)


def test_the_standard_has_sixteen_controls() -> None:
    """Ten of "baseline" that "restricted" does not sharpen, and its own six, each once."""
    assert len({rule.name for rule in RULES}) == len(RULES) == 16


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_pod_can_write_to_its_scratch_alone(case: Case) -> None:
    """The root is read-only; a mount is on disk with a limit, or can't be written."""
    pod = case.pod()
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    volumes = {it["name"]: it for it in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes.pop(mount["name"])
        assert mount.get("readOnly") or set(volume["emptyDir"]) == {"sizeLimit"}, mount
    assert volumes == {}
    (scratch,) = [it["mountPath"] for it in container["volumeMounts"] if it["name"] == "scratch"]
    assert {"name": "TMPDIR", "value": scratch} in container["env"]


def test_no_token_is_in_the_pod_unless_a_service_account_is_asked_for() -> None:
    """Nor are the addresses of the namespace's services."""
    plain, full = (case.pod() for case in CASES[:2])
    assert plain["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in plain
    assert plain["enableServiceLinks"] is False
    assert full["automountServiceAccountToken"] is True
    assert full["serviceAccountName"] == "reader"
