"""Stages and variants after which a model no longer does what it did.

A ``float32`` file computes what the Keras file computes, so a drift of its outputs is a defect of
the conversion, and an error. In every other stage outputs may move, and what may not be is that
nothing of them is left: then there is a warning.

Bars, and why: sums in another order move an output of a float32 file by about 1e-6 of its spread,
by 1e-5 after long recurrences. ``EXACT`` leaves room for a hundred times as much, and outputs that
are rounded may flip in a single row. A mask that is lost in one row of a hundred moves the mean by
about 1e-2. Eight bits leave a signal-to-noise ratio of 20 dB and more; at 0 dB (``NOISE``) the
error is as large as what the outputs tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from job.artifact import DriftResult, OutputDrift
from job.errors import StageError
from job.metrics.drift import ABSOLUTE, RELATIVE
from job.result import ArtifactResult

# The mean drift that a float32 file may have, in shares of the outputs' spread.
EXACT = 1e-3
# Outputs that spread by less than this share of what they did are constant.
CONSTANT = 1e-2
# The drift's root mean square, in shares of the spread, from which on nothing is left.
NOISE = 1.0
# After pruning outputs may be of another size, so that their correlation counts.
UNRELATED = 0.2
# An accuracy collapses if no more than this share of what was above chance is left of it.
LEFT = 0.25
# What is this close to chance from the start can't collapse.
ABOVE_CHANCE = 0.1


def refuse_drift(name: str, artifact: ArtifactResult) -> None:
    """Check a file that computes in float32.

    Args:
        name: The variant.
        artifact: Its figures.

    Raises:
        StageError: Where its outputs are not those of the stage before.
    """
    for output, drift in _outputs(artifact):
        bar = EXACT * (drift.spread or 0.0) + RELATIVE * (drift.largest or 0.0) + ABSOLUTE
        # A single row among many may be one whose output was rounded the other way.
        few = (drift.moved_rows or 0) < min(2, _drift_of(artifact).rows)
        if drift.mean_abs <= bar or few:
            continue
        raise StageError(
            f"The file answers otherwise than the model that it was made of: its output {output} "
            f"differs by {drift.mean_abs:.3g} on average, by {drift.max_abs:.3g} at most, in "
            f"{drift.moved_rows:,} of {_drift_of(artifact).rows:,} rows; outputs spread by "
            f"{drift.spread:.3g}. In float32 they must be the same.",
            where=f"evaluate, {name}",
            hint="This is a defect of the conversion, not of your model: please report it with the "
            "model's layers. Nothing was published; leave the variants out to get the Keras file.",
        )


def warnings(artifact: ArtifactResult, before: ArtifactResult) -> Iterator[str]:
    """What has collapsed in an artifact, compared with the stage before it.

    Yields:
        One sentence for each output, or metric, of which nothing is left.
    """
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
        elif artifact.stage == "prune":
            # One that learnt more than it lost while it was fine-tuned may answer otherwise.
            got_worse = artifact.metrics["loss"] > before.metrics["loss"]
            if got_worse and drift.correlation is not None and drift.correlation < UNRELATED:
                yield (
                    f"{who}: its output {output} has next to nothing in common with that of "
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
    """Each accuracy: its key, what it was, what it is, and what guessing gives."""
    for key, then in before.metrics.items():
        if not key.endswith("accuracy") or "top_k" in key or key not in artifact.metrics:
            continue
        several = [it for it in before.outputs if len(before.outputs) > 1]
        output = next((it for it in several if it.name in key), before.outputs[0])
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
