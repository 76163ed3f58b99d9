"""A manifest's problems as messages: pydantic's findings, with suggestions for typing errors."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from job.manifest.fields import Config

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


# What fields are called that hold a credential.
SECRET_NAME = re.compile(r"access_?key|secret|password|passwd|token|credential", re.IGNORECASE)
CREDENTIAL = (
    "credentials are never in a manifest, which is written into the results; give them in the "
    "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or name a profile in storage.profile"
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its JSON path (``prune.layers.0.skip``) and what it is."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or '(the manifest)'}: {self.message}"


def redacted(problem: Problem, given: Any) -> Problem:
    """The problem without the strings of a value, which may be secret."""
    match given:
        case str():
            message = problem.message.replace(_short(given), "what --set gives")
            problem = replace(problem, message=message)
        case dict() | list():
            for inner in given.values() if isinstance(given, dict) else given:
                problem = redacted(problem, inner)
    return problem


Kind = TypeVar("Kind", bound=Config)


def checked(document: dict[str, Any], kind: type[Kind]) -> Kind | list[Problem]:
    """The document as ``kind``; else its problems, at least one. Sections are not compared.

    It is read as JSON, where ``"3"`` is no number and ``true`` is no 1.
    """
    try:
        return kind.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        return _problems(error.errors(), document, kind)


def _problems(
    errors: Iterable[ErrorDetails], document: Any, model: type[BaseModel]
) -> list[Problem]:
    """pydantic's errors as problems, each with its path in ``document``.

    Where a value may be of several shapes, pydantic reports each shape's failure. Those of shapes
    that were not meant are dropped: where a name was given, no field of an object is missing.
    """
    found = [(_json_path(error, document), error) for error in errors]
    problems: dict[tuple[str, str], Problem] = {}
    for path, error in found:
        if error["type"] in SHAPES and any(
            other.startswith(f"{path}.") or (other == path and it["type"] not in SHAPES)
            for other, it in found
        ):
            continue
        if error["type"] in SHAPES:
            message = _not_a_shape([it["type"] for at, it in found if at == path], error["input"])
        elif error["type"] == "literal_error":
            if isinstance(error["input"], dict):
                continue
            same = [it for other, it in found if other == path and it["type"] == "literal_error"]
            message = _not_a_choice(same)
        else:
            message = _message(error, model)
        problems.setdefault((path, message), Problem(path, message))
    return list(problems.values())


# pydantic's error types where a value has another shape than this member of a union.
SHAPES = {
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

# What may be said of a required field by null.
NULLABLE = {"dataset": "; null if there are no data"}


def _json_path(error: ErrorDetails, document: Any) -> str:
    """The error's place in the user's JSON: pydantic's location without the tags of unions, which
    are no keys of the document. A missing field keeps its own name at the end.
    """
    parts = []
    node = document
    location = error["loc"]
    for index, part in enumerate(location):
        in_object = isinstance(node, dict) and part in node
        in_list = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if in_object or in_list:
            node = node[part]
        elif not (error["type"] == "missing" and index == len(location) - 1):
            continue
        parts.append(str(part))
    return ".".join(parts)


def _message(error: ErrorDetails, model: type[BaseModel]) -> str:
    value = _short(error["input"])
    match error["type"]:
        case "missing":
            text = "this field is required" + NULLABLE.get(str(error["loc"][-1]), "")
        case "extra_forbidden":
            name = str(error["loc"][-1])
            if SECRET_NAME.search(name):
                text = CREDENTIAL
            else:
                text = "unknown field" + _suggestion(name, _fields_at(model, error["loc"][:-1]))
        case "union_tag_invalid":
            text = _not_a_choice([error])
        case "union_tag_not_found":
            text = 'the field "type" is required here'
        case "string_pattern_mismatch" if error["loc"][-1] == "sha256":  # or what was pasted there
            text = "this is no SHA-256, which has 64 hexadecimal digits"
        case "string_pattern_mismatch":
            text = f"{value} is not of the form {error['ctx']['pattern']}"
        case "too_short":
            least = error["ctx"]["min_length"]
            text = f"this must have at least {least} {'entry' if least == 1 else 'entries'}"
        case "value_error":
            text = str(error["ctx"]["error"])
        case _:
            said = error["msg"].replace("Input should be", "this must be").replace("tuple", "list")
            text = f"{said[0].lower()}{said[1:]}, not {value}"
    return text


def _not_a_shape(types: list[str], value: object) -> str:
    shapes = list(dict.fromkeys(SHAPES[it] for it in types if it in SHAPES))
    return f"this must be {' or '.join(shapes)}, not {_short(value)}"


def _not_a_choice(errors: list[ErrorDetails]) -> str:
    """One message for a value that is none of several choices (a union has several lists)."""
    listed = " ".join(
        f"{error['ctx'].get('expected', '')} {error['ctx'].get('expected_tags', '')}"
        for error in errors
    )
    choices = list(dict.fromkeys(re.findall(r"'([^']*)'", listed))) or [listed.strip()]
    return not_a_choice(errors[0]["ctx"].get("tag", errors[0]["input"]), choices)


def not_a_choice(given: object, choices: Collection[str]) -> str:
    """A message: the value, what it may be, and which of these may have been meant."""
    return f"{_short(given)} is none of {', '.join(choices)}{_suggestion(str(given), choices)}"


def _short(value: object) -> str:
    if isinstance(value, dict | list) and value:  # there may be a secret in it
        return f"{'an object' if isinstance(value, dict) else 'a list'} with {len(value)} in it"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# What people write for the field's full names.
SHORT_FORMS = {
    "acc": "accuracy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
    "lr": "learning_rate",
    "constant_sparsity": "constant",
}


def _suggestion(given: str, allowed: Collection[str]) -> str:
    import difflib  # only where there is a problem: starting fast matters

    long_form = SHORT_FORMS.get(given.lower())
    if long_form in allowed:
        return f'; did you mean "{long_form}"?'
    close = difflib.get_close_matches(given, sorted(set(allowed)), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The fields that the object at ``location`` may have; of all its shapes where it has several.

    A location's union tags choose a member; a member that does not carry the tag is left out.
    """
    kinds: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        inner = [
            found
            for kind in kinds
            if part in kind.model_fields
            for found in _models_in(kind.model_fields[part].annotation)
        ]
        tagged = [kind for kind in kinds if kind.__name__ == part or _tag(kind) == part]
        kinds = inner or tagged or kinds
    return [name for kind in kinds for name in kind.model_fields]


def _tag(kind: type[BaseModel]) -> str | None:
    field = kind.model_fields.get("type")
    values = get_args(field.annotation) if field else ()
    return values[0] if len(values) == 1 else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]
