"""How often something is tried: the environment's number, or the default and a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from job.manifest.storage import StorageConfig
from job.storage.backend import Stores
from job.storage.retry import DEFAULT_ATTEMPTS, Limit, attempts, persist
from job.storage.s3_client import Store


@pytest.mark.parametrize("asked", ["1", "14", "1000", " 3 "])
def test_a_valid_number_is_used(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warning."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    warnings: list[str] = []
    assert attempts(warnings.append) == int(asked)
    assert warnings == []


@pytest.mark.parametrize("asked", ["0", "-1", "three", "2.5", "1001", "9" * 5000, "²", "1e3"])
def test_an_invalid_number_is_reported(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the default is used."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    warnings: list[str] = []
    assert attempts(warnings.append) == DEFAULT_ATTEMPTS
    (warning,) = warnings
    assert "AWS_MAX_ATTEMPTS" in warning


def test_clients_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of them warn once of an invalid one."""
    configs = [StorageConfig(region=it) for it in ("eu-central-1", "us-east-1")]
    warnings: list[str] = []
    for asked, most in (("3", 3), ("none", DEFAULT_ATTEMPTS)):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
        stores = Stores(warnings.append)
        for config in configs:
            store: Store = stores.get(config)
            assert store.client.meta.config.retries["total_max_attempts"] == most
    assert len(warnings) == 1


def test_what_fails_is_tried_again_up_to_the_limit() -> None:
    """Each new attempt is counted; the last error is raised."""
    counted: list[int] = []
    for failures, limit in ((0, 1), (2, 3), (3, 3)):
        left = iter([True] * failures + [False])
        counted.clear()

        def ask(left: Iterator[bool] = left) -> str:
            if next(left):
                raise ConnectionError
            return "done"

        def ask_all(ask: Callable[[], str] = ask, limit: int = limit) -> str:
            return persist(ask, (OSError,), Limit(limit), lambda: counted.append(1))

        if failures < limit:
            assert ask_all() == "done"
        else:
            with pytest.raises(ConnectionError):
                ask_all()
        assert len(counted) == min(failures, limit - 1)


def test_other_errors_are_not_retried() -> None:
    """They are raised at once."""
    with pytest.raises(ZeroDivisionError):
        persist(lambda: 1 // 0, (OSError,), Limit(3), pytest.fail)


def test_pauses_double_up_to_the_longest() -> None:
    """Also after very many attempts."""
    limit = Limit(1_000, 0.5, 10)
    assert [limit.pause(n) for n in (0, 1, 4, 5, 999)] == [0.5, 1, 8, 10, 10]
