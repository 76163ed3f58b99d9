"""How a model was trained: rows, epochs, what for."""

from __future__ import annotations

from typing import Literal

from job.result.record import Record


class AnswerResult(Record):
    """What an output's values are, which says how they are compared with the baseline's."""

    kind: Literal["softmax", "sigmoid", "numbers"]
    """``softmax``: one class of several; ``sigmoid``: each value is true or false; ``numbers``: all
    else."""
    from_logits: bool
    loss: str = ""
    """The loss of the teacher's outputs, where the model is distilled."""
    reason: str


class TeacherResult(Record):
    """The outputs of the model that came in, which a distilled model learns."""

    rows: int
    """For how many rows they were computed in this run; 0 where an earlier run had saved them."""
    bytes: int
    """Of the outputs of all training and held-out rows."""
    computed: Literal["once", "each batch"]


class TrainedForResult(Record):
    """What the pruned model was trained to do."""

    objective: Literal["supervised", "distill", "none"]
    reason: str
    """Why that one."""
    temperature: float | None = None
    label_weight: float | None = None
    outputs: dict[str, AnswerResult]
    """By output, in the model's order."""
    teacher: TeacherResult | None = None


class SplitResult(Record):
    """The rows of one split."""

    rows: int
    sha256: str
    """Of the arrays, as they are in memory: dtypes, shapes and numbers, of inputs and targets."""
    source: Literal["arrays", "held out", "synthetic"]
    """Named in the manifest, a sample of the training rows, or drawn at random."""
    has_targets: bool


class EpochResult(Record):
    """The training's metrics after an epoch; those on held-out rows begin with ``val_``."""

    epoch: int
    metrics: dict[str, float]


class ScheduleResult(Record):
    """The sparsity that a pruning schedule asks of some layers, over the steps."""

    layers: list[str]
    """That have the same target, each or (with an ``allocation``) together."""
    points: list[tuple[int, float]]
    """Step, from 1 on, and the sparsity that is asked for from there on: those of the updates of
    the masks, the first and the last among them; at most 60. Before the first none is asked."""


class TrainingResult(Record):
    """The fine-tuning as it was, with what the manifest left out."""

    epochs: int
    """How many were planned; ``epochs`` of the result has those that were trained."""
    steps: int
    """Of all planned epochs."""
    rows: int
    """Rows that were trained on."""
    held_out: int
    """Training rows that were held out, drawn with the seed."""
    pruned_at: int
    """The step at which the pruning schedule ends."""
    schedules: list[ScheduleResult] = []
    """One for all layers of the same schedule; empty where nothing is pruned step by step."""
    published_epoch: int
    """The epoch whose weights are published, from 1 on."""
    reason: str
    """Why that one."""
    class_weights: dict[str, dict[str, float]] = {}
    """By output and class, where classes were weighted."""
    sample_weights: bool = False
    """Whether rows were weighted by an array of the data set."""


class RunOfTrainingResult(Record):
    """A training beside the pruning: of the teacher, of clusters, or for a variant's grid."""

    epochs: list[EpochResult]
    planned: int
    """How many epochs were planned."""
    steps: int
    """Of all planned epochs."""
    published_epoch: int
    """The epoch whose weights are used, from 1 on."""
    reason: str
    """Why that one."""
