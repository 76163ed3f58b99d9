"""The stores of a run: a client for each way to reach one, made when it is needed.

boto3 is imported then, and not by a run that reads and writes this machine's disk alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from job.manifest.storage import StorageConfig

if TYPE_CHECKING:
    from job.storage.s3_client import Store


class Stores:
    """Clients by their configuration, and how often they had to ask again."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Make none yet.

        Args:
            warn: Is told what a user should know of: that a store fails, what it can't do.
        """
        self._warn = warn
        self._said: set[str] = set()
        self._stores: dict[StorageConfig, Store] = {}
        self._others: Counter[str] = Counter()

    def warn(self, message: str) -> None:
        """Say what concerns every client, and what each request finds out again, once."""
        if message not in self._said:
            self._said.add(message)
            self._warn(message)

    def get(self, config: StorageConfig) -> Store:
        """The client for a configuration.

        Raises:
            InputError: Where the AWS configuration does not make one.
        """
        from job.storage.s3_client import Store

        if config not in self._stores:
            self._stores[config] = Store(config, self.warn)
        return self._stores[config]

    def count(self, operation: str) -> None:
        """Count a request to a web server that is sent again; the first is told of."""
        if not self._others:
            self.warn(f"The web server failed or did not answer ({operation}); it is asked again.")
        self._others[operation] += 1

    @property
    def retries(self) -> dict[str, int]:
        """By operation, the requests that were sent again."""
        total = sum((it.retries for it in self._stores.values()), self._others)
        return dict(sorted(total.items()))
