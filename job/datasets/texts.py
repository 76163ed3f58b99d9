"""Lines of text, or a CSV's columns of texts -> a data set of integers for an Embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from job.datasets.padded_rows import PaddedRows
from job.datasets.source import Opened, Source, SplitRows, matching, ordered, shared
from job.datasets.text_labels import Labels, Targets
from job.datasets.text_lines import lines, place
from job.datasets.text_lines import rows as csv_rows
from job.datasets.text_vocabulary import Vocabulary, named_file, read_vocabulary
from job.errors import InputError
from job.manifest.data_fields import TextSplitConfig
from job.manifest.datasets import TextConfig
from job.rows.lazy import Rows
from job.text import first_names


def open_text(source: Source, config: TextConfig) -> Opened:
    """Read all texts and their labels.

    Rows are what ``TextVectorization(output_mode="int", output_sequence_length=...)`` of Keras
    gives for the same vocabulary and settings, as int32. Lower case, punctuation and white space
    are ASCII's there, and so they are here. An empty line is a text without tokens; of a CSV, it is
    no row.

    Args:
        source: The texts, the vocabulary, and files of labels.
        config: How texts become integers, and which files are what.

    Returns:
        Rows of (rows, sequence_length), int32. Targets are (rows,): see ``Labels``.

    Raises:
        InputError: Where a file or column is missing, a line is not UTF-8 or too long, a row has
            too few or too many cells, a split is empty, or a label is missing or no class.
    """
    _check_length(source, config)
    vocabulary = read_vocabulary(source, config)
    labels = [Labels(config.class_names) for _ in source.outputs]
    reports = [f"The vocabulary's largest integer is {vocabulary.largest:,}."]
    files = {
        which: [*matching(source, names.files, f"dataset.{which}.files")]
        for which, names in config.splits.items()
    }
    warnings = [*_vocabulary_warnings(vocabulary), *shared(files)]
    found: dict[str, tuple[Rows, ...]] = {}
    for which, names in config.splits.items():
        split = _Split(which, names, source, vocabulary)
        found[which] = split.read(labels)
        reports.append(split.report)
        warnings += split.warnings
    targets = Targets.of(labels, source)
    splits = {which: SplitRows(rows, targets.of_split(which)) for which, rows in found.items()}
    return Opened.of(
        splits,
        (*reports, *targets.decisions),
        (*warnings, *targets.warnings),
        targets.classes,
    )


@dataclass
class _Split:
    """The texts of a split, and what was counted in them."""

    which: str
    names: TextSplitConfig
    source: Source
    vocabulary: Vocabulary
    texts: int = 0
    cut: int = 0
    empty: int = 0
    tokens: int = 0
    unknown: int = 0

    def read(self, labels: Sequence[Labels]) -> tuple[Rows, ...]:
        """Read it; the labels go to those of their outputs. Each is (rows, sequence_length)."""
        files = matching(self.source, self.names.files, f"dataset.{self.which}.files")
        self._refuse_other(files, self.vocabulary.config.vocabulary, "vocabulary")
        is_lines = self.names.inputs is None
        read = self._read_lines(files, labels) if is_lines else self._read_csv(files, labels)
        store, length = self.source.store, self.vocabulary.config.sequence_length
        name = f"The {self.which} split's rows"
        writers = [PaddedRows(store, name, length) for _ in self.source.inputs]
        for texts in read:
            self.texts += 1
            for text, writer in zip(texts, writers, strict=True):
                self._write(text, writer)
        if not self.texts:
            raise InputError(
                f"The {self.which} split has no rows.",
                where=first_names(str(path) for path in files.values()),
                hint=f"Check dataset.{self.which}.files in the manifest.",
            )
        return tuple(writer.finish() for writer in writers)

    def _write(self, text: str, writer: PaddedRows) -> None:
        config = self.vocabulary.config
        integers, unknown = self.vocabulary.integers(text)
        length = config.sequence_length
        self.tokens += max(len(integers), unknown)
        self.unknown += unknown
        self.empty += not integers
        self.cut += len(integers) > length
        kept = integers[:length] if config.truncating == "post" else integers[-length:]
        writer.append(kept, 0 if config.padding == "post" else length - len(kept))

    def _read_lines(
        self, files: Mapping[str, Path], labels: Sequence[Labels]
    ) -> Iterator[tuple[str]]:
        where = f"dataset.{self.which}"
        if len(self.source.inputs) != 1:
            listed = ", ".join(spec.name for spec in self.source.inputs)
            raise InputError(
                f"Lines are the texts of one input; the model has {listed}.",
                where=f"{where}.inputs",
                hint="Give a CSV, and map each input to a column.",
            )
        named = []
        if self.names.targets is not None:
            named = ordered(self.names.targets, self.source.outputs, "output", f"{where}.targets")
        for name, of_output in zip(named, labels, strict=False):
            self._refuse_other(files, name, "file of labels")
            path = named_file(self.source, name, f"{where}.targets")
            for number, label in lines(path):
                of_output.append(self.which, label, path, number)
        for path in files.values():
            for _, text in lines(path):
                yield (text,)
        for name, of_output in zip(named, labels, strict=False):
            if self.texts and of_output.count(self.which) != self.texts:
                raise InputError(
                    f"The {self.which} split has {self.texts:,} texts and "
                    f"{of_output.count(self.which):,} labels.",
                    where=str(self.source.files[name]),
                    hint="Write one label in each line, for the texts of all files in the sorted "
                    "order of their names.",
                )

    def _read_csv(
        self, files: Mapping[str, Path], labels: Sequence[Labels]
    ) -> Iterator[tuple[str, ...]]:
        where, source = f"dataset.{self.which}", self.source
        columns = ordered(self.names.inputs, source.inputs, "input", f"{where}.inputs")
        wanted = []
        if self.names.targets is not None:
            wanted = ordered(self.names.targets, source.outputs, "output", f"{where}.targets")
        for path in files.values():
            read = csv_rows(path, self.vocabulary.config.delimiter)
            _, header = next(read, (1, []))
            texts = [_column(header, name, path, f"{where}.inputs") for name in columns]
            targets = [_column(header, name, path, f"{where}.targets") for name in wanted]
            for number, cells in read:
                if len(cells) != len(header):
                    raise InputError(
                        f"The row has {len(cells)} fields; the header has {len(header)}.",
                        where=place(path, number),
                        hint="Quote cells that hold the delimiter: dataset.delimiter is "
                        f"{self.vocabulary.config.delimiter!r}.",
                    )
                for column, of_output in zip(targets, labels, strict=False):
                    of_output.append(self.which, cells[column], path, number)
                yield tuple(cells[column] for column in texts)

    def _refuse_other(self, files: Mapping[str, Path], name: str, what: str) -> None:
        if name in files:
            raise InputError(
                f"{self.names.files} matches the {what}, {name}, too.",
                where=f"dataset.{self.which}.files",
                hint="Give a pattern of the texts alone.",
            )

    @property
    def report(self) -> str:
        """What was read."""
        length = self.vocabulary.config.sequence_length
        share = 100 * self.unknown / max(1, self.tokens)
        fate = "are left out" if self.vocabulary.unknown is None else "count as unknown"
        return (
            f"{self.which}: {self.texts:,} rows; {self.cut:,} texts were cut to {length:,} "
            f"integers; {self.unknown:,} tokens ({share:.2g} %) are not in the vocabulary and "
            f"{fate}."
        )

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        if not self.empty:
            return []
        return [f"{self.which}: {self.empty:,} texts have no tokens; their rows are padding alone."]


def _check_length(source: Source, config: TextConfig) -> None:
    """Refuse rows of another length than the model's inputs have."""
    if any(one.shape or one.resize or one.one_hot for one in config.preprocess):
        return  # rows get another shape
    for spec in source.inputs:
        if len(spec.shape) == 1 and spec.shape[0] not in (None, config.sequence_length):
            raise InputError(
                f"sequence_length is {config.sequence_length:,}; the model's input {spec.name} has "
                f"{spec.shape[0]:,} integers.",
                where="dataset.sequence_length",
                hint=f"Set it to {spec.shape[0]}, which the model was trained with.",
            )


def _column(header: Sequence[str], name: str, path: Path, where: str) -> int:
    """The index of a column."""
    if header.count(name) != 1:
        what = "two columns" if name in header else "no column"
        raise InputError(
            f"{where} names {name!r}, and the file has {what} of that name.",
            where=str(path),
            hint=f"Its first line names the columns: {first_names(header)}.",
        )
    return header.index(name)


def _vocabulary_warnings(vocabulary: Vocabulary) -> list[str]:
    return [
        f"The token {token!r} is 0, as the padding is. Put an empty line before it, or set "
        f"dataset.index_offset, if the model was trained so."
        for token, index in vocabulary.indices.items()
        if token and index == 0
    ]
