"""Who may do what in the tests' store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MODELS, RESULTS = "models", "results"
# Readable by anyone, unsigned, in the bucket of models.
PUBLIC = "public/"

_READ_MODELS = [f"Read:{MODELS}", f"List:{MODELS}"]
_WRITE_RESULTS = [f"{action}:{RESULTS}" for action in ("Read", "Write", "List", "Tagging")]

# name -> access key, secret key, what it may do. The keys are found nowhere else, so that a
# test can look for them in all that a run leaves behind.
IDENTITIES: dict[str, tuple[str, str, list[str]]] = {
    "rw": (
        "PDRWQ7F3ZK9XW2MB5TLA",
        "rwS8vK2qYx0ZtN4mJ7cPfL1hDgB6uRwE9aTzQoXi",
        ["Admin", "Read", "Write", "List", "Tagging"],
    ),
    "reader": (
        "PDRDH4C8VN1JY6SG0KQE",
        "rdM3nB7xVc1ZlK9jHgF5dSaP0oIuY6tRe2WqLmNv",
        _READ_MODELS,
    ),
    "writer": (
        "PDWTB9L5RX2ZD7UP3MFO",
        "wtG6hJ4kL8zXc2VbN0mQwE5rTyU1iOpA7sDfKjHg",
        _WRITE_RESULTS,
    ),
    "job": (
        "PDJBE1T6YW8NC4QV9XSI",
        "jbX5cV9bN3mA7sDfG1hJkL0qWeR8tYuI4oPzMxCv",
        [*_READ_MODELS, *_WRITE_RESULTS],
    ),
}
# Keys of the right form that the store has never heard of, and a secret that is nobody's.
STRANGER = ("PDXXU0G7OA3HI5KJ2RLZ", "xxL2kJ9hGf4DsA6pOiU1yTrE8wQzXcV3bN5mMnBv")
WRONG_KEY = "zzT4rE8wQpL1kJ7hGf2DsA9oIuY5mNbV0cXzQwEr"


def secrets_in(contents: Iterable[bytes]) -> set[str]:
    """The keys of the tests, access keys too, that are anywhere in some contents."""
    pairs = [*(it[:2] for it in IDENTITIES.values()), STRANGER]
    keys = {key for pair in pairs for key in pair} | {WRONG_KEY}
    return {key for content in contents for key in keys if key.encode() in content}


def configuration() -> dict[str, Any]:
    """The store's file of identities."""
    identities: list[dict[str, Any]] = [
        {
            "name": name,
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": actions,
        }
        for name, (access, secret, actions) in IDENTITIES.items()
    ]
    identities.append({"name": "anonymous", "actions": [f"Read:{MODELS}/{PUBLIC}*"]})
    return {"identities": identities}
