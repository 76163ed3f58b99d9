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

from job.manifest.batch import BatchConfig
from job.manifest.job import JobConfig

# Each job of a batch has these itself; the model where the defaults have none.
OF_EACH_JOB = ("name", "model")
TAGS = ("schema_version", "kind")


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) as indented text with a line feed at its end.

    ``if`` chooses the kind, not ``oneOf``: editors then show the problems of the kind that is
    meant, and not that neither fits.
    """
    definitions: dict[str, Any] = {}
    for kind in (BatchConfig, JobConfig):
        schema = kind.model_json_schema(ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs") | {kind.__name__: schema}
    for name, definition in definitions.items():
        _describe(name, definition)
    for name in ("BatchConfig", "JobConfig"):
        properties = definitions[name]["properties"]
        definitions[name]["properties"] = {"$schema": {"type": "string"}, **properties}
    _describe_jobs(definitions)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "paredown manifest",
        "type": "object",
        "if": {"properties": {"kind": {"const": "batch"}}, "required": ["kind"]},
        "then": {"$ref": "#/$defs/BatchConfig"},
        "else": {"$ref": "#/$defs/JobConfig"},
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(schema, indent=2) + "\n"


def _describe_jobs(definitions: dict[str, Any]) -> None:
    """Name the fields that a batch's defaults and jobs may have.

    What is in those fields is open: only merged do they make a whole job.
    """
    fields = definitions["JobConfig"]["properties"]
    open_fields = {name: fields[name] for name in TAGS} | {
        name: {"description": _described(field, definitions)}
        for name, field in fields.items()
        if name not in ("$schema", *TAGS, *OF_EACH_JOB)
    }
    batch = definitions["BatchConfig"]
    model = {"model": {"description": _described(fields["model"], definitions)}}
    batch["properties"]["defaults"] |= {
        "properties": open_fields | model,
        "additionalProperties": False,
    }
    batch["properties"]["jobs"]["items"] |= {
        "properties": {"name": fields["name"]} | model | open_fields,
        "required": ["name"],
        "additionalProperties": False,
    }
    whole = {"properties": {"model": fields["model"]}, "required": ["model"]}
    shared = {"properties": {"model": {"required": ["uri"]}}, "required": ["model"]}
    batch |= {
        "if": {"properties": {"defaults": shared}, "required": ["defaults"]},
        "else": {"properties": {"jobs": {"items": whole}}},
    }


def _described(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A field's own description, or that of the section that it is."""
    if "description" in field:
        return str(field["description"])
    sections = [field, *field.get("anyOf", [])]
    referred = [it["$ref"].rpartition("/")[2] for it in sections if "$ref" in it]
    return str(definitions[referred[0]]["description"])


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
