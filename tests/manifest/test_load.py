"""Text -> a valid manifest, or every reason why it is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from job.errors import ManifestError
from job.manifest.job import JobConfig
from job.manifest.load import read_manifest
from job.manifest.quantize import Float16Config
from tests.support.manifests import read_job

MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


def read(document: Any = MINIMAL, *sets: str) -> JobConfig:
    """Read a document, with ``--set`` changes."""
    return read_job(json.dumps(document), "here.json", sets)


def refusal(document: Any, *sets: str) -> str:
    """What is said of a document that is refused."""
    with pytest.raises(ManifestError) as caught:
        read(document, *sets)
    return str(caught.value)


def test_text_that_is_no_json_is_refused_with_line_and_column() -> None:
    """The place is the first character that can't be, and the line is quoted."""
    with pytest.raises(ManifestError) as caught:
        read_job('{\n  "name": "a",\n  "model": oops\n}', "here.json")
    assert caught.value.where == "here.json, line 3, column 12"
    assert '"model": oops' in caught.value.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no valid JSON"),
        ("   \n\n", "no valid JSON"),
        ('{"name": "a"', "no valid JSON"),
        ("[1, 2]", "a list"),
        ("null", "a NoneType"),
        ('"job"', "a str"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_text_that_is_no_object_is_refused(text: str, says: str) -> None:
    """Empty, cut off, of another type or bottomless: one error that names the source."""
    with pytest.raises(ManifestError, match=says) as caught:
        read_job(text, "here.json")
    assert "here.json" in caught.value.where


@pytest.mark.parametrize(
    "change",
    [f"a{'.a' * 3000}=1", f"a{'.a' * 200}=1", f"a={'[' * 500 + ']' * 500}", "a=" + "[" * 100_000],
    ids=["path beyond recursion", "path", "value", "value beyond recursion"],
)
def test_a_set_that_goes_too_deep_is_refused(change: str) -> None:
    """Whatever reads a manifest level by level has an end to its stack."""
    for kind in ("job", "batch"):
        with pytest.raises(ManifestError, match="nested too deeply"):
            read_manifest(json.dumps(MINIMAL | {"kind": kind}), "here.json", [change])


def test_a_manifest_that_goes_too_deep_is_refused() -> None:
    """Deeper than any manifest, and not as deep as Python's JSON can go."""
    deep: Any = 1
    for _ in range(400):
        deep = {"a": deep}
    for kind in ("job", "batch"):
        with pytest.raises(ManifestError, match="nested too deeply"):
            read_manifest(json.dumps(MINIMAL | {"kind": kind, "jobs": [deep]}), "here.json")


def test_a_field_that_is_there_twice_is_refused_by_name() -> None:
    """JSON would quietly take the last one, of nested objects too."""
    text = '{"name": "a", "model": {"uri": "m.h5", "uri": "n.h5"}, "dataset": {"uri": "d.npz"}}'
    with pytest.raises(ManifestError, match='the field "uri" twice'):
        read_job(text, "here.json")


def test_every_problem_is_reported_at_once_with_its_path() -> None:
    """Seven mistakes in seven places give seven lines."""
    said = refusal(
        {
            "name": "a b",
            "model": {},
            "dataset": {"uri": "d.npz", "train": {"targets": "y"}},
            "training": {"epochs": 0, "optimizer": {"type": "adan"}},
            "prune": {"layers": [{"type": "Dense", "skip": True}, {"name": "x"}]},
            "quantize": [{"type": "int8"}, {"type": "int9"}],
        }
    )
    paths = {line.strip().split(": ")[0] for line in said.splitlines()[1:-2]}
    assert paths == {
        "name",
        "model.uri",
        "dataset.train.inputs",
        "training.epochs",
        "training.optimizer.type",
        "prune.layers.1",
        "quantize.1",
    }
    assert said.startswith("The manifest has 7 problems:")
    assert 'did you mean "adam"?' in said
    assert said.splitlines()[-2] == "  where: here.json"


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"trainig": {}}, 'trainig: unknown field; did you mean "training"?'),
        (
            {"dataset": {"uri": "d", "trian": {}}},
            'dataset.trian: unknown field; did you mean "train"?',
        ),
        (
            {"quantize": [{"type": "int8", "input_dtyp": "int8"}]},
            'quantize.0.input_dtyp: unknown field; did you mean "input_dtype"?',
        ),
        (
            {"prune": {"schedule": {"type": "constant", "target_sparsty": 0.5}}},
            'prune.schedule.target_sparsty: unknown field; did you mean "target_sparsity"?',
        ),
        (
            {"compress": {"codecs": [{"type": "zip", "levl": 3}]}},
            'compress.codecs.0.levl: unknown field; did you mean "level"?',
        ),
        ({"zebra": 1}, "zebra: unknown field"),
    ],
)
def test_an_unknown_field_is_refused_with_a_suggestion(sections: dict[str, Any], line: str) -> None:
    """A misspelt field is never a default in disguise, and only what is near is guessed."""
    assert f"  {line}\n" in refusal(MINIMAL | sections)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"quantize": [{"type": "int4"}]}, "quantize.0: 'int4' is none of float32, float16, "),
        ({"quantize": [{}]}, 'quantize.0: the field "type" is required here'),
        ({"prune": {"schedule": 3}}, "prune.schedule: this must be an object, not 3"),
        ({"compress": {"codecs": ["zap"]}}, "compress.codecs.0: 'zap' is none of zip, gzip"),
        ({"gates": [{"type": "max_drop", "value": 1}]}, "gates.0.metric: this field is required"),
        (
            {"gates": [{"type": "max_drop", "metric": "acuracy", "value": 1}]},
            "gates.0.metric: 'acuracy' is none of accuracy, ",
        ),
        ({"training": {"loss": "huver"}}, "training.loss: 'huver' is none of "),
        ({"dataset": {"uri": "d", "train": {"inputs": 4, "targets": "y"}}}, "dataset.train.inputs"),
        (
            {"dataset": {"uri": "d", "train": {"inputs": ["x", 4], "targets": "y"}}},
            "dataset.train.inputs.1",
        ),
        (
            {"model": {"uri": "m", "sha256": "abc"}},
            "model.sha256: this is no SHA-256, which has 64",
        ),
        ({"name": "a b"}, "name: 'a b' is not of the form"),
        ({"training": {"validation_split": 1}}, "training.validation_split: this must be less"),
        ({"kind": "jbo"}, "kind: 'jbo' is none of job, batch; did you mean"),
        ({"schema_version": 2}, "schema_version: 2 is none of 1"),
    ],
)
def test_one_mistake_is_one_problem(sections: dict[str, Any], line: str) -> None:
    """A value that may be of several shapes is not reported once for each of them."""
    said = refusal(MINIMAL | sections)
    assert said.startswith("The manifest has a problem:"), said
    assert said.splitlines()[1].startswith(f"  {line}"), said


