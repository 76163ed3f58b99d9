"""The model card: its metadata, its numbers, and names that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from job.pages.model_card import failed_card, model_card
from job.result.artifact import LayerResult
from job.result.failure import Failure
from job.result.fetched import InputResult
from job.result.figures import DropResult, IntervalResult, LatencyResult
from job.result.result import ChosenResult, Result, StageResult, ratio
from job.result.training import SplitResult
from tests.support.published import closeness, make_result

HOSTILE = (
    "<script>alert(1)</script>",
    "a | b `c` **d** _e_",
    "[x](javascript:alert(1))",
    "![x](https://example.com/x.png)",
    "one\n\n# two\n---\n```\nthree",
    "1. first",
    "- item",
    "abc\u202edef",
    "שלום עולם",
    "類別",
    "&lt;b&gt; $x$ ~~y~~",
    "x" * 300,
    "'\"\\",
)


def full_result(name: str = "tiny") -> Result:
    """A result with something of everything, whose names are all this one."""
    made = make_result()
    interval = IntervalResult(low=0.9712, high=0.9888, confidence=0.95, method="wilson")
    times = LatencyResult(runtime="litert", threads=1, runs=100, median=0.0354, p90=0.0412)
    update: dict[str, Any] = {
        "intervals": {"accuracy": [interval]},
        "drops": {"accuracy": DropResult(value=0.0076, intervals=[interval])},
        "fidelity": {name: closeness(0.97, 31.25)},
        "latency_ms": {"one_thread": times},
        "layer_bits": {name: 8},
        "times_smaller": 20.0,
        "sparsity": 0.796,
    }
    baseline, small = made.artifacts
    layer = LayerResult(
        name=name,
        type=name,
        parameters=20290,
        prunable_weights=20280,
        pruned=True,
        reason=name,
        target_sparsity=0.8,
        achieved_sparsity=0.7951,
        kernel_shape=[2028, 10],
    )
    return made.model_copy(
        update={
            "name": name,
            "artifacts": [baseline, small.model_copy(update=update)],
            "layers": [layer],
            "warnings": [name],
            "stages": [StageResult(name=name, seconds=1.25, decisions=[name])],
            "inputs": {
                "model": InputResult(uri=name, bytes=11000, sha256="e" * 64),
                "dataset": InputResult(uri=name, bytes=12345, sha256="d" * 64),
            },
            "environment": {"cpu": name, "memory_bytes": 25276063744},
            "versions": {"paredown": "0.1.0", name: name},
            "manifest": {"name": name, "dataset": {"type": "csv"}},
            "splits": {
                "test": SplitResult(rows=2000, sha256="c" * 64, source="arrays", has_targets=True)
            },
        }
    )


def succeeded(result: Result) -> Result:
    """The same with a chosen file and no missed gate."""
    chosen = ChosenResult(artifact="int8", path="int8.tflite.zip", encoding="zip", bytes=750)
    update = {"status": "succeeded", "chosen": chosen, "gates": result.gates[:1]}
    return result.model_copy(update=update)


def metadata_of(card: str) -> dict[str, Any]:
    """The block at the head."""
    start, block, _ = card.split("---\n", 2)
    assert start == ""
    return dict(yaml.safe_load(block))


def tables_of(card: str) -> dict[str, list[list[str]]]:
    """By the heading that they stand below: the rows of all tables, as a reader sees them."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    row: list[str] = []
    body = card.split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[index + 1].content
        if token.type == "tr_open":
            row = []
            found.setdefault(heading, []).append(row)
        if token.type in ("td_open", "th_open"):
            children = tokens[index + 1].children or []
            row.append("".join(it.content for it in children))
    return found


def leaves(value: Any) -> Iterator[Any]:
    """Every number and text in a document, with its keys."""
    if isinstance(value, dict):
        for key, it in value.items():
            yield key
            yield from leaves(it)
    elif isinstance(value, list):
        for it in value:
            yield from leaves(it)
    else:
        yield value


def shown_forms(result: Result) -> tuple[set[str], str]:
    """How numbers of a result may be shown; and all of its sentences."""
    document = json.loads(result.model_dump_json())
    found = list(leaves(document))
    numbers: list[float] = [it for it in found if isinstance(it, int | float)]
    numbers += [ratio(result.baseline, it) for it in result.artifacts]
    formats = ("{:,}", "{:.4f}", "{:.1f}", "{:.3f}", "{:.4g}")
    forms = {form.format(it) for it in numbers for form in formats}
    forms |= {f"{100 * it:.1f}" for it in numbers} | {"95"}
    return forms, "\n".join(it for it in found if isinstance(it, str))


@pytest.mark.parametrize("is_full", [True, False])
def test_every_number_is_in_the_result(*, is_full: bool) -> None:
    """Of all tables; text of the result is shown as it is."""
    result = full_result() if is_full else make_result()
    forms, texts = shown_forms(result)
    count = 0
    for rows in tables_of(model_card(result)).values():
        for cell in (it for row in rows[1:] for it in row):
            if cell in texts:
                continue
            for number in re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", cell):
                assert number in forms, cell
                count += 1
    assert count > 10


