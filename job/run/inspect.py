"""``paredown inspect``: what a model file is, without a manifest; its code is never run."""

from __future__ import annotations

from job.errors import ParedownError
from job.events import Emit, Journal
from job.manifest.job import ModelConfig
from job.manifest.storage import StorageConfig
from job.result import InspectResult
from job.run import supervisor
from job.run.inputs import fetch, find_model, in_users_words
from job.storage import local
from job.storage.backend import Stores
from job.storage.place import Place
from job.worker.protocol import Task


def inspect_model(
    uri: str, base: Place, emit: Emit, *, variants: bool, verbose: bool
) -> InspectResult:
    """Look at a model.

    Args:
        uri: Where the model is.
        base: The folder that a relative URI is relative to.
        emit: Receives the events.
        variants: Whether every quantize variant is tried.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        What it is. A model with code embedded in it is reported as such, and not loaded.

    Raises:
        ParedownError: Where it can't be read, is made to do harm, or can't be loaded.
    """
    journal = Journal(emit)
    stores = Stores(journal.warn)
    inputs = {"model": find_model(ModelConfig(uri=uri), StorageConfig(), base, stores)}
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
        )
        try:
            seen = supervisor.run(task, emit, supervisor.OnlyChild(verbose))
        except ParedownError as error:
            raise in_users_words(error, inputs, fetched) from None
    return InspectResult.model_validate(seen | {"uri": uri, "bytes": size, "sha256": sha256})
