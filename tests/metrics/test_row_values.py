"""What each row contributes to a metric: together it gives Keras's value, and the right spread."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from job.manifest.keras_names import (
    BINARY,
    CROSSENTROPIES,
    HINGES,
    ONE_HOT,
    ROWS_OF_CLASSES,
    KnownLoss,
    KnownMetric,
    lower_is_better,
)
from job.metrics import interval
from job.metrics.interval import paired_proportions, wilson
from job.metrics.quality import Inputs, Outputs, Quality, Samples, evaluate, mean_of_passes
from job.metrics.row_values import RowRecorder, RowValues, mean_rows, weighted
from job.objective.losses import MEANINGFUL, Objective
from job.result.figures import IntervalResult


def interval_of(rows: RowValues) -> IntervalResult:
    """The interval of rows that tell something."""
    found = rows.interval(0.95)
    assert found is not None
    return found


ROWS, STEPS, CLASSES = 700, 6, 5  # two batches, the second one smaller
METRICS, LOSSES = get_args(KnownMetric), get_args(KnownLoss)
PROPORTIONS = [it for it in METRICS if "accuracy" in it]


def softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def rows_for(loss: str, steps: int, rows: int = ROWS) -> tuple[Any, Any]:
    """Targets and outputs that the loss is for: (rows, values), or (rows, steps, values)."""
    random = np.random.default_rng(5)
    shape = (rows, steps, CLASSES) if steps else (rows, CLASSES)
    z = random.normal(size=shape).astype("float32")
    noisy = z + random.normal(size=shape)
    if loss == "sparse_categorical_crossentropy":
        return noisy.argmax(axis=-1), z
    if loss in ROWS_OF_CLASSES:
        return np.eye(CLASSES, dtype="float32")[noisy.argmax(axis=-1)], softmax(z)
    if loss in BINARY:
        return (noisy[..., :1] > 0).astype("float32"), 1 / (1 + np.exp(-z[..., :1]))
    if loss in HINGES:
        return np.sign(noisy[..., :1]).astype("float32"), z[..., :1]
    return np.abs(noisy).astype("float32") + 1, np.abs(z) + 1


def judged(objective: Objective, targets: Any, outputs: Any) -> Quality:
    """A model that answers so, judged batch by batch."""
    values = outputs.astype("float32")

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Any, ...]]:
        return (values[start:stop],), (targets[start:stop],)

    def same(inputs: Inputs) -> Outputs:
        return tuple(it.astype("float32") for it in inputs)

    return evaluate(same, Samples(read, len(values)), {"out": objective}, records_rows=True)


def asked(loss: str, *metrics: str) -> Objective:
    logits = loss == "sparse_categorical_crossentropy" if loss in CROSSENTROPIES else None
    return Objective(loss, logits, metrics, "the test")


@pytest.mark.parametrize("steps", [0, STEPS], ids=["one decision", "sequence"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_rows_of_each_loss_and_metric_give_the_value_that_keras_gives(
    loss: str, steps: int
) -> None:
    """Of all rows at once, by the Keras objects themselves; none is left without an interval."""
    metrics = [metric for metric in METRICS if loss in MEANINGFUL[metric]]
    if loss in HINGES:  # whose outputs are negative, too: they have no logarithm
        metrics.remove("poisson")
    objective = asked(loss, *metrics)
    targets, outputs = rows_for(loss, steps)
    found = judged(objective, targets, outputs)
    assert set(found.rows) == {"loss", *metrics}
    whole = float(objective.loss()(targets, outputs))
    assert found.rows["loss"].value == pytest.approx(whole, rel=1e-3, abs=1e-3)
    for name, metric in zip(metrics, objective.metrics(), strict=True):
        metric.update_state(targets, outputs)
        assert found.rows[name].value == pytest.approx(float(metric.result()), rel=1e-3, abs=1e-3)
        bounds = interval_of(found.rows[name])
        assert bounds.low <= found.metrics[name] + 1e-3
        assert found.metrics[name] - 1e-3 <= bounds.high


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("categorical_crossentropy", {"label_smoothing": 0.2}),
        ("binary_crossentropy", {"label_smoothing": 0.2}),
        ("huber", {"delta": 0.3}),
        ("categorical_focal_crossentropy", {"alpha": 0.5, "gamma": 1.0}),
        ("binary_focal_crossentropy", {"alpha": 0.4, "gamma": 3.0}),
    ],
)
def test_a_loss_is_recorded_with_its_options(loss: str, options: dict[str, float]) -> None:
    """They are the row's, too."""
    objective = Objective(loss, False if loss in CROSSENTROPIES else None, (), "", options=options)
    targets, outputs = rows_for(loss, 0)
    found = judged(objective, targets, outputs)
    assert found.rows["loss"].value == pytest.approx(found.metrics["loss"], rel=1e-3)
    assert found.rows["loss"].value != pytest.approx(
        judged(asked(loss), targets, outputs).metrics["loss"], rel=1e-2
    )


