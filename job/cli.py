"""The commands. Each parses its arguments, calls one function, and maps errors to exit codes.

Heavy modules are imported by the command that needs them, so that ``--help`` and ``validate`` are
fast.
"""

from __future__ import annotations

import signal

# Until ``main`` handles it, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import gc
import json
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Annotated

# Starting makes many objects and no garbage: collecting would take a tenth of the time.
gc.disable()
# Plug-ins of other packages are not loaded.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from job import __version__
from job import console as output_streams
from job.batch.summarize import run_batch, summarize
from job.console import (
    QUICKSTART,
    EnduringScreen,
    Manifest,
    absolute,
    is_quickstart,
    read_text,
    say,
    say_data,
    warn,
)
from job.errors import (
    GATE_MISSED_EXIT_CODE,
    BugError,
    InputError,
    InterruptedRunError,
    ManifestError,
    ParedownError,
    reported,
)
from job.kubernetes.options import kubernetes
from job.report.screen import Screen, ScreenKind, open_screen
from job.report_command import report
from job.text import printable

if TYPE_CHECKING:
    from types import FrameType

    from job.events import Event
    from job.manifest.batch import BatchConfig
    from job.manifest.job import JobConfig
    from job.storage.place import Place

# Seconds until a thread that is being started runs.
STARTED_S = 0.01

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field: training.epochs=4"),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show TensorFlow's own messages too.")]

