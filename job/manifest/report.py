"""report: the page of a run."""

from job.manifest.fields import Config


class ReportConfig(Config):
    """``report.html`` and ``report.md``, which show the result."""

    kernels: bool = True
    """Whether small kernels are shown as pixels. Somebody who has the page can read most of their
    weights off it."""
