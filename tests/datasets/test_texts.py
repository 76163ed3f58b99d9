"""Texts become the integers that TextVectorization of Keras gives."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets import padded_rows
from job.datasets.source import Opened, Source
from job.datasets.texts import open_text
from job.errors import InputError
from job.manifest.datasets import TextConfig
from job.result.specs import TensorSpec
from job.rows.lazy import LazyRows
from job.rows.store import Store
from tests.support.languages import LANGUAGES, write_languages

X, Y = TensorSpec("text", (None,), "float32"), TensorSpec("label", (7,), "float32")
LINES = {"files": "train.txt", "targets": "train.labels"}
SENTENCES = [
    "It's 5 o'clock -- somewhere; isn't it? (yes!)",
    "Grüße aus Köln: ÄÖÜ ÉCOLE école",
    "tabs\tand\x0bother\x0cspace\u00a0here\u2003there\u3000end\x85",
    "«¿Qué?» “quotes” … e\u0301 combined 東京 \U0001f600\U0001f468\u200d\U0001f469",
    "",
    " \t ",
    "!!! ...",
    "a\x00b \x1c\x1d c [UNK] [unk]",
    "one two three four five six seven eight nine ten eleven",
]


def source(
    files: dict[str, Path],
    folder: Path,
    inputs: Sequence[TensorSpec] = (X,),
    outputs: Sequence[TensorSpec] = (Y,),
    memory: int = 1 << 24,
) -> Source:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Source(dict(sorted(files.items())), inputs, outputs, Store(scratch, memory, 1 << 24))


def config(**fields: Any) -> TextConfig:
    given = {"type": "text", "uri": ".", "vocabulary": "vocabulary.txt", "sequence_length": 8}
    return TextConfig.model_validate(given | {"train": LINES} | fields)


def written(folder: Path, **contents: str | bytes) -> dict[str, Path]:
    """Files of these contents; ``_`` in a name stands for its dot."""
    found = {}
    for name, content in contents.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        found[path.name] = path
    return found


def small(folder: Path, **contents: str | bytes) -> dict[str, Path]:
    """Three texts with labels; keywords replace files."""
    usual: dict[str, str | bytes] = {
        "vocabulary_txt": "\n[UNK]\nthe\ncat\nsat\n",
        "train_txt": "The cat sat.\nThe dog\ncat\n",
        "train_labels": "yes\nno\nyes\n",
        "train_csv": "id,text,label\n1,The cat sat.,yes\n2,The dog,no\n3,cat,yes\n",
    }
    return written(folder, **usual | contents)


def refused(folder: Path, fields: dict[str, Any], **contents: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        open_text(source(small(folder, **contents), folder), config(**fields))
    assert caught.value.hint
    return caught.value


def vectorized(lines: Sequence[str], vocabulary: Sequence[str], asked: TextConfig) -> Any:
    """What Keras gives."""
    import keras

    split = {"word": "whitespace", "character": "character"}[asked.level]
    layer = keras.layers.TextVectorization(
        standardize=asked.standardize,
        split=split,
        output_mode="int",
        output_sequence_length=asked.sequence_length,
        vocabulary=list(vocabulary),
    )
    assert layer.get_vocabulary()[:2] == ["", "[UNK]"]
    return np.asarray(layer(list(lines)))


@pytest.mark.parametrize("level", ["word", "character"])
@pytest.mark.parametrize(
    "standardize", [None, "lower", "strip_punctuation", "lower_and_strip_punctuation"]
)
def test_rows_are_those_of_keras(level: str, standardize: str | None, tmp_path: Path) -> None:
    """Punctuation, accents, spaces of all kinds, ideographs; every token of them is in the
    vocabulary as it is, in lower case, and without punctuation, but each third one.
    """
    whole = [*SENTENCES, *(it.lower() for it in SENTENCES)]
    plain = [it.translate(str.maketrans("", "", "!\"'().,;:?-[]")) for it in whole]
    tokens = [
        token
        for text in [*whole, *plain]
        for token in (text.split() if level == "word" else text.split("\n")[0])
    ]
    known = [it for it in dict.fromkeys(tokens) if it not in ("\0", "[UNK]")]
    known = [it for place, it in enumerate(known) if place % 3]
    files = written(
        tmp_path,
        train_txt="\n".join(SENTENCES),
        vocabulary_txt="".join(f"{it}\n" for it in ["", "[UNK]", *known]),
    )
    asked = config(level=level, standardize=standardize, train={"files": "train.txt"})
    found = open_text(source(files, tmp_path), asked)
    rows = found.train.inputs[0][:]
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, vectorized(SENTENCES, known, asked))
    assert len(np.unique(rows)) > 10
    assert found.train.targets == ()


def test_languages_are_read_as_keras_reads_them(tmp_path: Path) -> None:
    """2,800 words of seven languages, by their characters; labels are the languages."""
    files = write_languages(tmp_path, 300, 100)
    test = {"files": "test.txt", "targets": "test.labels"}
    asked = config(level="character", test=test)
    found = open_text(source(files, tmp_path), asked)
    tokens = files["vocabulary.txt"].read_text("utf-8").splitlines()[2:]
    assert found.test is not None
    for split, rows in (("train", found.train), ("test", found.test)):
        words = files[f"{split}.txt"].read_text("utf-8").splitlines()
        np.testing.assert_array_equal(rows.inputs[0][:], vectorized(words, tokens, asked))
        labels = files[f"{split}.labels"].read_text("utf-8").splitlines()
        assert [found.class_names[it] for it in rows.targets[0]] == labels
    assert found.class_names == LANGUAGES
    assert found.train.targets[0].dtype == np.int64
    assert f"largest integer is {len(tokens) + 1}" in found.decisions[0]
    assert found.decisions[1].startswith("train: 2,100 rows; ")
    assert "7 classes: de, en, es, fr, it, nl, pt" in found.decisions[3]


def test_a_csv_gives_what_lines_give(tmp_path: Path) -> None:
    """With another delimiter, quotes, and a byte order mark."""
    files = write_languages(tmp_path, 50, 10)
    words = files["train.txt"].read_text("utf-8").splitlines()
    labels = files["train.labels"].read_text("utf-8").splitlines()
    path = files["words.csv"] = tmp_path / "words.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows([["language", "word"], *zip(labels, words, strict=True)])
    lines = open_text(source(files, tmp_path), config(level="character"))
    columns = {"files": "*.csv", "inputs": "word", "targets": "language"}
    table = open_text(
        source(files, tmp_path), config(level="character", delimiter=";", train=columns)
    )
    np.testing.assert_array_equal(table.train.inputs[0][:], lines.train.inputs[0][:])
    np.testing.assert_array_equal(table.train.targets[0], lines.train.targets[0])
    assert table.class_names == lines.class_names


@pytest.mark.parametrize(
    ("padding", "truncating", "expected"),
    [
        ("post", "post", [[2, 3, 4], [2, 1, 0]]),
        ("pre", "post", [[2, 3, 4], [0, 2, 1]]),
        ("post", "pre", [[3, 4, 1], [2, 1, 0]]),
        ("pre", "pre", [[3, 4, 1], [0, 2, 1]]),
    ],
)
def test_rows_are_padded_and_cut_at_either_end(
    padding: str, truncating: str, expected: list[list[int]], tmp_path: Path
) -> None:
    """As ``keras.utils.pad_sequences`` does with the same settings."""
    import keras

    files = small(tmp_path, train_txt="the cat sat down\nthe dog\n")
    asked = config(
        padding=padding, truncating=truncating, sequence_length=3, train={"files": "train.txt"}
    )
    rows = open_text(source(files, tmp_path), asked).train.inputs[0][:]
    np.testing.assert_array_equal(rows, expected)
    integers = [[2, 3, 4, 1], [2, 1]]
    padded = keras.utils.pad_sequences(integers, 3, padding=padding, truncating=truncating)
    np.testing.assert_array_equal(rows, padded)


def test_several_inputs_and_outputs_are_mapped_to_columns(tmp_path: Path) -> None:
    """In the model's order, whatever the manifest's is; they share the vocabulary."""
    files = small(tmp_path, train_csv="q,a,n,s\nthe cat,sat,1,0.5\ncat,the dog,2,1\n")
    train = {
        "files": "train.csv",
        "inputs": {"answer": "a", "question": "q"},
        "targets": {"score": "s", "number": "n"},
    }
    inputs = [TensorSpec(name, (3,), "int32") for name in ("question", "answer")]
    outputs = [TensorSpec(name, (1,), "float32") for name in ("number", "score")]
    given = source(files, tmp_path, inputs, outputs)
    found = open_text(given, config(sequence_length=3, train=train)).train
    np.testing.assert_array_equal(found.inputs[0][:], [[2, 3, 0], [3, 0, 0]])
    np.testing.assert_array_equal(found.inputs[1][:], [[4, 0, 0], [2, 1, 0]])
    assert [it.dtype for it in found.targets] == [np.int64, np.float32]
    assert [it.tolist() for it in found.targets] == [[1, 2], [0.5, 1]]


def test_files_are_joined_in_their_order_and_rows_may_be_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part; the labels of all files are in one."""
    monkeypatch.setattr(padded_rows, "MAX_PART_ROWS", 4)
    contents = {
        f"t{part}_txt": "".join(f"{'cat ' * (part * 5 + row)}\n" for row in range(5))
        for part in range(3)
    }
    labels = "".join(f"{row}\n" for row in range(15))
    files = small(tmp_path, **contents, all_labels=labels)
    asked = config(train={"files": "t?.txt", "targets": "all.labels"}, sequence_length=20)
    found: list[Opened] = [
        open_text(source(files, tmp_path, memory=memory), asked) for memory in (1 << 24, 0)
    ]
    assert isinstance(found[1].train.inputs[0], LazyRows)
    for it in found:
        np.testing.assert_array_equal((it.train.inputs[0][:] == 3).sum(1), np.arange(15))
        np.testing.assert_array_equal(it.train.targets[0], np.arange(15))


def test_what_was_cut_or_unknown_or_empty_is_counted(tmp_path: Path) -> None:
    """For each split."""
    files = small(tmp_path, train_txt="the cat sat\n...\ndog\n")
    found = open_text(source(files, tmp_path), config(sequence_length=2))
    assert found.decisions[1] == (
        "train: 3 rows; 1 texts were cut to 2 integers; 1 tokens (25 %) are not in the vocabulary "
        "and count as unknown."
    )
    assert found.warnings == ("train: 1 texts have no tokens; their rows are padding alone.",)
    left_out = open_text(source(files, tmp_path), config(sequence_length=2, oov_token=None))
    assert "(25 %) are not in the vocabulary and are left out" in left_out.decisions[1]
    assert left_out.warnings[0].startswith("train: 2 texts")


def test_a_token_that_is_the_padding_is_a_warning(tmp_path: Path) -> None:
    """A vocabulary without a line for the padding, and without an offset."""
    files = small(tmp_path, vocabulary_txt="[UNK]\nthe\n")
    found = open_text(source(files, tmp_path), config())
    assert "'[UNK]' is 0, as the padding is" in found.warnings[0]
    assert not open_text(source(files, tmp_path), config(index_offset=1)).warnings
