# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""check_audit.py VENV: does tests/tools/audit, with pip-audit in VENV, fail where it has to?

Its data may be out of reach for months on some machine, and then it says nothing. So it is held against a double of the index, on
loopback, that knows of one vulnerable version: it has to name package and advisory where that is installed, and to be content where
it is not.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

HOST = "pypi.org"
PACKAGE, VERSION, ADVISORY = "requests", "2.19.0", "PYSEC-2018-28"
_HERE = Path(__file__).resolve().parent
_KNOWN = {
    "id": ADVISORY,
    "aliases": ["CVE-2018-18074"],
    "details": "Sends an Authorization header to another host.",
    "summary": None,
    "fixed_in": ["2.20.0"],
    "link": f"https://osv.dev/vulnerability/{ADVISORY}",
    "source": "osv",
    "withdrawn": None,
}


class Double(ThreadingHTTPServer):
    """A proxy that leads to nothing but the double of the index behind it, whose certificate is the test's."""

    daemon_threads = True

    def __init__(self, trust: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(trust))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(self.tls)
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Two calls on one connection may come; each is answered.
    timeout = 30

    def do_CONNECT(self) -> None:
        if self.path != f"{HOST}:443":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = t.cast(Double, self.server).tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = t.cast(t.Any, self.connection.makefile("wb", buffering=0))
        self.close_connection = False

    def do_GET(self) -> None:
        _empty, pypi, name, version, form = [*self.path.split("/"), "", "", "", ""][:5]
        found = pypi == "pypi" and form == "json"
        known = [_KNOWN] if (name, version) == (PACKAGE, VERSION) or version == "2.31.0" else []
        body = json.dumps({"info": {"name": name}, "urls": [], "vulnerabilities": known}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


def _plant(runtime: Path) -> Path:
    """What an installation of the vulnerable version leaves, as far as pip lists it."""
    command = [str(runtime / "bin" / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    facts = Path(packages, f"{PACKAGE}-{VERSION}.dist-info")
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n", encoding="ascii")
    return facts


def _audit(venv: str, runtime: Path, environ: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [_HERE / "audit", venv, runtime],
        cwd=_HERE.parents[1],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def main() -> int:
    venv = sys.argv[1]
    if not Path(venv, ".ready").exists():
        command = [str(_HERE / "make-venv"), venv, "newest", "-r", str(_HERE.parent / "requirements" / "audit.txt")]
        subprocess.run(command, check=True)
    with tempfile.TemporaryDirectory(prefix="check-audit-") as folder:
        runtime, trust = Path(folder, "runtime"), Path(folder, "ca.pem")
        subprocess.run([sys.executable, "-m", "venv", runtime], check=True)
        double = Double(trust)
        proxy = f"http://127.0.0.1:{double.server_address[1]}"
        environ = {
            **dict.fromkeys(("https_proxy", "HTTPS_PROXY"), proxy),
            **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
            **dict.fromkeys(("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(trust)),
            "XDG_CACHE_HOME": folder,
        }
        content = _audit(venv, runtime, environ)
        planted = _plant(runtime)
        found = _audit(venv, runtime, environ)
        double.shutdown()
        double.server_close()
        unreachable = _audit(venv, runtime, environ)
        assert planted.exists()
    wrong = []
    if content[0] or "skipped" in content[1]:
        wrong.append(f"without anything known against a package: {content}")
    if not found[0] or not all(word in found[1] for word in (PACKAGE, VERSION, ADVISORY)):
        wrong.append(f"with {PACKAGE} {VERSION}: {found}")
    if unreachable[0] or "skipped" not in unreachable[1]:
        wrong.append(f"with nobody to ask: {unreachable}")
    for each in wrong:
        print(f"tests/tools/audit, {each}")
    print(f"audit: {3 - len(wrong)} of 3 answers as they have to be.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
