"""``paredown inspect``: what a model file is, without a manifest; nothing of it is run."""

from __future__ import annotations

from job.errors import ParedownError
from job.events import Emit, Journal
from job.manifest.inputs import ModelConfig
from job.manifest.storage import StorageConfig
from job.result import InspectResult
from job.run import supervisor
from job.run.inputs import fetch, find_model, in_users_words
from job.storage import local
from job.storage.backend import Stores
from job.storage.place import Place
from job.worker.main import Task


def inspect_model(
    uri: str, base: Place, emit: Emit, *, variants: bool, verbose: bool
) -> InspectResult:
    """Look at a model.

    Args:
        uri: Where the model is.
        base: The folder that a relative URI is relative to.
        emit: Is told what happens.
        variants: Whether every quantize variant is tried.
        verbose: Whether TensorFlow's own messages are shown.

    Returns:
        What it is. Where it could run code, that is said, and nothing of it was loaded.

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
        kept = scratch / "kept"
        kept.mkdir()
        task = Task(
            kind="inspect",
            model=str(path),
            model_name=str(inputs["model"].found.place),
            model_bytes=size,
            output=str(scratch / "output"),
            scratch=str(scratch),
            kept=str(kept),
            variants=variants,
        )
        try:
            seen = supervisor.run(task, emit, supervisor.OnlyChild(verbose))
        except ParedownError as error:
            raise in_users_words(error, inputs, fetched) from None
    return InspectResult.model_validate(seen | {"uri": uri, "bytes": size, "sha256": sha256})
