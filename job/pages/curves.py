"""Charts over steps: training curves, the sparsity schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from job.pages.charts import Chart, clipped
from job.pages.facts import shown
from job.pages.svg import ACCENT, INK, MUTED, PAPER, draw
from job.result.result import Result
from job.result.training import EpochResult, ScheduleResult
from job.text import printable

HELD_OUT = "val_"
# Metrics and trainings that are drawn; result.json has all.
MOST_METRICS, MOST_TRAININGS, MOST_SCHEDULES = 2, 6, 8
_PLOT, _HEAD, _FOOT, _LEFT = 84, 22, 26, 44


def training_charts(result: Result) -> list[Chart]:
    """The metrics over the epochs: of the pruned model, and of each training beside it."""
    trainings: dict[str, tuple[Sequence[EpochResult], int | None]] = {}
    if result.epochs:
        published = result.training.published_epoch if result.training else None
        trainings["Fine-tuning"] = (result.epochs, published)
    for name, training in result.trainings.items():
        label = f"Training: {printable(name)}"
        trainings[label] = (training.epochs, training.published_epoch)
    return [
        _training(f"training{place}", title, epochs, published)
        for place, (title, (epochs, published)) in enumerate(trainings.items())
        if place < MOST_TRAININGS and epochs
    ]


def _training(
    prefix: str, title: str, epochs: Sequence[EpochResult], published: int | None
) -> Chart:
    lines: dict[str, dict[int, float]] = {}
    for epoch in epochs:
        for name, value in epoch.metrics.items():
            lines.setdefault(name, {})[epoch.epoch] = value
    # Metrics before the loss, since a plot each is drawn for the first ones.
    found = [name for name in lines if not name.startswith(HELD_OUT)]
    names = sorted(found, key=lambda name: name != "loss")[:MOST_METRICS]
    height = (_HEAD + _PLOT) * len(names) + _FOOT
    held_out = any(name.startswith(HELD_OUT) for name in lines)

    def paint(figure: Any) -> None:
        for place, name in enumerate(names):
            bottom = height - (_HEAD + _PLOT) * (place + 1)
            axes = _axes(figure, height, bottom, clipped(name))
            axes.plot(*_xy(lines[name]), color=MUTED, marker="o", markersize=3.5)
            if HELD_OUT + name in lines:
                axes.plot(*_xy(lines[HELD_OUT + name]), color=ACCENT, marker="o", markersize=3.5)
            if published is not None:
                axes.axvline(published, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            if place < len(names) - 1:
                axes.tick_params(labelbottom=False)
            else:
                axes.set_xlabel("epoch")

    last = [f"{name} {shown(list(it.values())[-1], 'metric')}" for name, it in lines.items()]
    note = "Grey: on training rows." + " Blue: on held-out rows." * held_out
    note += " Dashed: the epoch that is published." * (published is not None)
    text = f"After the last epoch: {', '.join(printable(it) for it in last)}."
    return Chart(title, draw(prefix, title, text, height, paint), note)


def schedule_chart(result: Result) -> Chart | None:
    """The sparsity that was asked for over the steps, and what was achieved at the end."""
    schedules = result.training.schedules if result.training else []
    schedules = [it for it in schedules if it.points][:MOST_SCHEDULES]
    if not schedules:
        return None
    achieved = {it.name: it.achieved_sparsity for it in result.layers if it.pruned}
    height = _HEAD + 130 + _FOOT

    def paint(figure: Any) -> None:
        axes = _axes(figure, height, _FOOT, "sparsity", 130)
        for schedule in schedules:
            steps, targets = zip(*schedule.points, strict=True)
            axes.plot(steps, targets, color=MUTED, drawstyle="steps-post")
            ends = [achieved[name] for name in schedule.layers if name in achieved]
            axes.plot([steps[-1]] * len(ends), ends, "o", color=ACCENT, mec=PAPER, markersize=7)
        axes.set_xlabel("step")
        axes.set_ylim(0, 1.04)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.margins(x=0.04)

    return Chart(
        "Sparsity schedule",
        draw("schedule", "Sparsity schedule", _described(schedules), height, paint),
        "Grey: the share of zeros that is asked for. Blue points: what each layer achieved.",
    )


def _described(schedules: Sequence[ScheduleResult]) -> str:
    parts = [
        f"from {shown(it.points[0][1], '.1%')} to {shown(it.points[-1][1], '.1%')}"
        for it in schedules
    ]
    return f"The target sparsity goes {', '.join(dict.fromkeys(parts))}."


def _axes(figure: Any, height: float, bottom: float, title: str, plot: float = _PLOT) -> Any:
    axes = figure.add_axes((_LEFT / 360, bottom / height, 1 - (_LEFT + 8) / 360, plot / height))
    # Not set_title, which measures all that is drawn to find its place.
    axes.text(0, 1 + 7 / plot, title, color=INK, transform=axes.transAxes)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return axes


def _xy(line: Mapping[int, float]) -> tuple[list[int], list[float]]:
    return list(line), list(line.values())
