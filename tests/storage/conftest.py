"""A store behind a proxy, as the job's own client sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from job.manifest.storage import StorageConfig
from job.storage.s3_client import Store
from tests.support.certificates import Certificates
from tests.support.faults import Faults
from tests.support.seaweed import Seaweed


@dataclass
class Behind:
    """The tests' store behind a proxy."""

    seaweed: Seaweed
    proxy: Faults
    warnings: list[str] = field(default_factory=list)

    def store(self, **config: Any) -> Store:
        """A client of the job's; keywords are the manifest's ``storage``."""
        return Store(StorageConfig(**config), self.warnings.append)


MakeBehind = Callable[[Faults], Behind]


@pytest.fixture
def environment(
    seaweed: Seaweed, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> MakeBehind:
    """The environment of an identity, whose retries do not wait for long."""
    import botocore.retries.standard

    monkeypatch.setattr(
        botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0.05
    )
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")

    def enter(proxy: Faults) -> Behind:
        https = proxy.certificates is not None
        for name, it in seaweed.environment("job", https=https, endpoint=proxy.url).items():
            monkeypatch.setenv(name, it)
        return Behind(seaweed, proxy)

    return enter


@pytest.fixture(params=[False, True], ids=["http", "https"])
def behind(
    request: pytest.FixtureRequest,
    seaweed: Seaweed,
    certificates: Certificates,
    environment: Any,
) -> Iterator[Behind]:
    """A proxy of each kind: over https bodies are sent otherwise."""
    with Faults(seaweed.url(), certificates if request.param else None) as proxy:
        yield environment(proxy)


@pytest.fixture
def near(seaweed: Seaweed, environment: Any) -> Iterator[Behind]:
    """A proxy over http, for what does not depend on it."""
    with Faults(seaweed.url()) as proxy:
        yield environment(proxy)
