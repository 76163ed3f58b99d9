"""A template -> a page, with what every page has: its style, its facts, its manifest."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from job.pages.facts import Facts, pointer
from job.result.result import MANIFEST_FILE
from job.text import legible_json, printable


def rendered(template: str, facts: Facts, **values: Any) -> str:
    """The page of a template: ``facts`` are those of the document that it shows."""
    manifest = json.dumps(facts.document["manifest"], indent=2, ensure_ascii=False)
    return (
        environment()
        .get_template(template)
        .render(
            n=facts.number,
            name=facts.name,
            said=facts.said,
            text=facts.text,
            has=facts.has,
            at=facts.at,
            p=pointer,
            printable=printable,
            manifest=legible_json(manifest),
            manifest_file=MANIFEST_FILE,
            style=part("style.css"),
            **values,
        )
    )


@functools.cache
def environment() -> Environment:
    """The templates; what they put into a page is escaped."""
    return Environment(
        loader=PackageLoader("job.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def part(name: str) -> Markup:
    """A file of this package that is a part of pages as it is."""
    return Markup(files("job.pages").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704
