"""``report.md``: a result as a model card, with the metadata that Hugging Face reads.

It says what ``report.html`` says, without its charts. The same result gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from job.pages import card_tables
from job.pages.card_metadata import block, metadata
from job.pages.markdown import bullets, code, fence, plain, table
from job.pages.merit import shown_index
from job.pages.remarks import median_ms, slow_integers
from job.pages.usage import usages
from job.result.failure import Failure
from job.result.result import ArtifactResult, Result, StageResult
from job.text import legible_json

NO_SPEED = (
    "Zeros make a file smaller once it is encoded. They do not make it faster on an ordinary CPU, "
    "whose kernels compute them as they do any other weight."
)


def model_card(result: Result) -> str:
    """The card of a run, as Markdown."""
    index = shown_index(result)
    shown = None if index is None else result.artifacts[index]
    parts = [
        metadata(result),
        f"# {plain(result.name)}",
        *_first(result, shown),
        *([card_tables.headline(result, shown)] if shown else []),
        *_section("Files", card_tables.files(result)),
        *_section("Gates", *card_tables.gates(result)),
        *_section("Quality", card_tables.quality(result)),
        *_section("Fidelity to the original model", card_tables.fidelity(result)),
        *_section("Layers", card_tables.layers(result, shown or result.baseline)),
        *_latency(result),
        *_limitations(result),
        *_section("Decisions", _decisions(result.stages)),
        *_reproduction(result),
        *_usage(result),
    ]
    return "\n\n".join(parts) + "\n"


def failed_card(failure: Failure) -> str:
    """The card of a job that has no result: why first, then how far it came."""
    parts = [
        block({"tags": ["paredown"]}),
        f"# {plain(failure.name)}",
        f"**The job failed.** {plain(failure.what)}",
    ]
    facts = [
        ("Where", failure.where),
        ("What to do", failure.to_do),
        ("In the stage", failure.stage),
    ]
    facts += [("Error", failure.error), ("Exit code", str(failure.exit_code)), ("At", failure.at)]
    rows = [[name, plain(value)] for name, value in facts if value]
    rows.append(["Seconds of work", f"{failure.seconds:.1f}"])
    parts.append(table(["", ""], rows))
    parts += _section("Warnings", bullets(failure.warnings))
    parts += _section("How far it came", _stages(failure.stages))
    parts += _section("Decisions", _decisions(failure.stages))
    parts += _manifest(failure.manifest)
    parts += _made_with(failure.versions, failure.environment)
    return "\n\n".join(parts) + "\n"


def _section(title: str, *parts: str) -> list[str]:
    """A heading and what is below it; nothing where that is empty."""
    found = [it for it in parts if it]
    return [f"## {title}", *found] if found else []


def _first(result: Result, shown: ArtifactResult | None) -> Iterator[str]:
    """What came of it, in a sentence; of a run that missed a gate, why."""
    if result.status != "succeeded":
        has_none = result.chosen is None
        what = "A gate was missed." if result.status == "gate_missed" else "The run failed."
        yield f"**{what}**" + " No file passes every gate that applies to it." * has_none
        missed = [it for it in result.gates if not it.passed and (has_none or it.is_binding)]
        yield bullets([it.explanation for it in missed])
    if shown is None:
        return
    if result.chosen_artifact is None:
        yield f"The smallest file is {code(shown.smallest_path)} ({plain(shown.name)})."
    else:
        yield f"The file to ship is {code(shown.smallest_path)} ({plain(shown.name)})."


def _latency(result: Result) -> list[str]:
    cpu = result.environment.get("cpu")
    where = f"One row at a time, warm, on {plain(str(cpu))}. " if cpu else ""
    said = f"{where}Figures of two runtimes do not compare."
    found = card_tables.latency(result)
    return _section("Latency", said, found) if found else []


def _limitations(result: Result) -> list[str]:
    sentences = list(result.warnings)
    if any(it.sparsity for it in result.artifacts[1:]):
        sentences.append(NO_SPEED)
    sentences += _slow_integers(result)
    if any(it.synthetic for artifact in result.artifacts for it in artifact.fidelity.values()):
        sentences.append("Fidelity was measured on rows that were drawn at random, not on data.")
    test = result.splits.get("test")
    rows = f"Figures are of {test.rows:,} test rows." if test else ""
    return _section("Limitations and warnings", rows, bullets(sentences))


def _slow_integers(result: Result) -> Iterator[str]:
    """Where integers did not make it faster, on this CPU and one thread."""
    for index, fastest in slow_integers(result):
        slow, fast = result.artifacts[index], result.artifacts[fastest]
        yield (
            f"{slow.name} is not faster than {fast.name} here: {median_ms(slow):.3f} ms for a row, "
            f"{median_ms(fast):.3f} ms of {fast.name}. It may be on hardware for integers."
        )


def _decisions(stages: list[StageResult]) -> str:
    return "\n\n".join(
        f"**{plain(stage.name)}**\n\n{bullets(stage.decisions)}"
        for stage in stages
        if stage.decisions
    )


def _stages(stages: list[StageResult]) -> str:
    rows = [[plain(it.name), f"{it.seconds:.1f}"] for it in stages]
    return table(["Stage", "Seconds"], rows, (1,)) if rows else ""


def _reproduction(result: Result) -> list[str]:
    command = "Save the manifest below as `manifest.json`, beside the files that it names, and run:"
    rows = [
        [plain(name), plain(it.uri), f"{it.bytes:,}", code(it.sha256)]
        for name, it in result.inputs.items()
    ]
    return [
        *_section("How to reproduce it", command, fence("sh", "paredown run manifest.json")),
        f"The run id is {code(result.run_id)}.",
        table(["Input", "URI", "Bytes", "SHA-256"], rows, (2,)),
        *_manifest(result.manifest),
        *_made_with(result.versions, result.environment),
    ]


def _manifest(manifest: Mapping[str, Any]) -> list[str]:
    """The manifest, with its defaults."""
    text = legible_json(json.dumps(manifest, indent=2, ensure_ascii=False))
    return ["### Manifest", fence("json", text)] if manifest else []


def _made_with(versions: Mapping[str, str], environment: Mapping[str, Any]) -> Iterator[str]:
    for title, found in (("Versions", versions), ("Machine", environment)):
        rows = [[plain(name), plain(_shown_value(value))] for name, value in found.items()]
        if rows:
            yield f"### {title}"
            yield table(["", ""], rows)


def _shown_value(value: object) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def _usage(result: Result) -> Iterator[str]:
    yield "## How to use each file"
    for usage in usages(result):
        yield f"### {plain(usage.artifact)}"
        yield f"{code(usage.path)}. {plain(usage.note)}"
        for snippet in usage.snippets:
            yield fence(snippet.language, snippet.code)
