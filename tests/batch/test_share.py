"""Shards: the same at each try, even, and neighbours in a listing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.batch.share import EACH, Shard, find_shard, folder, share
from job.errors import ManifestError

NAMES = st.text("ab-._019Z", min_size=1, max_size=6)
SIZES = st.dictionaries(NAMES, st.integers(0, 50 << 20), min_size=1, max_size=40)


@given(SIZES, st.integers(1, 9))
def test_every_job_is_in_one_shard_and_none_has_much_more(
    sizes: dict[str, int], count: int
) -> None:
    """No shard has more than its part of the whole and one job."""
    where = share(sizes, count)
    assert where.keys() == sizes.keys()
    assert set(where.values()) <= set(range(count))
    loads = [0] * count
    for name, number in where.items():
        loads[number] += sizes[name] + EACH
    assert max(loads) <= sum(loads) / count + max(sizes.values()) + EACH


@given(SIZES, st.integers(1, 9))
def test_a_shard_is_a_range_of_the_listing(sizes: dict[str, int], count: int) -> None:
    """In the order of the keys; whatever the order in which the jobs are named."""
    where = share(sizes, count)
    assert share(dict(reversed(sizes.items())), count) == where
    in_order = [where[name] for name in sorted(sizes, key=folder)]
    assert in_order == sorted(in_order)
    assert all(a < b for a, b in itertools.pairwise(sorted(map(folder, sizes))))


def test_equal_jobs_are_shared_equally() -> None:
    """A hundred of them among four."""
    where = share({f"job-{number:03}": 1000 for number in range(100)}, 4)
    assert [list(where.values()).count(number) for number in range(4)] == [25] * 4


def test_a_shard_is_named_by_hand_or_by_kubernetes() -> None:
    """The command line goes first."""
    pod = {"JOB_COMPLETION_INDEX": "2", "PAREDOWN_SHARDS": "8"}
    assert find_shard(None, {}) is None
    assert find_shard(None, pod) == Shard(2, 8)
    assert find_shard("0/4", pod) == Shard(0, 4)


@pytest.mark.parametrize("asked", ["4/4", "1", "-1/4", "a/b", "1/0", "", "1/4/2"])
def test_what_is_no_shard_is_refused(asked: str) -> None:
    """And it is said how one is named."""
    with pytest.raises(ManifestError, match="is no shard") as refused:
        find_shard(asked, {})
    assert "0/4" in refused.value.hint


def test_a_pod_must_know_how_many_there_are() -> None:
    """Without that every pod would do all jobs."""
    with pytest.raises(ManifestError, match="PAREDOWN_SHARDS is not"):
        find_shard(None, {"JOB_COMPLETION_INDEX": "0"})
