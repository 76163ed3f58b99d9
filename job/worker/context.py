"""What the steps of a job share: the manifest, what was loaded, where files and reports go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics.artifact import Evaluator, KerasFile
from job.metrics.quality import Outputs, Predict
from job.models.load import ModelFile
from job.objective.losses import Objectives
from job.result.specs import TensorSpec
from job.result.training import SplitResult
from job.resume.checkpoints import Checkpoints
from job.rows.data import Dataset
from job.safety.judge import Judged
from job.stages.compress import Encoder
from job.worker.training_plan import TrainingPlan


@dataclass(frozen=True)
class Files:
    """Local files and folders."""

    model: Judged
    dataset: Mapping[str, Path]
    """By their names below the data set's folder, in the order in which their rows are joined."""
    output: Path
    """The folder of the results; the model is copied there."""
    rows: Path
    """A folder for rows that do not fit into memory; it is made."""


@dataclass(frozen=True)
class Work:
    """A job that is being done."""

    job: JobConfig
    output: Path
    """The folder of the model files and their encodings."""
    journal: Journal
    encoder: Encoder
    checkpoints: Checkpoints
    is_trial: bool = False
    """Whether it is one of a search: its files are judged, and not published."""


@dataclass(frozen=True)
class Loaded:
    """The inputs, after all checks."""

    file: ModelFile
    """The model, in Keras 2 and the original."""
    predict: Predict
    """The Keras 2 model's forward pass; it follows the weights while they are pruned."""
    baseline: KerasFile
    inputs: Sequence[TensorSpec]
    """The model's inputs, without open dimensions."""
    dataset: Dataset
    splits: Mapping[str, SplitResult]
    objectives: Objectives
    """What the targets are learned and measured by; empty where no split has any."""
    first_outputs: Outputs
    """The baseline's outputs for one row."""
    evaluator: Evaluator
    plan: TrainingPlan | None = None
    """How the model is trained; None where it is not."""
    class_weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By output and class, where classes are weighted."""
    has_sample_weights: bool = False
    class_names: Sequence[str] = ()
    """In the order of their indices, where the data set names classes."""