@pytest.mark.parametrize("metric", PROPORTIONS)
def test_an_accuracy_of_one_decision_a_row_is_a_proportion(metric: str) -> None:
    """With Wilson's interval; of a sequence it is the mean of each row's, with a wider one than
    that of so many decisions.
    """
    loss = MEANINGFUL[metric][0]
    one = judged(asked(loss, metric), *rows_for(loss, 0)).rows[metric]
    assert (one.kind, len(one.values)) == ("proportion", ROWS)
    assert interval_of(one) == wilson(round(one.value * ROWS), ROWS)
    several = judged(asked(loss, metric), *rows_for(loss, STEPS)).rows[metric]
    assert several.kind == "share"
    assert interval_of(several).method == ("wilson" if several.value == 1 else "bootstrap")


def test_decisions_of_a_row_that_depend_on_each_other_do_not_make_it_certain() -> None:
    """A sequence that is right at all steps or at none counts as one decision."""
    loss = "sparse_categorical_crossentropy"
    targets, outputs = rows_for(loss, 0)
    one = interval_of(judged(asked(loss, "accuracy"), targets, outputs).rows["accuracy"])
    wide_targets = np.repeat(targets[:, None], STEPS, axis=1)
    wide_outputs = np.repeat(outputs[:, None], STEPS, axis=1)
    several = judged(asked(loss, "accuracy"), wide_targets, wide_outputs).rows["accuracy"]
    bounds = interval_of(several)
    assert bounds.high - bounds.low == pytest.approx(one.high - one.low, rel=0.1)


def test_a_drop_of_proportions_is_that_of_paired_rows() -> None:
    """Rows that both have right say nothing of the difference."""
    random = np.random.default_rng(2)
    before, after = random.random((2, 300)) < [[0.9], [0.8]]
    was, now = (RowValues("proportion", it) for it in (before, after))
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    change = was.change(now, 0.95)
    assert change == paired_proportions(gained, lost, 300)
    drop = was.drop(now, [0.95, 0.5], lower_is_better=False)
    assert drop.value == pytest.approx(before.mean() - after.mean())
    assert [it.confidence for it in drop.intervals] == [0.95, 0.5]
    assert (drop.intervals[0].low, drop.intervals[0].high) == (-change.high, -change.low)
    rise = was.drop(now, [0.95], lower_is_better=True)
    assert (rise.value, rise.intervals[0]) == (-drop.value, change)


@pytest.mark.parametrize("metric", ["auc", "precision", "recall", "root_mean_squared_error"])
def test_intervals_hold_the_value_and_shrink_with_the_rows(metric: str) -> None:
    """With the square root of their number; a drop against itself is exactly 0."""
    loss = "binary_crossentropy" if metric in ("auc", "precision", "recall") else "huber"
    widths = []
    for rows in (400, 6400):
        found = judged(asked(loss, metric), *rows_for(loss, 0, rows))
        value, bounds = found.metrics[metric], interval_of(found.rows[metric])
        assert bounds.low < value < bounds.high
        widths.append(bounds.high - bounds.low)
        same = found.rows[metric].drop(found.rows[metric], [0.95], lower_is_better=True)
        assert (same.value, same.intervals[0].low, same.intervals[0].high) == (0, 0, 0)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)


