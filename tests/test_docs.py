"""What the pages say exists: links, anchors, files, commands, options, fields, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from job import errors
from tests.conftest import ROOT, paredown

FIRST = ROOT / "README.md"
PAGES = [FIRST, *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
ALL = "\n".join(page.read_text() for page in PAGES)
COMMANDS = ("run", "validate", "inspect", "schema", "report", "summarize", "kubernetes")
CODE_BLOCK = re.compile(r"^```.*?^```$|^    .*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What a run makes, and patterns and placeholders, are not files of the project.
PATH = re.compile(r"`((?:\.ci|benchmarks|docs|job|manifests|tests)/[\w./-]*)`")
MADE = ("manifests/quickstart/out/",)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", it).strip().lower().replace(" ", "-") for it in headings}


def by_name(page: Path) -> str:
    """How a test of a page is called."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    """Relative ones; the anchor is one of the file that is linked."""
    links = LINK.findall(CODE_BLOCK.sub("", page.read_text()))
    broken = []
    for link in [it for it in links if not it.startswith("https://")]:
        file, _, anchor = unquote(link).partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Modules and folders move; a page that names them moves with them."""
    named = [it for it in PATH.findall(page.read_text()) if it not in MADE]
    assert [it for it in named if not (ROOT / it).exists()] == []


def test_the_first_page_leads_to_every_other() -> None:
    """So that nothing has to be searched for; and every example is listed."""
    linked = {(FIRST.parent / it.partition("#")[0]).resolve() for it in LINK.findall(ALL)}
    assert [page for page in PAGES[1:] if page not in linked] == []
    assert all(f"docs/{page.name}" in FIRST.read_text() for page in PAGES[1:-1])
    listed = (ROOT / "docs" / "manifest.md").read_text()
    examples = (ROOT / "manifests" / "examples").glob("*.json")
    assert [it.name for it in examples if f"examples/{it.name})" not in listed] == []


def test_every_benchmark_is_described() -> None:
    """A script that can be run alone; the others are imported by these."""
    described = (ROOT / "benchmarks" / "README.md").read_text()
    scripts = (ROOT / "benchmarks").glob("*.py")
    runnable = [it.name for it in scripts if "__main__" in it.read_text()]
    assert runnable
    assert [name for name in runnable if f"`{name}`" not in described] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_described(command: str) -> None:
    """And no page gives a command an option that it does not have."""
    shown = paredown(command, "--help").out
    options = set(re.findall(r"--[a-z][a-z-]*", shown)) - {"--help", "--variants"}
    assert [it for it in sorted(options) if not re.search(rf"{it}(?![\w-])", ALL)] == []
    typed = re.findall(rf"paredown {command} [^#|`\n]*(?:\\\n[^#|`\n]*)*", ALL)
    assert typed
    used = {it for line in typed for it in re.findall(r"(?<= )--[a-z][a-z-]*", line)}
    assert used - options <= {"--help"}


def names_in(schema: Any) -> Iterator[str]:
    """The names of fields, and the values that a field may have."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        values = [schema.get("const"), *schema.get("enum", ())]
        yield from (it for it in values if isinstance(it, str))
    inner = schema.values() if isinstance(schema, dict) else schema
    for it in inner if isinstance(schema, dict | list) else ():
        yield from names_in(it)


def test_every_name_of_the_manifest_is_described() -> None:
    """Fields, codecs, variants, gates, losses; the schema has the long descriptions."""
    schema = json.loads((ROOT / "manifests" / "manifest.schema.json").read_text())
    # Names in capitals are Keras's class names, which are accepted too.
    names = sorted(
        {it for it in names_in(schema["$defs"]) if it[0].isalnum() and not it[0].isupper()}
    )
    assert {"uri", "zopfli", "int16x8", "max_drop", "hinge"} < set(names)
    assert [it for it in names if not re.search(rf"(?<!\w){re.escape(it)}\b", ALL)] == []


def test_every_room_is_described() -> None:
    """A folder of the package, in the page for developers."""
    page = (ROOT / "docs" / "development.md").read_text()
    rooms = [it.parent.name for it in (ROOT / "job").glob("*/__init__.py")]
    assert rooms
    assert [it for it in rooms if f"`job/{it}/`" not in page] == []


def test_manifests_on_the_pages_are_valid(tmp_path: Path) -> None:
    """Those that are whole."""
    whole: list[Path] = []
    for text in re.findall(r"```json\n(\{.*?)```", ALL, re.DOTALL):
        document: dict[str, Any] = json.loads(text)
        if "destination" in document:
            whole.append(tmp_path / f"{len(whole)}.json")
            whole[-1].write_text(text)
    assert len(whole) > 2
    checked = paredown("validate", *whole)
    assert (checked.code, checked.err) == (0, "")


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """The table of the first page has each, and no other."""
    _, _, table = FIRST.read_text().partition("## Exit codes")
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(",")}
    kinds = {it.exit_code for it in errors.BY_NAME.values()}
    interrupted = {errors.InterruptedRunError(it).exit_code for it in (2, 15)}
    assert listed == {0, errors.GATE_MISSED_EXIT_CODE} | kinds | interrupted
