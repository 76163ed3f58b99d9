"""Jobs of a batch that look done and that nobody ran, for ``fleet_scale.py``.

Of each job from a number on, this puts a model of a few bytes, the result of another job, varied,
and small files in the place of models. What says that a job is done is written by paredown itself
(``records.mark_done``). The store and its credentials are in the environment.

Usage: python -m benchmarks.fleet_jobs BATCH.json RESULT.json FIRST
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from job.batch import records
from job.batch.plan import Planned, plan
from job.manifest.batch import BatchConfig, expand
from job.manifest.job import JobConfig
from job.manifest.load import read_manifest
from job.run.inputs import find_data
from job.storage.backend import Found, Stores
from job.storage.destination import Notes
from job.storage.place import find_place, here

PUTS = 16


def put_jobs(batch: BatchConfig, template: dict[str, Any], first: int) -> None:
    """Models and results first; what says that they are done after them."""
    client = boto3.client("s3", config=Config(max_pool_connections=PUTS))

    def put(uri: str, content: bytes) -> None:
        place = find_place(uri, here())
        client.put_object(Bucket=place.host, Key=place.path, Body=content)

    def put_job(number: int) -> None:
        job = jobs[number]
        put(job.model.uri, job.name.encode())
        for file, content in files(template, number, job).items():
            put(f"{job.destination.uri}/{file}", content)

    jobs = expand(batch)
    numbers = range(first, len(jobs))
    with ThreadPoolExecutor(PUTS) as pool:
        list(pool.map(put_job, numbers))
        stores = Stores(print)
        planned = plan(batch, here(), stores, print)[first:]
        list(pool.map(_marker(batch, stores, planned), planned))


def files(template: dict[str, Any], number: int, job: JobConfig) -> dict[str, bytes]:
    """What a job leaves: its result, varied, and small files instead of models."""
    result = json.loads(json.dumps(template))
    result["name"] = job.name
    result["run_id"] = hashlib.sha256(job.name.encode()).hexdigest()
    result["seconds"] += number % 100
    result["inputs"]["model"]["uri"] = job.model.uri
    for it in result["artifacts"]:
        it["bytes"] += number % 1000
        it["metrics"]["accuracy"] -= number % 10 / 1000
    small = {it["path"]: job.name.encode() for it in result["artifacts"] if it["stage"] != "prune"}
    return small | {
        "manifest.json": json.dumps(result["manifest"]).encode(),
        "result.json": json.dumps(result, indent=2).encode(),
    }


def _marker(
    batch: BatchConfig, stores: Stores, planned: Sequence[Planned]
) -> Callable[[Planned], None]:
    """Has paredown note of a job that it is done."""
    notes = Notes(find_place(batch.destination.uri, here()), stores, batch.storage)
    data = find_data(planned[0].job, here(), stores)

    def mark(it: Planned) -> None:
        assert it.model is not None  # it was put
        inputs = {"model": Found(it.model.place, (it.model,)), "dataset": data}
        asked = records.asked_digest(it.job, inputs)
        records.mark_done(notes, it.job.name, "succeeded", asked)

    return mark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("batch", type=Path, help="the manifest, all of whose URIs are s3://")
    parser.add_argument("result", type=Path, help="a result.json that is varied")
    parser.add_argument("first", type=int, help="the first job that is not there yet, from 0")
    given = parser.parse_args()
    batch = read_manifest(given.batch.read_text(), given.batch.name)
    assert isinstance(batch, BatchConfig)
    put_jobs(batch, json.loads(given.result.read_text()), given.first)


if __name__ == "__main__":
    main()
