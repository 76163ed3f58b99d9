"""Text -> a valid manifest, or every problem that it has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from job.errors import ManifestError
from job.manifest.batch import BatchConfig, batch_problems
from job.manifest.consistency import checked_job
from job.manifest.job import JobConfig
from job.manifest.problems import SECRET_NAME, Problem, checked, not_a_choice, redacted

KINDS = ("job", "batch")
# Far more than any manifest has, and far below Python's recursion limit.
MAX_LEVELS = 64


def read_manifest(text: str, source: str, overrides: Iterable[str] = ()) -> JobConfig | BatchConfig:
    """Parse, override and validate; the manifest's ``kind`` says which it is.

    Args:
        text: The JSON text.
        source: Where it came from, for messages.
        overrides: ``path=value`` pairs, the value as JSON or else as a string.

    Raises:
        ManifestError: With line and column where it is no JSON, else with every problem.
    """
    document = _parse(text, source)
    document.pop("$schema", None)  # editors find the schema by it
    given = [_set(document, override) for override in overrides]
    if _is_deep(document):
        raise _too_deep(source)
    manifest = _checked(document)
    if isinstance(manifest, list):
        raise _refusal([redacted(problem, given) for problem in manifest], source)
    return manifest


def _checked(document: dict[str, Any]) -> JobConfig | BatchConfig | list[Problem]:
    kind = document.get("kind", "job")
    if kind == "batch":
        batch = checked(document, BatchConfig)
        if isinstance(batch, list):
            return [_with_its_place(it) for it in batch] + _of_its_jobs(document, batch)
        return batch_problems(batch) or batch
    if kind not in KINDS:
        return [Problem("kind", not_a_choice(kind, KINDS))]
    return checked_job(document)


def _with_its_place(problem: Problem) -> Problem:
    """For a job's section at the top of a batch, where it belongs."""
    section = problem.path
    if section in JobConfig.model_fields and problem.message.startswith("unknown field"):
        text = f"unknown field of a batch; for all of its jobs it is defaults.{section}"
        return Problem(section, text)
    return problem


def _of_its_jobs(document: dict[str, Any], own: list[Problem]) -> list[Problem]:
    """The jobs' problems too, where the batch has its own: found without the faulty fields."""
    wrong = {it.path.partition(".")[0] for it in own}
    rest = {field: it for field, it in document.items() if field not in wrong}
    batch = checked({"name": "x"} | rest, BatchConfig)
    if isinstance(batch, list) or wrong & {"defaults", "jobs"}:
        return []  # too little is known of the jobs
    return [it for it in batch_problems(batch) if it.path.startswith(("defaults.", "jobs."))]


def _refusal(problems: list[Problem], source: str) -> ManifestError:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = "\n".join(f"  {problem}" for problem in problems)
    return ManifestError(
        f"The manifest has {count}:\n{lines}",
        where=source,
        hint="Correct these; `paredown schema` prints what a manifest may hold.",
    )


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"The manifest is no valid JSON: {error.msg}.",
            where=f"{source}, line {error.lineno}, column {error.colno}",
            hint=_json_hint(error),
        ) from None
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError as error:
        raise ManifestError(str(error), where=source, hint="Remove one of them.") from None
    if not isinstance(document, dict):
        raise ManifestError(
            f"A manifest is an object in braces, not a {type(document).__name__}.",
            where=source,
            hint="`paredown schema` prints what a manifest may hold.",
        )
    return document


def _is_deep(document: object) -> bool:
    """Whether it has more than ``MAX_LEVELS`` levels."""
    level = [document]
    for _ in range(MAX_LEVELS):
        level = [
            inner
            for it in level
            if isinstance(it, dict | list)
            for inner in (it.values() if isinstance(it, dict) else it)
        ]
    return bool(level)


def _too_deep(where: str) -> ManifestError:
    return ManifestError(
        "The manifest is nested too deeply.", where=where, hint="It holds at most six levels."
    )


def _json_hint(error: json.JSONDecodeError) -> str:
    lines = error.doc.splitlines()
    line = lines[error.lineno - 1].strip() if error.lineno <= len(lines) else ""
    if SECRET_NAME.search(line):
        return "Correct this line; credentials are never in a manifest."
    return f"Correct this line: {line[:100]}" if line else "The text ends too early."


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f'The manifest has the field "{twice}" twice in one object.')
    return document


def _set(document: dict[str, Any], override: str) -> Any:
    """Apply one ``--set``: ``training.epochs=4``, ``quantize.0.type=int8``, ``prune=null``.

    A section that the manifest leaves out is filled with its defaults first. Messages name the
    path only: there may be a secret in the value.

    Returns:
        The value.
    """
    path, equals, raw = override.partition("=")
    if not equals or not path:
        raise ManifestError(
            "A --set has no path before its =." if equals else "A --set has no = in it.",
            hint="Write PATH=VALUE: --set training.epochs=4",
        )
    *parents, last = path.split(".")
    if len(parents) >= MAX_LEVELS:
        raise _too_deep("--set")
    _refuse_the_other_kinds(document, path)
    value = _value(raw)
    if document.get("kind") == "batch":
        document.setdefault("defaults", {})
    node: Any = document
    default: Any = _defaults(document) if parents else None
    for part in parents:
        if isinstance(default, dict):
            default = default.get(part)
        if isinstance(node, dict):
            if node.get(part) is True:  # a section with all its defaults
                node[part] = {}
            node = node.setdefault(part, {} if default is None else default)
        else:
            node = node[_index(node, part, path)]
    if isinstance(node, dict):
        node[last] = value
    else:
        node[_index(node, last, path)] = value
    return value


def _value(raw: str) -> Any:
    """JSON; what is none is taken as text."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw
    except RecursionError:
        raise _too_deep("--set") from None


def _refuse_the_other_kinds(document: dict[str, Any], path: str) -> None:
    """Refuse a path that only the other kind of manifest has, with the one that is meant."""
    first, _, rest = path.partition(".")
    if document.get("kind") == "batch":
        if first in JobConfig.model_fields and first not in BatchConfig.model_fields:
            raise ManifestError(
                f"--set {path}: this is a batch, and {first} belongs to its jobs.",
                hint=f"For all jobs: --set defaults.{path}=VALUE; for the first one alone: "
                f"--set jobs.0.{path}=VALUE",
            )
    elif first == "defaults" and rest:
        raise ManifestError(
            f"--set {path}: this is a job, and only a batch has defaults.",
            hint=f"--set {rest}=VALUE",
        )


def _defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The sections' defaults; of a batch, those of its jobs are under ``defaults``."""
    least = {"name": "x", "model": {"uri": "x"}, "dataset": {"uri": "x"}}
    job = JobConfig.model_validate(least)
    defaults = job.model_dump(mode="json")
    # Of the variant only what it is, since one of another type has other fields.
    defaults["quantize"] = [it.model_dump(exclude_unset=True) for it in job.quantize or ()]
    of_a_job = {section: it for section, it in defaults.items() if section not in least}
    if document.get("kind") != "batch":
        return of_a_job
    shared = {section: of_a_job.pop(section) for section in ("destination", "storage")}
    return shared | {"defaults": of_a_job}


def _index(node: Any, part: str, path: str) -> int:
    if isinstance(node, list) and part.isascii() and part.isdecimal() and int(part) < len(node):
        return int(part)
    raise ManifestError(
        f"--set {path}: there is no {part!r} to set.",
        hint="A path may go through objects by name and through lists by number, from 0.",
    )
