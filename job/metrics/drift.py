"""How far outputs move from one stage to the next, and after which a model no longer works.

A ``float32`` file computes what the Keras file computes, so a drift of its outputs is a defect of
the conversion, and an error. In every other stage outputs may move; a warning says where nothing is
left of them.

The limits, and why: sums in another order move an output of a float32 file by about 1e-6 of its
spread, by 1e-5 after long recurrences. ``EXACT`` allows a hundred times as much, and rounded
outputs may flip in a single row. A mask that is lost in one row of a hundred moves the mean by
about 1e-2. Eight bits leave a signal-to-noise ratio of at least 20 dB; at 0 dB (``NOISE``) the
error is as large as the signal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from job.errors import StageError
from job.metrics.quality import Output, Outputs
from job.result.figures import DriftResult, OutputDrift
from job.result.result import ArtifactResult

# A row counts as moved from here on, as a share of the spread.
MOVED = 1e-3
# The same for outputs that hardly differ from row to row: as a share of their size.
RELATIVE = 1e-5
ABSOLUTE = 1e-6
# The mean drift that a float32 file may have, as a share of the outputs' spread.
EXACT = 1e-3
# Outputs whose spread falls below this share of what it was are constant.
CONSTANT = 1e-2
# The drift's root mean square, as a share of the spread, above which no signal is left.
NOISE = 1.0
# After pruning, outputs may be of another size, so their correlation counts.
UNRELATED = 0.2
# An accuracy has collapsed if less than this share of its lead over chance is left.
LEFT = 0.25
# An accuracy this close to chance from the start can't collapse.
ABOVE_CHANCE = 0.1


def drift(against: str, before: Mapping[str, Output], after: Outputs) -> DriftResult:
    """How far the outputs moved, in their own units.

    Args:
        against: The artifact of ``before``.
        before: Output name -> (rows, ...) of the stage before, in the model's order.
        after: The same rows' outputs now.
    """
    pairs = zip(before.items(), after, strict=True)
    each = {name: _output_drift(was, now) for (name, was), now in pairs}
    several = len(each) > 1
    one = {} if several else next(iter(each.values())).model_dump()
    return DriftResult(
        **one
        | {
            "against": against,
            "rows": len(after[0]),
            "max_abs": max(it.max_abs for it in each.values()),
            "mean_abs": sum(it.mean_abs for it in each.values()) / len(each),
            "outputs": each if several else {},
        }
    )


def _output_drift(before: Output, after: Output) -> OutputDrift:
    """How far one output moved: ``before`` and ``after`` are (rows, ...), of the same rows."""
    was, now = before.astype(np.float64), after.astype(np.float64)
    apart = np.abs(now - was)
    spread, spread_after = _spread(was), _spread(now)
    limit = MOVED * spread + RELATIVE * float(np.abs(was).max(initial=0.0)) + ABSOLUTE
    rows = apart.reshape(len(apart), -1).max(axis=1, initial=0.0)
    return OutputDrift(
        max_abs=float(apart.max(initial=0.0)),
        mean_abs=float(apart.mean()) if apart.size else 0.0,
        rms=float(np.sqrt(np.mean(apart**2))) if apart.size else 0.0,
        spread=spread,
        spread_after=spread_after,
        correlation=_correlation(was, now),
        largest=float(np.abs(was).max(initial=0.0)),
        moved_rows=int((rows > limit).sum()),
    )


def _spread(values: Output) -> float:
    """How much rows differ from each other: the root mean square of each position's deviation."""
    return float(np.sqrt(np.mean(np.var(values, axis=0)))) if values.size else 0.0


def _correlation(was: Output, now: Output) -> float | None:
    a, b = was - was.mean(axis=0), now - now.mean(axis=0)
    size = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else None


