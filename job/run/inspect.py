"""``paredown inspect``: what a model file is, without a manifest; its code is never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from job.errors import ParedownError
from job.events import Emit, Journal
from job.manifest.job import JobConfig, ModelConfig
from job.manifest.storage import StorageConfig
from job.result.inspected import InspectResult
from job.run import supervisor
from job.run.inputs import fetch, find_dataset, find_model, in_users_words
from job.storage import local
from job.storage.backend import Stores
from job.storage.place import Place, here
from job.worker.protocol import Task


@dataclass(frozen=True)
class Measured:
    """A job whose data set the sensitivity of the layers is measured on."""

    job: JobConfig
    base: Place
    """The folder that its relative URIs are relative to."""


def inspect_model(
    uri: str, emit: Emit, measured: Measured | None, *, variants: bool, verbose: bool
) -> InspectResult:
    """Look at a model.

    Args:
        uri: Where the model is; a relative URI is relative to the current folder.
        emit: Receives the events.
        measured: A job, by whose data set and settings it is measured what each layer alone can
            lose; its own model is not read. None measures nothing.
        variants: Whether every quantize variant is tried.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        What it is. A model with code embedded in it is reported as such, and not loaded.

    Raises:
        ParedownError: Where it can't be read, is made to do harm, or can't be loaded.
    """
    journal = Journal(emit)
    stores = Stores(journal.warn)
    storage = measured.job.storage if measured else StorageConfig()
    inputs = {"model": find_model(ModelConfig(uri=uri), storage, here(), stores)}
    if measured:
        inputs |= find_dataset(measured.job, measured.base, stores)
    for found in inputs.values():
        found.known(None)  # what is pinned is compared before anything is done
    with local.scratch() as scratch:
        fetched = fetch(inputs, scratch / "inputs", stores, journal)
        (path,) = fetched["model"].paths.values()
        size, sha256 = fetched["model"].digest
        checkpoints = scratch / "checkpoints"
        checkpoints.mkdir()
        task = Task(
            kind="inspect",
            model=str(path),
            model_name=str(inputs["model"].found.place),
            model_bytes=size,
            output=str(scratch / "output"),
            scratch=str(scratch),
            checkpoints=str(checkpoints),
            variants=variants,
            manifest=_manifest(measured, uri) if measured else None,
            datasets=fetched["dataset"].local_files if "dataset" in fetched else {},
        )
        try:
            seen = supervisor.run(task, emit, supervisor.OnlyChild(verbose))
        except ParedownError as error:
            raise in_users_words(error, inputs, fetched) from None
    return InspectResult.model_validate(seen | {"uri": uri, "bytes": size, "sha256": sha256})


def _manifest(measured: Measured, uri: str) -> dict[str, Any]:
    """The job as the child takes it, with the inspected model instead of its own."""
    own = {"uri": uri, "sha256": None, "storage": None, "trust": False}
    model = measured.job.model.model_copy(update=own)
    return measured.job.model_copy(update={"model": model}).model_dump(mode="json")
