"""YAML that people review, and that means the same to every parser."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from job.kubernetes.render import yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.dictionaries(TEXTS, TEXTS | st.integers() | st.booleans()), min_size=1))
@settings(deadline=None)
def test_any_text_reads_back_as_it_was(documents: list[dict[str, Any]]) -> None:
    """Also with tabs, odd line ends, and no line end."""
    assert list(yaml.safe_load_all(yaml_text(documents))) == documents


@given(st.lists(st.sampled_from(["{", '  "a": 1,', "}", "", "#", "---", "é", " x"])))
def test_lines_read_back_as_they_were(lines: list[str]) -> None:
    """A manifest is preserved to the last blank line."""
    text = "\n".join(lines)
    assert yaml.safe_load(yaml_text([{"data": text}])) == {"data": text}


@pytest.mark.parametrize(
    "text",
    ["1e3", "12e4567", "0x10", "0o17", "1_000", "1:30", "2024-01-01", "y", "N", "yes", "no", "on",
     "off", "true", "null", "~", ".inf", "-1", "+1", "0.1", ".5", "", "=", "<<"],
)  # fmt: skip
def test_text_that_another_parser_may_take_for_something_else_is_quoted(text: str) -> None:
    """kubectl's parser takes ``1e3`` for a number and ``y`` for true; as label values they fail."""
    assert yaml_text([{"a": text}]).strip() in (f"---\na: '{text}'", f'---\na: "{text}"')


def test_plain_text_is_not_quoted() -> None:
    """What can't be mistaken stays readable."""
    for text in ("Never", "/scratch", "batch/v1", "paredown:0.1.0", "s3://models/m.h5", "a-b"):
        assert yaml_text([{"a": text}]) == f"---\na: {text}\n"


def test_a_text_of_several_lines_is_a_block() -> None:
    """A manifest in a ConfigMap reads like the manifest."""
    assert yaml_text([{"m": '{\n  "a": 1\n}\n'}]) == '---\nm: |\n  {\n    "a": 1\n  }\n'


def test_long_lines_are_not_folded_and_nothing_is_an_alias() -> None:
    """The order of the fields is preserved; equal values are written twice."""
    shared = {"x": "word " * 60 + "end"}
    written = yaml_text([{"b": shared, "a": shared}])
    assert len(written.splitlines()) == 5
    assert "&" not in written
    assert written.index("b:") < written.index("a:")
