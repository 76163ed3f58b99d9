"""``summary.html``: the outcome of a batch, as one file that needs no other."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from job.pages.facts import Facts
from job.pages.rendered import environment, part
from job.pages.scatter import scatters
from job.result.summary import Row, Summary
from job.text import one_line, printable

STATUS = {
    "succeeded": "ready",
    "gate_missed": "gate missed",
    "failed": "failed",
    "pending": "pending",
}
# Of a list of failures or missed gates, what is shown before the rest is folded.
MOST_SHOWN = 10


@dataclass(frozen=True)
class Column:
    """A column of the table of all jobs, after the job and its status."""

    title: str
    field: str
    """Of ``Row``."""
    how: str | None = None
    """The number's format; None for text."""


COLUMNS = (
    Column("bytes", "bytes", ","),
    Column("smallest", "smallest_bytes", ","),
    Column("times smaller", "ratio", ".1f"),
    Column("artifact", "artifact"),
    Column("metric", "metric"),
    Column("quality", "quality", ".4f"),
    Column("drop", "drop", "+z.4f"),
    Column("agreement", "agreement", ".4f"),
    Column("SNR, dB", "snr_db", ".1f"),
    Column("sparsity", "sparsity", ".1%"),
    Column("latency, ms", "latency_ms", ".3f"),
    Column("seconds", "seconds", ".1f"),
)


@dataclass
class Group:
    """Jobs that failed for the same reason."""

    reason: str
    to_do: str
    first: int
    """The place in the summary of one of them, whose exit code is that of all."""
    jobs: list[dict[str, Any]] = field(default_factory=list)


def batch_page(summary: Summary) -> str:
    """The page of a batch.

    Args:
        summary: The batch's; its totals are shown as they are.

    Returns:
        HTML. Its numbers name their places in ``summary.json``; its links are relative to the
        batch's destination. The same summary gives the same text.
    """
    # As the file has it: what is not finite is null there.
    document = json.loads(summary.model_dump_json())
    facts, rows = Facts(document), summary.jobs
    script = part("templates/summary.js")
    charts, not_drawn = scatters(rows)
    columns = [it for it in COLUMNS if any(row[it.field] is not None for row in document["jobs"])]
    same = _same_settings(rows)
    return (
        environment()
        .get_template("summary.html")
        .render(
            facts=facts,
            name=facts.text("/name"),
            made_at=facts.text("/made_at"),
            totals=document["totals"],
            charts=charts,
            not_drawn=not_drawn,
            failures=_failures(rows),
            missed=[_job(row) for row in rows if row.status == "gate_missed"],
            notes=[_job(row) for row in rows if row.note],
            same=[
                _setting(facts, f"/jobs/{place}/settings", it, value) for it, place, value in same
            ],
            columns=columns,
            has_tensorflow=any(row.runtime == "tensorflow" for row in rows),
            has_settings=any(_own(row, same) for row in rows),
            jobs=_table(facts, document["jobs"], rows, columns, same),
            statuses=STATUS.values(),
            most=MOST_SHOWN,
            style=part("templates/summary.css"),
            script=script,
            policy=_policy(script),
        )
    )


def _policy(script: str) -> str:
    """Nothing is fetched, and no script runs but that one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _link(path: str | None) -> str | None:
    """A relative address: no name begins a scheme or a host, or leads out of the folder."""
    return None if path is None or ".." in path.split("/") else f"./{quote(path)}"


def _job(row: Row) -> dict[str, Any]:
    """What lists of jobs show of one."""
    return {
        "name": one_line(row.name),
        "link": _link(row.report),
        "model": one_line(row.model),
        "reason": printable(row.reason),
        "note": printable(row.note),
    }


def _file(row: Row) -> str:
    """The model's file name, where the job's name does not say it: a name has fewer characters."""
    is_told = row.name in row.model.replace("/", "-")
    return "" if is_told else one_line(row.model.rstrip("/").rpartition("/")[2])


def _failures(rows: Iterable[Row]) -> list[Group]:
    """Those with the same reason together, the most frequent first."""
    groups: dict[tuple[object, ...], Group] = {}
    for place, row in enumerate(rows):
        if row.status == "failed":
            reason = _general(row)
            key = (row.exit_code, reason, row.to_do)
            group = groups.setdefault(key, Group(printable(reason), printable(row.to_do), place))
            group.jobs.append(_job(row))
    return sorted(groups.values(), key=lambda group: -len(group.jobs))


def _general(row: Row) -> str:
    """The reason without the place, if that is the job's own model or folder."""
    what, opened, where = row.reason.rpartition(" (")
    is_own = bool(row.model and one_line(row.model) in where) or f"/{row.name}/" in where
    return what if opened and where.endswith(")") and is_own else row.reason


def _same_settings(rows: Iterable[Row]) -> list[tuple[str, int, Any]]:
    """Settings that all jobs of two or more share: path, a job that has it, and value."""
    known = [(place, row.settings) for place, row in enumerate(rows) if row.settings]
    if len(known) < 2:
        return []
    place, first = known[0]
    seen: dict[str, list[Any]] = defaultdict(list)
    for _, settings in known:
        for path, value in settings.items():
            seen[path].append(value)
    return [
        (path, place, value)
        for path, value in sorted(first.items())
        if len(seen[path]) == len(known) and all(it == value for it in seen[path])
    ]


def _own(row: Row, same: Iterable[tuple[str, int, Any]]) -> list[tuple[str, Any]]:
    shared = {path for path, *_ in same}
    return [(path, value) for path, value in sorted(row.settings.items()) if path not in shared]


def _setting(facts: Facts, pointer: str, path: str, value: object) -> tuple[str, Markup]:
    """A setting's path, and its value as HTML."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        step = path.replace("~", "~0").replace("/", "~1")
        return printable(path), facts.number(f"{pointer}/{step}")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(path), Markup("<code>{}</code>").format(printable(text))


def _table(
    facts: Facts,
    documents: list[dict[str, Any]],
    rows: list[Row],
    columns: list[Column],
    same: list[tuple[str, int, Any]],
) -> Iterator[dict[str, Any]]:
    """A row for each job."""
    for place, (row, document) in enumerate(zip(rows, documents, strict=True)):
        pointer = f"/jobs/{place}"
        yield {
            "name": one_line(row.name),
            "file": _file(row),
            "link": _link(row.report),
            "status": STATUS[row.status],
            "kind": row.status,
            "is_noted": bool(row.note),
            "cells": [_cell(facts, pointer, document, column) for column in columns],
            "settings": [
                _setting(facts, f"{pointer}/settings", path, value)
                for path, value in _own(row, same)
            ],
        }


def _cell(facts: Facts, pointer: str, row: dict[str, Any], column: Column) -> Markup:
    if row[column.field] is None:
        return Markup("<td></td>")
    if column.how is None:
        text = escape(facts.text(f"{pointer}/{column.field}"))
        synthetic = " (synthetic)" if column.field == "metric" and row["synthetic"] else ""
        return Markup("<td><bdi>") + text + Markup("</bdi>") + synthetic + Markup("</td>")
    number = facts.number(f"{pointer}/{column.field}", column.how)
    unit = " tf" if column.field == "latency_ms" and row["runtime"] == "tensorflow" else ""
    return Markup("<td>") + number + unit + Markup("</td>")
