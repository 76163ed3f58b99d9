"""Batches: their fields, their jobs, and every problem of both at once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import ManifestError
from job.manifest.batch import BatchConfig, discovered, expand
from job.manifest.storage import StorageConfig
from tests.conftest import paredown
from tests.manifest.test_properties import JSON, places
from tests.support.manifests import read_batch, read_job

DATASET = {"uri": "s3://models/d.npz"}
JOB = {"name": "a", "model": {"uri": "a.h5"}}
BATCH: dict[str, Any] = {
    "kind": "batch",
    "name": "many",
    "defaults": {"dataset": DATASET},
    "jobs": [JOB, {"name": "b", "model": {"uri": "b.h5"}}],
    "destination": {"uri": "s3://results/many/"},
}


def read(*sets: str, **fields: Any) -> BatchConfig:
    """The batch with other fields."""
    return read_batch(json.dumps(BATCH | fields), "here.json", sets)


def problems(**fields: Any) -> list[str]:
    """The problems of the batch with other fields."""
    try:
        read(**fields)
    except ManifestError as error:
        return [line.strip() for line in error.what.splitlines()[1:]]
    return []


def test_a_job_is_the_defaults_with_what_it_says_itself() -> None:
    """As if it had been written as a manifest of its own, in the folder of its name."""
    entry = JOB | {"training": {"epochs": 3}, "dataset": {"scale": 0.5}}
    defaults = {"dataset": DATASET, "training": {"epochs": 9, "batch_size": 8}}
    alone = JOB | {
        "dataset": DATASET | {"scale": 0.5},
        "training": {"epochs": 3, "batch_size": 8},
        "destination": {"uri": "s3://results/many/a"},
    }
    assert expand(read(defaults=defaults, jobs=[entry])) == [read_job(json.dumps(alone))]


@pytest.mark.parametrize(
    ("uri", "job"),
    [
        ("s3://results/many", "s3://results/many/a"),
        ("s3://results/many/", "s3://results/many/a"),
        ("s3://results", "s3://results/a"),
        ("out", "out/a"),
        ("/", "/a"),
        ("s3://", "s3:/a"),
    ],
)
def test_a_jobs_results_are_in_the_folder_of_its_name(uri: str, job: str) -> None:
    """Below the batch's destination; a name never becomes a bucket."""
    assert expand(read(destination={"uri": uri}))[0].destination.uri == job


def test_the_batchs_store_is_its_jobs_and_its_destinations() -> None:
    """A job may have another store for its inputs; its results go to the batch's."""
    entry = JOB | {"storage": {"region": "there"}}
    first, second = expand(
        read(
            storage={"endpoint_url": "http://s3", "region": "here"},
            jobs=[entry, JOB | {"name": "b"}],
            destination={"uri": "s3://results", "overwrite": True},
        )
    )
    assert first.storage == StorageConfig(endpoint_url="http://s3", region="there")
    assert second.storage == StorageConfig(endpoint_url="http://s3", region="here")
    for job in (first, second):
        assert job.destination.storage == StorageConfig(endpoint_url="http://s3", region="here")
        assert job.destination.overwrite


def test_a_batch_that_was_never_validated_is_refused_when_it_is_expanded() -> None:
    """With every problem of its jobs."""
    jobs = (JOB, {"name": "b"}, {"name": "c d", "model": {"uri": "c.h5"}})
    batch = read().model_copy(update={"jobs": jobs})
    with pytest.raises(ManifestError) as caught:
        expand(batch)
    assert "\n  jobs.1.model: " in caught.value.what
    assert "\n  jobs.2.name: " in caught.value.what


def test_a_discovered_model_gets_the_defaults() -> None:
    """With the name and the model that were found, and the store that they were found in."""
    found = {"uri": "s3://models/", "pattern": "**/*.h5", "storage": {"region": "there"}}
    batch = read(jobs=[], discover=found)
    assert expand(batch) == []
    job = discovered(batch, "x", "s3://models/x.h5")
    assert (job.name, job.model.uri) == ("x", "s3://models/x.h5")
    assert job.model.storage == StorageConfig(region="there")
    assert job.destination.uri == "s3://results/many/x"
    with pytest.raises(ManifestError, match="name: "):
        discovered(batch, "a b", "s3://models/a b.h5")


