"""What this machine says of a store, checked before it is used: variables, profiles, files.

A key that was made with ``echo`` ends in a line feed, a token's file is not mounted, an address has
no scheme: botocore takes these for a network that fails, but they are permanent. Messages name the
variable, or the profile and its file, and never a value.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from job.errors import InputError
from job.manifest.storage import StorageConfig

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
STS = "AWS_ENDPOINT_URL_STS"
PROFILE_FILES = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 - a variable's name
# The parts of static credentials: by attribute of botocore's, the variables and the profile's key.
PARTS = {
    "access_key": (("AWS_ACCESS_KEY_ID",), "aws_access_key_id"),
    "secret_key": (("AWS_SECRET_ACCESS_KEY",), "aws_secret_access_key"),
    "token": (("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), "aws_session_token"),
}
FROM_FILES = ("shared-credentials-file", "config-file")
WEB_IDENTITY = "assume-role-with-web-identity"
# What an environment's line or a Secret made with `echo` brings in.
ECHO = "A line feed comes of `echo`: make it with `printf %s`, or with `echo -n`."


def check_variables(config: StorageConfig) -> None:
    """Refuse variables that can't be what they are meant for; what the manifest says goes before.

    Raises:
        InputError: With the variable's name.
    """
    names = [*PROXIES]
    if config.endpoint_url is None:
        names += ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
    if config.region is None:
        names += ["AWS_REGION", "AWS_DEFAULT_REGION"]
    if not config.anonymous:
        names += [STS, "AWS_ROLE_ARN"]
    for name in names:
        wrong = _foreign_characters(os.environ.get(name, ""))
        if wrong:
            raise _refused(name, f"holds {wrong}")
    for name in [TOKEN_FILE, *PROFILE_FILES, *(["AWS_PROFILE"] if config.profile is None else [])]:
        value = os.environ.get(name, "")
        if value != value.strip() or _controls(value):  # a path may have a space in it
            raise _refused(name, "begins or ends with white space, or holds a control character")


def check_endpoint(url: str, config: StorageConfig) -> None:
    """Refuse an address that is none.

    Raises:
        InputError: With the place that it comes from.
    """
    if not _is_address(url):
        raise invalid_endpoint(config)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or a bracket is missing
        return False


def invalid_endpoint(config: StorageConfig) -> InputError:
    """The refusal of a store's address that is none; where it comes from, and not what it is."""
    said = [it for it in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(it)]
    where = "storage.endpoint_url" if config.endpoint_url else next(iter(said), "endpoint_url")
    return InputError(
        "Connecting failed: the store's address is no URL.",
        where=where,
        hint="Write http:// or https://, the host and, if need be, the port: "
        "https://s3.example.org:9000.",
    )


def invalid_region(config: StorageConfig) -> InputError:
    """The refusal of a region that no host can be named after."""
    said = [it for it in ("AWS_REGION", "AWS_DEFAULT_REGION") if os.environ.get(it)]
    where = "storage.region" if config.region else next(iter(said), "the profile's region")
    return InputError(
        "Connecting failed: the region is none.",
        where=where,
        hint="A region has letters, digits and dashes: us-east-1.",
    )


def no_profile(config: StorageConfig) -> InputError:
    """The refusal of a profile that is in none of the files."""
    name = config.profile or os.environ.get("AWS_PROFILE", "")
    return InputError(
        f"Connecting failed: there is no profile {name!r} in the AWS configuration.",
        where="storage.profile" if config.profile else "AWS_PROFILE",
        hint=f"It is looked for in {_looked_in()}.",
    )


def check_credentials(session: Any, config: StorageConfig) -> None:
    """Refuse credentials that no store can take, and say which files there are none in.

    Args:
        session: A ``boto3.Session``.
        config: The manifest's ``storage``.

    Raises:
        InputError: With the variable, or the profile and its file.
    """
    if config.anonymous:
        return
    credentials = session.get_credentials()
    if credentials is None:
        _refuse_missing_files()
    elif credentials.method == WEB_IDENTITY:
        _check_token_file(_token_file(session))
        if not _is_address(os.environ.get(STS) or "https://sts.amazonaws.com"):
            raise _refused(STS, "is no URL")
    elif credentials.method in ("env", *FROM_FILES):
        for part, (variables, key) in PARTS.items():
            wrong = _wrong(part, getattr(credentials, part, None) or "")
            if wrong:
                name = next((it for it in variables if os.environ.get(it)), variables[0])
                if credentials.method in FROM_FILES:
                    name = f"{key} of the profile {session.profile_name!r}"
                raise _refused(name, wrong, _file_of(credentials.method))