def test_the_interval_of_a_root_mean_squared_error_is_that_of_numpy() -> None:
    """By the delta method: the spread of the squares, over twice the root."""
    targets, outputs = rows_for("mean_squared_error", 0, 3000)
    metric = "root_mean_squared_error"
    found = judged(asked("mean_squared_error", metric), targets, outputs)
    bounds = interval_of(found.rows[metric])
    squares = np.mean((targets - outputs) ** 2, axis=1)
    half = 1.96 * squares.std() / np.sqrt(len(squares)) / (2 * np.sqrt(squares.mean()))
    assert (bounds.high - bounds.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_drop_of_a_mean_has_the_spread_of_the_differences() -> None:
    """Which is much smaller than that of the two means, where the files err on the same rows."""
    targets, outputs = rows_for("mean_absolute_error", 0, 2000)
    metric = "mean_absolute_error"
    objective = asked("mean_absolute_error", metric)
    worse = outputs + np.sign(outputs - targets) * 0.1
    before, after = (judged(objective, targets, it).rows[metric] for it in (outputs, worse))
    drop = before.drop(after, [0.95], lower_is_better=lower_is_better(metric))
    assert drop.value == pytest.approx(0.1, abs=1e-5)
    assert drop.intervals[0].low == pytest.approx(0.1, abs=1e-4)
    assert drop.intervals[0].high == pytest.approx(0.1, abs=1e-4)
    assert interval_of(before).high - interval_of(before).low > 0.02


def test_the_total_of_two_outputs_is_weighted() -> None:
    """Its rows give the total that is reported."""
    objectives = {
        "side": asked("sparse_categorical_crossentropy", "accuracy"),
        "angle": Objective("huber", None, (), "the test", weight=0.25),
    }
    parts = [rows_for(it.loss_name, 0) for it in objectives.values()]

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Any, ...]]:
        return (
            tuple(outputs[start:stop] for _, outputs in parts),
            tuple(targets[start:stop] for targets, _ in parts),
        )

    def same(inputs: Inputs) -> Outputs:
        return tuple(it.astype("float32") for it in inputs)

    found = evaluate(same, Samples(read, ROWS), objectives, records_rows=True)
    assert set(found.rows) == {"loss", "side_loss", "side_accuracy", "angle_loss"}
    assert found.rows["loss"].value == pytest.approx(found.metrics["loss"], rel=1e-4)
    losses = [found.rows["side_loss"], found.rows["angle_loss"]]
    total = weighted(losses, [1, 0.25])
    assert total.value == pytest.approx(losses[0].value + 0.25 * losses[1].value)


def test_several_passes_are_averaged_for_each_row() -> None:
    """A row that is right in one of two passes is half right."""
    passes = [RowValues("proportion", np.array(it)) for it in ([True, True], [True, False])]
    found = mean_rows(passes)
    assert (found.kind, found.value) == ("share", 0.75)
    loss = "sparse_categorical_crossentropy"
    targets, outputs = rows_for(loss, 0)
    shown = iter([outputs, outputs[::-1]])
    quality = mean_of_passes(
        lambda _: judged(asked(loss, "accuracy"), targets, next(shown)), 2, lambda *_: None
    )
    rows = quality.rows["accuracy"]
    assert rows.value == pytest.approx(quality.metrics["accuracy"], abs=1e-6)
    bounds = interval_of(rows)
    assert bounds.low < rows.value < bounds.high


def test_rows_that_do_not_give_the_value_have_no_interval() -> None:
    """As where Keras computes a metric in a way that is not known here."""
    targets, outputs = rows_for("huber", 0)
    recorder = RowRecorder(asked("huber").loss(), ROWS)
    assert recorder.found(0.0) is None  # no row was seen
    recorder.add(targets, outputs)
    value = float(asked("huber").loss()(targets, outputs))
    assert recorder.found(value) is not None
    assert recorder.found(value * 1.01) is None
    unknown = RowRecorder(object(), ROWS)
    unknown.add(targets, outputs)
    assert unknown.found(value) is None


def test_more_rows_than_groups_give_the_same_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a group are summed over batches; the interval is nearly that of single rows."""
    one_hot = ONE_HOT[0]
    targets, outputs = rows_for(one_hot, 0, 1500)
    each = judged(asked(one_hot, "auc", "kl_divergence"), targets, outputs)
    monkeypatch.setattr(interval, "MAX_GROUPS", 300)
    grouped = judged(asked(one_hot, "auc", "kl_divergence"), targets, outputs)
    for name in ("loss", "auc", "kl_divergence"):
        assert len(grouped.rows[name].values) == 300
        assert grouped.rows[name].value == pytest.approx(each.rows[name].value)
        few, many = (interval_of(it.rows[name]) for it in (grouped, each))
        assert few.high - few.low == pytest.approx(many.high - many.low, rel=0.15)
