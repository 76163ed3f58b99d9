"""A certificate authority of its own, and a certificate for servers on this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority to trust, and a server's certificate and key."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, and have it sign a certificate for 127.0.0.1 and localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority_key, request = folder / "ca.key", folder / "server.csr"
    extensions = folder / "extensions"
    extensions.write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
        "basicConstraints=CA:FALSE\n"
        "extendedKeyUsage=serverAuth\n"
    )
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = ["-subj", "/CN=Tests of paredown", "-addext", "keyUsage=critical,keyCertSign"]
    sign = ["-CA", str(made.authority), "-CAkey", str(authority_key), "-CAcreateserial"]
    _openssl("req", "-x509", *new_key, "-keyout", authority_key, "-out", made.authority, *authority)
    _openssl("req", *new_key, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost")
    _openssl(
        "x509", "-req", "-in", request, "-out", made.certificate, *sign, "-extfile", extensions
    )
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(
        [shutil.which("openssl") or "openssl", *map(str, arguments)],
        check=True,
        capture_output=True,
    )
