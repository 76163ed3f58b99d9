"""A vocabulary is a file of tokens; each token's integer is its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from job.datasets import text_vocabulary
from job.datasets.source import Source
from job.datasets.text_vocabulary import MAX_BYTES, Vocabulary, read_vocabulary
from job.errors import InputError
from job.manifest.datasets import TextConfig
from job.rows.store import Store


def read(folder: Path, content: str | bytes, **fields: Any) -> Vocabulary:
    path = folder / "vocabulary.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    given = {"type": "text", "uri": ".", "sequence_length": 4, "train": {"files": "*.txt"}}
    config = TextConfig.model_validate(given | {"vocabulary": path.name} | fields)
    return read_vocabulary(Source({path.name: path}, [], [], Store(folder, 0, 0)), config)


def test_a_tokens_integer_is_its_line(tmp_path: Path) -> None:
    """The first line, which is empty, is the padding; an offset is added to all."""
    found = read(tmp_path, "\n[UNK]\nthe\ncat\n")
    assert found.integers("The CAT, the hat!") == ([2, 3, 2, 1], 1)
    assert found.largest == 3
    found = read(tmp_path, "the\r\ncat\r\n", oov_token=None, index_offset=3)
    assert found.integers("The CAT, the hat!") == ([3, 4, 3], 1)
    assert found.largest == 4


def test_tokens_of_one_character_may_be_spaces_and_rare_line_breaks(tmp_path: Path) -> None:
    """White space is not stripped; U+2028 ends no line."""
    found = read(tmp_path, "\n[UNK]\n \n\u2028\n\u00e9\n", level="character", standardize="lower")
    assert found.integers(" \u2028\u00e9\u00c9") == ([2, 3, 4, 1], 1)


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (
            "\n[UNK]\nthe\ncat\nthe\n",
            "'the' is in the vocabulary twice: first in line 3",
            ", line 5",
        ),
        ("\n[UNK]\n\ncat\n", "empty line", ", line 3"),
        ("", "vocabulary is empty", "vocabulary.txt"),
        ("the\ncat\n", r"no token '\[UNK\]'", "dataset.oov_token"),
        (b"\n[UNK]\n\xff\n", "not UTF-8", ", line 3"),
        (b"\n" * (MAX_BYTES + 1), f"more than {MAX_BYTES:,} bytes", "vocabulary.txt"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(
    content: str | bytes, what: str, where: str, tmp_path: Path
) -> None:
    """With the line, and what to do."""
    with pytest.raises(InputError, match=what) as caught:
        read(tmp_path, content)
    assert caught.value.where.endswith(where)
    assert caught.value.hint


def test_too_many_tokens_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would take gigabytes as a dict."""
    monkeypatch.setattr(text_vocabulary, "MAX_TOKENS", 1000)
    assert read(tmp_path, "".join(f"{it}\n" for it in range(1000)), oov_token=None).largest == 999
    with pytest.raises(InputError, match="1,000 tokens"):
        read(tmp_path, "".join(f"{it}\n" for it in range(1001)))


def test_a_missing_vocabulary_is_refused_with_the_files_that_are_there(tmp_path: Path) -> None:
    """It is looked up by its name, and never outside of the data set."""
    for name in ("words.txt", "../vocabulary.txt", "/etc/passwd"):
        with pytest.raises(InputError, match="has no file") as caught:
            read(tmp_path, "a\n", vocabulary=name)
        assert caught.value.where == "dataset.vocabulary"
        assert "vocabulary.txt" in caught.value.hint
