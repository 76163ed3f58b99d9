"""The story of a job: find, done already?, fetch, work, publish.

This is the parent process. It does all input and output, holds the credentials and never imports
TensorFlow; the work is done in a child process (``run/supervisor.py`` starts ``worker/main.py``,
which runs ``worker/transform.py``).
"""

from __future__ import annotations

from job.events import Emit
from job.manifest.job import JobConfig
from job.result import Result
from job.run import earlier
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
        children: Where the child process comes from.

    Returns:
        The result; it is published at the destination.

    Raises:
        ParedownError: Nothing is published then.
    """
    progress = Progress(show)
    with progress.of(job.name):
        run = find(job, base, progress, children)
        with run.claimed():  # another run that writes there is waited for
            existing = earlier.read(run.destination)
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
                # The run's id, and whether its files may be written to the destination.
                prepared = prepare(run, existing, digests)
                # A stopped run's checkpoints are restored here, and those of this one uploaded.
                with checkpointed(run, prepared.run_id, scratch / "checkpoints") as uploader:
                    result = work(run, prepared, fetched, scratch, uploader)
                    # Where publishing fails, the checkpoints stay; ``finish`` deletes them.
                    published = publish(run, prepared, result, scratch / "output")
                return finish(run, published, already_done=False)
