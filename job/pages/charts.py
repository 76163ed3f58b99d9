"""Charts of the artifacts: bytes by stage and encoding, quality and fidelity by stage, drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from job.pages.facts import shown
from job.pages.merit import Merit, drawn
from job.pages.svg import ACCENT, FONT, INK, LINE, MUTED, SOFT, WIDTH, draw
from job.result.result import ArtifactResult, Result
from job.text import printable

# Bars of a chart: beyond these only the plain file and the smallest encoding are drawn.
MOST_BARS = 48
MOST_CHARACTERS = 36
# What results call a file that is not encoded.
PLAIN = "file"
# In units of the view box.
_NAME_WIDTH, _VALUE_WIDTH = 74, 76
_BAR, _STEP, _HEAD, _GAP = 8, 14, 16, 10

# Of outputs whose common shift changes no answer.
LOGITS = (
    " The outputs are logits: a shift of a whole row, which the softmax ignores, counts here, and "
    "in agreement and signal-to-noise ratio it does not."
)


@dataclass(frozen=True)
class Chart:
    """A chart of the page."""

    title: str
    """Escaped where it is shown; a name in it is ``Markup``."""
    svg: Markup
    note: str = ""
    """What it shows and how to read it."""


@dataclass(frozen=True)
class _Bar:
    name: str
    value: float
    text: str
    colour: str


def bytes_chart(result: Result) -> Chart:
    """The bytes of each file, plain and in each encoding; the smallest of each stands out."""
    bars = sum(1 + len(it.encoded) for it in result.artifacts)
    groups = []
    for artifact in result.artifacts:
        smallest, _ = artifact.smallest
        forms = {PLAIN: artifact.bytes} | {
            codec: it.bytes for codec, it in artifact.encoded.items()
        }
        bars_of_it = [
            _Bar(codec, size, shown(size, ","), ACCENT if codec == smallest else SOFT)
            for codec, size in forms.items()
            if bars <= MOST_BARS or codec in {PLAIN, smallest}
        ]
        groups.append((_name(result, artifact), bars_of_it))
    best = [
        f"{it.name} {shown(it.smallest[1], ',')} as {it.smallest[0]}" for it in result.artifacts
    ]
    note = "The plain file, and the same file in each lossless encoding; the smallest stands out."
    if bars > MOST_BARS:
        note = "The plain file, and its smallest lossless encoding; the files' table has all."
    text = f"Bytes of each file in its smallest form: {'; '.join(best)}."
    return Chart("Bytes by stage and encoding", _bars("bytes", "Bytes", text, groups), note)


def quality_charts(result: Result) -> list[Chart]:
    """The first metrics and a figure of fidelity, by stage, with their intervals."""
    charts = []
    for place, merit in enumerate(drawn(result)):
        rows = [it for it in result.artifacts if merit.value(it) is not None]
        if not rows:
            continue
        title = f"{merit.label[:1].upper()}{merit.label[1:]} by stage"
        note = "The line through a point is its confidence interval over the test rows."
        if not any(merit.bounds(it) for it in rows):
            note = ""
        if merit.is_fidelity:
            note = f"How close the outputs are to the baseline's. {note}".strip()
        else:
            note += " The thin line is the baseline." * (len(rows) > 1)
        heading = Markup("<bdi>{}</bdi> by stage").format(title.removesuffix(" by stage"))
        charts.append(Chart(heading, _points(f"quality{place}", title, merit, rows, result), note))
    return charts


def drift_chart(result: Result) -> Chart | None:
    """How far each file's outputs are from those of the stage before; None where none is known."""
    drifts = [(it, it.drift) for it in result.artifacts if it.drift is not None]
    if not drifts:
        return None
    is_rms = all(drift.rms is not None for _, drift in drifts)
    groups = []
    for artifact, drift in drifts:
        value = drift.rms if is_rms and drift.rms is not None else drift.mean_abs
        text = shown(value, "metric")
        bar = _Bar("", value, text, ACCENT)
        groups.append((f"{artifact.name}, against {drift.against}", [bar]))
    what = "root mean square" if is_rms else "mean absolute"
    said = "; ".join(f"{name}: {bars[0].text}" for name, bars in groups)
    return Chart(
        "Where it was lost: drift between stages",
        _bars(
            "drift", "Drift between stages", f"The {what} difference of outputs: {said}.", groups
        ),
        f"The {what} difference of each file's outputs from those of the stage before it, on the "
        "same rows. The longest bar is where most was changed." + LOGITS * _has_logits(result),
    )