app = typer.Typer(
    help="Prune, compress and quantize trained Keras models, with proof.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"paredown {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prune, compress and quantize trained Keras models, with proof."""


@app.command()
def run(
    manifest: Manifest,
    output: Annotated[
        str | None, typer.Option(help="Another destination than the manifest's.")
    ] = None,
    sets: Sets = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Run only shard I of N of a batch, from 0. Kubernetes sets it."
        ),
    ] = None,
    log: Annotated[
        ScreenKind, typer.Option(help="How progress is shown; auto is text on a terminal.")
    ] = ScreenKind.AUTO,
    verbose: Verbose = False,
) -> None:
    """Run what a manifest describes: a job, or a batch."""
    from job.manifest.load import read_manifest
    from job.run import termination

    screen = EnduringScreen(open_screen(log))

    def warn_of(message: str) -> None:
        screen.show({"event": "warning", "message": message})

    try:
        text, base = read_text(manifest, warn_of)
        changes = list(sets or [])
        if output is None and is_quickstart(manifest):
            output = QUICKSTART
        if output is not None:
            changes.append(f"destination.uri={json.dumps(absolute(output))}")
        asked = read_manifest(text, manifest, changes)
        code = _carry_out(asked, base, screen, shard, verbose=verbose)
    except BrokenPipeError:  # the reader of the log is gone
        output_streams.forget()
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except Exception as error:  # noqa: BLE001 - a bug is reported in the log, too
        if verbose and not isinstance(error, ParedownError):
            traceback.print_exc()
        shown = reported(error)
        termination.failed(shown, warn_of)
        screen.error(shown)
        raise typer.Exit(shown.exit_code) from None
    finally:
        screen.close()
    raise typer.Exit(screen.end(code))


def _carry_out(
    asked: JobConfig | BatchConfig, base: Place, screen: Screen, shard: str | None, *, verbose: bool
) -> int:
    """Run what is asked, show its table, and return the exit code."""
    from job.manifest.batch import BatchConfig
    from job.pipeline import run_job
    from job.report.tables import closing_table
    from job.run.supervisor import OnlyChild

    if isinstance(asked, BatchConfig):
        return run_batch(asked, base, screen, shard, verbose=verbose)
    if shard is not None:
        raise ManifestError("--shard is for batches, and this is a job.", where=asked.name)
    gc.enable()
    result = run_job(asked, base, screen.show, OnlyChild(verbose))
    screen.table(closing_table(result))
    return GATE_MISSED_EXIT_CODE if result.status == "gate_missed" else 0


@app.command()
def validate(
    manifests: Annotated[list[str], typer.Argument(help="Manifests: paths, URIs, or - .")],
    sets: Sets = None,
) -> None:
    """Check manifests and report every problem at once. Reads nothing but the manifests."""
    from job.manifest.load import read_manifest

    worst = 0
    for manifest in manifests:
        try:
            text, _ = read_text(manifest, warn)
            for warning in _suspicions(read_manifest(text, manifest, sets or [])):
                warn(f"{manifest}: {warning}")
            say(f"{printable(manifest)}: valid")
        except InterruptedRunError:
            raise
        except ParedownError as error:
            typer.echo(f"error: {error}", err=True)
            worst = max(worst, error.exit_code)
    raise typer.Exit(worst)


def _suspicions(asked: JobConfig | BatchConfig) -> list[str]:
    """What is likely to be refused, as far as the manifest alone shows."""
    from job.manifest.batch import BatchConfig, expand
    from job.manifest.datasets import NpzConfig

    whose: dict[str, str] = {}  # each warning once, with the first job that has it
    for job in expand(asked) if isinstance(asked, BatchConfig) else [asked]:
        if isinstance(job.dataset, NpzConfig) and not job.dataset.uri.endswith(".npz"):
            from job.datasets.foreign_files import warning_of

            name = f"{job.name}: " * (asked.kind == "batch")
            whose.setdefault(warning_of(job.dataset.uri), name)
    return [f"{name}{text}" for text, name in whose.items() if text]


@app.command()
def inspect(
    model: Annotated[
        str, typer.Argument(help="The model: a path or a URI (file://, s3://, https://).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    variants: Annotated[
        bool, typer.Option(help="Try every quantize variant; recurrent ones take a minute.")
    ] = True,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="MANIFEST", help="Measure what each layer can lose, on its data set."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Show what a model is: layers, what can be pruned, dangers. Runs none of its code."""
    from job.report.tables import inspection_json, inspection_text
    from job.run.inspect import inspect_model

    model.encode()  # an argument may be bytes that are not text
    gc.enable()
    measured = None if dataset is None else output_streams.read_job(dataset)
    result = inspect_model(model, _say_stage, measured, variants=variants, verbose=verbose)
    if as_json:
        say_data(inspection_json(result))
    else:
        say(inspection_text(result))
    if result.dangers:
        what = "\n  ".join(["The model is not loaded:", *result.dangers])
        raise InputError(what, where=model, hint=result.advice)


def _say_stage(event: Event) -> None:
    """Show progress on a terminal; warnings are in the result."""
    if event["event"] == "stage_started" and sys.stderr.isatty():
        typer.echo(f"{event['stage']} ...", err=True)


@app.command()
def schema() -> None:
    """Print the manifest's JSON Schema, for editors and CI."""
    from job.manifest.schema import schema_text

    say_data(schema_text().rstrip("\n"))


app.command()(report)
app.command()(summarize)
app.command()(kubernetes)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt the run; a second signal does not disturb the cleanup."""
    if frame is not None and frame.f_code is threading.Thread.start.__code__:
        # An exception in here would make the new thread fail, so wait until it runs.
        signal.signal(signal.SIGALRM, lambda _, later: _interrupt(number, later))
        signal.setitimer(signal.ITIMER_REAL, STARTED_S)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise InterruptedRunError(number)


def main() -> None:
    """The entry point: exits with the code that the contract names, never with a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    output_streams.prepare()
    try:
        app()
    except Exception as error:
        shown = reported(error)
        if isinstance(shown, BugError) and "--verbose" in sys.argv:
            raise
        with contextlib.suppress(OSError):  # standard error may be on a full disk, too
            typer.echo(f"error: {shown}", err=True)
        if isinstance(error, OSError):
            output_streams.forget()
        sys.exit(shown.exit_code)
    finally:
        gc.freeze()  # Python collects garbage at exit, which would take a fifth of the time