def test_each_figure_is_where_it_belongs() -> None:
    """Files, quality, layers, latency."""
    result = succeeded(full_result())
    found = tables_of(model_card(result))
    small = result.artifacts[1]
    assert [small.path, "int8", "plain", f"{small.bytes:,}", small.sha256] in found["Files"]
    assert found["tiny"][2:4] == [["Bytes", "11,000", "750"], ["Times smaller", "", "20.0"]]
    quality = ["int8", "accuracy", "0.9800", "0.9712 to 0.9888", "0.0076", "0.9712 to 0.9888"]
    assert quality in found["Quality"]
    layer = ["tiny", "tiny", "2028 x 10", "20,290", "8", "80.0 %", "79.5 %", "tiny"]
    assert layer in found["Layers"]
    assert ["int8", "litert", "1", "0.035", "0.041"] in found["Latency"]


def test_the_metadata_says_what_hugging_face_reads() -> None:
    """The chosen file's metrics; a base model only where it comes from there."""
    result = succeeded(full_result())
    found = metadata_of(model_card(result))
    assert found["tags"] == ["paredown", "quantization", "tflite", "litert"]
    assert found["metrics"] == ["accuracy"]
    (entry,) = found["model-index"]
    (evaluation,) = entry["results"]
    assert entry["name"] == "tiny"
    assert evaluation["task"] == {"type": "tabular-regression"}
    assert evaluation["dataset"] == {"type": "csv", "name": "tiny", "split": "test"}
    assert evaluation["metrics"][1] == {
        "type": "accuracy",
        "value": 0.98,
        "name": "accuracy (int8)",
    }
    assert "base_model" not in found
    hub = "https://huggingface.co/keras/mnist/resolve/main/model.keras"
    inputs = {"model": InputResult(uri=hub, bytes=1, sha256="e" * 64)}
    changed = metadata_of(model_card(result.model_copy(update={"inputs": inputs})))
    assert (changed["base_model"], changed["base_model_relation"]) == ("keras/mnist", "quantized")
    assert "model-index" not in changed


def test_a_run_without_a_chosen_file_recommends_none() -> None:
    """It says first which gate was missed, and why."""
    card = model_card(full_result())
    assert "model-index" not in metadata_of(card)
    body = card.split("---\n", 2)[2]
    missed = body.index("A gate was missed")
    assert missed < body.index("int8: \\[bad\\]") < body.index("The smallest file is")


def test_a_missed_gate_on_another_file_is_no_contradiction() -> None:
    """Where a file is chosen, some passes; and only what must hold whichever is, is missed."""
    result = full_result()
    binding, other = (
        result.gates[0].model_copy(
            update={"gate": {"type": "max_bytes", **named}, "explanation": text, "passed": False}
        )
        for named, text in (({"artifact": "prune"}, "it is bound"), ({}, "it is not"))
    )
    chosen = ChosenResult(artifact="int8", path="int8.tflite", encoding="file", bytes=90)
    body = model_card(
        result.model_copy(update={"gates": [binding, other], "chosen": chosen})
    ).split("---\n", 2)[2].split("##")[0]  # fmt: skip
    assert "A gate was missed" in body
    assert "it is bound" in body
    assert "it is not" not in body
    assert "No file passes" not in body
    assert "The file to ship is" in body


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text(name: str) -> None:
    """No element, link, picture or heading is made of it; and it can be read."""
    result = succeeded(full_result(name))
    card = model_card(result)
    assert metadata_of(card)["model-index"]
    body = card.split("---\n", 2)[2]
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    html = page.render(body)
    assert set(re.findall(r"<([a-z0-9]+)", html)) <= ELEMENTS
    plain = page.render(model_card(succeeded(full_result())).split("---\n", 2)[2])
    for element in ("h1", "h2", "h3", "tr", "td", "pre", "li"):
        assert html.count(f"<{element}") == plain.count(f"<{element}"), element
    assert "\u202e" not in card
    shown = " ".join(name.split()).replace("\u202e", "\\u202e")
    cells = [it for row in tables_of(card)["Layers"] for it in row]
    assert shown in [it.strip("\u2068\u2069") for it in cells]


ELEMENTS = {
    *("h1", "h2", "h3", "p", "ul", "li", "strong", "code", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_failed_job_says_why_first(name: str) -> None:
    """What happened, where, what to do; then how far it came."""
    failure = Failure(
        name=name,
        exit_code=3,
        error="InputError",
        what=f"{name} is no model.",
        where=name,
        to_do="Give another one.",
        at="2026-01-01T00:00:00+00:00",
        seconds=1.25,
        stages=[StageResult(name="scan", seconds=0.5, decisions=[name])],
        stage="load",
        manifest={"name": name},
        versions={"python": "3.11"},
    )
    card = failed_card(failure)
    assert metadata_of(card) == {"tags": ["paredown"]}
    body = card.split("---\n", 2)[2]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert set(re.findall(r"<([a-z0-9]+)", html)) <= ELEMENTS
    assert body.index("The job failed") < body.index("Give another one") < body.index("## How far")
    assert ["Exit code", "3"] in [row for rows in tables_of(card).values() for row in rows]
    assert failed_card(failure) == card


def test_the_same_result_gives_the_same_bytes() -> None:
    """Read again, too."""
    result = full_result()
    again = Result.model_validate_json(result.model_dump_json())
    assert model_card(result) == model_card(again)
