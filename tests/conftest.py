"""Tiny seeded models and data, made once, and the command as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.run.process import ONEDNN
from tests.support.certificates import Certificates, make_certificates
from tests.support.identities import secrets_in
from tests.support.required import lacking
from tests.support.seaweed import Seaweed, unavailable

ROOT = Path(__file__).parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
for name, value in ONEDNN.items():  # models are made and tried here as in a child
    os.environ.setdefault(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The image's tests come last: it may be built while the others run."""
    items.sort(key=lambda item: "tests/container/" in item.nodeid)


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The one error on standard error."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return dict(json.loads(lines[0]))


def paredown(*arguments: str | Path, **options: Any) -> Run:
    """Run the command in a process of its own, with no terminal."""
    command = [sys.executable, "-m", "job", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options
    )
    return heard(Run(done.returncode, done.stdout, done.stderr))


# All that the runs of this session have said: there must be no secret in it.
SAID: list[Run] = []


def heard(run: Run) -> Run:
    """Take note of what a run has said."""
    SAID.append(run)
    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.h5`` (a CNN of 1,300 weights that has learnt something) and
    ``data.npz``: 8x8 pictures, bright on one of four sides, and which side it is.
    """
    import tf_keras

    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, rows in (("train", 400), ("test", 100)):
        labels = random.integers(0, 4, rows)
        pictures = random.integers(0, 120, (rows, 8, 8), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            np.rot90(picture, label)[:3] += 100
        arrays |= {f"x_{split}": pictures, f"y_{split}": labels}
    np.savez(folder / "data.npz", **arrays)

    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            tf_keras.layers.InputLayer((8, 8), name="picture"),
            tf_keras.layers.Reshape((8, 8, 1), name="reshape"),
            tf_keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
            tf_keras.layers.Flatten(name="flatten"),
            tf_keras.layers.Dense(4, name="dense"),
        ]
    )
    model.compile(
        "adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
    )
    model.fit(arrays["x_train"] / np.float32(255), arrays["y_train"], epochs=8, verbose=0)
    model.save(folder / "model.h5")
    return folder


MakeManifest = Callable[..., Path]


@pytest.fixture
def manifest(tiny: Path, tmp_path: Path) -> MakeManifest:
    """Write a manifest for the tiny model into ``tmp_path``; keywords replace its sections."""

    def make(**sections: Any) -> Path:
        document = {
            "schema_version": 1,
            "kind": "job",
            "name": "tiny",
            "model": {"uri": str(tiny / "model.h5")},
            "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
            "training": {"epochs": 2, "batch_size": 32},
            "destination": {"uri": "out"},
        } | sections
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(document))
        return path

    return make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and a server's certificate."""
    if shutil.which("openssl") is None:
        lacking("s3", "openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def seaweed(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seaweed]:
    """A store with the buckets ``models`` and ``results``, for the whole session.

    At its end no run of the session may have said a secret, or left it in the store.
    """
    if reason := unavailable():
        lacking("s3", reason)
    with Seaweed(tmp_path_factory.mktemp("seaweed"), certificates) as store:
        yield store
        said = [text.encode() for run in SAID for text in (run.out, run.err)]
        assert secrets_in([*said, *store.contents()]) == set()


@pytest.fixture
def prefix() -> str:
    """The start of a test's own keys: identities name the buckets, so that all tests share them."""
    return f"test-{uuid.uuid4().hex[:12]}/"
