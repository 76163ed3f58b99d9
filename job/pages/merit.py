"""What a model's quality is judged by on the page: the metrics, or where there are no labels how
close the outputs are to the baseline's.
"""

from __future__ import annotations

from dataclasses import dataclass

from job.pages.facts import pointer
from job.result.result import ArtifactResult, Result, metric_key
from job.text import printable

# Figures of fidelity: field -> what it is called and how it is shown.
CLOSENESS = {"agreement": ("agreement", ".2%"), "snr_db": ("signal-to-noise ratio (dB)", ".1f")}

# Outputs whose figures are drawn; the table has all.
MOST_CHARTS = 2


@dataclass(frozen=True)
class Merit:
    """A figure that artifacts have, and where it is in the result."""

    key: str
    """Of the metric in ``metrics``, or of the figure in ``fidelity``."""
    label: str
    """A name of the result, or a few words; escaped where it is shown."""
    how: str
    """How its numbers are shown."""
    output: str | None = None
    """Whose fidelity it is; None for a metric."""

    @property
    def is_fidelity(self) -> bool:
        """Whether it compares with the baseline, which then has none."""
        return self.output is not None

    def at(self, index: int) -> str:
        """Where an artifact's value is."""
        if self.output is None:
            return pointer("artifacts", index, "metrics", self.key)
        return pointer("artifacts", index, "fidelity", self.output, self.key)

    def interval(self, index: int) -> str:
        """Where its first confidence interval is, of 0.95."""
        if self.output is None:
            return pointer("artifacts", index, "intervals", self.key, 0)
        return pointer("artifacts", index, "fidelity", self.output, "intervals", self.key, 0)

    def drop(self, index: int) -> str:
        """Where it is how much worse a metric is than the baseline's."""
        return pointer("artifacts", index, "drops", self.key)

    def value(self, artifact: ArtifactResult) -> float | None:
        """An artifact's value."""
        if self.output is None:
            return artifact.metrics.get(self.key)
        found = artifact.fidelity.get(self.output)
        return getattr(found, self.key) if found is not None else None

    def bounds(self, artifact: ArtifactResult) -> tuple[float, float] | None:
        """The ends of the first confidence interval."""
        if self.output is None:
            found = artifact.intervals.get(self.key, [])
        else:
            fidelity = artifact.fidelity.get(self.output)
            found = fidelity.intervals.get(self.key, []) if fidelity is not None else []
        return (found[0].low, found[0].high) if found else None


def metrics(result: Result) -> list[Merit]:
    """The metrics, each output's first one before any second one; then the losses."""
    outputs = result.objective
    listed = [
        (place, metric_key(metric, output, outputs))
        for output, objective in outputs.items()
        for place, metric in enumerate(objective.metrics)
    ]
    keys = [key for _, key in sorted(listed, key=lambda row: row[0])]
    others = [key for key in result.baseline.metrics if key not in keys]
    return [
        Merit(key, printable(key), "metric")
        for key in [*keys, *others]
        if key in result.baseline.metrics
    ]


def fidelities(result: Result) -> list[Merit]:
    """The figures of fidelity that some artifact has, each output's agreement first."""
    merits = []
    for field, (words, how) in CLOSENESS.items():
        found = {
            output: None
            for artifact in result.artifacts
            for output, it in artifact.fidelity.items()
            if getattr(it, field) is not None
        }
        for output in found:
            label = words if len(found) == 1 else f"{words} of {printable(output)}"
            merits.append(Merit(field, label, how, output))
    return merits


def drawn(result: Result) -> list[Merit]:
    """Those that have a chart: each output's first metric, and how close outputs are to the
    baseline's.
    """
    outputs = result.objective
    first = {
        metric_key(it.metrics[0], output, outputs) for output, it in outputs.items() if it.metrics
    }
    found = metrics(result)
    chosen = [it for it in found if it.key in first] or found[:1]
    closeness = fidelities(result)
    field = closeness[0].key if closeness else ""
    return [*chosen[:MOST_CHARTS], *[it for it in closeness if it.key == field][:MOST_CHARTS]]


def judged(result: Result) -> list[Merit]:
    """Metrics, and figures of fidelity: the first one is the headline's."""
    return [*metrics(result), *fidelities(result)]


def shown_index(result: Result) -> int | None:
    """The artifact of the headline: the chosen one; where none passes, the smallest that was made.
    None where there is only the baseline.
    """
    made = list(enumerate(result.artifacts))[1:]
    name = result.chosen.artifact if result.chosen else None
    for index, artifact in made:
        if artifact.name == name:
            return index
    return min(made, key=lambda row: row[1].smallest[1])[0] if made else None
