"""One plan for all pods of a Kubernetes Job, whenever they begin and however often.

Models may come and go while a Job runs, and its pods list them at different times; then two pods
would share them out differently, and a model would be done twice, or not at all. So the pod that is
first writes down what it has found, under the Job's own id, and all of them go by that.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from job.batch.plan import Planned
from job.errors import InputError
from job.manifest.batch import BatchConfig
from job.manifest.expand import discovered
from job.manifest.fields import Name
from job.storage.markers import Notes

FOLDER = ".batch"
# By hand there is none: then each shard goes by what it finds itself.
VARIABLE = "PAREDOWN_BATCH_ID"
# Names, URIs of models, and their bytes.
ENTRIES = TypeAdapter(list[tuple[Name, str, NonNegativeInt]])


def agree(notes: Notes, batch_id: str, batch: BatchConfig, planned: list[Planned]) -> list[Planned]:
    """The plan that stands, which is this one where none stood yet.

    Args:
        notes: The batch's destination.
        batch_id: The Job's id.
        batch: The manifest.
        planned: What this pod has found.

    Raises:
        InputError: Where access is denied, or the plan that stands can't be read.
        StorageError: Where the storage fails.
    """
    name = f"{FOLDER}/plan-{batch_id}.json"
    content = notes.read(name)
    if content is None:
        mine = [[it.job.name, it.job.model.uri, it.bytes] for it in planned]
        notes.create(name, json.dumps(mine, indent=0).encode())
        content = notes.read(name) or b""
    try:
        entries = ENTRIES.validate_json(content)
    except ValidationError:
        raise InputError(
            "The plan that the Job's pods go by can't be read.",
            where=f"{notes.place}/{name}",
            hint="Remove it; the next pod writes it anew.",
        ) from None
    found = {it.job.name: it for it in planned}
    agreed = []
    for job, uri, size in entries:
        it = found.get(job)
        if it is None or it.job.model.uri != uri:
            it = Planned(discovered(batch, job, uri), None)
        agreed.append(replace(it, weight=size))
    return agreed
