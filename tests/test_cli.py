"""The commands as a user types them: exit codes, standard input, pipes and a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, paredown
from tests.support.published import PAGES, read_result, write_manifest
from tests.support.runs import PAREDOWN

QUICKSTART = ROOT / "manifests" / "quickstart" / "quickstart.json"


def test_the_version_is_printed() -> None:
    """And nothing else is done."""
    done = paredown("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"paredown \d+\.\d+\.\d+\n", done.out)


def test_help_names_every_command() -> None:
    """With a line of what it does, and without drawing boxes."""
    done = paredown("--help")
    assert done.code == 0
    for command in ("run", "validate", "schema", "report", "kubernetes"):
        assert re.search(rf"^  {command}  +[A-Z].*\.$", done.out, re.MULTILINE)
    assert done.out.isascii()


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run"], ["validate"], ["run", "a", "b"], ["run", str(QUICKSTART), "--fast"]],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_with_two(arguments: list[str]) -> None:
    """And says which word is wrong."""
    done = paredown(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert "Error" in done.err


def test_several_manifests_are_validated_in_one_go(tmp_path: Path) -> None:
    """Each is reported; the exit code is the worst one."""
    (tmp_path / "bad.json").write_text('{"name": "a"}')
    done = paredown("validate", QUICKSTART, tmp_path / "bad.json", tmp_path / "none.json")
    assert done.code == 2
    assert done.out == f"{QUICKSTART}: valid\n"
    assert "model: this field is required" in done.err
    assert "dataset: this field is required" in done.err
    assert "none.json" in done.err
    assert done.err.count("error: ") == 2
    assert paredown("validate", QUICKSTART, QUICKSTART).code == 0


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/"])
def test_a_manifest_is_no_bucket(uri: str) -> None:
    """It is refused before any store is asked, by each command that reads one."""
    for arguments in (["run"], ["validate"], ["kubernetes", "--image", "a"]):
        done = paredown(arguments[0], uri, *arguments[1:])
        assert done.code == 2, arguments
        assert "names a bucket but no key" in done.err
        assert uri in done.err


def test_the_name_of_a_manifest_is_no_command_to_a_terminal(tmp_path: Path) -> None:
    """Neither where it is valid nor where it is not."""
    name = tmp_path / "a\x1b[2J\x9b.json"
    shutil.copy(QUICKSTART, name)
    done = paredown("validate", name, f"{name}.none", "--set", "name=b")
    assert done.code == 2
    assert done.out == f"{tmp_path}/a\\x1b[2J\\x9b.json: valid\n"
    assert not set(done.out + done.err) & set("\x1b\x9b")


def test_a_manifest_is_read_from_a_file_uri_and_from_standard_input() -> None:
    """``-`` is standard input."""
    assert paredown("validate", QUICKSTART.as_uri()).code == 0
    done = paredown("validate", "-", input=QUICKSTART.read_text())
    assert (done.code, done.out) == (0, "-: valid\n")
    done = paredown("validate", "-", input="")
    assert done.code == 2
    assert "error: The manifest is no valid JSON" in done.err


def test_a_run_from_standard_input_to_a_place_of_its_own(tiny: Path, tmp_path: Path) -> None:
    """Its URIs are relative to the current folder, ``--output`` is too, ``--set`` is heeded."""
    shutil.copy(tiny / "model.h5", tmp_path)
    inputs = {"model": {"uri": "model.h5"}, "dataset": {"uri": (tiny / "data.npz").as_uri()}}
    text = write_manifest(tmp_path / "elsewhere", tiny, **inputs).read_text()
    command = [str(PAREDOWN), "run", "-", "--output", "here", "--set", "training.epochs=1"]
    change = ["--set", "quantize=null", "--set", 'compress.codecs=["xz"]', "--log", "json"]
    done = subprocess.run(
        [*command, *change],
        input=text,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    run = Run(done.returncode, done.stdout, done.stderr)
    assert (run.code, run.err) == (0, "")
    assert run.events[-1]["result"] == str(tmp_path / "here" / "result.json")
    result = read_result(tmp_path / "here")
    assert result["manifest"]["training"]["epochs"] == 1
    assert len(result["epochs"]) == 1
    files = {"baseline.h5", "baseline.h5.xz", "prune.h5", "prune.h5.xz"}
    written = {path.name for path in (tmp_path / "here").iterdir()}
    assert written == files | {"manifest.json", "result.json", *PAGES}
    assert not (tmp_path / "elsewhere" / "out").exists()


def test_an_output_with_a_colon_in_its_name_is_a_folder_here(tiny: Path, tmp_path: Path) -> None:
    """Only what begins as a URI does is one; a file in the way shows where it was looked for."""
    manifest = write_manifest(tmp_path / "elsewhere", tiny)
    (tmp_path / "12:30").mkdir()
    (tmp_path / "12:30" / "out").write_text("in the way")
    done = subprocess.run(
        [PAREDOWN, "run", str(manifest), "--output", "./12:30/out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert json.loads(done.stderr)["where"].startswith(str(tmp_path / "12:30"))


def test_a_reader_that_goes_away_ends_the_command_without_a_word() -> None:
    """As ``| head -1`` does: killed by SIGPIPE, shells say, and no traceback."""
    for arguments in (["validate", *[str(QUICKSTART)] * 3], ["schema"]):
        code, said = into_closed_pipe(arguments)
        assert (code, said) == (141, ""), arguments


def test_a_run_whose_reader_goes_away_stops_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    """Neither a result nor scratch."""
    (tmp_path / "scratch").mkdir()
    manifest = write_manifest(tmp_path, tiny)
    code, said = into_closed_pipe(["run", str(manifest)], TMPDIR=str(tmp_path / "scratch"))
    assert (code, said) == (141, "")
    assert not (tmp_path / "out" / "result.json").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def into_closed_pipe(arguments: list[str], **environment: str) -> tuple[int, str]:
    """Run a command whose standard output nobody reads; give its exit code and standard error."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "job", *arguments],
            cwd=ROOT,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
            env=os.environ | environment,
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def terminal(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """A run on a terminal of 120 columns: its exit code and what it showed."""
    folder = tmp_path_factory.mktemp("terminal")
    gates = [{"type": "min_ratio", "value": 1.5}]
    return on_terminal("run", str(write_manifest(folder, tiny, gates=gates)))


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal."""
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "job", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=child, stdout=child, stderr=child, env=environment
    ) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(parent, 1 << 16):
                shown += part
        except OSError:  # Linux's way to say that the other side is closed
            pass
    os.close(parent)
    return process.returncode, shown.decode()


def test_a_terminal_shows_a_bar_for_each_stage(terminal: tuple[int, str]) -> None:
    """With its time, and the metrics while it trains."""
    code, shown = terminal
    assert code == 0
    assert "━" in shown
    for stage in ("load", "prune", "quantize", "evaluate", "compress", "latency"):
        assert stage in shown
    assert "26/26" in shown
    assert re.search(r"loss \d\.\d{4}", shown)


def test_a_terminal_shows_the_closing_table_and_no_json(terminal: tuple[int, str]) -> None:
    """A row for each artifact, the gates, and where the results are."""
    _, shown = terminal
    assert '{"' not in shown
    table = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    assert re.search(r"^ *baseline +h5 +\d\.\d{4} +[\d,]+ ", table, re.MULTILINE)
    assert re.search(
        r"^ *prune +h5 +\d\.\d{4} +[\d,]+ +[\d,]+ (zip|zopfli) +\d", table, re.MULTILINE
    )
    assert re.search(r"^ *dynamic_range +tflite ", table, re.MULTILINE)
    assert "gate passed: " in table
    assert "out/result.json" in table


def test_a_terminal_is_left_as_it_was(terminal: tuple[int, str]) -> None:
    """The cursor, which the bars hide, is shown again."""
    _, shown = terminal
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_an_error_on_a_terminal_is_text() -> None:
    """What, where, what to do; no JSON and no traceback."""
    code, shown = on_terminal("run", "nowhere.json")
    assert code == 2
    assert "error:" in shown
    assert "where: " in shown
    assert "to do: " in shown
    assert "Traceback" not in shown
    assert "{" not in shown


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_reported_as_other_errors_are(tmp_path: Path, verbose: bool) -> None:
    """A library that is broken, which nobody foresees: code 1, and the log says so."""
    (tmp_path / "boto3.py").write_text("raise LookupError('it is broken')")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    done = paredown(
        *("run", "s3://bucket/manifest.json", *["--verbose"] * verbose),
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.code == 1
    assert [it["event"] for it in done.events] == ["run_failed"]
    assert (done.events[0]["exit_code"], done.events[0]["error"]) == (1, "BugError")
    error = json.loads(done.err.splitlines()[-1])
    assert error["what"] == "LookupError: it is broken"
    assert "report" in error["to_do"]
    assert ("Traceback" in done.err) is verbose


def test_a_signal_waits_until_a_thread_that_is_started_has_begun() -> None:
    """Interrupted in there, Python would print the new thread's failure."""
    program = """
import sys, threading, time
from job import cli
from job.errors import InterruptedRunError
begin = threading._start_new_thread
def start(*given):
    begin(*given)
    cli._interrupt(15, sys._getframe(1))
threading._start_new_thread = start
try:
    threading.Thread(target=print, args=["begun"]).start()
    time.sleep(5)
except InterruptedRunError as error:
    print(error.exit_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("begun\n143\n", "")


def test_text_can_be_had_without_a_terminal_and_json_with_one() -> None:
    """``--log`` says which, for errors too."""
    text = paredown("run", "nowhere.json", "--log", "text")
    assert (text.code, text.err.startswith("error: ")) == (2, True)
    code, shown = on_terminal("run", "nowhere.json", "--log", "json")
    events = [json.loads(line)["event"] for line in shown.splitlines()]
    assert (code, events) == (2, ["run_failed", "error"])


def test_starting_takes_little_more_than_its_imports() -> None:
    """The ratios of CPU time are printed for people; what is asserted is that all of them ran."""
    baseline = cpu_seconds([sys.executable, "-c", "import typer, pydantic"])
    for arguments in (["--help"], ["validate", str(QUICKSTART)]):
        ratio = cpu_seconds([str(PAREDOWN), *arguments]) / baseline
        print(f"paredown {arguments[0]}: {ratio:.2f} times the CPU time of its imports")  # noqa: T201


def cpu_seconds(command: list[str]) -> float:
    """The CPU seconds of a command, the least of five runs."""
    seconds = []
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        seconds.append(usage.ru_utime + usage.ru_stime)
    return min(seconds)