def test_infinity_and_nan_are_refused() -> None:
    """Python's JSON takes them; no field of a manifest does."""
    for number in ("NaN", "Infinity", "1e999"):
        text = (
            json.dumps(MINIMAL)[:-1] + f', "training": {{"optimizer": {{"momentum": {number}}}}}}}'
        )
        with pytest.raises(ManifestError, match=r"training\.optimizer\.momentum"):
            read_job(text, "here.json")


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("training.epochs=4", "training.epochs", 4),
        ("training.optimizer.learning_rate=1e-4", "training.optimizer.learning_rate", 1e-4),
        ("name=other", "name", "other"),
        ('name="quoted"', "name", "quoted"),
        ("prune=null", "prune", None),
        ("prune.min_weights=9", "prune.min_weights", 9),
        ('dataset.train={"inputs":"a","targets":"b"}', "dataset.train.inputs", "a"),
        ("destination.uri=a=b", "destination.uri", "a=b"),
        ("compress.codecs.1=xz", "compress.codecs.1", "xz"),
        ("destination.overwrite=true", "destination.overwrite", True),
    ],
)
def test_set_changes_a_field(change: str, path: str, value: object) -> None:
    """Values are JSON, or else strings; missing objects on the way are made."""
    node: Any = read(MINIMAL | {"compress": {"codecs": ["zip", "gzip"]}}, change)
    for part in path.split("."):
        node = node[int(part)] if part.isdigit() else getattr(node, part)
    assert node == value


