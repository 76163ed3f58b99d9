"""``failure.json`` -> ``report.html``: the page of a job without a result.

Nothing heavy is imported for it.
"""

from __future__ import annotations

from job.pages.facts import Facts
from job.pages.rendered import rendered
from job.result.failure import Failure


def failed_page(failure: Failure) -> str:
    """The page of a job without a result: first what happened and what to do about it."""
    return rendered("failed.html", Facts(failure.model_dump(mode="json")), failure=failure)