def _has_logits(result: Result) -> bool:
    outputs = result.trained_for.outputs.values() if result.trained_for is not None else ()
    return any(it.kind == "softmax" and it.from_logits for it in outputs)


def _name(result: Result, artifact: ArtifactResult) -> str:
    is_chosen = result.chosen is not None and artifact is result.chosen_artifact
    return artifact.name + " \N{MIDDLE DOT} chosen" * is_chosen


def clipped(text: str) -> str:
    """A name that fits into a chart."""
    text = printable(text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _bars(
    prefix: str, title: str, text: str, groups: Sequence[tuple[str, Sequence[_Bar]]]
) -> Markup:
    """Groups of bars, each under its name; values stand at the bars' ends."""
    height = sum(_HEAD + _STEP * len(bars) + _GAP for _, bars in groups)
    largest = max((bar.value for _, bars in groups for bar in bars), default=0) or 1
    left = _NAME_WIDTH if any(bar.name for _, bars in groups for bar in bars) else 0

    def paint(figure: Any) -> None:
        axes = canvas(figure, height)
        top, places, widths, colours = 0.0, [], [], []
        for name, bars in groups:
            axes.text(0, top + FONT, clipped(name), color=INK, weight="bold")
            top += _HEAD
            for bar in bars:
                width = bar.value / largest * (WIDTH - left - _VALUE_WIDTH)
                middle = top + _STEP / 2
                if bar.name:
                    word = "plain" if bar.name == PLAIN else clipped(bar.name)
                    axes.text(0, middle + 4, word, color=MUTED)
                axes.text(left + width + 5, middle + 4, bar.text, gid="value", color=INK)
                places.append(middle)
                widths.append(max(width, 0.5))
                colours.append(bar.colour)
                top += _STEP
            top += _GAP
        axes.barh(places, widths, height=_BAR, left=left, color=colours, linewidth=0)

    return draw(prefix, title, text, height, paint)


def _points(
    prefix: str, title: str, merit: Merit, rows: Sequence[ArtifactResult], result: Result
) -> Markup:
    """A row for each artifact: its name and value, and under them a point and its interval."""
    step = 33
    height = step * len(rows) + 26
    values = [merit.value(it) or 0 for it in rows]
    bounds = [merit.bounds(it) or (value, value) for it, value in zip(rows, values, strict=True)]
    texts = [shown(value, merit.how) for value in values]
    said = "; ".join(f"{it.name}: {text}" for it, text in zip(rows, texts, strict=True))

    def paint(figure: Any) -> None:
        axes = figure.add_axes((0.02, 22 / height, 0.96, 1 - 22 / height))
        axes.set(ylim=(step * len(rows), 0), yticks=[])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if merit.how.endswith("%"):
            axes.xaxis.set_major_formatter(lambda value, _: shown(value, "%"))
        if not merit.is_fidelity:
            tops = [step * place + 17 for place in range(len(rows))]
            ends = [top + 12 for top in tops]
            axes.vlines([values[0]] * len(rows), tops, ends, color=MUTED, linewidth=1)
        for place, (artifact, text) in enumerate(zip(rows, texts, strict=True)):
            middle = step * place + 23
            axes.plot(bounds[place], (middle, middle), color=LINE, linewidth=5)
            axes.plot(values[place], middle, "o", color=ACCENT, markersize=6)
            line = {"transform": axes.get_yaxis_transform(), "va": "baseline"}
            name = clipped(_name(result, artifact))
            axes.text(0, middle - 9, name, color=INK, weight="bold", **line)
            axes.text(1, middle - 9, text, color=INK, ha="right", gid="value", **line)
        axes.margins(x=0.06)

    return draw(prefix, title, f"{merit.label}: {said}.", height, paint)


def canvas(figure: Any, height: float) -> Any:
    """Axes whose units are those of the view box, from the top."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    return axes
