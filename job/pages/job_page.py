"""``result.json`` -> ``report.html``: one page that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from job.pages.charts import Chart, bytes_chart, drift_chart, quality_charts
from job.pages.curves import schedule_chart, training_charts
from job.pages.facts import Facts
from job.pages.front import front_chart
from job.pages.histograms import histogram_svg, zeros_svg
from job.pages.merit import drawn, judged, shown_index
from job.pages.remarks import latency_remarks
from job.pages.rendered import rendered
from job.pages.usage import usages
from job.result.result import GateResult, Result

# Of the metrics and figures of fidelity, how many the table of files has beside those drawn.
MOST_COLUMNS = 5
# With more changed layers than this their histograms are folded.
MOST_OPEN = 12
LANGUAGES = {"python": "Python", "cpp": "C++", "kotlin": "Kotlin"}


def job_page(result: Result) -> str:
    """The page of a run: HTML that requests nothing, the same for the same result."""
    facts = Facts(result.model_dump(mode="json"))
    shown = shown_index(result)
    return rendered(
        "job.html",
        facts,
        result=result,
        shown=shown,
        merits=list(dict.fromkeys([*judged(result)[:MOST_COLUMNS], *drawn(result)])),
        missed=_missed(result),
        verdicts=_verdicts(result),
        charts=_charts(result),
        curves=_curves(result),
        remarks=latency_remarks(result, facts),
        usages=usages(result),
        is_synthetic=any(it.source == "synthetic" for it in result.splits.values()),
        clustered={it.name: place for place, it in enumerate(result.clusters)},
        most_open=MOST_OPEN,
        languages=LANGUAGES,
        histogram=histogram_svg,
        zeros=zeros_svg,
    )


def _charts(result: Result) -> list[Chart]:
    found = [bytes_chart(result), *quality_charts(result), drift_chart(result), front_chart(result)]
    return [it for it in found if it is not None]


def _curves(result: Result) -> list[Chart]:
    schedule = schedule_chart(result)
    return [*([schedule] if schedule is not None else []), *training_charts(result)]


def _places(result: Result, wanted: Callable[[GateResult], bool]) -> list[int]:
    """The places of verdicts."""
    return [place for place, verdict in enumerate(result.gates) if wanted(verdict)]


def _missed(result: Result) -> Sequence[int]:
    """The verdicts because of which gates were missed; none where they were not."""
    if result.status == "succeeded":
        return []
    if result.chosen is None:
        return _places(result, lambda verdict: not verdict.passed)
    return _places(result, lambda verdict: not verdict.passed and verdict.is_binding)


def _verdicts(result: Result) -> Mapping[str, Sequence[int]]:
    """The verdicts that decided, and those on other files."""
    chosen = result.chosen.artifact if result.chosen else None

    def decided(verdict: GateResult) -> bool:
        return chosen is None or verdict.artifact == chosen or verdict.is_binding

    first = _places(result, decided)
    others = _places(result, lambda verdict: not decided(verdict))
    return {"decided": first, "others": others}
