"""A child process: started with least privilege, given tasks, read from, ended.

See ``worker/protocol.py`` for the messages. The end of its standard input means that the parent is
gone; TensorFlow's own output goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from job import machine
from job.errors import ParedownError, from_os_error
from job.events import Event
from job.worker.protocol import STOP, Task

# Least privilege: what the child needs to run, by name. A prefix would pass credentials on
# (TF_VAR_... and TF_TOKEN_... are Terraform's).
ENVIRONMENT = frozenset(
    """
    PATH HOME LANG LC_ALL LC_CTYPE TZ LD_LIBRARY_PATH VIRTUAL_ENV PYTHONPATH PYTHONHOME
    PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE PYTHONUTF8
    TF_ENABLE_ONEDNN_OPTS TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS TF_XLA_FLAGS XLA_FLAGS
    TF_FORCE_GPU_ALLOW_GROWTH TF_GPU_ALLOCATOR CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES
    ONEDNN_MAX_CPU_ISA OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)

# By default TensorFlow uses oneDNN only on CPUs with instructions for neural networks. Without it,
# no convolution has its channels first, and digits differ more than they need between machines.
# Arm's processors have another oneDNN, and keep TensorFlow's default.
ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"} if platform.machine() in ("x86_64", "AMD64") else {}

# How many threads TensorFlow's libraries start.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


class Child:
    """A child process. Closing it ends it.

    Attributes:
        verdict: Why it was ended from outside; None where it was not.
    """

    def __init__(
        self,
        scratch: Path,
        settings: dict[str, str],
        *,
        verbose: bool,
        cores: int | None = None,
        whole: Path | None = None,
    ) -> None:
        """Start one.

        Args:
            scratch: A folder for its log, and what TensorFlow leaves behind.
            settings: What is added to its environment.
            verbose: Whether TensorFlow's own messages are shown.
            cores: How many TensorFlow may use; left out, all that this process may.
            whole: The folder that the child removes when this process is gone and has not; left
                out, ``scratch``.

        Raises:
            StorageError: Where the disk is full, or the machine has no room for a process.
        """
        self.verdict: ParedownError | None = None
        self._log = scratch / "worker.log"
        environment = _environment(scratch, cores, verbose=verbose)
        # TensorFlow leaves files behind when it is killed.
        environment["TMPDIR"] = str(whole or scratch)
        # Keras 3 imports matplotlib, which makes folders in the user's home otherwise.
        environment["MPLCONFIGDIR"] = str(whole or scratch)
        try:
            with self._log.open("ab") as stderr:
                self._process = subprocess.Popen(  # noqa: S603 - this Python, and nothing of the user's
                    _command(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if verbose else stderr,
                    env=environment | settings,
                    start_new_session=True,  # Ctrl-C is for the parent to handle
                )
        except OSError as error:
            raise from_os_error(error, "Starting the worker process", writing=True) from None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be given another task."""
        return self._process.poll() is None

    def give(self, task: Task) -> None:
        """Give it a task; the one before is done."""
        self._say(json.dumps(asdict(task)))

    def stop(self) -> None:
        """Tell it to save what it is doing, and to end."""
        self._say(STOP.strip())

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self, verdict: ParedownError) -> None:
        """End it at once, for a reason."""
        self.verdict = self.verdict or verdict
        self._process.kill()

    def events(self) -> Iterator[Event]:
        """Its events, until it ends; incomplete lines are skipped."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # it died while it wrote, or was interrupted
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    yield event

    def wait(self) -> int:
        """Its exit status, once it has ended; negative where a signal ended it."""
        return self._process.wait()

    def last_words(self) -> str:
        """The last line of what it printed."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "none."

    def close(self) -> None:
        """End it, and forget it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # its death is reported elsewhere
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


def _command() -> list[str]:
    """Python without the current folder on its path (a ``numpy.py`` may lie there)."""
    code = "import sys; sys.path.append(sys.argv[1]); from job.worker.main import main; main()"
    return [sys.executable, "-P", "-c", code, str(Path(__file__).parent.parent)]


def _environment(scratch: Path, cores: int | None, *, verbose: bool) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    # TensorFlow takes the machine's cores, and a container's quota does not allow for them.
    cores = cores or machine.cores()
    threads = {} if cores == os.cpu_count() else dict.fromkeys(THREADS, cores)
    return (
        ONEDNN
        | {name: str(value) for name, value in threads.items()}
        | passed
        | {
            "PYTHONHASHSEED": "0",
            "TF_CPP_MIN_LOG_LEVEL": "0" if verbose else "3",
            "TF_USE_LEGACY_KERAS": "1",
            "KERAS_HOME": str(scratch / "keras"),  # Keras makes it, always
        }
    )
