"""Words of seven languages, from the package pyspellchecker: a real set of short texts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import spellchecker

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")


def frequent_words(language: str, count: int) -> list[str]:
    """The most frequent words of a language, those of one frequency in sorted order."""
    path = Path(spellchecker.__file__).parent / "resources" / f"{language}.json.gz"
    frequencies: dict[str, int] = json.loads(gzip.decompress(path.read_bytes()))
    return sorted(frequencies, key=lambda word: (-frequencies[word], word))[:count]


def write_languages(folder: Path, train: int, test: int) -> dict[str, Path]:
    """Write words, each in a line of its own, their languages, and the vocabulary of characters.

    Args:
        folder: Where ``train.txt``, ``train.labels``, ``test.txt``, ``test.labels`` and
            ``vocabulary.txt`` go.
        train: The training words of each language.
        test: The test words of each language, less frequent ones.

    Returns:
        The files by name.
    """
    words = {it: frequent_words(it, train + test) for it in LANGUAGES}
    parts = {"train": slice(train), "test": slice(train, train + test)}
    characters: set[str] = set()
    for split, part in parts.items():
        texts = [word for it in LANGUAGES for word in words[it][part]]
        labels = [it for it in LANGUAGES for _ in words[it][part]]
        (folder / f"{split}.txt").write_text("".join(f"{it}\n" for it in texts), "utf-8")
        (folder / f"{split}.labels").write_text("".join(f"{it}\n" for it in labels), "utf-8")
        characters |= set("".join(texts)) if split == "train" else set()
    tokens = ["", "[UNK]", *sorted(characters)]
    (folder / "vocabulary.txt").write_text("".join(f"{it}\n" for it in tokens), "utf-8")
    return {path.name: path for path in sorted(folder.iterdir())}
