"""What a search tried, and what it chose, as plain text: the trials on the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from job.manifest.keras_names import lower_is_better
from job.report.aligned import aligned
from job.result.result import Result
from job.result.search import SearchResult, TrialResult

# Trials on the front that are shown: those beside the chosen one. result.json has them all.
MOST_ROWS = 8


def lines(result: Result) -> Iterator[str]:
    """A table of trials, the reason of the choice, and the figure on held-out and on test rows."""
    found = result.search
    if found is None:
        return
    front = sorted((it for it in found.trials if it.is_on_front), key=lambda trial: trial.bytes)
    shown = _around(front, found.chosen)
    reference = result.baseline.reference
    yield (
        f"search: {_limit(found.gate)}, on {found.rows:,} held-out rows; {len(found.trials)} "
        f"trials, of which {len(front)} are on the Pareto front of bytes and quality:"
    )
    yield from aligned(_rows(shown, found, reference), right=True)
    if len(shown) < len(front):
        yield f"  (and {len(front) - len(shown)} more; result.json has every trial)"
    yield f"{found.reason}; {found.ended}"
    yield from _confirmed(result, found)


def _rows(
    trials: Sequence[TrialResult], found: SearchResult, reference: int
) -> Iterator[Sequence[str]]:
    head, metric = found.figure.heading, found.gate.get("metric")
    if not head:
        head, metric = f"{metric}", None
    elif any(metric not in it.metrics for it in trials):
        metric = None  # of several outputs each has its own
    is_bounded = found.gate.get("confidence") is not None
    seeds = len({it.settings.seed for it in found.trials}) > 1
    is_wide = any(it.settings.wide for it in trials)
    yield [
        *("  trial", "bytes", "times smaller"),
        *([metric] if metric else []),
        *(head, *["bound"] * is_bounded, "zeros", "bits"),
        *["wider"] * is_wide,
        *("clusters", "epochs"),
        *["seed"] * seeds,
        "",
    ]
    for it in trials:
        asked = it.settings
        yield [
            f"  {it.number}",
            f"{it.bytes:,}",
            f"{reference / it.bytes:.1f}",
            *([f"{it.metrics[metric]:.4f}"] if metric else []),
            found.figure.shown(it.value),
            *[found.figure.shown(it.bound)] * is_bounded,
            f"{100 * asked.sparsity:.1f} %",
            str(asked.weight_bits),
            *[asked.wider or "-"] * is_wide,
            str(asked.clusters or "-"),
            str(asked.epochs if asked.all_epochs else "-"),
            *[str(asked.seed)] * seeds,
            _state(it, found.chosen),
        ]


def _around(front: Sequence[TrialResult], chosen: int) -> Sequence[TrialResult]:
    """The trials beside the chosen one, which is on the front."""
    place = next((at for at, it in enumerate(front) if it.number == chosen), 0)
    first = max(0, min(place - MOST_ROWS // 2, len(front) - MOST_ROWS))
    return front[first : first + MOST_ROWS]


def _state(trial: TrialResult, chosen: int) -> str:
    words = [] if trial.passed else ["beyond the limit"]
    if trial.number == chosen:
        words.append("chosen")
    return ", ".join(words)


def _limit(gate: Mapping[str, Any]) -> str:
    """What files are judged by."""
    limit = f"{gate['value']:g}"
    metric = f"{gate.get('metric')}"
    text = {
        "max_drop": f"{metric} at most {limit} worse",
        "min_value": f"{metric} at {'most' if lower_is_better(metric) else 'least'} {limit}",
        "min_agreement": f"agreement with the baseline at least {limit}",
        "min_snr_db": f"signal-to-noise ratio at least {limit} dB",
    }[gate["type"]]
    if gate.get("confidence"):
        text += f", with {100 * gate['confidence']:g} % confidence"
    return text


def _confirmed(result: Result, found: SearchResult) -> Iterator[str]:
    """The figure of the chosen trial on held-out rows, and that of its file on test rows."""
    chosen = next(it for it in found.trials if it.number == found.chosen)
    verdicts = [it for it in result.gates if it.gate.get("type") == found.gate["type"]]
    verdicts = [it for it in verdicts if it.gate.get("artifact") == it.artifact]
    metric = found.gate.get("metric")
    verdicts = [it for it in verdicts if it.gate.get("metric") == metric]
    if not verdicts:
        return
    what = f"{metric or ''} {found.figure.heading}".strip()
    values = [it.value for it in verdicts if it.value is not None]  # one for each output
    is_at_most = found.gate["type"] == "max_drop" or lower_is_better(metric or "")
    worst = max if is_at_most else min
    here, there = (found.figure.shown(it) for it in (chosen.value, worst(values, default=None)))
    yield f"{what}: {here} on the held-out rows, {there} on the test rows"
