"""The table and the chart of sensitivities, as text."""

from __future__ import annotations

from job.report.layer_chart import BAR_WIDTH, chart, heading, summary_rows
from job.result.layer_trials import LayerSensitivity, SensitivityResult, TrialResult

FOUND = SensitivityResult(
    split="validation",
    rows=1000,
    metric="accuracy",
    baseline=0.96,
    small_drop=0.01,
    layers=[
        LayerSensitivity(
            name="conv",
            type="Conv2D",
            weights=108,
            share=0.1,
            sparsities=[
                TrialResult(sparsity=0.5, drop=0.005),
                TrialResult(sparsity=0.9, drop=0.4),
            ],
            weight_bits=[TrialResult(weight_bits=8, drop=-0.001)],
        ),
        LayerSensitivity(
            name="depthwise",
            type="DepthwiseConv2D",
            weights=9,
            share=0.9,
            weight_bits=[TrialResult(weight_bits=8, drop=None)],
        ),
    ],
)


def test_a_row_says_what_a_layer_can_lose() -> None:
    """Where it can't, why."""
    assert summary_rows(FOUND) == [
        ["layer", "weights", "share", "sparsity within 0.01", "bits within 0.01"],
        ["conv", "108", "10.0 %", "0.5", "8"],
        ["depthwise", "9", "90.0 %", "can't be pruned", "more than tried"],
    ]
    assert "accuracy 0.9600 of the unchanged model, on 1,000 held-out rows" in heading(FOUND)


def test_a_bar_is_as_long_as_the_loss_is_large() -> None:
    """The largest has the full width; a gain has none."""
    lines = list(chart(FOUND))
    assert lines[0].endswith("accuracy gets worse by")
    assert lines[1] == "conv       sparsity 0.5     0.0050"
    assert lines[2] == "           sparsity 0.9     0.4000  " + "#" * BAR_WIDTH
    assert lines[3] == "           8 bits          -0.0010"
    assert lines[4] == "depthwise  8 bits         the outputs are NaN or infinite"


def test_nothing_lost_is_drawn_without_bars() -> None:
    """Also a model without kernels."""
    conv = FOUND.layers[0]
    unhurt = conv.model_copy(update={"sparsities": [TrialResult(sparsity=0.5, drop=0.0)]})
    lines = list(chart(FOUND.model_copy(update={"layers": [unhurt]})))
    assert not any("#" in line for line in lines)
    assert len(list(chart(FOUND.model_copy(update={"layers": []})))) == 1
