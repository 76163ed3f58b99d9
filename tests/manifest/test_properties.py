"""Properties that hold for every manifest, and for everything that is none."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import ManifestError
from job.manifest.compress import ENCODINGS
from job.manifest.job import JobConfig
from job.text import printable
from tests.support.manifests import read_job

FRACTIONS = st.floats(0, 0.99)
COUNTS = st.integers(1, 10**6)
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
CODECS = tuple(ENCODINGS)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields; those whose name ends in ``_`` are always there."""
    required = {name[:-1]: it for name, it in fields.items() if name.endswith("_")}
    optional = {name: it for name, it in fields.items() if not name.endswith("_")}
    return st.fixed_dictionaries(required, optional=optional)


ARRAYS = st.one_of(TEXTS, st.lists(TEXTS, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3))
SPLITS = objects(inputs_=ARRAYS, targets_=ARRAYS)
SPARSITIES = st.lists(FRACTIONS, min_size=2, max_size=2).map(sorted)
SCHEDULES = st.one_of(
    SPARSITIES.map(
        lambda two: {
            "type": "polynomial_decay",
            "initial_sparsity": two[0],
            "final_sparsity": two[1],
        }
    ),
    objects(type_=st.just("constant"), target_sparsity=FRACTIONS, begin_step=COUNTS),
)
STRUCTURES = st.one_of(
    objects(type_=st.just("unstructured")),
    objects(type_=st.just("block"), block_size=st.lists(COUNTS, min_size=2, max_size=2)),
)
RULES = st.one_of(
    objects(name_=TEXTS, type=TEXTS, skip_=st.just(True)),
    objects(type_=TEXTS, name=TEXTS, target_sparsity_=FRACTIONS),
)
VARIANTS = st.one_of(
    objects(type_=st.sampled_from(["float32", "float16", "dynamic_range"])),
    objects(type_=st.just("int8"), calibration_samples=COUNTS, per_channel=st.booleans()),
    objects(type_=st.just("int16x8"), input_dtype=st.sampled_from(["int16", "float32"])),
)
LOSSES = st.sampled_from(["huber", "poisson"]) | objects(type_=st.just("log_cosh"))
DOCUMENTS = objects(
    name_=NAMES,
    model_=objects(
        uri_=TEXTS,
        sha256=st.from_regex(r"\A[0-9a-f]{64}\Z"),
        input_shapes=st.dictionaries(TEXTS, st.lists(COUNTS, max_size=3), max_size=2),
    ),
    dataset_=objects(uri_=TEXTS, train=SPLITS, test=SPLITS, scale=st.floats(1e-9, 1e9)),
    training=objects(
        epochs=COUNTS,
        batch_size=COUNTS,
        validation_split=FRACTIONS,
        seed=st.integers(0, 2**31 - 1),
        optimizer=objects(type_=st.sampled_from(["sgd", "rmsprop"]), momentum=FRACTIONS),
        loss=LOSSES | st.dictionaries(TEXTS, LOSSES, min_size=1, max_size=2),
        loss_weights=st.dictionaries(TEXTS, st.floats(1e-3, 1e3), max_size=2),
    ),
    prune=objects(schedule=SCHEDULES, structure=STRUCTURES, layers=st.lists(RULES, max_size=3)),
    compress=st.none()
    | objects(codecs_=st.lists(st.sampled_from(CODECS), min_size=1, unique=True)),
    quantize=st.lists(VARIANTS, max_size=4, unique_by=lambda variant: variant["type"]),
    gates=st.lists(objects(type_=st.just("min_ratio"), value_=st.floats(0.1, 1e3)), max_size=3),
    destination=objects(uri=TEXTS, overwrite=st.booleans()),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(DOCUMENTS)
@settings(deadline=None)
def test_a_manifest_that_is_written_out_reads_back_as_the_same(document: dict[str, Any]) -> None:
    """With the defaults filled in it is the same manifest, and writing it again changes nothing."""
    job = read_job(json.dumps(document), "here.json")
    written = job.model_dump_json()
    again = read_job(written, "there.json")
    assert again == job
    assert again.model_dump_json() == written


@given(JSON)
@settings(deadline=None)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Nothing but ManifestError is ever raised."""
    assert refusal(value) != ""


@given(DOCUMENTS, st.data())
@settings(deadline=None, max_examples=200)
def test_a_manifest_with_any_value_in_any_place_is_read_or_refused(
    document: dict[str, Any], data: st.DataObject
) -> None:
    """Nothing but ManifestError is raised for a valid manifest in which one value was replaced."""
    filled = JobConfig.model_validate(document).model_dump(mode="json")
    parent, key = data.draw(st.sampled_from(list(places(filled))))
    parent[key] = data.draw(JSON)
    assert refusal(filled) != ""


@given(DOCUMENTS, st.data())
@settings(deadline=None, max_examples=200)
def test_an_unknown_field_is_reported_with_its_path(
    document: dict[str, Any], data: st.DataObject
) -> None:
    """Wherever it stands, and whatever it holds; arrays, inputs and outputs may have any name."""
    document = copy.deepcopy(document)
    owners = [
        (path, owner)
        for path, owner in objects_in(document, "")
        if not path.endswith(("inputs", "targets", "input_shapes", "loss", "loss_weights"))
    ]
    path, owner = data.draw(st.sampled_from(owners))
    name = data.draw(st.from_regex(r"\Azz_[a-z]{1,8}\Z"))
    owner[name] = data.draw(JSON)
    full = printable(f"{path}.{name}".lstrip("."))
    assert f"\n  {full}: unknown field" in (refusal(document) or "nothing was refused")


def refusal(document: Any) -> str | None:
    """What is said of a document; None where it is taken. Anything else that is raised is a bug."""
    try:
        read_job(json.dumps(document), "here.json")
    except ManifestError as error:
        return error.what
    return None


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of a document that a value can be put in: its container and its key."""
    keys: list[Any] = list(node) if isinstance(node, dict) else []
    if isinstance(node, list):
        keys = list(range(len(node)))
    return [(node, key) for key in keys] + [it for key in keys for it in places(node[key])]


def objects_in(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every object of a document, with its path."""
    if isinstance(node, list):
        return [
            it for index, value in enumerate(node) for it in objects_in(value, f"{path}.{index}")
        ]
    if not isinstance(node, dict):
        return []
    inner = [it for key, value in node.items() for it in objects_in(value, f"{path}.{key}")]
    return [(path, node), *inner]
