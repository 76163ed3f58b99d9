"""Histograms of weights as small SVG."""

from __future__ import annotations

import re

from job.pages.histograms import histogram_svg, zeros_svg
from job.result.layer_weights import HistogramResult, WeightsResult


def made(before: list[int], after: list[int]) -> WeightsResult:
    return WeightsResult(
        low=-1,
        high=1,
        before=HistogramResult(counts=before, zeros=0),
        after=HistogramResult(counts=after, zeros=12),
    )


def test_each_bin_is_as_high_as_its_count() -> None:
    """The tallest of a model takes the whole row; a bin of equal height is one line."""
    html = histogram_svg(made([0, 10, 5, 5], [0, 0, 0, 2]))
    before, after = re.findall(r' d="([^"]+)"', html)
    assert before == "M0 40H60V0H120V20H180H240V40z"
    assert after == "M0 86H60H120H180V46H240V86z"


def test_a_single_weight_is_visible() -> None:
    """Beside a million."""
    html = histogram_svg(made([1_000_000, 1], [0, 0]))
    before, after = re.findall(r' d="([^"]+)"', html)
    assert before == "M0 40V0H120V39.4H240V40z"
    assert after == "M0 86H120H240V86z"


def test_zeros_are_a_share_of_all_weights() -> None:
    """Of a layer without weights none."""
    assert 'd="M0 0H75.0V6H0z"' in zeros_svg(HistogramResult(counts=[4, 0], zeros=12), "after")
    assert 'd="M0 0H0.0V6H0z"' in zeros_svg(HistogramResult(counts=[], zeros=0), "after")
