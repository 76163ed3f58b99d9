"""``paredown kubernetes`` as it is typed; each option stands once: command, help and record."""

from __future__ import annotations

import json
import os
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from job.errors import ManifestError
from job.kubernetes.options import Options, parameters, read
from tests.conftest import paredown
from tests.kubernetes.rendered import BATCH, EVERYTHING, IMAGE, JOB, documents
from tests.support.identities import MODELS
from tests.support.seaweed import Seaweed

NOT_GIVEN = {it.name: it.default for it in parameters()} | {"image": IMAGE}


def test_options_that_are_not_given_have_the_records_defaults() -> None:
    """The cluster decides about those that are None."""
    options = read(NOT_GIVEN)
    assert options == Options(image=IMAGE)
    assert (options.namespace, options.secret, options.queue) == (None, None, None)
    assert (options.env, options.label, options.toleration) == ({}, {}, ())


def test_every_option_is_in_the_help() -> None:
    """With dashes."""
    said = paredown("kubernetes", "--help").out
    assert [it.name for it in fields(Options) if f"--{it.name.replace('_', '-')}" not in said] == []


WRONG = {it.name: ["="] if it.default is MISSING else " " for it in fields(Options)} | {"image": ""}


@pytest.mark.parametrize("name", [it.name for it in fields(Options) if "int" not in str(it.type)])
def test_a_refusal_names_the_option(name: str) -> None:
    """As it is typed; Typer itself checks numbers."""
    with pytest.raises(ManifestError, match=f"^--{name.replace('_', '-')} can't be "):
        read(NOT_GIVEN | {name: WRONG[name]})


def test_a_limit_below_the_request_is_refused() -> None:
    """In cores or thousandths of them."""
    assert read(NOT_GIVEN | {"cpu": "500m", "cpu_limit": "0.5"}).cpu_limit == "0.5"
    with pytest.raises(ManifestError, match="--cpu-limit can't be '499m'"):
        read(NOT_GIVEN | {"cpu": "0.5", "cpu_limit": "499m"})


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest in a file."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(JOB, indent=2))
    return path


def test_yaml_goes_to_standard_output_and_nothing_else(manifest: Path) -> None:
    """Every option arrives; from standard input it is the same."""
    arguments = [
        *("--image", IMAGE, "--name", "my-job", "--namespace", "models", "--cpu", "500m"),
        *("--cpu-limit", "1.5", "--priority-class", "batch-low", "--image-pull-policy", "Always"),
        *("--annotation", "example.org/note=safe: {to} evict\n", "--annotation", "y="),
        *("--deadline", "3600"),
        *("--memory", "1.5Gi", "--scratch", "20G", "--gpus", "1", "--secret", "store"),
        *("--pull-secret", "registry"),
        *("--service-account", "reader", "--env", "AWS_REGION=eu-central-1"),
        *("--env", "PRICE=$(HOME) is $$5", "--queue", "nightly"),
        *("--node-selector", "kubernetes.io/arch=amd64", "--toleration", "nvidia.com/gpu"),
        *("--toleration", "spot=1e3:NoSchedule", "--toleration", "team=:NoExecute"),
        *("--label", "team=y", "--label", "example.org/cost=0x10", "--ttl", "0"),
        *("--retries", "3"),
    ]
    done = paredown("kubernetes", manifest, *arguments)
    assert (done.code, done.err) == (0, "")
    assert list(yaml.safe_load_all(done.out)) == documents(JOB, **EVERYTHING, retries=3)
    again = paredown("kubernetes", "-", *arguments, input=manifest.read_text())
    assert again.out == done.out


def test_a_batch_has_shards_and_notes_go_to_standard_error() -> None:
    """So that a pipe into kubectl gets YAML alone."""
    found = json.dumps(BATCH | {"discover": {"uri": "s3://models/"}})
    done = paredown("kubernetes", "-", "--image", IMAGE, input=found)
    assert done.code == 0
    assert done.err.startswith("note: ")
    assert list(yaml.safe_load_all(done.out))[-1]["spec"]["completions"] == 8
    options = ["--shards", "4", "--parallelism", "2", "--retries-per-index", "1"]
    done = paredown("kubernetes", "-", "--image", IMAGE, *options, input=found)
    assert (done.code, done.err) == (0, "")
    spec = list(yaml.safe_load_all(done.out))[-1]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"]) == (4, 2, 1)


