"""The sections, their defaults and their own rules."""

from __future__ import annotations

import json
import typing
from typing import Any

import pydantic
import pytest

from job.errors import ManifestError
from job.manifest.datasets import NpzConfig
from job.manifest.job import SKIPPABLE, STAGES, JobConfig, StageName
from job.manifest.prune import PolynomialDecayConfig
from job.manifest.quantize import DynamicRangeConfig, Int8Config
from tests.support.manifests import read_job

MINIMAL = {"name": "a", "model": {"uri": "m.h5"}, "dataset": {"uri": "d.npz"}}


def read(**sections: Any) -> JobConfig:
    """Read a minimal manifest with other sections."""
    return read_job(json.dumps(MINIMAL | sections), "here.json")


def test_what_is_left_out_takes_the_tutorials_setting() -> None:
    """https://www.tensorflow.org/model_optimization/guide/pruning/pruning_with_keras."""
    job = read()
    assert (job.training.epochs, job.training.batch_size) == (None, 128)  # 2 where enough
    assert job.training.validation_split is None
    assert (job.training.optimizer.type, job.training.optimizer.learning_rate) == ("adam", 0.001)
    assert job.prune is not None
    schedule = job.prune.schedule
    assert isinstance(schedule, PolynomialDecayConfig)
    assert (schedule.initial_sparsity, schedule.final_sparsity) == (0.5, 0.8)
    assert (schedule.begin_step, schedule.end_step, schedule.power) == (0, None, 3.0)
    assert job.prune.structure.type == "unstructured"
    assert [codec.type for codec in job.codecs] == ["zip", "zopfli"]
    assert job.quantize == (DynamicRangeConfig(type="dynamic_range"),)
    assert job.gates == ()
    assert (job.destination.uri, job.destination.overwrite) == ("out", False)


def test_null_skips_a_stage_and_an_empty_list_of_variants_does_too() -> None:
    """What is skipped has no codecs and no variants."""
    job = read(compress=None, quantize=None)
    assert (job.codecs, job.variants) == ([], {})
    assert read(quantize=[]).variants == {}
    assert read(prune=None).prune is None


def test_the_stages_are_the_sections_that_null_skips() -> None:
    """With the baseline, which has no section; resume, dataset, search and report are no stages."""
    assert (
        {*STAGES}
        == {"baseline", *SKIPPABLE} - {"resume", "dataset", "search", "report"}
        == {*typing.get_args(StageName)}
    )
    assert set(SKIPPABLE) <= JobConfig.model_fields.keys()
    assert read().models == ["baseline", "prune"]
    assert read(prune=None).models == ["baseline"]


def test_the_library_of_a_codec_counts_where_the_codec_is_asked_for() -> None:
    """Those of the first codecs always, so that run ids stay what they were."""
    assert read(compress=None).libraries == ["zopfli", "zstandard", "brotli"]
    asked = read(compress={"codecs": ["xz", {"type": "lz4", "level": 3}]})
    assert asked.libraries == ["zopfli", "zstandard", "brotli", "lz4"]


def test_variants_are_called_by_their_name_or_else_by_their_type() -> None:
    """The order of the manifest is kept."""
    job = read(quantize=[{"type": "int8"}, {"type": "int8", "name": "coral", "per_channel": False}])
    assert job.variants == {
        "int8": Int8Config(type="int8"),
        "coral": Int8Config(type="int8", name="coral", per_channel=False),
    }


def test_a_manifest_can_not_be_changed() -> None:
    """What was validated stays valid."""
    with pytest.raises(pydantic.ValidationError):
        setattr(read(), "name", "b")  # noqa: B010 - mypy would refuse it otherwise


@pytest.mark.parametrize(
    ("sections", "path", "says"),
    [
        (
            {"prune": {"schedule": {"type": "constant", "begin_step": 5, "end_step": 5}}},
            "prune.schedule",
            "end_step (5) must be larger than begin_step (5)",
        ),
        (
            {"prune": {"schedule": {"type": "polynomial_decay", "initial_sparsity": 0.9}}},
            "prune.schedule",
            "initial_sparsity (0.9) must not be larger than final_sparsity (0.8)",
        ),
        (
            {"prune": {"structure": {"type": "m_by_n", "sparsity_m_by_n": [4, 4]}}},
            "prune.structure",
            "m (4) must be smaller than n (4)",
        ),
        (
            {"prune": {"layers": [{"target_sparsity": 0.5}]}},
            "prune.layers.0",
            "a rule needs a name pattern, a layer type, or both",
        ),
        (
            {"prune": {"layers": [{"name": "a"}]}},
            "prune.layers.0",
            'a rule needs either a target_sparsity or "skip": true',
        ),
        (
            {"prune": {"layers": [{"name": "a", "skip": True, "target_sparsity": 0.5}]}},
            "prune.layers.0",
            'a rule needs either a target_sparsity or "skip": true',
        ),
        (
            {
                "prune": {
                    "structure": {"type": "m_by_n"},
                    "layers": [{"name": "a", "target_sparsity": 0.5}],
                }
            },
            "prune",
            "with the structure m_by_n the sparsity is m/n for every layer; rules can only skip",
        ),
        (
            {"training": {"loss": {"type": "huber", "from_logits": True}}},
            "training.loss",
            "from_logits has no meaning for the loss huber",
        ),
        (
            {"training": {"optimizer": {"type": "adam", "momentum": 0.9}}},
            "training.optimizer",
            "momentum has no meaning for the optimizer adam",
        ),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(
    sections: dict[str, Any], path: str, says: str
) -> None:
    """The message stands at the section's path and quotes the values."""
    with pytest.raises(ManifestError) as caught:
        read(**sections)
    assert caught.value.what == f"The manifest has a problem:\n  {path}: {says}"


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("name", ""),
        ("name", "../up"),
        ("name", "a" * 101),
        ("model.uri", ""),
        ("model.sha256", "G" * 64),
        ("dataset.scale", "big"),
        ("dataset.scale", 0),
        ("training.epochs", 1.5),
        ("training.batch_size", 0),
        ("training.epochs", 2**31),
        ("training.validation_split", -0.1),
        ("training.seed", 2**31),
        ("training.metrics", []),
        ("training.optimizer.learning_rate", 0),
        ("training.optimizer.clipnorm", -1),
        ("prune.min_weights", -1),
        ("compress.codecs", []),
        ("destination.uri", ""),
        ("destination.overwrite", "perhaps"),
    ],
)
def test_a_value_out_of_its_range_is_refused_at_its_path(path: str, wrong: object) -> None:
    """Counts are whole and positive, fractions below one, names fit for files."""
    change = f"{path}={json.dumps(wrong)}"
    with pytest.raises(ManifestError) as caught:
        read_job(json.dumps(MINIMAL), "here.json", [change])
    assert caught.value.what.startswith(f"The manifest has a problem:\n  {path}: ")