def test_every_problem_of_every_job_is_told_at_once() -> None:
    """With the paths of the batch's manifest."""
    said = problems(
        defaults={"dataset": DATASET, "training": {"epochs": 0}},
        jobs=[
            JOB,
            {"name": "b", "training": {"epochs": -1}},
            {"name": "A", "model": {"uri": "c.h5"}, "gates": [{"type": "min_ratio"}]},
            JOB | {"name": "d", "destination": {"uri": "elsewhere"}},
            JOB | {"name": "e", "trainig": {}},
        ],
    )
    assert {line.split(": ")[0] for line in said} == {
        "defaults.training.epochs",
        "jobs.1.model",
        "jobs.1.training.epochs",
        "jobs.2.name",
        "jobs.2.gates.0.value",
        "jobs.3.destination.uri",
        "jobs.4.trainig",
    }
    assert 'jobs.4.trainig: unknown field; did you mean "training"?' in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"jobs": []}, "jobs: this batch has no job: list some in jobs, or give discover"),
        ({"defaults": {}}, "defaults.dataset: this field is required"),
        (
            {"jobs": [], "defaults": {}, "discover": {"uri": "m"}},
            "defaults.dataset: this field is required",
        ),
        (
            {"defaults": {}, "jobs": [JOB | {"dataset": DATASET}, JOB | {"name": "b"}]},
            "jobs.1.dataset: this field is required",
        ),
        ({"defaults": {"dataset": DATASET, "name": "x"}}, "defaults.name: each job has its own"),
        (
            {"defaults": {"dataset": DATASET, "model": {"url": "m"}}},
            "defaults.model.url: unknown field",
        ),
        ({"jobs": [JOB, JOB]}, "jobs.1.name: 'a' is the name of jobs.0 too"),
        ({"jobs": [JOB, JOB | {"name": "A"}]}, "jobs.1.name: 'A' is the name of jobs.0 too"),
        ({"jobs": [3]}, "jobs.0: this must be an object, not 3"),
        ({"jobs": {}}, "jobs: this must be a list"),
        ({"jobs": [JOB | {"kind": "batch"}]}, "jobs.0.kind: 'batch' is none of job"),
        ({"workers": 0}, "workers: this must be greater than or equal to 1"),
        ({"workers": "many"}, "workers: 'many' is none of auto"),
        ({"workers": 1.5}, "workers: "),
        ({"timeout_s": 0}, "timeout_s: this must be greater than 0"),
        ({"memory_limit_bytes": 10}, "memory_limit_bytes: this must be greater"),
        ({"destination": {"uri": "gs://b/p"}}, "destination.uri: gs:// is not supported here"),
        ({"discover": {"uri": "https://h/p"}}, "discover.uri: https:// is not supported here"),
        ({"discover": {}}, "discover.uri: this field is required"),
        ({"job": []}, 'job: unknown field; did you mean "jobs"?'),
        ({"kind": "bach"}, "kind: 'bach' is none of job, batch; did you mean \"batch\"?"),
        ({"kind": None}, "kind: None is none of job, batch"),
        ({"kind": ["job"]}, "kind: a list with 1 in it is none of job, batch"),
        ({"defaults": {"dataset": DATASET, "prune": 3}}, "defaults.prune: this must be an object"),
    ],
)
def test_one_mistake_in_a_batch_is_one_problem(fields: dict[str, Any], said: str) -> None:
    """At the path where it is to be mended: in the defaults where all jobs have it from there."""
    found = problems(**fields)
    assert len(found) == 1, found
    assert found[0].startswith(said), found


def test_a_sweep_names_its_model_once() -> None:
    """A job may leave its model out; of another one neither the digest nor the trust hold."""
    model = {"uri": "m.h5", "sha256": "a" * 64, "trust": True, "input_shapes": {"x": [8]}}
    batch = BATCH | {
        "defaults": {"dataset": DATASET, "model": model},
        "jobs": [
            {"name": "a", "prune": None},
            {"name": "b", "model": {"uri": "other.h5"}},
            {"name": "c", "model": {"uri": "m.h5"}},
        ],
    }
    read = read_batch(json.dumps(batch), "here.json")
    first, other, same = (it.model for it in expand(read))
    assert first == same
    assert (first.uri, first.sha256, first.trust) == ("m.h5", "a" * 64, True)
    assert (other.uri, other.sha256, other.trust) == ("other.h5", None, False)
    assert other.input_shapes == first.input_shapes
    found = discovered(read, "d", "s3://b/found.h5").model
    assert (found.uri, found.sha256, found.trust) == ("s3://b/found.h5", None, False)


