"""The data sets on docs/data.md are those that a manifest may hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.conftest import ROOT, paredown

PAGE = (ROOT / "docs" / "data.md").read_text()


def test_each_data_set_on_the_page_is_valid(tmp_path: Path) -> None:
    """With any model; every type has one, or an example of its own."""
    found = re.findall(r"```json\n(\"dataset\".*?)```", PAGE, re.DOTALL)
    assert len(found) >= 4
    paths = []
    for number, text in enumerate(found):
        job = {"name": "page", "model": {"uri": "m.h5"}} | json.loads(f"{{{text}}}")
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(job))
    examples = sorted((ROOT / "manifests" / "examples" / "data").glob("*.json"))
    assert [path.name for path in examples if f"data/{path.name})" not in PAGE] == []
    checked = paredown("validate", *paths, *examples)
    assert (checked.code, checked.err) == (0, "")


def test_the_split_on_the_page_is_valid(tmp_path: Path) -> None:
    """As it stands in the text."""
    (text,) = re.findall(r'`("split": \{.*?\})`', PAGE)
    dataset = {"uri": "d.npz", "train": {"inputs": "x", "targets": "y"}} | json.loads(f"{{{text}}}")
    job = {"name": "page", "model": {"uri": "m.h5"}, "dataset": dataset}
    (tmp_path / "m.json").write_text(json.dumps(job))
    checked = paredown("validate", tmp_path / "m.json")
    assert (checked.code, checked.err) == (0, "")