def test_an_unknown_type_of_data_set_is_refused_with_those_that_there_are() -> None:
    """At the data set's path, as for other sections of several types."""
    with pytest.raises(ManifestError, match="dataset: 'hdf5' is none of npz, npy, image_folder"):
        read(dataset={"type": "hdf5", "uri": "data.h5"})


def test_inputs_may_be_one_array_several_or_a_map() -> None:
    """All three ways of naming arrays are kept as they were written."""
    for names in ("x", ["x", "z"], {"left": "x", "right": "z"}):
        job = read(dataset={"uri": "d", "train": {"inputs": names, "targets": "y"}})
        assert isinstance(job.dataset, NpzConfig)
        assert job.dataset.train.inputs == names


HUBER = {"type": "huber"}
LOGITS = {"type": "binary_crossentropy", "from_logits": True}


@pytest.mark.parametrize(
    ("loss", "of_a", "of_b"),
    [
        (None, None, None),
        ("huber", "huber", "huber"),
        (LOGITS, "binary_crossentropy", "binary_crossentropy"),
        ({"a": "huber"}, "huber", None),
        ({"a": HUBER, "b": LOGITS}, "huber", "binary_crossentropy"),
    ],
)
def test_a_loss_is_for_every_output_or_for_the_one_that_it_is_mapped_from(
    loss: Any, of_a: str | None, of_b: str | None
) -> None:
    """By name or with options; an output that is not named has none."""
    training = read(training={"loss": loss}).training
    found = [training.loss_of(name) for name in ("a", "b")]
    assert [it and it.type for it in found] == [of_a, of_b]


def test_metrics_are_for_every_output_or_mapped_from_it() -> None:
    """As losses are; weights are always mapped."""
    training = read(training={"metrics": ["auc"]}).training
    assert training.metrics_of("a") == training.metrics_of("b") == ["auc"]
    training = read(training={"metrics": {"a": ["auc"]}, "loss_weights": {"b": 0.5}}).training
    assert (training.metrics_of("a"), training.metrics_of("b")) == (["auc"], None)
    assert training.loss_weights == {"b": 0.5}
    assert read().training.loss_weights == {}


@pytest.mark.parametrize(
    ("training", "path", "says"),
    [
        ({"loss": {"a": "huver"}}, "training.loss.a", "'huver' is none of"),
        ({"loss": {"type": "huver"}}, "training.loss.type", "'huver' is none of"),
        ({"loss": {"a": {"type": "huver"}}}, "training.loss.a.type", "'huver' is none of"),
        ({"loss": {"a": HUBER | {"x": 1}}}, "training.loss.a.x", "unknown field"),
        (
            {"loss": {"a": HUBER | {"from_logits": True}}},
            "training.loss.a",
            "from_logits has no meaning for the loss huber",
        ),
        ({"loss": {"a": {}}}, "training.loss.a.type", "this field is required"),
        ({"loss": {"from_logits": True}}, "training.loss.type", "this field is required"),
        ({"loss": {}}, "training.loss", ""),
        ({"loss": 3}, "training.loss", "3 is none of"),
        ({"metrics": {"a": []}}, "training.metrics.a", ""),
        (
            {"metrics": {"a": ["rmse"]}},
            "training.metrics.a.0",
            'did you mean "root_mean_squared_error"?',
        ),
        ({"metrics": "auc"}, "training.metrics", "this must be a list or an object"),
        ({"loss_weights": {"a": 0}}, "training.loss_weights.a", "greater than 0"),
        ({"loss_weights": [1]}, "training.loss_weights", ""),
    ],
)
def test_what_is_wrong_with_one_output_is_said_at_its_path(
    training: dict[str, Any], path: str, says: str
) -> None:
    """One problem, and none of the shapes that were not meant."""
    with pytest.raises(ManifestError) as caught:
        read(training=training)
    head, problem = caught.value.what.split("\n  ")
    assert head == "The manifest has a problem:"
    assert problem.startswith(f"{path}: "), problem
    assert says in problem


@pytest.mark.parametrize("sizes", [[0], [-1, 3], [None], "8", [1.5]])
def test_input_shapes_are_lists_of_counts(sizes: Any) -> None:
    """None is what is to be chosen, not a choice."""
    shapes = {"image": [96, 96, 3], "words": []}
    assert read(model={"uri": "m", "input_shapes": shapes}).model.input_shapes == shapes
    with pytest.raises(ManifestError, match=r"model\.input_shapes\.image"):
        read(model={"uri": "m", "input_shapes": {"image": sizes}})
