"""Credentials are in no manifest, and in nothing that a run says or leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import paredown
from tests.support.identities import IDENTITIES, STRANGER, WRONG_KEY, secrets_in

SECRET = "zQ9pLk7Vb/Rt3+XwYh1mNc5sJd8gFa2uEo4iTy6K"  # noqa: S105 - nobody's
MANIFEST: dict[str, Any] = {
    "name": "a",
    "model": {"uri": "s3://models/model.h5"},
    "dataset": {"uri": "s3://models/data.npz"},
}
CASES: dict[str, dict[str, Any]] = {
    "a field": {"aws_secret_access_key": SECRET},
    "under storage": {"storage": {"secret_access_key": SECRET}},
    "under the model": {"model": {"uri": "a.h5", "storage": {"aws_secret_access_key": SECRET}}},
    "under the destination": {"destination": {"uri": "out", "secret": SECRET}},
    "another name": {"storage": {"session_token": SECRET}},
    "no object": {"dataset": {"uri": "a.npz", "credentials": {"secret": SECRET}}},
    "an endpoint": {"storage": {"endpoint_url": f"https://user:{SECRET}@example.org"}},
    "an endpoint's query": {"storage": {"endpoint_url": f"https://example.org/?secret={SECRET}"}},
    "a bucket": {"model": {"uri": f"s3://{STRANGER[0]}:{SECRET}@bucket/model.h5"}},
    "an address": {"model": {"uri": f"https://user:{SECRET}@example.org/model.h5"}},
    "a signature": {"model": {"uri": f"https://example.org/m.h5?X-Amz-Signature={SECRET}"}},
    "a destination": {"destination": {"uri": f"s3://user:{SECRET}@results/out"}},
}


@pytest.mark.parametrize("case", CASES)
def test_credentials_in_a_manifest_are_refused(case: str, tmp_path: Path) -> None:
    """Wherever they are, by ``run`` and by ``validate``; and they are not said again."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(MANIFEST | CASES[case]))
    for command in ("run", "validate"):
        ended = paredown(command, path)
        assert ended.code == 2, ended.err
        assert "credentials" in ended.err
        for part in SECRET.split("/"):
            assert part not in ended.err + ended.out


@pytest.mark.parametrize(
    "change",
    [
        f"storage.secret={SECRET}",
        f"storage.aws_secret_access_key={SECRET}",
        f"nowhere.at.all.secret_key={SECRET}",
        f"model.storage.secret_key={SECRET}",
        f'storage={{"secret": "{SECRET}"}}',
        f"storage.endpoint_url=https://user:{SECRET}@example.org",
        f"model.uri=https://user:{SECRET}@example.org/a",
        f"quantize.9.secret_key={SECRET}",
    ],
)
def test_credentials_on_the_command_line_are_refused(change: str, tmp_path: Path) -> None:
    """By ``--set``, too."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(MANIFEST))
    ended = paredown("validate", path, "--set", change)
    assert ended.code == 2, ended.err
    for part in SECRET.split("/"):
        assert part not in ended.err + ended.out


def test_a_manifest_that_is_no_json_does_not_show_them(tmp_path: Path) -> None:
    """The line that has to be mended is not said, where it holds one."""
    path = tmp_path / "manifest.json"
    path.write_text(f'{{\n  "aws_secret_access_key": "{SECRET}" oops\n}}')
    ended = paredown("validate", path)
    assert ended.code == 2
    assert SECRET[:9] not in ended.err
    assert "line 2" in ended.err


def test_the_session_would_notice() -> None:
    """What is looked for at the end of the session is found where it is."""
    keys = [*IDENTITIES["job"][:2], STRANGER[1], WRONG_KEY]
    for key in keys:
        assert secrets_in([b"before", f"x{key}y".encode()]) == {key}
    assert secrets_in([b"nothing"]) == set()