def refuse_drift(name: str, artifact: ArtifactResult) -> None:
    """Refuse a file that computes in float32 and whose outputs are not those of the stage before.

    Args:
        name: The variant.
        artifact: Its figures.

    Raises:
        StageError: With the output, and by how much it differs.
    """
    for output, drift in _outputs(artifact):
        limit = EXACT * (drift.spread or 0.0) + RELATIVE * (drift.largest or 0.0) + ABSOLUTE
        # In a single row among many, the output may have been rounded the other way.
        few = (drift.moved_rows or 0) < min(2, _drift_of(artifact).rows)
        if drift.mean_abs <= limit or few:
            continue
        raise StageError(
            f"The file's outputs differ from those of the model that it was made from: {output} "
            f"differs by {drift.mean_abs:.3g} on average, by {drift.max_abs:.3g} at most, in "
            f"{drift.moved_rows:,} of {_drift_of(artifact).rows:,} rows; outputs spread by "
            f"{drift.spread:.3g}. In float32 they must be the same.",
            where=f"evaluate, {name}",
            hint="This is a defect of the conversion, not of your model: please report it with the "
            "model's layers. Nothing was published; leave the variants out to get the Keras file.",
        )


def warnings(
    artifact: ArtifactResult, before: ArtifactResult, *, is_trained: bool = False
) -> Iterator[str]:
    """Yield a warning for each output or metric that has collapsed since the stage before.

    Args:
        artifact: The file.
        before: The one of the stage before.
        is_trained: Whether a variant was trained since; Keras models are.
    """
    is_trained = is_trained or artifact.stage != "quantize"
    who = f"{artifact.name} HAS COLLAPSED"
    for output, drift in _outputs(artifact):
        was, now = drift.spread or 0.0, drift.spread_after or 0.0
        if was <= RELATIVE * (drift.largest or 0.0) + ABSOLUTE:
            continue  # it was constant before
        if now < CONSTANT * was:
            yield (
                f"{who}: its output {output} is the same for every row (spread {now:.3g}, and "
                f"{was:.3g} in {before.name}). Don't ship it."
            )
        elif is_trained:
            # A model that improved while it was fine-tuned may have other outputs.
            # Without labels, what is trained for are the outputs of before.
            got_worse = artifact.metrics.get("loss", 1.0) > before.metrics.get("loss", 0.0)
            if got_worse and drift.correlation is not None and drift.correlation < UNRELATED:
                yield (
                    f"{who}: its output {output} is nearly unrelated to that of "
                    f"{before.name} (correlation {drift.correlation:.2f}). Prune less, or train "
                    "for more steps with a lower learning rate."
                )
        elif (drift.rms or 0.0) > NOISE * was:
            yield (
                f"{who}: its output {output} is off by more than the outputs differ from row to "
                f"row ({drift.rms:.3g}, and {was:.3g}). Don't ship it."
            )
    for metric, then, now, chance in _accuracies(artifact, before):
        if then - chance > ABOVE_CHANCE and now - chance < LEFT * (then - chance):
            yield (
                f"{who}: its {metric} is {now:.4g}, about what chance gives ({chance:.3g}), and "
                f"{then:.4g} in {before.name}."
            )


def _accuracies(
    artifact: ArtifactResult, before: ArtifactResult
) -> Iterator[tuple[str, float, float, float]]:
    """Each accuracy: its key, its value before and now, and that of guessing."""
    for key, then in before.metrics.items():
        if not key.endswith("accuracy") or "top_k" in key or key not in artifact.metrics:
            continue
        several = [it for it in before.outputs if key.startswith(f"{it.name}_")]
        output = max(several, key=lambda found: len(found.name), default=before.outputs[0])
        classes = output.shape[-1] or 2
        yield key, then, artifact.metrics[key], 1 / max(2, classes)


def _outputs(artifact: ArtifactResult) -> Iterator[tuple[str, OutputDrift]]:
    found = _drift_of(artifact)
    if found.outputs:
        yield from found.outputs.items()
        return
    one: Mapping[str, object] = {
        name: getattr(found, name) for name in OutputDrift.model_fields if hasattr(found, name)
    }
    yield artifact.outputs[0].name, OutputDrift.model_validate(one)


def _drift_of(artifact: ArtifactResult) -> DriftResult:
    assert artifact.drift is not None  # only the baseline has none
    return artifact.drift