def check_certificates(path: object, config: StorageConfig) -> None:
    """Refuse a file of certificates that is not there or holds none.

    Args:
        path: The file or folder; anything else is botocore's own choice.
        config: The manifest's ``storage``.

    Raises:
        InputError: With the path, and the variable that names it.
    """
    if not isinstance(path, str):
        return
    said = (it for it in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE") if os.environ.get(it) == path)
    name = "storage.ca_bundle" if config.ca_bundle else next(said, "ca_bundle")
    hint = f"Check {name}: it names the PEM file of the store's certificate authority."
    try:
        if not Path(path).is_dir():
            ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise InputError(
            "The file of certificates holds none.", where=f"{path} ({name})", hint=hint
        ) from None
    except OSError as error:
        raise InputError(
            f"The file of certificates can't be read: {error.strerror}.",
            where=f"{path} ({name})",
            hint=hint,
        ) from None


def region() -> str | None:
    """The region that the environment names; botocore itself knows only the second variable."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _wrong(part: str, value: str) -> str:
    """What is wrong with a part of credentials; nothing if it is empty."""
    if value[:1] in ("'", '"') and value[-1:] == value[:1]:
        return "is in quotes, which are taken as a part of it"
    if part == "secret_key":  # it is never sent; some stores let people choose one with a space
        if value != value.strip() or _controls(value):
            return "begins or ends with white space, or holds a control character"
        return "holds a comment, which is taken as a part of it" if " #" in value else ""
    wrong = _foreign_characters(value)
    return f"holds {wrong}" if wrong else ""


def _foreign_characters(value: str) -> str:
    if _controls(value):
        return "a line feed or another control character"
    if re.search(r"\s", value):
        return "white space"
    return "" if value.isascii() else "characters that are not ASCII"


def _controls(value: str) -> bool:
    return any(ord(it) < 32 or 127 <= ord(it) < 160 for it in value)


def _refused(name: str, wrong: str, file: str = "") -> InputError:
    return InputError(
        f"Connecting failed: {name} {wrong}.",
        where=f"{name} in {file}" if file else f"the environment variable {name}",
        hint=f"Set it again without that. {ECHO}"
        if "control" in wrong
        else "Set it again without that.",
    )


def _file_of(method: str) -> str:
    if method not in FROM_FILES:
        return ""
    return dict(_profile_files())[PROFILE_FILES[FROM_FILES.index(method)]]


def _profile_files(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str]]:
    """Where profiles are: by variable, the path that it says, or that stands when it says none."""
    for name, usual in zip(PROFILE_FILES, ("~/.aws/credentials", "~/.aws/config"), strict=True):
        yield name, environment.get(name) or usual


def _looked_in() -> str:
    found = []
    for name, path in _profile_files():
        by = f" ({name})" if os.environ.get(name) else ""
        why = _unreadable(path)
        found.append(f"{path}{by}" + (f": {why}" if why else ""))
    return "; ".join(found)


def _refuse_missing_files() -> None:
    """Where no credentials are found, a file that is named and can't be read is the reason."""
    for name, path in _profile_files():
        why = _unreadable(path) if os.environ.get(name) else ""
        if why:
            raise InputError(
                f"Connecting failed: there are no credentials, and the file that {name} names "
                f"can't be read: {why}.",
                where=path,
                hint=f"Mount or make the file, or unset {name}.",
            )


def _unreadable(path: str) -> str:
    """Why a file can't be read; nothing where it can."""
    try:
        with Path(path).expanduser().open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _token_file(session: Any) -> tuple[str, str]:
    """The path of the web identity's token, and what names it."""
    path = os.environ.get(TOKEN_FILE)
    if path:
        return path, f"the environment variable {TOKEN_FILE}"
    profile = session._session.get_scoped_config()  # noqa: SLF001 - boto3 shows it in no other way
    return profile.get("web_identity_token_file", ""), f"the profile {session.profile_name!r}"


def _check_token_file(named: tuple[str, str]) -> None:
    path, by = named
    why = _unreadable(path)
    if not why and not Path(path).expanduser().read_bytes().strip():
        why = "it is empty"
    if why:
        raise InputError(
            f"Connecting failed: the web identity's token can't be read: {why}.",
            where=f"{path} (named by {by})",
            hint="Mount the token there; on Kubernetes, give the pod its service account.",
        )