@pytest.mark.parametrize(
    ("document", "options", "said"),
    [
        (JOB | {"training": {"epochs": 0}, "gates": 3}, [], "The manifest has 2 problems"),
        (JOB | {"model": {"uri": "m.h5"}}, [], "model.uri: 'm.h5' is relative"),
        (JOB, ["--memory", "4GB"], "--memory can't be '4GB'"),
        (JOB, ["--env", "AWS_SECRET_ACCESS_KEY=hush"], "put it in the Secret"),
        (JOB, ["--shards", "2"], "--shards is for a batch"),
        (JOB, ["--gpus", "0"], "--gpus"),
        (JOB, ["--deadline", "0"], "--deadline"),
        (JOB, ["--cpu-limit", "1"], "less than --cpu, which is 2"),
        (JOB, ["--image-pull-policy", "always"], "Always, IfNotPresent, Never"),
        (JOB, ["--priority-class", "High"], "--priority-class can't be"),
        (JOB, ["--annotation", "a b=c"], "--annotation can't be"),
        (JOB, ["--retries", "-1"], "--retries"),
        (BATCH, ["--shards", "100001"], "--shards"),
        (JOB, ["--retries", "2147483648"], "--retries"),
        (JOB, ["--ttl", "2147483648"], "--ttl"),
        (JOB, ["--ttl", "-1"], "--ttl"),
        (JOB, ["--gpus", "2147483648"], "--gpus"),
        (BATCH, ["--parallelism", "2147483648"], "--parallelism"),
        (BATCH, ["--retries-per-index", "2147483648"], "--retries-per-index"),
        (BATCH, ["--retries-per-index", "-1"], "--retries-per-index"),
        (JOB, ["--memory", "9" * 400], "--memory can't be"),
        (JOB, ["--cpu", "9" * 400], "--cpu can't be"),
        (JOB, ["--name", ""], "--name can't be ''"),
        (JOB, ["--name", " "], "--name can't be ' '"),
    ],
)
def test_what_can_not_be_is_refused_with_two_and_prints_no_yaml(
    document: dict[str, object], options: list[str], said: str
) -> None:
    """``kubectl apply`` then gets nothing."""
    done = paredown("kubernetes", "-", "--image", IMAGE, *options, input=json.dumps(document))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "hush" not in done.err
    assert "Traceback" not in done.err


def test_a_manifest_in_a_bucket_is_read_there_now_and_by_the_pod(
    seaweed: Seaweed, prefix: str
) -> None:
    """It is validated; its relative URIs stay as they are, and there is no ConfigMap."""
    key = f"{prefix}manifest.json"
    document = JOB | {"model": {"uri": "m.h5"}}
    client = seaweed.client()
    client.put_object(Bucket=MODELS, Key=key, Body=json.dumps(document).encode())
    uri = f"s3://{MODELS}/{key}"
    environment = os.environ | seaweed.environment()
    done = paredown("kubernetes", uri, "--image", IMAGE, env=environment)
    assert (done.code, done.err) == (0, "")
    (job,) = yaml.safe_load_all(done.out)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", uri, "--log", "json"]
    client.put_object(Bucket=MODELS, Key=key, Body=b"{}")
    assert paredown("kubernetes", uri, "--image", IMAGE, env=environment).code == 2


def test_an_image_that_changes_is_warned_of(manifest: Path) -> None:
    """On standard error; the YAML is the same but for the image's name."""
    done = paredown("kubernetes", manifest, "--image", "registry.example.org:5000/paredown")
    assert done.code == 0
    assert done.err.startswith("warning: The image registry.example.org:5000/paredown has no tag")
    assert len(list(yaml.safe_load_all(done.out))) == 2


def test_an_image_must_be_given(manifest: Path) -> None:
    """There is none that everybody can pull."""
    done = paredown("kubernetes", manifest)
    assert (done.code, done.out) == (2, "")
    assert "--image" in done.err
