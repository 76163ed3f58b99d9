"""The pages of a result, of a failure and of a summary, as files. No page is worth the work that it
shows: where one can't be made, whoever asked gets the reason, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from job.errors import InterruptedRunError
from job.manifest.batch import RESERVED
from job.pages.preload import settle
from job.result.failure import Failure
from job.result.result import CARD_FILE, PAGE_FILE, Result
from job.result.summary import Summary
from job.text import first_line, printable

SUMMARY_PAGE = RESERVED[-1]


@dataclass(frozen=True)
class Pages:
    """Pages that were made, or the reason why they could not be."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """By name, UTF-8; all of them or none."""
    problem: str = ""
    """A warning; empty where there is none."""
    is_installed: bool = True
    """Whether what makes pages could be imported."""


def of_result(result: Result) -> Pages:
    """``report.html`` and ``report.md`` of a run."""

    def make() -> dict[str, str]:
        from job.pages.job_page import job_page
        from job.pages.model_card import model_card

        return {PAGE_FILE: job_page(result), CARD_FILE: model_card(result)}

    return _made(make, f"{PAGE_FILE} and {CARD_FILE}")


def of_failure(failure: Failure) -> Pages:
    """``report.html`` and ``report.md`` of a run that failed."""

    def make() -> dict[str, str]:
        from job.pages.failed_page import failed_page
        from job.pages.model_card import failed_card

        return {PAGE_FILE: failed_page(failure), CARD_FILE: failed_card(failure)}

    return _made(make, f"{PAGE_FILE} and {CARD_FILE}")


def of_summary(summary: Summary) -> Pages:
    """``summary.html`` of a batch."""

    def make() -> dict[str, str]:
        from job.pages.batch_page import batch_page

        return {SUMMARY_PAGE: batch_page(summary)}

    return _made(make, SUMMARY_PAGE)


def _made(make: Callable[[], dict[str, str]], what: str) -> Pages:
    settle()
    try:
        return Pages({name: text.encode() for name, text in make().items()})
    except InterruptedRunError:
        raise
    except Exception as error:  # noqa: BLE001 - the work is done, whatever is wrong with its page
        reason = printable(f"{type(error).__name__}: {first_line(error)}")
        again = "All else is there; once that is mended, paredown report makes them."
        problem = f"There is no {what}, making them failed: {reason}. {again}"
        return Pages(problem=problem, is_installed=not isinstance(error, ImportError))
