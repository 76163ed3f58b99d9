"""The documents are what the API server takes: by its schemas, and by its further rules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes_validate.utils import ValidationError, all_versions, latest_version, validate

from tests.kubernetes.api_rules import API_RULES, ApiRule
from tests.kubernetes.rendered import CASES, Case

OLDEST = "1.31"  # the first in which pod failure policies are stable
BREAKS = [(rule, number) for rule in API_RULES for number in range(len(rule.broken_by))]
names: Callable[[Any], str] = lambda it: getattr(it, "name", str(it))  # noqa: E731


@pytest.mark.parametrize("version", [OLDEST, latest_version()])
@pytest.mark.parametrize("case", CASES, ids=names)
def test_every_field_is_known_to_the_oldest_and_the_newest_kubernetes(
    case: Case, version: str
) -> None:
    """Strictly: a misspelt field, or a value of another type, is an error."""
    for document in case.documents():
        assert version.startswith(validate(document, version, strict=True))


def test_the_schemas_see_what_is_wrong() -> None:
    """They are those of the version that is asked for."""
    assert OLDEST in [".".join(it.split(".")[:2]) for it in all_versions()]
    job = CASES[0].job()
    for change in ({"backofLimit": 1}, {"backoffLimit": "1"}):
        broken = job | {"spec": job["spec"] | change}
        with pytest.raises(ValidationError):
            validate(broken, OLDEST, strict=True)


@pytest.mark.parametrize("case", CASES, ids=names)
@pytest.mark.parametrize("rule", API_RULES, ids=names)
def test_the_job_keeps_the_rules_that_no_schema_has(rule: ApiRule, case: Case) -> None:
    """Whatever the options are."""
    assert rule.holds(case.job())


@pytest.mark.parametrize(("rule", "number"), BREAKS, ids=names)
def test_each_rule_sees_a_job_that_breaks_it(rule: ApiRule, number: int) -> None:
    """No check passes whatever it is given. A batch's Job has every field that rules are about."""
    job = copy.deepcopy(CASES[-1].job())
    rule.broken_by[number](job)
    assert not rule.holds(job)


def test_config_maps_are_named_and_sized_as_the_api_wants() -> None:
    """A DNS subdomain of at most 63 characters here, and text of less than 1 MiB."""
    for case in CASES:
        for document in case.documents()[:-1]:
            assert document["kind"] == "ConfigMap"
            assert len(document["metadata"]["name"]) <= 63
            assert document["immutable"] is True
            assert list(document["data"]) == ["manifest.json"]
