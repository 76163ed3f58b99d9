"""The inputs of a run: found, recognized where an earlier run has read them, and fetched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from job.datasets.foreign_files import refuse_other_folders, refuse_other_kinds
from job.errors import InputError, ManifestError, ParedownError, from_os_error
from job.events import Journal
from job.manifest.datasets import DatasetConfig, ImageFolderConfig, KerasConfig, NpzConfig
from job.manifest.job import JobConfig, ModelConfig
from job.manifest.storage import StorageConfig
from job.result.fetched import InputResult
from job.result.result import RESULT_FILE
from job.run.keras_cache import DOING, find_keras, is_cached
from job.run.local_data import (
    refuse_empty_classes,
    refuse_linked_folders,
    refuse_links_outside,
    refuse_names_that_are_no_text,
)
from job.storage import find
from job.storage.backend import Advance, Fetched, Found, Stores
from job.storage.place import Place, find_place
from job.text import printable

Asked = ModelConfig | DatasetConfig


@dataclass(frozen=True)
class Input:
    """An input that was found, and not fetched yet."""

    asked: Asked
    found: Found
    storage: StorageConfig

    def known(self, earlier: InputResult | None) -> InputResult | None:
        """Its digest, where it is known without fetching: the store has it, or an earlier run read
        the same object.
        """
        mark = self.found.mark
        if self.found.digest is not None:
            return self._result(self.found.digest, "", mark)
        if earlier is not None and mark is not None and earlier.mark == mark:
            return self._result((earlier.bytes, earlier.sha256), earlier.verified, mark)
        return None

    def fetched(self, fetched: Fetched) -> InputResult:
        """Its digest, once it is here."""
        return self._result(fetched.digest, fetched.verified, fetched.mark)

    def _result(self, digest: tuple[int, str], verified: str, mark: str | None) -> InputResult:
        """Raises InputError where the manifest pins another digest."""
        size, sha256 = digest
        pinned = self.asked.sha256
        if pinned is not None and sha256 != pinned.lower():
            raise InputError(
                f"The SHA-256 is {sha256}, the manifest pins {pinned}.",
                where=str(self.found.place),
                hint="It is not what was meant, or it is damaged.",
            )
        return InputResult(
            uri=self.asked.uri, bytes=size, sha256=sha256, mark=mark, verified=verified
        )


def find_model(asked: ModelConfig, storage: StorageConfig, base: Place, stores: Stores) -> Input:
    """Find a model: a file or a folder.

    Raises:
        InputError: Where it is missing, can't be read, or has another digest than the pinned one.
        StorageError: Where storage fails.
    """
    place, config = find_place(asked.uri, base), asked.storage or storage
    backend = stores.reader(place, config)
    return Input(asked, find.find(place, base, None, backend, "Reading the model"), config)


def find_data(job: JobConfig, base: Place, stores: Stores) -> Found | None:
    """Find a job's data set: a file, or several by a folder or a pattern; None where it has none.

    Raises:
        InputError: Where it is missing or can't be read.
        StorageError: Where storage fails.
    """
    if job.dataset is None:
        return None
    place, config = find_place(job.dataset.uri, base), job.dataset.storage or job.storage
    if isinstance(job.dataset, KerasConfig):
        return find_keras(job.dataset, config, base, stores)
    backend = stores.reader(place, config)
    return find.find(place, base, job.dataset.in_folder, backend, DOING)


def find_inputs(job: JobConfig, base: Place, stores: Stores) -> dict[str, Input]:
    """Find the model and the data set.

    Raises:
        InputError: Where one is missing, can't be read, or has another digest than the pinned one.
        StorageError: Where storage fails.
    """
    inputs = {
        "model": find_model(job.model, job.storage, base, stores),
        **find_dataset(job, base, stores),
    }
    for it in inputs.values():
        it.known(None)  # what is pinned is compared before anything is done
    return inputs


def find_dataset(job: JobConfig, base: Place, stores: Stores) -> dict[str, Input]:
    """Find the data set, as an input of that name; nothing where the job has none.

    Raises:
        InputError: Where it is missing, can't be read, is of another kind, or has links or names
            that are refused.
        StorageError: Where storage fails.
    """
    if job.dataset is None:
        return {}
    place = find_place(job.dataset.uri, base)
    if place.scheme == "file":
        found = _find_local(job.dataset, job, place, base, stores)
    else:
        elsewhere = find_data(job, base, stores)
        assert elsewhere is not None  # there is a data set
        found = elsewhere
    return {"dataset": Input(job.dataset, found, job.dataset.storage or job.storage)}


def _find_local(
    dataset: DatasetConfig, job: JobConfig, place: Place, base: Place, stores: Stores
) -> Found:
    """Find a data set on this machine."""
    try:
        folder, pattern = find.folder_and_pattern(place, base, dataset.in_folder)
        if isinstance(dataset, NpzConfig) and place.local.is_dir():
            refuse_other_folders(place.local)
        refuse_linked_folders(folder.local, pattern)
        found = find_data(job, base, stores)
        assert found is not None  # there is a data set
        refuse_links_outside(found)
        refuse_names_that_are_no_text(found)
        if isinstance(dataset, ImageFolderConfig):
            refuse_empty_classes(found, folder.local, pattern, dataset)
    except OSError as error:
        raise from_os_error(error, DOING, writing=False, place=place) from None
    if isinstance(dataset, NpzConfig):
        refuse_other_kinds(it.place.local for it in found.items)
    return found


def fetch(
    inputs: Mapping[str, Input], folder: Path, stores: Stores, journal: Journal
) -> dict[str, Fetched]:
    """Fetch inputs into a folder; what is on this machine is read where it is.

    Args:
        inputs: What was found, by name.
        folder: Where they go; it is made.
        stores: The run's stores.
        journal: Where progress is reported.

    Raises:
        InputError: Where one is too large, or was changed meanwhile.
        StorageError: Where storage fails, or the disk is full.
    """
    fetched: dict[str, Fetched] = {}
    cached = {name: it for name, it in inputs.items() if is_cached(it.asked, it.found)}
    if not cached and all(it.found.place.scheme == "file" for it in inputs.values()):
        return {name: _fetch(it, folder, stores, lambda _: None) for name, it in inputs.items()}
    # The same one twice is fetched once.
    asked = dict.fromkeys((it.found, it.storage) for it in inputs.values())
    remote = {found: storage for found, storage in asked if found.place.scheme != "file"}
    with journal.stage("fetch") as stage:
        for found, storage in remote.items():
            find.refuse_large(found, storage.max_object_bytes)
        find.refuse_full_disk(remote, folder.parent)
        total = sum(found.bytes for found, _ in asked)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            stage.advance(done, total)

        here: dict[tuple[Found, StorageConfig], Fetched] = {}
        for name, it in inputs.items():
            key = (it.found, it.storage)
            if key not in here:
                place = folder / name
                place.mkdir(parents=True)
                here[key] = _fetch(it, place, stores, advance)
            fetched[name] = here[key]
            if isinstance(it.asked, NpzConfig) and it.found.place.scheme != "file":
                _refuse_other_kinds(inputs, {name: fetched[name]})
            if name in cached:
                listed = ", ".join(item.name for item in it.found.items)
                stage.decide(f"{name}: not downloaded, {listed} is in Keras's cache")
            if fetched[name].verified:
                stage.decide(f"{name}: {it.found.bytes:,} bytes, {fetched[name].verified}")
    return fetched


def _fetch(asked: Input, folder: Path, stores: Stores, advance: Advance) -> Fetched:
    return find.fetch(asked.found, folder, stores.reader(asked.found.place, asked.storage), advance)


def _refuse_other_kinds(inputs: Mapping[str, Input], fetched: Mapping[str, Fetched]) -> None:
    """Of a data set that was fetched; the message names its URI."""
    for it in fetched.values():
        try:
            refuse_other_kinds(it.paths.values())
        except ParedownError as error:
            raise in_users_words(error, inputs, fetched) from None


def in_users_words(
    error: ParedownError, inputs: Mapping[str, Input], fetched: Mapping[str, Fetched]
) -> ParedownError:
    """The same error; it names what the manifest names, and not where that was put meanwhile."""
    for name, it in fetched.items():
        found = inputs[name].found
        if found.place.scheme == "file":
            continue
        places = {item.name: item.place for item in found.items}
        for item, path in it.paths.items():
            place = places.get(item, found.place)
            for field in ("what", "where", "hint"):
                said, meant = printable(str(path)), printable(str(place))
                setattr(error, field, getattr(error, field).replace(said, meant))
    return error


def refuse_own_inputs(
    inputs: Mapping[str, Input], destination: Place, names: Collection[str]
) -> None:
    """Keep a run from writing over what it reads, whatever else it may overwrite.

    Args:
        inputs: What is read.
        destination: Where the results go.
        names: What will be written or removed there, beside ``result.json``.

    Raises:
        ManifestError: Where an input lies there under one of these names.
    """
    written = {_key(destination.child(name)) for name in [*names, RESULT_FILE]}
    for name, it in inputs.items():
        for item in it.found.items:
            if _key(item.place) in written:
                raise ManifestError(
                    f"The {name} is one of the files that the results would replace.",
                    where=str(item.place),
                    hint="Choose another destination, or move the input elsewhere.",
                )


def _key(place: Place) -> str:
    return str(place.local.resolve() if place.scheme == "file" else place)
