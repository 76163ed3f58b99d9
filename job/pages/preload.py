"""What the pages need, imported in the background.

Jinja2 and matplotlib take a second or two to import, which a run would wait for at its end. So they
are imported while the child imports TensorFlow on one core, and the parent has nothing to do.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

SETTINGS = "MPLCONFIGDIR"
# Where the image has matplotlib's list of fonts, which takes a second to make.
FONTS = Path(sys.prefix) / "share" / "paredown" / "matplotlib"
# The folders that were made here: any other is the user's.
_MADE: set[str] = set()


def preload(scratch: Path) -> threading.Thread:
    """Import them in a thread; in a process that has them that is nothing.

    An error is none here: whoever makes a page imports them again, and reports it. The process
    does not end before the thread does: a thread that is stopped in compiled code may abort it.

    Args:
        scratch: The run's scratch folder, which is swept even where the run is killed.
    """
    settle(scratch / "matplotlib")
    thread = threading.Thread(target=_import, name="pages")
    thread.start()
    return thread


def _import() -> None:
    with contextlib.suppress(Exception):
        import jinja2  # noqa: F401
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401


def settle(folder: Path | None = None) -> None:
    """Give matplotlib a folder for its settings and its list of fonts, until it is imported.

    So it writes nothing into the user's home, which may be read-only, and gives no warnings; and
    settings for somebody's own charts do not change the pages. ``MPLCONFIGDIR`` names another one.

    Args:
        folder: It is made; left out, a temporary one, which is removed at the end.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    named = os.environ.get(SETTINGS)
    if "matplotlib" in sys.modules or (named is not None and named not in _MADE):
        return
    if named is not None and Path(named).is_dir():
        return
    with contextlib.suppress(OSError):
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="paredown-matplotlib-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _MADE.add(str(folder))
        os.environ[SETTINGS] = str(folder)
        for fonts in FONTS.glob("fontlist-*.json"):
            shutil.copy(fonts, folder)
