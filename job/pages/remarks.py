"""What the latencies mean, in plain sentences with the figures of the result."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from job.pages.facts import Facts, pointer
from job.result.result import ArtifactResult, Result

# Variants whose activations are whole numbers.
INTEGER_VARIANTS = {"int8", "int16x8"}
ONE_THREAD = "one_thread"


def latency_remarks(result: Result, facts: Facts) -> list[Markup]:
    """Sentences on what is not faster, and what does not compare."""
    return [*_sparsity(result, facts), *_integers(result, facts), *_runtimes(result)]


def median_ms(artifact: ArtifactResult) -> float | None:
    """Of one thread; None where it was not timed."""
    found = artifact.latency_ms.get(ONE_THREAD)
    return found.median if found else None


def _ms(facts: Facts, index: int) -> Markup:
    place = pointer("artifacts", index, "latency_ms", ONE_THREAD, "median")
    return facts.number(place, "ms") + Markup("\N{NO-BREAK SPACE}ms")


def _sparsity(result: Result, facts: Facts) -> Iterator[Markup]:
    """Zeros are multiplied as other numbers are."""
    base = median_ms(result.baseline)
    for index, artifact in enumerate(result.artifacts):
        if artifact.stage != "prune":
            continue
        figures = Markup("")
        if base is not None and median_ms(artifact) is not None:
            figures = Markup(" With {} of zeros {} takes {}, the baseline {}.").format(
                facts.number(pointer("artifacts", index, "sparsity"), ".1%"),
                facts.name(pointer("artifacts", index, "path")),
                _ms(facts, index),
                _ms(facts, 0),
            )
        yield (
            Markup(
                "Sparsity does not make a model faster on an ordinary CPU, which multiplies zeros "
                "like any other numbers: zeros make the file smaller once it is compressed."
            )
            + figures
        )
        return


def slow_integers(result: Result) -> list[tuple[int, int]]:
    """The integer variants that are not faster than the fastest with floating-point activations:
    the place of each among the artifacts, and that of the fastest.
    """
    asked = result.manifest.get("quantize") or []
    kinds = {it.get("name") or it.get("type"): it.get("type") for it in asked}
    timed = [
        (index, kinds.get(artifact.name) in INTEGER_VARIANTS, median)
        for index, artifact in enumerate(result.artifacts)
        if artifact.format == "tflite" and (median := median_ms(artifact)) is not None
    ]
    floats = [(median, index) for index, is_integer, median in timed if not is_integer]
    if not floats:
        return []
    limit, fastest = min(floats)
    return [(index, fastest) for index, is_integer, it in timed if is_integer and it >= limit]


def _integers(result: Result, facts: Facts) -> Iterator[Markup]:
    for index, fastest in slow_integers(result):
        yield Markup(
            "{} takes {}, {} {}: whole numbers do not make this model faster on this CPU. They do "
            "where the hardware has instructions for them, and some accelerators take nothing else."
        ).format(
            facts.name(pointer("artifacts", index, "path")),
            _ms(facts, index),
            facts.name(pointer("artifacts", fastest, "path")),
            _ms(facts, fastest),
        )


def _runtimes(result: Result) -> Iterator[Markup]:
    found = {it.runtime for artifact in result.artifacts for it in artifact.latency_ms.values()}
    if len(found) > 1:
        yield Markup(
            "TensorFlow and LiteRT have different costs for each call, so that times of one do not "
            "compare with times of the other."
        )
