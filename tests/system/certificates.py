"""Certificates made for one test by the openssl command."""
from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """An authority with a certificate for a broker at `names`, and one for a client, valid for a day."""

    def __init__(self, folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> None:
        folder.mkdir()
        self.folder = folder
        self.ca, self._ca_key = folder / "ca.pem", folder / "ca.key"
        self._run(
            "req",
            "-x509",
            *self._new_key(self._ca_key),
            "-out",
            self.ca,
            "-days",
            "1",
            "-subj",
            "/CN=test authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        )
        self.broker, self.broker_key = self._signed("broker", f"subjectAltName={names}")
        self.client, self.client_key = self._signed("client", "extendedKeyUsage=clientAuth")

    @staticmethod
    def _run(*arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr.decode()

    @staticmethod
    def _new_key(path: Path) -> list[str | Path]:
        # An elliptic-curve key is made in no time.
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    def _signed(self, name: str, extension: str) -> tuple[Path, Path]:
        certificate, key, request = (self.folder / f"{name}{suffix}" for suffix in (".pem", ".key", ".csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"{extension}\nbasicConstraints=CA:FALSE\n")
        self._run("req", "-new", *self._new_key(key), "-out", request, "-subj", f"/CN={name}")
        self._run(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            self.ca,
            "-CAkey",
            self._ca_key,
            "-CAcreateserial",
            "-days",
            "1",
            "-extfile",
            extensions,
            "-out",
            certificate,
        )
        return certificate, key

    def broker_lines(self, client_certificate: bool = True) -> list[str]:
        """mosquitto.conf lines for a listener with these certificates."""
        lines = [f"cafile {self.ca}", f"certfile {self.broker}", f"keyfile {self.broker_key}"]
        return lines + ["require_certificate true"] if client_certificate else lines
