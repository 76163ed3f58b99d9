"""The manifest's JSON Schema, for editors and CI."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from job.manifest.job import JobConfig


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) as indented text with a line feed at its end."""
    schema = JobConfig.model_json_schema()
    for name, definition in [("JobConfig", schema), *schema["$defs"].items()]:
        _describe(name, definition)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "properties": {"$schema": {"type": "string"}, **schema["properties"]},
        "title": "paredown manifest",
    }
    return json.dumps(schema, indent=2) + "\n"


def _describe(name: str, definition: dict[str, Any]) -> None:
    """Put the docstrings under the fields into the schema.

    Done here and not by pydantic's ``use_attribute_docstrings``, which reads the sources at each
    import and makes every command slower.
    """
    kind = next(kind for kind in _configs(BaseModel) if kind.__name__ == name)
    for ancestor in reversed(kind.__mro__):
        if ancestor.__module__.startswith("job.manifest."):
            for field, text in _field_docstrings(ancestor):
                if field in definition.get("properties", {}):
                    definition["properties"][field]["description"] = text


def _configs(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("job.manifest."):
            yield sub
        yield from _configs(sub)


def _field_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            yield field.target.id, inspect.cleandoc(str(text.value.value))
