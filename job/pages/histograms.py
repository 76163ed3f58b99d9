"""Small histograms of a layer's weights, before and after: plain SVG, since a model may have
hundreds of layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from job.result.layer_weights import HistogramResult, WeightsResult

# Units of the view box: two rows of bars, one under the other; the tallest of each is as tall.
_WIDTH, _ROW, _GAP = 240, 40, 6


def histogram_svg(weights: WeightsResult) -> Markup:
    """The weights that are not zero, by size: above before, below after."""
    before = _bars(weights.before.counts, _ROW)
    after = _bars(weights.after.counts, 2 * _ROW + _GAP)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="Histogram of the weights'
        ' that are not zero: before above, after below"><path class="before" d="{}"/>'
        '<path class="after" d="{}"/></svg>'
    ).format(_WIDTH, 2 * _ROW + _GAP, before, after)


def zeros_svg(histogram: HistogramResult, kind: str) -> Markup:
    """The share of zeros among all weights, as a bar."""
    total = histogram.zeros + sum(histogram.counts) or 1
    return Markup(
        '<svg class="zeros {}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="all" d="M0 0H100V6H0z"/><path d="M0 0H{:.1f}V6H0z"/></svg>'
    ).format(kind, 100 * histogram.zeros / total)


def _bars(counts: Sequence[int], floor: int) -> str:
    """The outline of bars that stand on a floor; a bin with a weight in it is always visible."""
    tallest = max(counts, default=0) or 1
    width = _WIDTH / max(len(counts), 1)
    parts = [f"M0 {floor}"]
    height_before = 0.0
    for place, count in enumerate(counts):
        height = max(count / tallest * _ROW, 0.6) if count else 0.0
        if height != height_before:
            parts.append(f"V{floor - height:.4g}")
            height_before = height
        parts.append(f"H{(place + 1) * width:.4g}")
    return "".join([*parts, f"V{floor}z"])
