"""pattern: which names a pattern names, of local files and of S3 keys."""

from __future__ import annotations

import re
import time
import warnings
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.storage.pattern import fixed_part, is_pattern, matches

NAMES = [
    "a.npz",
    "shard-0.npz",
    "shard-1.npz",
    "shard-10.npz",
    "shard-x.npz",
    "shard-1.npz.tmp",
    ".hidden.npz",
    "Shard-1.NPZ",
    "x/shard-1.npz",
    "x/y/shard-1.npz",
    "x/y/z/shard-2.npz",
]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("shard-*.npz", ["shard-0.npz", "shard-1.npz", "shard-10.npz", "shard-x.npz"]),
        ("shard-?.npz", ["shard-0.npz", "shard-1.npz", "shard-x.npz"]),
        ("shard-[0-9].npz", ["shard-0.npz", "shard-1.npz"]),
        ("shard-[!0-9].npz", ["shard-x.npz"]),
        ("shard-[1x].npz", ["shard-1.npz", "shard-x.npz"]),
        ("*/shard-1.npz", ["x/shard-1.npz"]),
        ("**/shard-1.npz", ["shard-1.npz", "x/shard-1.npz", "x/y/shard-1.npz"]),
        ("x/**/shard-?.npz", ["x/shard-1.npz", "x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("**/y/**/shard-?.npz", ["x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("**/**/z/*", ["x/y/z/shard-2.npz"]),
        ("x/**", ["x/shard-1.npz", "x/y/shard-1.npz", "x/y/z/shard-2.npz"]),
        ("x/y/shard-1.npz/**", []),
        ("x*1.npz", []),
        ("x**1.npz", []),
        ("**", sorted(NAMES)),
        (".*", [".hidden.npz"]),
        ("*hidden.npz", [".hidden.npz"]),
        ("shard-1.npz", ["shard-1.npz"]),
        ("shard", []),
        ("", []),
        ("/shard-1.npz", []),
        ("./shard-1.npz", []),
        ("x//shard-1.npz", []),
    ],
)
def test_a_pattern_names_some_names(pattern: str, found: list[str]) -> None:
    """Wildcards stay in their part, case counts, and the whole name has to match."""
    assert matches(NAMES, pattern) == found
    assert matches(reversed([*NAMES, *NAMES]), pattern) == found


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//a", ".", "..", "./a", "a/..", "../a"])
def test_names_that_may_be_another_place_never_match(name: str) -> None:
    """An empty part, a dot, two dots, whatever the pattern."""
    for pattern in ("**", "*", "*/*", "**/*", "?", "??", "?/?", "??/?", "[.]/?", name, "*/", "/*"):
        assert matches([name], pattern) == []


def test_what_looks_like_a_set_and_is_none_is_itself() -> None:
    """A ``[`` that is not closed in its part, and an empty set."""
    for text in ("a[b", "a[b/c]", "[]", "[!]", "a]b"):
        assert not is_pattern(text)
        assert matches([text, "ab", "a"], text) == [text]
    for text in ("*", "a?", "a/[b]", "[]]", "[!]]", "[[]", "a[[b]"):
        assert is_pattern(text)
    assert matches(["[1].npz", "1.npz"], "[[]1].npz") == ["[1].npz"]


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("data/shard-*.npz", "data/"),
        ("data/a[b/*.npz", "data/a[b/"),
        ("*.npz", ""),
        ("a/b/**/c", "a/b/"),
        ("a/b[12]/c", "a/"),
        ("/a/b?", "/a/"),
        ("a/b.npz", "a/"),
        ("a/", "a/"),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_part_before_the_wildcards_is_what_to_list(pattern: str, part: str) -> None:
    """Whole folders, with the last slash."""
    assert fixed_part(pattern) == part


def naive(parts: list[str], wanted: list[str]) -> bool:
    """By trying all ways."""
    if not wanted:
        return not parts
    if wanted == ["**"]:
        return bool(parts)
    if wanted[0] == "**":
        return any(naive(parts[skipped:], wanted[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and naive(parts[1:], wanted[1:])


PARTS = st.text("ab.", max_size=3)
WANTED = st.one_of(st.just("**"), st.text("ab.*?[]!-", max_size=5))


@given(names=st.lists(st.lists(PARTS, max_size=4)), wanted=st.lists(WANTED, min_size=1, max_size=5))
@settings(max_examples=500, deadline=None)
def test_it_finds_what_trying_all_ways_finds(names: list[list[str]], wanted: list[str]) -> None:
    """And a name that matches begins with the fixed part, and is itself what it names."""
    pattern = "/".join(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = matches(map("/".join, names), pattern)
    good = [it for it in names if it and not {"", ".", ".."} & set(it)]
    assert found == sorted({"/".join(it) for it in good if naive(it, pattern.split("/"))})
    for name in found:
        assert name.startswith(fixed_part(pattern))
        assert is_pattern(pattern) or name == pattern


@given(pattern=st.text(max_size=30), name=st.text(max_size=10))
@settings(deadline=None)
def test_no_pattern_is_refused(pattern: str, name: str) -> None:
    """Whatever is in it: what is no wildcard is itself."""
    for pat in (pattern, f"[{pattern}]", f"{pattern}/*[{name}"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert set(matches([name, pattern], pat)) <= {name, pattern}
    assert re.match(re.escape(fixed_part(pattern)), pattern)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 200 + "b", "a" * 5000),
        ("**/a/" * 200 + "b", "a/" * 500 + "a"),
        ("**/" * 3000 + "b", "a/" * 500 + "a"),
        ("**/*a*a*a*a/" * 50 + "b", "aaaaaaaaaaaa/" * 200 + "a"),
        ("[" * 2000, "[" * 5000),
        ("[!" * 5000 + "]*" * 5000, "a" * 5000),
    ],
)
def test_hostile_patterns_take_no_time(pattern: str, name: str) -> None:
    """Where trying all ways would take longer than the sun will shine."""
    started = time.process_time()
    assert matches([name], pattern) == []
    is_pattern(pattern)
    fixed_part(pattern)
    assert time.process_time() - started < 5
