"""What the commands do with a batch: run it, and summarize what is there of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from job.console import absolute, say_data, warn, writing_output
from job.errors import ManifestError
from job.report.screen import Screen, ScreenKind, open_screen

if TYPE_CHECKING:
    from job.batch.summary import Summary
    from job.manifest.batch import BatchConfig
    from job.storage.place import Place


def run_batch(
    asked: BatchConfig, base: Place, screen: Screen, shard: str | None, *, verbose: bool
) -> int:
    """Run a batch, and show its table.

    Returns:
        The exit code.

    Raises:
        ParedownError: Where no job could be begun, or the batch was interrupted.
    """
    from job.batch import run
    from job.batch.share import find_shard
    from job.run import termination

    summary = run.run_batch(
        asked, base, screen.show, find_shard(shard, os.environ), verbose=verbose
    )
    not_ready = [f"{it.name}: {it.reason or it.status}" for it in summary.jobs if it.exit_code]
    termination.batch_finished(
        summary.name,
        summary.exit_code,
        summary.totals.model_dump(),
        not_ready,
        lambda message: screen.show({"event": "warning", "message": message}),
    )
    _table(screen, summary)
    return summary.exit_code


def summarize(
    results: Annotated[
        str, typer.Argument(help="The destination of a batch: a folder, or s3://bucket/prefix.")
    ],
    output: Annotated[
        str | None,
        typer.Option(help="Where summary.json and summary.csv go, too: a folder or a prefix."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead.")] = False,
) -> None:
    """Show which jobs of a batch are ready, from what is there; also while it runs."""
    from job.batch.collect import collect, refuse_foreign, write_summary
    from job.manifest.storage import StorageConfig
    from job.storage.backend import Stores
    from job.storage.markers import Notes, open_notes
    from job.storage.place import find_place, here

    stores = Stores(warn)

    def open_at(uri: str) -> Notes:
        return open_notes(find_place(absolute(uri), here()), stores, StorageConfig())

    if not results:
        raise ManifestError("The destination is empty.", hint="Name a folder, or a prefix.")
    target = None if output is None else open_at(output)
    if target is not None:
        refuse_foreign(target)
    summary = collect(open_at(results))
    if target is not None:
        write_summary(target, summary)
    if as_json:
        say_data(summary.model_dump_json(indent=2))
    else:
        with writing_output():
            _table(open_screen(ScreenKind.TEXT), summary)


def _table(screen: Screen, summary: Summary) -> None:
    from job.batch import table

    screen.table(summary.name, table.COLUMNS, table.rows(summary), table.messages(summary))