def test_a_jobs_section_at_the_top_of_a_batch_belongs_into_defaults() -> None:
    """The message says so."""
    (said,) = problems(prune=None)
    assert said.startswith("prune: unknown field of a batch")
    assert said.endswith("defaults.prune")


def test_a_batchs_own_mistakes_do_not_hide_its_jobs() -> None:
    """Nor is anything said of jobs that nobody can read."""
    wrong = BATCH["jobs"] + [{"name": "c", "model": {"url": "c.h5"}}]
    told = problems(jobs=wrong, workers=0, defaults={"dataset": DATASET, "training": {"epochs": 0}})
    paths = [line.partition(":")[0] for line in told]
    assert paths == ["workers", "defaults.training.epochs", "jobs.2.model.uri", "jobs.2.model.url"]
    assert len(problems(jobs=wrong, defaults="none")) == 1
    assert len(problems(jobs="none", workers=2)) == 1


def test_a_batch_without_jobs_has_its_defaults_looked_at_too() -> None:
    """Both are told at once."""
    said = problems(jobs=[], defaults={"dataset": DATASET, "zebra": 1})
    assert [line.split(": ")[0] for line in said] == ["jobs", "defaults.zebra"]


def test_a_jobs_mistake_is_its_own_where_it_makes_it_itself() -> None:
    """Though the defaults have the same one."""
    wrong = {"training": {"epochs": 0}}
    jobs = [JOB | wrong, JOB | {"name": "b", "training": {"epochs": 1}}]
    (said,) = problems(defaults={"dataset": DATASET} | wrong, jobs=jobs)
    assert said.startswith("jobs.0.training.epochs: ")


def test_set_changes_the_batch_its_defaults_and_its_jobs() -> None:
    """A section that the defaults leave out goes on from its defaults; a job's from the batch's."""
    batch = read(
        "defaults.prune.schedule.final_sparsity=0.9",
        "jobs.1.training.epochs=5",
        "destination.uri=there",
        "workers=2",
    )
    first, second = expand(batch)
    assert first.prune is not None
    assert first.prune.schedule.model_dump()["final_sparsity"] == 0.9
    assert (first.training.epochs, second.training.epochs) == (None, 5)
    assert (second.destination.uri, batch.workers) == ("there/b", 2)


def test_set_fills_defaults_that_are_not_there() -> None:
    """And the batch's store is still its jobs'."""
    fields = {key: it for key, it in BATCH.items() if key != "defaults"}
    fields |= {"jobs": [JOB | {"dataset": DATASET}], "storage": {"region": "here"}}
    (job,) = expand(read_batch(json.dumps(fields), "here.json", ["defaults.training.epochs=7"]))
    assert (job.training.epochs, job.storage.region) == (7, "here")


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_batch_with_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    """Nothing but ManifestError is raised, and what is read can be expanded."""
    document = json.loads(json.dumps(BATCH))
    parent, key = data.draw(st.sampled_from(list(places(document))))
    parent[key] = data.draw(JSON)
    document["kind"] = "batch"
    try:
        batch = read_batch(json.dumps(document))
    except ManifestError:
        return
    assert len(expand(batch)) == len(batch.jobs)


def test_many_jobs_take_time_in_proportion() -> None:
    """Four times as many jobs take about four times as long, not sixteen."""

    def seconds(count: int) -> float:
        jobs = [{"name": f"j{it}", "model": {"uri": f"{it}.h5"}} for it in range(count)]
        text = json.dumps(BATCH | {"jobs": jobs})
        started = time.process_time()
        read_batch(text)
        return time.process_time() - started

    seconds(10)
    assert min(seconds(2_000) for _ in range(2)) < 9 * min(seconds(500) for _ in range(3))


def test_the_commands_take_batches(tmp_path: Path) -> None:
    """``validate`` says that it is valid; ``run`` runs it, and its models are not there."""
    text = json.dumps(BATCH)
    done = paredown("validate", "-", input=text)
    assert (done.code, done.out) == (0, "-: valid\n")
    done = paredown("run", "-", "--log", "json", "--output", str(tmp_path), input=text)
    assert done.code == 3
    failed = {it["job"]: it["what"] for it in done.events if it["event"] == "job_failed"}
    assert len(failed) == len(BATCH["jobs"])
    assert all("there is no such file" in what for what in failed.values())
