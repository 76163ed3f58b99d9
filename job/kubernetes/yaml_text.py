"""Documents -> YAML that reads well, and that Kubernetes reads as it was meant.

kubectl's parser takes more words for numbers and truths than PyYAML does (``1e3``, ``y``): strings
that begin like a number, and those words, are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

# One line whatever its length: an argument that is folded is hard to compare.
WIDTH = 1 << 30
_AMBIGUOUS = re.compile(r"[.+-]*[0-9].*|[yn]", re.IGNORECASE)
# Line ends to YAML, which a block would not give back as they were.
_OTHER_LINE_ENDS = re.compile("[\r\x85\u2028\u2029\ufeff]")


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it ships no types
    """Without anchors: what is the same in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML calls it so
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _OTHER_LINE_ENDS.search(text) or _AMBIGUOUS.fullmatch(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def yaml_text(documents: Iterable[dict[str, Any]]) -> str:
    """The documents, each after a line of three dashes, in the order of their fields."""
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        explicit_start=True,
    )
    return text
