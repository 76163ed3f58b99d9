"""A null in a batch is what it is in a job, though merging takes nulls out."""

from __future__ import annotations

import json

from job.manifest.batch import NULL_IS_A_VALUE, expand
from job.manifest.job import SKIPPABLE
from job.manifest.schema import schema_text
from tests.manifest.test_batch import DATASET, JOB, read
from tests.support.manifests import read_job


def test_a_stage_that_is_null_is_skipped_in_a_batch_too() -> None:
    """Merging takes nulls out; of a stage that would quietly bring its default back."""
    for section in SKIPPABLE:
        (job,) = expand(read(jobs=[JOB | {section: None}]))
        assert getattr(job, section) is None, section
        defaults = {"dataset": DATASET, section: None}
        first, second = expand(read(defaults=defaults))
        assert getattr(first, section) is None
        assert getattr(second, section) is None
    (job,) = expand(read(defaults={"dataset": DATASET, "prune": None}, jobs=[JOB | {"prune": {}}]))
    assert job.prune is not None


def test_a_null_that_says_something_stays_in_a_batch_too() -> None:
    """In a job and in the defaults, at any depth; every field of the kind is known."""
    images = {"type": "image_folder", "uri": "d", "train": {"labels": None}}
    texts = {"type": "text", "uri": "d", "standardize": None, "oov_token": None,
             "vocabulary": "v.txt", "sequence_length": 4,
             "train": {"files": "a.txt", "targets": "a"}}  # fmt: skip
    for dataset in (images, texts):
        alone = read_job(json.dumps(JOB | {"dataset": dataset}))
        (of_job,) = expand(read(jobs=[JOB | {"dataset": dataset}]))
        (of_all,) = expand(read(defaults={"dataset": dataset}, jobs=[JOB]))
        assert alone.dataset == of_job.dataset == of_all.dataset
    schema = json.loads(schema_text())
    odd = {
        field
        for record in schema["$defs"].values()
        for field, it in record.get("properties", {}).items()
        if {"type": "null"} in it.get("anyOf", []) and it.get("default", None) is not None
    }
    assert odd <= {*NULL_IS_A_VALUE, *SKIPPABLE}


def test_a_test_split_that_is_null_is_held_out_in_a_batch_too() -> None:
    """In a job and in the defaults; not the arrays that go with the training arrays."""
    train = {"inputs": "x_train", "targets": "y_train"}
    dataset = DATASET | {"train": train, "test": None}
    jobs = [JOB | {"dataset": dataset}, JOB | {"name": "b"}]
    for job in expand(read(defaults={"dataset": dataset}, jobs=jobs)):
        assert job.dataset is not None
        assert job.dataset.test is None
