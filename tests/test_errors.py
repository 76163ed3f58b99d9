"""Every error has one exit code, and says what, where and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from job import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.BugError, 1),
        (errors.ManifestError, 2),
        (errors.InputError, 3),
        (errors.StageError, 4),
        (errors.StorageError, 6),
    ],
)
def test_a_class_is_an_exit_code_of_the_contract(
    kind: type[errors.ParedownError], code: int
) -> None:
    """And it is one of those that cross from the child by name."""
    assert kind.exit_code == code
    assert errors.BY_NAME[kind.__name__] is kind


def test_an_interruption_exits_as_shells_expect() -> None:
    """128 and the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
    assert errors.InterruptedRunError(2).exit_code == 130
    error = errors.InterruptedRunError(15, "prune")
    assert error.exit_code == 143
    assert str(error).splitlines()[:2] == [
        "The run was interrupted by SIGTERM.",
        "  where: stage prune",
    ]


def test_a_missed_gate_is_no_error_and_has_a_code_of_its_own() -> None:
    """It is published, and still fails the job."""
    codes = {kind.exit_code for kind in errors.BY_NAME.values()}
    assert errors.GATE_MISSED_EXIT_CODE == 5
    assert errors.GATE_MISSED_EXIT_CODE not in codes


def test_a_message_says_what_where_and_what_to_do() -> None:
    """What is empty is left out."""
    error = errors.InputError("It is corrupt.", where="/m.h5", hint="Copy it again.")
    assert str(error) == "It is corrupt.\n  where: /m.h5\n  to do: Copy it again."
    assert str(errors.InputError("It is corrupt.")) == "It is corrupt."


@pytest.mark.parametrize(
    ("number", "writing", "kind", "says"),
    [
        (errno.ENOSPC, True, errors.StorageError, "the disk is full"),
        (errno.EDQUOT, True, errors.StorageError, "the disk is full"),
        (errno.EACCES, True, errors.InputError, "access denied"),
        (errno.EACCES, False, errors.InputError, "access denied"),
        (errno.EROFS, True, errors.InputError, "access denied"),
        (errno.EPERM, False, errors.InputError, "access denied"),
        (errno.ENOENT, False, errors.InputError, "there is no such file"),
        (errno.EIO, True, errors.StorageError, "Input/output error"),
        (errno.EIO, False, errors.InputError, "Input/output error"),
        (errno.ENAMETOOLONG, False, errors.InputError, "File name too long"),
    ],
)
def test_the_systems_refusals_become_errors_of_the_right_class(
    number: int, writing: bool, kind: type[errors.ParedownError], says: str
) -> None:
    """A full disk may be retried, a right that is missing may not."""
    refusal = OSError(number, os.strerror(number), "/place")
    error = errors.from_os_error(refusal, "Doing it", writing=writing)
    assert type(error) is kind
    assert error.what.startswith("Doing it failed: ")
    assert says in error.what
    assert error.where == "/place"
    assert error.hint


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (RuntimeError("Unable to create file (errno = 28, error message = 'No space ...')"), True),
        (ValueError("/tmp/x; No space left on device"), True),  # noqa: S108 - no file of ours
        (OSError(errno.EIO, "x"), False),
        (RuntimeError("no space for doubt"), False),
    ],
)
def test_a_full_disk_is_known_also_in_a_librarys_words(error: Exception, full: bool) -> None:
    """h5py and TensorFlow wrap the system's error in their own."""
    assert errors.is_disk_full(error) is full


@pytest.mark.parametrize(
    "error",
    [
        errors.InputError("The file is cut off.", where="a b.npy", hint="Copy it again."),
        errors.StorageError("There is no room.", hint="Make some."),
        errors.StageError("It failed.", where="prune"),
        errors.InputError("It failed."),
    ],
    ids=lambda it: it.what,
)
def test_an_error_is_found_in_a_message_that_quotes_it(error: errors.ParedownError) -> None:
    """Its class and its three parts, whatever is around it."""
    name = type(error).__name__
    for text in (
        f"Graph failed:\n\n{name}: {error}\nTraceback (most",
        f"{{{{node}}}} {name}: {error}",
    ):
        found = errors.quoted_in(text)
        assert type(found) is type(error)
        assert str(found) == str(error)
    assert errors.quoted_in("ValueError: InputErrors are rare\n  where: here") is None
