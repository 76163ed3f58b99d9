"""``paredown inspect``: what a model file is, without a manifest; nothing of it is run."""

from __future__ import annotations

from pathlib import Path

from job import worker
from job.child import Task
from job.inspected import InspectResult
from job.manifest.inputs import ModelConfig
from job.pipeline import find_model
from job.progress import Emit
from job.store import local
from job.store.uri import local_path


def inspect_model(
    uri: str, base: Path, emit: Emit, *, variants: bool, verbose: bool
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
    found = find_model(ModelConfig(uri=uri), base)
    path = str(local_path(uri, base))
    with local.scratch() as scratch:
        output, kept = scratch / "output", scratch / "kept"
        kept.mkdir()
        places = str(output), str(scratch), str(kept)
        task = Task("inspect", path, path, found.bytes, *places, variants=variants)
        seen = worker.run(task, emit, verbose=verbose)
    return InspectResult.model_validate(seen | found.model_dump())
