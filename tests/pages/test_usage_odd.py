"""How to use the files of odd results: of hostile names, and of an earlier version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from job.pages.usage import usages
from job.result.artifact import PreprocessResult, TensorResult, UsageResult
from job.result.result import Result
from tests.pages.test_usage import compiled, lines, without_comments
from tests.support.published import make_result

HOSTILE = (
    'a"; import os #',
    "*/ int x; /* \\",
    '"""',
    "a\nb\u202ec\u0000",
    "${x} `y`",
    "<script>",
    "類別",
    "x" * 300,
)


def hostile(name: str, **tensor: Any) -> Result:
    """A result whose file has inputs and outputs of this name."""
    made = make_result()
    preprocess = PreprocessResult(
        one_hot=3, divide_by=127.5, offset=[0.5, 1.0, 2.0], mean=[-1.0], std=[2.0, 3.0, 4.0]
    )
    inputs = [
        TensorResult(name=name, dtype="int8", shape=[None, None, 3], scale=0.5, zero_point=-1),
        TensorResult(name=f"{name}2", dtype="uint8", shape=[None, 3], preprocess=preprocess),
    ]
    outputs = [
        TensorResult(name=name, dtype="int8", shape=[None, 3], scale=0.5, zero_point=4),
        TensorResult(name=f"{name}2", dtype="bool", shape=[None, 3]),
    ]
    update = {"inputs": inputs, "outputs": outputs, "usage": UsageResult(loader="ai_edge_litert")}
    changed = made.artifacts[1].model_copy(update=update | tensor)
    return made.model_copy(update={"artifacts": [made.artifacts[0], changed]})


def test_hostile_names_compile(tmp_path: Path) -> None:
    """In comments of C++."""
    compiled([lines(usages(hostile(name))[1], "cpp") for name in HOSTILE], tmp_path)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_a_name(name: str) -> None:
    """It ends neither its literal nor its comment, in any language."""
    plain, usage = usages(hostile("plain"))[1], usages(hostile(name))[1]
    code = lines(usage, "python")
    assert names_in(code) >= {name, f"{name}2"}
    for language in ("cpp", "kotlin"):
        assert without_comments(lines(usage, language)) == without_comments(lines(plain, language))
    for snippet in usage.snippets:
        assert all(it.isprintable() or it == "\n" for it in snippet.code)


def names_in(code: str) -> set[str]:
    """The strings in the lines of Python, but those of docstrings."""
    import ast

    found = [it.value for it in ast.walk(ast.parse(code)) if isinstance(it, ast.Constant)]
    return {it for it in found if isinstance(it, str)}


def test_an_earlier_result_has_no_lines_and_says_so() -> None:
    """It does not say how a file is loaded."""
    for usage in usages(make_result()):
        assert usage.snippets == ()
        assert "earlier version" in usage.note
