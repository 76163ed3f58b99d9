"""A parsed document -> a model, or every problem that it has. Not across sections."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import ValidationError

from job.manifest.fields import Config
from job.manifest.problems import Problem, from_validation

Kind = TypeVar("Kind", bound=Config)


def checked(document: dict[str, Any], kind: type[Kind]) -> Kind | list[Problem]:
    """The document as ``kind``; else its problems, of which there is at least one.

    It is read as JSON, where ``"3"`` is no number and ``true`` is no 1.
    """
    try:
        return kind.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        return from_validation(error.errors(), document, kind)
