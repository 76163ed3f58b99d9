"""What each layer alone can lose: a table, and a chart of bars, as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from job.result.layer_trials import LayerSensitivity, SensitivityResult, TrialResult, automatic

BAR_WIDTH = 40
SPLITS = {
    "validation": "held-out rows",
    "training": "training rows",
    "synthetic": "synthetic rows",
}


def summary_rows(found: SensitivityResult) -> list[list[str]]:
    """The header, and a row for each layer: what it can lose within a small loss."""
    within = f"within {found.small_drop:.3g}"
    rows = [["layer", "weights", "share", f"sparsity {within}", f"bits {within}"]]
    chosen = automatic(found.layers, found.small_drop, share=1)
    for layer in found.layers:
        choice = chosen[layer.name]
        none_pruned = "less than tried" if layer.sparsities else "can't be pruned"
        rows.append(
            [
                layer.name,
                f"{layer.weights:,}",
                f"{100 * layer.share:.1f} %",
                none_pruned if choice.sparsity is None else f"{choice.sparsity:g}",
                "more than tried" if choice.weight_bits is None else str(choice.weight_bits),
            ]
        )
    return rows


def heading(found: SensitivityResult) -> str:
    """What was measured, and on what."""
    return (
        f"sensitivity: what each layer alone costs, without training; {found.metric} "
        f"{found.baseline:.4f} of the unchanged model, on {found.rows:,} {SPLITS[found.split]}"
    )


def chart(found: SensitivityResult) -> Iterator[str]:
    """A line for each trial: layer, value, how much worse the metric gets, and a bar for that."""
    width = max((len(layer.name) for layer in found.layers), default=0)
    trials = [trial for layer in found.layers for trial in _trials(layer)]
    largest = max((trial.drop or 0 for trial in trials), default=0)
    yield f"{'':<{width}}  {'':<13}  {found.metric} gets worse by"
    for layer in found.layers:
        name = layer.name
        for trial in _trials(layer):
            yield f"{name:<{width}}  {_value(trial):<13}  {_drop(trial, largest)}".rstrip()
            name = ""


def _trials(layer: LayerSensitivity) -> Sequence[TrialResult]:
    return [*layer.sparsities, *layer.weight_bits]


def _value(trial: TrialResult) -> str:
    if trial.sparsity is not None:
        return f"sparsity {trial.sparsity:g}"
    return f"{trial.weight_bits} bits"


def _drop(trial: TrialResult, largest: float) -> str:
    if trial.drop is None:
        return "the outputs are NaN or infinite"
    share = max(0.0, trial.drop) / largest if largest > 0 else 0
    return f"{trial.drop:>8.4f}  {'#' * round(BAR_WIDTH * share)}"
