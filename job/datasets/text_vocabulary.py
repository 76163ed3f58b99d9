"""Texts -> integers, as ``TextVectorization(output_mode="int")`` of Keras makes them."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.datasets.source import Source
from job.datasets.text_lines import lines, place
from job.errors import InputError
from job.manifest.datasets import TextConfig
from job.text import first_names

MAX_BYTES = 1 << 26
MAX_TOKENS = 1 << 22
# tf.strings.lower, as Keras calls it, and tf.strings.split know ASCII only.
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
TABLES: dict[str | None, dict[int, Any]] = {
    None: {},
    "lower": LOWER,
    "strip_punctuation": NO_PUNCTUATION,
    "lower_and_strip_punctuation": LOWER | NO_PUNCTUATION,
}
WORD = re.compile(r"\S+", re.ASCII)


@dataclass(frozen=True)
class Vocabulary:
    """The integers of tokens, and how texts become tokens."""

    indices: dict[str, int]
    """A token's line, from 0, and ``index_offset``."""
    unknown: int | None
    """The integer of other tokens; None: they are left out."""
    config: TextConfig

    @property
    def largest(self) -> int:
        """The largest integer of a row."""
        return max(self.indices.values())

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text."""
        text = text.translate(TABLES[self.config.standardize])
        return list(text) if self.config.level == "character" else WORD.findall(text)

    def integers(self, text: str) -> tuple[list[int], int]:
        """The integers of a text's tokens, all of them, and how many tokens are unknown."""
        found = [self.indices.get(token) for token in self.tokens(text)]
        known = [index for index in found if index is not None]
        missing = len(found) - len(known)
        if not missing or self.unknown is None:
            return known, missing
        return [self.unknown if index is None else index for index in found], missing


def read_vocabulary(source: Source, config: TextConfig) -> Vocabulary:
    """Read the vocabulary, one token in each line.

    Args:
        source: The data set's files; the vocabulary is one of them.
        config: Its name, the unknown token, and what is added to all integers.

    Raises:
        InputError: Where there is no such file, it is too large, not UTF-8 or empty, a token is
            there twice, a line other than the first is empty, or the unknown token is missing.
    """
    path = named_file(source, config.vocabulary, "dataset.vocabulary")
    if path.stat().st_size > MAX_BYTES:
        raise _too_large(path)
    indices: dict[str, int] = {}
    for number, token in lines(path):
        if number > MAX_TOKENS:
            raise _too_large(path)
        if not token and number > 1:
            raise InputError(
                "The vocabulary has an empty line; only its first one, the padding's, may be so.",
                where=place(path, number),
                hint="Remove the line.",
            )
        if token in indices:
            first = indices[token] - config.index_offset + 1
            raise InputError(
                f"The token {token!r} is in the vocabulary twice: first in line {first:,}.",
                where=place(path, number),
                hint="Write the vocabulary as TextVectorization.get_vocabulary() gives it.",
            )
        indices[token] = number - 1 + config.index_offset
    if not indices:
        raise InputError(
            "The vocabulary is empty.", where=str(path), hint="Write one token in each line."
        )
    if config.oov_token is not None and config.oov_token not in indices:
        raise InputError(
            f"The vocabulary has no token {config.oov_token!r} for unknown tokens.",
            where="dataset.oov_token",
            hint="Name the token of the vocabulary that unknown ones count as, or null to leave "
            "them out.",
        )
    unknown = None if config.oov_token is None else indices[config.oov_token]
    return Vocabulary(indices, unknown, config)


def named_file(source: Source, name: str, where: str) -> Path:
    """A file of the data set.

    Args:
        source: All files.
        name: Its name below the data set's folder.
        where: The place in the manifest.

    Raises:
        InputError: Where there is none.
    """
    if name not in source.files:
        raise InputError(
            f"The data set has no file {name!r}.",
            where=where,
            hint=f"There are: {first_names(source.files)}. dataset.uri names a folder, or a "
            "pattern of all files.",
        )
    return source.files[name]


def _too_large(path: Path) -> InputError:
    return InputError(
        f"The vocabulary has more than {MAX_BYTES:,} bytes or {MAX_TOKENS:,} tokens.",
        where=str(path),
        hint="Check that it is the right file: one token in each line.",
    )
