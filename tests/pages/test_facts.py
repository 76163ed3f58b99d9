"""Numbers and texts with their places."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from job.pages.facts import Facts, pointer, shown


def test_a_number_says_where_it_is_from() -> None:
    """Its value as JSON has it, and as it is shown."""
    facts = Facts({"artifacts": [{"bytes": 7127}]})
    html = facts.number("/artifacts/0/bytes", ",")
    assert html == Markup('<data value="7127" data-path="/artifacts/0/bytes">7,127</data>')


def test_a_pointer_takes_any_key() -> None:
    """Slashes and tildes are escaped, as RFC 6901 says; what is markup, as HTML says."""
    key = 'a/b~c"<d>'
    facts = Facts({"metrics": {key: 0.5}})
    place = pointer("metrics", key)
    assert place == '/metrics/a~1b~0c"<d>'
    assert facts.at(place) == 0.5
    assert "<d>" not in facts.number(place)


def test_what_is_not_there_is_not_made_up() -> None:
    """Null is a dash, and a place that does not exist is an error."""
    facts = Facts({"value": None, "list": []})
    assert facts.number("/value") == "\N{EN DASH}"
    assert not facts.has("/value")
    assert not facts.has("/list/0")
    with pytest.raises(LookupError):
        facts.number("/other")


@pytest.mark.parametrize(
    ("value", "how", "text"),
    [
        (0.79629, ".1%", "79.6\N{NO-BREAK SPACE}%"),
        (0.95, "%", "95\N{NO-BREAK SPACE}%"),
        (0.9485, "metric", "0.9485"),
        (0.0000123, "metric", "1.23e-05"),
        (0.0, "metric", "0.0000"),
        (0.55, "ms", "0.550"),
        (1234.5, "ms", "1,234"),
        (98968, ",", "98,968"),
        (32, "", "32"),
    ],
)
def test_numbers_are_shown_as_asked(value: float, how: str, text: str) -> None:
    """Shares in percent, metrics with four digits after the point."""
    assert shown(value, how) == text


def test_names_and_sentences_are_escaped_and_printable() -> None:
    """Whatever the result has in them."""
    facts = Facts({"name": "<b>\u202e", "said": "s3://user:word@host/x"})
    assert facts.name("/name") == '<bdi data-path="/name">&lt;b&gt;\\u202e</bdi>'
    assert "word" not in facts.said("/said")
