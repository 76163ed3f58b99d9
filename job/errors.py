"""Every error that a user can meet. A class is a kind of trouble; each kind has one exit code.

A message says what is wrong, where (a file, a JSON path, a layer) and what to do about it. The
exit codes are part of the contract: a Kubernetes Job decides by them whether to retry.
"""

from __future__ import annotations

import errno
import re

from job.text import one_line, printable


class ParedownError(Exception):
    """A trouble with a message for the user; ``exit_code`` is the process's.

    Attributes:
        what: What is wrong, one sentence.
        where: The file, JSON path, layer or object it is about; may be empty.
        hint: What to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = printable(what)
        self.where = one_line(where)
        self.hint = printable(hint)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  to do: {self.hint}")
        return "\n".join(lines)


class BugError(ParedownError):
    """Something that should never happen; the user can only report it."""

    exit_code = 1


class ManifestError(ParedownError):
    """The manifest or the command line is wrong. Nothing was read but the manifest."""

    exit_code = 2


class InputError(ParedownError):
    """An input was refused: missing, corrupt, unsafe, unsupported, or access denied."""

    exit_code = 3


class StageError(ParedownError):
    """A stage of the pipeline failed on inputs that were good."""

    exit_code = 4


class StorageError(ParedownError):
    """Storage can't take or give what is needed just now: a retry elsewhere or later may help."""

    exit_code = 6


class InterruptedRunError(ParedownError):
    """The run was stopped by a signal: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, number: int, stage: str = "start", *, has_checkpoint: bool = False) -> None:
        name = {2: "Ctrl-C", 15: "SIGTERM"}.get(number, f"signal {number}")
        super().__init__(
            f"The run was interrupted by {name}.",
            where=f"stage {stage}",
            hint="Nothing was published. Run the same command again"
            + ("; it goes on from what is kept." if has_checkpoint else "."),
        )
        self.number = number
        self.exit_code = 128 + number


# The classes that cross from the child process to its parent, by name.
BY_NAME: dict[str, type[ParedownError]] = {
    kind.__name__: kind for kind in (BugError, ManifestError, InputError, StageError, StorageError)
}

# As ``str`` gives it, behind the name of its class.
_QUOTED = re.compile(
    rf"\b({'|'.join(BY_NAME)}): (.+)(?:\n  where: (.*))?(?:\n  to do: (.*))?", re.MULTILINE
)

GATE_MISSED_EXIT_CODE = 5
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# A path that no retry makes better.
NEVER = (
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EINVAL,
)
ACCESS_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def reported(error: Exception, doing: str = "Running the command") -> ParedownError:
    """Any error as it is reported to the user.

    Args:
        error: The error.
        doing: What was being done, as a sentence's start.
    """
    if isinstance(error, ParedownError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, doing, writing=True)
    if isinstance(error, UnicodeEncodeError):
        return unnameable(error)
    return BugError(
        f"{type(error).__name__}: {error}",
        hint="This is a bug in paredown: please report it with the output of --verbose.",
    )


def unnameable(error: UnicodeEncodeError) -> InputError:
    """The error for a file name that is not text in this locale."""
    return InputError(
        "A file's name has characters that the encoding of this locale lacks.",
        where=str(error.object)[:200],
        hint="Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, and run again.",
    )


def quoted_in(text: str) -> ParedownError | None:
    """The error that another one's message quotes: TensorFlow does where it is raised inside a
    graph; None where there is none.
    """
    found = _QUOTED.search(text)
    if found is None:
        return None
    name, what, where, hint = found.groups(default="")
    return BY_NAME[name](what, where=where, hint=hint)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means a full disk; libraries wrap the system's word in their own."""
    number = getattr(error, "errno", None)
    text = str(error)
    return number in DISK_FULL or "No space left on device" in text or "errno = 28" in text


def from_os_error(
    error: Exception, doing: str, *, writing: bool, place: object = ""
) -> ParedownError:
    """The right class for an operating system's refusal.

    Args:
        error: What the operating system, or a library in its name, said.
        doing: What was being done, as a sentence's start: "Writing the results".
        writing: Whether it was a write; a full disk is then a matter of storage.
        place: Where it was, for errors that do not say.
    """
    target = getattr(error, "filename2", None) if writing else None  # of a copy
    where = str(target or getattr(error, "filename", None) or place)
    reason = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    if is_disk_full(error):
        return StorageError(
            f"{doing} failed: the disk is full.",
            where=where,
            hint="Free some space, or point TMPDIR or the destination at a larger disk.",
        )
    if number in ACCESS_DENIED:
        hint = "Give this user the right to write there." if writing else "Make it readable."
        return InputError(f"{doing} failed: access denied ({reason}).", where=where, hint=hint)
    if isinstance(error, FileNotFoundError) and not writing:
        return InputError(
            f"{doing} failed: there is no such file.",
            where=where,
            hint="Check the URI; in a manifest, a relative one is relative to the manifest.",
        )
    kind = StorageError if writing and number not in NEVER else InputError
    return kind(f"{doing} failed: {reason}.", where=where, hint="Check the path and the disk.")
