"""How often is asked: the environment's number, or the default and a word about it."""

from __future__ import annotations

import pytest

from job.manifest.storage import StorageConfig
from job.storage.retry import DEFAULT, attempts
from job.storage.s3_client import Store
from job.storage.stores import Stores


@pytest.mark.parametrize("asked", ["1", "14", "1000", " 3 "])
def test_a_number_is_taken(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    warnings: list[str] = []
    assert attempts(warnings.append) == int(asked)
    assert warnings == []


@pytest.mark.parametrize("asked", ["0", "-1", "three", "2.5", "1001", "9" * 5000, "²", "1e3"])
def test_what_is_no_number_is_told(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the default is taken."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    warnings: list[str] = []
    assert attempts(warnings.append) == DEFAULT
    (warning,) = warnings
    assert "AWS_MAX_ATTEMPTS" in warning


def test_stores_heed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of them say once what is wrong with it."""
    configs = [StorageConfig(region=it) for it in ("eu-central-1", "us-east-1")]
    warnings: list[str] = []
    for asked, most in (("3", 3), ("none", DEFAULT)):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
        stores = Stores(warnings.append)
        for config in configs:
            store: Store = stores.get(config)
            assert store.client.meta.config.retries["total_max_attempts"] == most
    assert len(warnings) == 1
