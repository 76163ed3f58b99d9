"""The parent finds a data set of Keras in Keras's cache, or at its address."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, StorageError
from job.events import Journal
from job.manifest.datasets import FASHION_MNIST_FILES, KERAS_ADDRESSES
from job.manifest.job import JobConfig
from job.run.inputs import fetch, find_data, find_dataset
from job.run.keras_cache import CACHED, cache
from job.storage import retry
from job.storage.backend import Stores
from job.storage.place import Place
from tests.support.certificates import Certificates
from tests.support.https_files import https_files
from tests.support.keras_files import sha256, write_fashion_mnist

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart" / "mnist.npz"


def job(name: str, **fields: Any) -> JobConfig:
    dataset = {"type": "keras", "name": name} | fields
    if name == "imdb":
        dataset["sequence_length"] = 10
    given = {"name": "j", "model": {"uri": "m.h5"}, "dataset": dataset}
    return JobConfig.model_validate(given | {"destination": {"uri": "out"}})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's own folder, which is empty; the network can't be reached."""
    home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(home))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(retry.VARIABLE, "1")
    return home


def base(folder: Path) -> Place:
    return Place("file", str(folder))


@pytest.mark.parametrize(
    ("name", "number"), [(it, at) for it in CACHED for at in range(len(CACHED[it]))]
)
def test_a_file_in_the_cache_is_taken(name: str, number: int, home: Path, tmp_path: Path) -> None:
    """Under each name that a version of Keras gives it; nothing is downloaded."""
    path = home / "datasets" / CACHED[name][number]
    path.parent.mkdir(parents=True)
    path.write_bytes(name.encode())
    found = find_data(job(name), base(tmp_path), Stores(pytest.fail))
    assert found is not None
    assert [it.place.local for it in found.items] == [path]
    assert found.digest == (len(name), sha256(path))


def test_fashion_mnist_is_taken_if_all_four_files_are_there(home: Path, tmp_path: Path) -> None:
    """With three of them it is downloaded, which fails here."""
    files = write_fashion_mnist(home / "datasets" / "fashion-mnist", 3, 2)
    (home / "datasets" / "fashion-mnist" / "notes.txt").write_text("mine")
    found = find_data(job("fashion_mnist"), base(tmp_path), Stores(pytest.fail))
    assert found is not None
    assert [it.name for it in found.items] == sorted(FASHION_MNIST_FILES)
    files["t10k-images-idx3-ubyte.gz"].unlink()
    with pytest.raises(StorageError):
        find_data(job("fashion_mnist"), base(tmp_path), Stores(print))


def test_that_the_cache_is_used_is_a_decision(home: Path, tmp_path: Path) -> None:
    """Of the stage that would have downloaded it; the result has the manifest's URI."""
    path = home / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    shutil.copyfile(QUICKSTART, path)
    stores, journal = Stores(pytest.fail), Journal(lambda _: None)
    inputs = find_dataset(job("mnist"), base(tmp_path), stores)
    fetched = fetch(inputs, tmp_path / "inputs", stores, journal)
    assert fetched["dataset"].paths == {"mnist.npz": path}
    (stage,) = journal.stages
    assert stage.decisions == ["dataset: not downloaded, mnist.npz is in Keras's cache"]
    assert inputs["dataset"].fetched(fetched["dataset"]).uri == KERAS_ADDRESSES["mnist"]


def test_a_cached_file_of_another_digest_than_the_manifests_is_refused(
    home: Path, tmp_path: Path
) -> None:
    """Before anything is done."""
    path = home / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    shutil.copyfile(QUICKSTART, path)
    inputs = find_dataset(job("mnist", sha256="0" * 64), base(tmp_path), Stores(pytest.fail))
    with pytest.raises(InputError, match="manifest pins 0000"):
        inputs["dataset"].known(None)


@pytest.mark.parametrize("name", sorted(KERAS_ADDRESSES))
def test_without_a_network_the_error_says_where_to_put_the_file(
    name: str, home: Path, tmp_path: Path
) -> None:
    """It is the storage's error, with its exit code, which means: try again."""
    with pytest.raises(StorageError) as caught:
        find_data(job(name), base(tmp_path), Stores(print))
    assert caught.value.exit_code == 6
    assert caught.value.where.startswith(KERAS_ADDRESSES[name])
    names = CACHED[name][:1] if name in CACHED else (*FASHION_MNIST_FILES, "fashion-mnist")
    for it in (str(home / "datasets"), *names):
        assert it in caught.value.hint


def test_another_uri_is_never_looked_for_in_the_cache(home: Path, tmp_path: Path) -> None:
    """A file on this machine is read; one that is missing is an error without a word of Keras."""
    cached = home / "datasets" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cached")
    shutil.copyfile(QUICKSTART, tmp_path / "part.npz")
    found = find_data(job("mnist", uri="part.npz"), base(tmp_path), Stores(pytest.fail))
    assert found is not None
    assert [it.place.local for it in found.items] == [tmp_path / "part.npz"]
    with pytest.raises(InputError) as caught:
        find_data(job("mnist", uri="missing.npz"), base(tmp_path), Stores(pytest.fail))
    assert "network" not in caught.value.hint


def test_archives_and_folders_on_this_machine_are_of_the_type_that_is_named(
    home: Path, tmp_path: Path
) -> None:
    """They are not refused because they are no .npz archives."""
    files = write_fashion_mnist(tmp_path / "f", 3, 2)
    (tmp_path / "c.tar.gz").write_bytes(b"\x1f\x8b anything")
    for asked, names in (
        (job("fashion_mnist", uri="f"), list(files)),
        (job("cifar10", uri="c.tar.gz"), ["c.tar.gz"]),
    ):
        found = find_dataset(asked, base(tmp_path), Stores(pytest.fail))["dataset"].found
        assert [it.name for it in found.items] == names


def test_four_files_of_a_web_server_are_downloaded(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fashion_mnist of another address than Keras's; a server has no folders to list."""
    served = write_fashion_mnist(tmp_path / "served", 3, 2)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with https_files(tmp_path / "served", certificates) as front:
        asked = job("fashion_mnist", uri=f"{front.url}/")
        stores = Stores(pytest.fail)
        inputs = find_dataset(asked, base(tmp_path), stores)
        fetched = fetch(inputs, tmp_path / "inputs", stores, Journal(lambda _: None))["dataset"]
    assert {name: sha256(path) for name, path in fetched.paths.items()} == {
        name: sha256(path) for name, path in served.items()
    }
    assert all(path.is_relative_to(tmp_path / "inputs") for path in fetched.paths.values())


def test_the_cache_is_where_keras_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that is named, or in the home folder: Keras is asked in another process."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    assert cache() == tmp_path / "elsewhere" / "datasets"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    script = "import keras.src.backend.config as c; print(c.keras_home())"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert cache() == Path(done.stdout.splitlines()[-1]) / "datasets"


def test_keras_and_tensorflow_are_not_imported() -> None:
    """The parent starts fast, and survives what they do."""
    script = (
        "import sys, job.run.keras_cache, job.run.inputs;"
        "print(*{it.partition('.')[0] for it in sys.modules})"
    )
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert not {"keras", "tensorflow", "tf_keras"} & set(done.stdout.split())
