"""Each option stands once, and the command, its help and the record are made from it."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from job.errors import ManifestError
from job.kubernetes.options import Options, parameters, read
from tests.conftest import paredown
from tests.kubernetes.rendered import IMAGE

NOT_GIVEN = {it.name: it.default for it in parameters()} | {"image": IMAGE}


def test_options_that_are_not_given_have_the_records_defaults() -> None:
    """The cluster decides about those that are None."""
    options = read(NOT_GIVEN)
    assert options == Options(image=IMAGE)
    assert (options.namespace, options.secret, options.queue) == (None, None, None)
    assert (options.env, options.label, options.toleration) == ({}, {}, ())


def test_every_option_is_in_the_help() -> None:
    """With dashes."""
    said = paredown("kubernetes", "--help").out
    assert [it.name for it in fields(Options) if f"--{it.name.replace('_', '-')}" not in said] == []


WRONG = {it.name: ["="] if it.default is MISSING else " " for it in fields(Options)} | {"image": ""}


@pytest.mark.parametrize("name", [it.name for it in fields(Options) if "int" not in str(it.type)])
def test_a_refusal_names_the_option(name: str) -> None:
    """As it is typed; Typer itself checks numbers."""
    with pytest.raises(ManifestError, match=f"^--{name.replace('_', '-')} can't be "):
        read(NOT_GIVEN | {name: WRONG[name]})


def test_a_limit_below_the_request_is_refused() -> None:
    """In cores or thousandths of them."""
    assert read(NOT_GIVEN | {"cpu": "500m", "cpu_limit": "0.5"}).cpu_limit == "0.5"
    with pytest.raises(ManifestError, match="--cpu-limit can't be '499m'"):
        read(NOT_GIVEN | {"cpu": "0.5", "cpu_limit": "499m"})
