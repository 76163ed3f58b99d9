"""automatic: what a layer's sensitivity allows it."""

from __future__ import annotations

from collections.abc import Sequence

from job.result.layer_trials import Choice, LayerSensitivity, TrialResult, automatic

SPARSITIES = (0.5, 0.8, 0.9)
WIDTHS = (8, 4, 2)


def layer(
    name: str, sparse: Sequence[float | None], narrow: Sequence[float | None]
) -> LayerSensitivity:
    return LayerSensitivity(
        name=name,
        type="Dense",
        weights=100,
        share=0.5,
        sparsities=[
            TrialResult(sparsity=value, drop=drop)
            for value, drop in zip(SPARSITIES, sparse, strict=False)
        ],
        weight_bits=[
            TrialResult(weight_bits=value, drop=drop)
            for value, drop in zip(WIDTHS, narrow, strict=False)
        ],
    )


def test_the_highest_sparsity_and_the_lowest_width_within_a_share_of_the_loss() -> None:
    """Of the allowed loss, one layer alone may cost half."""
    found = automatic([layer("a", [0, 0.004, 0.006], [-0.001, 0.005, 0.02])], max_drop=0.01)
    assert found == {"a": Choice(sparsity=0.8, weight_bits=4)}
    more = automatic([layer("a", [0, 0.004, 0.006], [0, 0.005, 0.02])], max_drop=0.01, share=0.7)
    assert more == {"a": Choice(sparsity=0.9, weight_bits=4)}


def test_a_lucky_value_after_a_bad_one_does_not_count() -> None:
    """Neither does one whose outputs were not finite."""
    found = automatic([layer("a", [0.5, 0, 0], [0, None, 0])], max_drop=0.1)
    assert found == {"a": Choice(sparsity=None, weight_bits=8)}


def test_the_rounding_of_float32_does_not_decide() -> None:
    """0.966 - 0.956 is a little more than 0.01."""
    drop = 0.9660000205039978 - 0.9559999704360962
    assert drop > 0.01
    assert automatic([layer("a", [drop], [])], 0.01, share=1)["a"].sparsity == 0.5


def test_a_layer_that_was_not_tried_has_no_choice() -> None:
    """Each layer is judged by itself, in the model's order."""
    found = automatic([layer("b", [], [0]), layer("a", [0], [])], max_drop=0.1)
    assert list(found.items()) == [("b", Choice(None, 8)), ("a", Choice(0.5, None))]