def test_set_goes_on_from_the_default_of_a_section_that_is_left_out() -> None:
    """As if the manifest had the section: the other fields keep their defaults."""
    job = read(MINIMAL, "prune.schedule.final_sparsity=0.9", "quantize.0.type=int8")
    assert job.prune is not None
    assert job.prune.schedule.model_dump(exclude={"power"}) == {
        "type": "polynomial_decay",
        "initial_sparsity": 0.5,
        "final_sparsity": 0.9,
        "begin_step": 0,
        "end_step": None,
        "frequency": None,
    }
    assert list(job.variants) == ["int8"]


def test_text_is_no_number_and_a_number_no_truth() -> None:
    """``"4"`` is not 4, and 1 is not true."""
    assert "training.epochs" in refusal(MINIMAL | {"training": {"epochs": "4"}})
    assert "destination.overwrite" in refusal(MINIMAL | {"destination": {"overwrite": 1}})


def test_editors_may_be_told_the_schema() -> None:
    """``$schema`` is no field of the job."""
    assert read(MINIMAL | {"$schema": "../manifest.schema.json"}) == read(MINIMAL)


def test_set_changes_an_element_of_a_list_and_the_last_one_wins() -> None:
    """Lists are gone through by number, and changes are made in their order."""
    document = MINIMAL | {"quantize": [{"type": "int8"}, {"type": "float32"}]}
    job = read(document, "quantize.1.type=dynamic_range", "quantize.1.type=float16")
    assert job.quantize is not None
    assert job.quantize[1] == Float16Config(type="float16")


@pytest.mark.parametrize(
    "change",
    [
        "training.epochs",
        "=4",
        "",
        "quantize.9.type=int8",
        "quantize.-1.type=int8",
        "quantize.x.type=int8",
        "quantize.².type=int8",
        "quantize.2=null",
        "name.first=x",
        "prune.schedule.type=constant",
        "name=" + "[" * 100_000,
    ],
)
def test_a_set_that_leads_nowhere_is_refused(change: str) -> None:
    """No ``=``, an index that is not there, a way through a string or through null, no bottom."""
    document = MINIMAL | {"prune": None, "quantize": [{"type": "int8"}, {"type": "float32"}]}
    with pytest.raises(ManifestError):
        read(document, change)


@pytest.mark.parametrize(
    "change",
    [
        *("=hunter2", "hunter2", "training.epochs=hunter2", "training.optimizer.type=hunter2"),
        *("model.sha256=hunter2", "model=hunter2", "name=hunter2 ", "name.first=hunter2"),
        *('storage={"addressing_style": "hunter2"}', "kind=hunter2", "quantize=hunter2"),
        *("training.loss=hunter2", 'quantize=["hunter2"]', 'training.epochs={"a": "hunter2"}'),
        f"training.optimizer.type={'hunter2' * 20}",
    ],
)
def test_the_value_of_a_set_is_not_said(change: str) -> None:
    """It may be a secret that landed in the wrong place; a path is said."""
    said = refusal(MINIMAL, change)
    assert "hunter2" not in said
    path = change.partition("=")[0]
    assert path.partition(".")[0] in said or "hunter2" in path


def test_what_is_set_is_validated_like_the_rest() -> None:
    """A misspelt path makes an unknown field, which is refused with a suggestion."""
    assert 'training.epoch: unknown field; did you mean "epochs"?' in refusal(
        MINIMAL, "training.epoch=4"
    )


def test_set_says_how_a_path_is_called_in_the_other_kind() -> None:
    """A batch has its jobs' settings in defaults, a job has no defaults."""
    batch = {"kind": "batch", "name": "b", "defaults": {}, "jobs": [MINIMAL]}
    for path in ("prune.schedule.final_sparsity", "model.uri", "gates"):
        with pytest.raises(ManifestError) as caught:
            read_manifest(json.dumps(batch), "here.json", [f"{path}=1"])
        assert f"--set defaults.{path}=VALUE" in caught.value.hint
    assert "--set training.epochs=VALUE" in refusal(MINIMAL, "defaults.training.epochs=3")
