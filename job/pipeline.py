"""The story of a job: find, done already?, fetch, work, publish.

This is the parent process. It does all input and output, holds the credentials and never imports
TensorFlow. The stages (prune, strip, compress, quantize, measure) are carried out by a child
process: ``run/work.py`` has ``run/supervisor.py`` start ``worker/main.py``, which runs
``worker/transform.py``. A batch runs its jobs by the same function.

A job is done where the destination holds a result with the same run id: a digest of the manifest,
the inputs and the versions.
"""

from __future__ import annotations

from job.events import Emit
from job.manifest.job import JobConfig
from job.result.result import Result
from job.run import earlier
from job.run.failed import recorded
from job.run.inputs import fetch
from job.run.job_run import Progress, find
from job.run.publish import finish, prepare, publish
from job.run.supervisor import Children
from job.run.work import checkpointed, work
from job.storage import local
from job.storage.place import Place


def run_job(job: JobConfig, base: Place, show: Emit, children: Children) -> Result:
    """Run a job, or find that it is done.

    Args:
        job: The manifest.
        base: The folder that its relative URIs are relative to.
        show: Receives the events.
        children: Starts child processes: one for this job, or one that a batch keeps warm.

    Returns:
        The result, as it is at the destination.

    Raises:
        ParedownError: Where an input is refused or a stage fails; ``failure.json`` is written
            then, and no ``result.json``. A missed gate is no error.
    """
    progress = Progress(show)
    # Where it fails, failure.json and its page say why at the destination.
    with progress.of(job.name), recorded(job, base, progress, children):
        run = find(job, base, progress, children)  # its inputs, and the destination
        with run.claimed():  # another run that writes there is waited for
            existing = earlier.read(run.destination)  # its result, or None
            # The inputs' digests, where the store or the earlier result has all of them.
            digests = earlier.known_inputs(run, existing)
            done = earlier.done(run, existing, digests)
            if done:
                return finish(run, done, already_done=True)
            with local.scratch(children.folder) as scratch:
                fetched = fetch(run.inputs, scratch / "inputs", run.stores, run.journal)
                if digests is None:
                    digests = earlier.fetched_inputs(run, fetched)
                    done = earlier.done(run, existing, digests)
                    if done:
                        return finish(run, done, already_done=True)
                # The run's id; refused where its files would overwrite those of somebody else.
                prepared = prepare(run, existing, digests)
                # A stopped run's checkpoints are restored here, and those of this one uploaded.
                with checkpointed(run, prepared.run_id, scratch / "checkpoints") as uploader:
                    result = work(run, prepared, fetched, scratch, uploader)
                    # Where publishing fails, the checkpoints stay; ``finish`` deletes them.
                    published = publish(run, prepared, result, scratch / "output")
                return finish(run, published, already_done=False)
