"""Records become arrays as they are described, or are refused with what they have instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from job.datasets.tfrecord_features import Feature, parse
from job.errors import InputError
from job.manifest.data_fields import FeatureConfig
from job.rows.lazy import Array
from tests.support.tfrecords import example


def described(**fields: Any) -> dict[str, Feature]:
    return {name: Feature(name, FeatureConfig.model_validate(it)) for name, it in fields.items()}


def place(record: int) -> str:
    return f"shard, record {record}"


def parsed(records: list[bytes], **fields: Any) -> dict[str, Array]:
    return parse(records, described(**fields), place)[0]


def refused(records: list[bytes], **fields: Any) -> InputError:
    """The error is the same for records that were read again, which are no tensor."""
    with pytest.raises(InputError) as caught:
        parse(tf.constant(records), described(**fields), place)
    with pytest.raises(InputError) as again:
        parse(records, described(**fields), place)
    assert str(again.value) == str(caught.value)
    assert caught.value.hint
    for jargon in ("{{", "[Op:", "Key:"):
        assert jargon not in str(caught.value)
    return caught.value


GOOD = example(x=[1.5, 2.5, 3.5, 4.5], y=3)


def test_numbers_have_the_described_shape_and_dtype() -> None:
    """Integers of 64 bits lose none of them."""
    large = (1 << 63) - 1
    found = parsed(
        [GOOD, example(x=[5.0, 6.0, 7.0, 8.0], y=large)],
        x={"shape": [2, 2]},
        y={"dtype": "int64"},
    )
    np.testing.assert_array_equal(
        found["x"], np.array([[[1.5, 2.5], [3.5, 4.5]], [[5, 6], [7, 8]]], np.float32), strict=True
    )
    np.testing.assert_array_equal(found["y"], np.array([3, large]), strict=True)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "int64", "float32", "float64"]
)
def test_raw_bytes_are_little_endian_numbers(dtype: Any, tmp_path: Any) -> None:
    """As tf.io.decode_raw has them."""
    rows = np.random.default_rng(0).integers(0, 127, (5, 3, 2)).astype(dtype)
    records = [example(x=row.astype(row.dtype.newbyteorder("<")).tobytes()) for row in rows]
    found = parsed(records, x={"dtype": "bytes", "raw": dtype, "shape": [3, 2]})["x"]
    np.testing.assert_array_equal(found, rows, strict=True)
    theirs = tf.io.decode_raw([row.tobytes() for row in rows], dtype)
    np.testing.assert_array_equal(found.reshape(5, -1), theirs.numpy(), strict=True)


def test_the_last_of_a_features_values_counts() -> None:
    """Where a record has it twice, as for protocol buffers."""
    found = parsed([GOOD, GOOD + example(y=7)], y={"dtype": "int64"})
    assert found["y"].tolist() == [3, 7]


def test_a_missing_feature_is_named_with_those_that_are_there() -> None:
    """And with its record."""
    error = refused([GOOD, GOOD, example(x=[1.0], label=3)], y={"dtype": "int64"})
    assert "A feature is missing" in error.what
    assert "'y'" in error.what
    assert error.where == "shard, record 2"
    assert "It has: label, x." in error.hint


def test_a_default_stands_for_a_missing_feature_and_is_counted() -> None:
    """Whether the record has no such feature, or one without any list."""
    bare = tf.train.Example(
        features=tf.train.Features(feature={"y": tf.train.Feature()})
    ).SerializeToString(deterministic=True)
    features = described(
        y={"dtype": "int64", "default": -1},
        x={"shape": [4], "default": 0.5},
        z={"dtype": "bytes", "raw": "uint16", "shape": [2], "default": 258},
    )
    records = [GOOD, bare, example(z=bytes([1, 0, 2, 0])), b""]
    found, defaulted = parse(records, features, place)
    assert found["y"].tolist() == [3, -1, -1, -1]
    assert found["x"].tolist() == [[1.5, 2.5, 3.5, 4.5], *[[0.5] * 4] * 3]
    assert found["z"].tolist() == [[258, 258], [258, 258], [1, 2], [258, 258]]
    assert defaulted == {"y": 3, "x": 3, "z": 3}


@pytest.mark.parametrize("default", [None, 1])
@pytest.mark.parametrize("values", [0, 1, 3, 5])
def test_another_number_of_values_is_refused(values: int, default: float | None) -> None:
    """A default is for missing features only."""
    records = [GOOD, example(x=np.ones(values, "float32"))]
    error = refused(records, x={"shape": [2, 2], "default": default})
    assert f"has {values} values" in error.what
    assert "4 (shape (2, 2))" in error.what
    assert error.where == "shard, record 1"


@pytest.mark.parametrize(
    ("value", "found"), [(1.0, "float32"), (1, "int64"), (b"1", "bytes")], ids=repr
)
@pytest.mark.parametrize("asked", ["float32", "int64", "bytes"])
@pytest.mark.parametrize("default", [None, 1])
def test_another_dtype_is_named(value: Any, found: str, asked: str, default: float | None) -> None:
    """The hint is what to write into the manifest."""
    raw = {"raw": "uint8"} if asked == "bytes" else {}
    fields = {"dtype": asked, "default": default, **raw}
    if found == asked:
        assert len(parsed([example(y=value)], y=fields)["y"]) == 1
        return
    error = refused([example(y=value)], y=fields)
    assert f"is of {found}, and described as {asked}" in error.what
    assert f'"{found}"' in error.hint


def test_several_byte_strings_are_refused() -> None:
    """A raw or an image feature is one."""
    error = refused([example(x=np.array([b"ab", b"cd"]))], x={"dtype": "bytes", "raw": "uint8"})
    assert "has 2 values" in error.what
    assert "having one" in error.what


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_raw_bytes_of_another_size_are_refused(size: int) -> None:
    """The message has both sizes."""
    records = [example(x=bytes(8)), example(x=bytes(size))]
    error = refused(records, x={"dtype": "bytes", "raw": "int16", "shape": [2, 2]})
    assert f"has {size} bytes" in error.what
    assert "takes 8" in error.what
    assert error.where == "shard, record 1"


@pytest.mark.parametrize("default", [None, 1])
@pytest.mark.parametrize(
    "record", [b"junk" * 4, b"\x0a\xff", b"\xff" * 30, GOOD[:-3]], ids=range(4)
)
def test_a_record_of_something_else_is_refused(record: bytes, default: float | None) -> None:
    """TensorFlow reads some as examples without features, which a default would hide."""
    error = refused([GOOD, record], y={"dtype": "int64", "default": default})
    assert "no tf.train.Example" in error.what
    assert error.where == "shard, record 1"


def test_what_only_tensorflow_refuses_is_found_too() -> None:
    """A feature with an unknown field, which the library of protocol buffers leaves out."""
    record = b"\n\x0c\n\n\n\x01y\x12\x00\x1a\x03\n\x01\x03"
    assert not tf.train.Example.FromString(record).features.feature
    error = refused([GOOD, GOOD, record, GOOD], y={"dtype": "int64", "default": 1})
    assert error.where == "shard, record 2"


def test_a_sequence_example_has_no_such_feature() -> None:
    """Its context is one of an example; its lists are not read."""
    lists = tf.train.FeatureLists(feature_list={"y": tf.train.FeatureList()})
    record = tf.train.SequenceExample(feature_lists=lists).SerializeToString(deterministic=True)
    assert "It has: none." in refused([record], y={"dtype": "int64"}).hint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": "int64", "default": 0.5}, "is no int64"),
        ({"dtype": "int64", "default": 1e30}, "is no int64"),
        ({"dtype": "bytes", "raw": "uint8", "default": 256}, "is no uint8"),
        ({"dtype": "bytes", "raw": "uint16", "default": -1}, "is no uint16"),
        ({"dtype": "bytes", "raw": "int8", "default": 128}, "is no int8"),
        ({"dtype": "bytes", "image": {}, "default": 0}, "not for an image"),
        ({"dtype": "bytes", "image": {}, "shape": [2]}, "not for an image"),
        ({"dtype": "bytes"}, "need raw"),
    ],
    ids=repr,
)
def test_the_manifest_refuses_what_no_record_can_have(fields: Any, message: str) -> None:
    """Before any file is read."""
    with pytest.raises(ValidationError, match=message):
        FeatureConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"shape": [3]}, 15),
        ({"dtype": "int64"}, 11),
        ({"dtype": "bytes", "raw": "uint16", "shape": [3]}, 6),
        ({"dtype": "bytes", "image": {"max_pixels": 100}}, 400),
        ({"dtype": "bytes", "image": {}}, 1 << 26),
    ],
)
def test_what_a_feature_takes_of_a_record_is_bounded(config: dict[str, Any], size: int) -> None:
    """By its shape, or by the image's pixels."""
    assert Feature("x", FeatureConfig.model_validate(config)).stored_bytes == size
