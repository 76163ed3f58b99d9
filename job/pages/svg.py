"""A chart by matplotlib as SVG that is part of a page: scales, follows its colours, has a text.

Without pyplot, which has a global state. Text stays text and is laid out by the browser, so that
the only font that matplotlib needs is the one that it brings along.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

# Where no folder for its font cache can be written, matplotlib uses a temporary one, and warns on
# standard error, as it does while it builds the cache: none of it is about the job.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

import matplotlib as mpl  # noqa: E402
from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

# Units of the view box; the page scales it, so that its text is legible on a phone, too.
WIDTH = 360
FONT = 11

# Colours that are replaced by the page's: each is used for nothing else.
COLOURS = {
    role: f"#fe00{number:02x}"
    for number, role in enumerate(["ink", "muted", "line", "accent", "soft", "paper", "bad"], 1)
}
INK, MUTED, LINE, ACCENT, SOFT, PAPER, BAD = COLOURS.values()

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "paredown",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "path.simplify": False,
}
# rc settings are global, and jobs of a batch may run in threads.
_LOCK = threading.Lock()

_NOT_NEEDED = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL
)
_TAG = re.compile(r"<[^>]*>")
_ROOT = re.compile(r"<svg [^>]*>")
# Texts whose gid begins with "value" are values of the result, which a test looks up; "class-"
# gives a group a class of the page's style.
_IN_TAGS = [
    (re.compile(r"xlink:href="), "href="),
    (re.compile(r"font-family: [^;\"]*; "), ""),
    (re.compile(r'<g id="value[^"]*"'), '<g class="value"'),
    (re.compile(r'<g id="class-([a-z]+)"'), r'<g class="\1"'),
    (re.compile(r'<g id="[^"]*"'), "<g"),
    (re.compile(r"(\d\.\d\d)\d+"), r"\1"),
    (re.compile(r'\s+(?=/?>)|(?<=") +(?=")| transform="rotate\(-0 [^"]*"'), ""),
]


def draw(
    prefix: str, title: str, description: str, height: float, paint: Callable[[Figure], None]
) -> Markup:
    """A chart as an ``<svg>`` element, the same for the same input.

    Args:
        prefix: Of its ids, unique on the page.
        title: What it shows.
        description: What somebody who doesn't see it should know.
        height: In units of the view box, which is ``WIDTH`` wide.
        paint: Draws on the figure, in ``COLOURS`` only.
    """
    text = io.StringIO()
    with _LOCK, mpl.rc_context(), warnings.catch_warnings():
        # Glyphs that its font lacks: the browser has others.
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")
        FigureCanvasSVG(figure)
        paint(figure)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _inlined(text.getvalue(), prefix, title, description, height)


def _inlined(text: str, prefix: str, title: str, description: str, height: float) -> Markup:
    text = _NOT_NEEDED.sub("", text[text.index("<svg") :])
    text = _TAG.sub(lambda tag: _rewritten(tag.group(), prefix), text)
    root = Markup(
        '<svg class="chart" viewBox="0 0 {width} {height:g}" role="img" aria-labelledby="{prefix}-t'
        ' {prefix}-d"><title id="{prefix}-t">{title}</title><desc id="{prefix}-d">{text}</desc>'
    ).format(width=WIDTH, height=height, prefix=prefix, title=title, text=description)
    text = re.sub(r">\s+<", "><", _ROOT.sub("", text, count=1))
    return root + Markup(text.strip())  # noqa: S704


def _rewritten(tag: str, prefix: str) -> str:
    """A tag with ids of its own and the page's colours; text between tags stays as it is."""
    for pattern, instead in _IN_TAGS:
        tag = pattern.sub(instead, tag)
    tag = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{prefix}-", tag)
    for role, colour in COLOURS.items():
        tag = tag.replace(colour, f"var(--{role})")
    return " ".join(tag.split())
