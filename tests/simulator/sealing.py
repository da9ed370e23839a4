# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What seals come from: a time-stamping authority (RFC 3161) on loopback, and people's SSH keys, all made at the start.

The authority is OpenSSL's own (C(openssl ts)), behind HTTP. Each of its paths answers in another way; see ANSWERS.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A path of the authority, and what is wrong with its answers.
ANSWERS = {
    "good": "nothing",
    "brief": "the certificate expires some seconds after the start",
    "slow": "the answer comes one byte a second",
    "down": "HTTP status 503",
    "redirect": "it is somewhere else",
    "garbage": "no answer of a time-stamping authority",
    "large": "longer than any answer",
    "refused": "the authority refuses the request",
    "other_hash": "a stamp for something else",
    "other_nonce": "a stamp for another request",
    "chained": "there is a certificate between, and the stamp holds all of them, in an order that is not DER's",
    "bare": "the stamp does not hold the certificate that it is signed with",
    "stranger": "a stamp by an authority that nobody knows",
    "expired": "the certificate was not valid any more",
    "no_usage": "the certificate is not one for time stamps",
    "more_usages": "the certificate is for time stamps among other things",
    "wrong_key_usage": "the certificate's key may not sign",
}
_CONFIGURATION = """
[tsa]
default_tsa = authority
[authority]
serial = {serial}
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
signer_digest = sha256
accuracy = secs:1
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""
_CONTENT = "application/timestamp-reply"
_DAY = datetime.timedelta(days=1)
# Answers that are no stamps: status and body.
_FIXED = {
    "down": (503, b"<html>maintenance</html>"),
    "redirect": (302, b""),
    "garbage": (200, b"<html>Please sign in</html>"),
    "large": (200, bytes(2 << 20)),
}


@dataclass(frozen=True)
class _Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class TimeAuthority:
    """Listens on loopback from the start on, until stop. brief: seconds after which the certificate of C(brief) has expired."""

    def __init__(self, folder: Path, brief: float = 3.0) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.stamped = 0
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        now = datetime.datetime.now(datetime.timezone.utc)
        self._root, self.ca_path = self._authority("root")
        _other, self.stranger_ca_path = stranger = self._authority("stranger")
        between, between_path = self._authority("between", self._root)
        always = (now - _DAY, now + 365 * _DAY)
        usual = [ExtendedKeyUsageOID.TIME_STAMPING]
        self._signers = {
            "good": self._signer("good", self._root, always, usual),
            "chained": self._signer("chained", between, always, usual),
            "brief": self._signer("brief", self._root, (now - _DAY, now + datetime.timedelta(seconds=brief)), usual),
            "stranger": self._signer("stranger-tsa", stranger[0], always, usual),
            "expired": self._signer("expired", self._root, (now - 9 * _DAY, now - _DAY), usual),
            "no_usage": self._signer("no-usage", self._root, always, [ExtendedKeyUsageOID.CODE_SIGNING]),
            "more_usages": self._signer("more-usages", self._root, always, [*usual, ExtendedKeyUsageOID.CODE_SIGNING]),
            "wrong_key_usage": self._signer("wrong-key-usage", self._root, always, usual, signs=False),
        }
        chain = [Path(path).read_bytes() for path in (self.ca_path, between_path)]
        chain.sort(key=lambda each: x509.load_pem_x509_certificate(each).public_bytes(serialization.Encoding.DER))
        (folder / "chain.pem").write_bytes(b"".join(reversed(chain)))
        (folder / "serial").write_text("01\n", encoding="ascii")
        (folder / "tsa.cnf").write_text(_CONFIGURATION.format(serial=folder / "serial"), encoding="utf-8")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="time authority", daemon=True)
        self._thread.start()

    def url(self, answer: str = "good") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{answer}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> TimeAuthority:
        return self

    def __exit__(self, *_args: object) -> None:
        self.stop()

    # ---- certificates ----

    def _authority(
        self, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
    ) -> tuple[tuple[x509.Name, ec.EllipticCurvePrivateKey], str]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"Test time authority {name}")
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            _builder(subject, issuer[0] if issuer else subject, key, (now - 30 * _DAY, now + 3650 * _DAY))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(issuer[1] if issuer else key, hashes.SHA256())
        )
        path = self.folder / f"{name}-ca.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return (subject, key), str(path)

    def _signer(
        self,
        name: str,
        issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey],
        valid: tuple[datetime.datetime, datetime.datetime],
        usages: list[x509.ObjectIdentifier],
        signs: bool = True,
    ) -> _Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject, issuer_key = issuer
        certificate = (
            _builder(_name(f"Test time stamps {name}"), subject, key, valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=signs, key_encipherment=not signs), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
            .sign(issuer_key, hashes.SHA256())
        )
        pair = _Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    # ---- answers ----

    def reply(self, answer: str, query: bytes) -> bytes:
        """What C(openssl ts -reply) makes of a request."""
        with self._guard:
            self.stamped += 1
            work = self.folder / f"{next(self._numbers)}"
            work.mkdir()
        (work / "query").write_bytes(query)
        if answer == "other_hash":
            # The hash is the one octet string of 32 bytes, and the nonce the last number, before certReq.
            place = query.index(b"\x04\x20") + 2
            (work / "query").write_bytes(query[:place] + bytes(32) + query[place + 32 :])
        elif answer == "other_nonce":
            (work / "query").write_bytes(query[:-4] + bytes([query[-4] ^ 1]) + query[-3:])
        elif answer == "bare":
            # certReq comes last; without it OpenSSL leaves the certificate out.
            (work / "query").write_bytes(query[:-1] + b"\x00")
        elif answer == "refused":
            self._openssl(work, "ts", "-query", "-digest", "00" * 20, "-sha1", "-out", "query")
        signer = self._signers.get(answer, self._signers["good"])
        if answer in ("no_usage", "more_usages", "wrong_key_usage"):
            # OpenSSL makes no stamp with such a certificate, so a good one is signed anew.
            return self._signed_anew(work, signer)
        self._reply(work, signer, *(("-chain", "../chain.pem") if answer == "chained" else ()))
        return (work / "reply").read_bytes()

    def _reply(self, work: Path, signer: _Pair, *more: str) -> None:
        with self._guard:
            self._openssl(
                work, "ts", "-reply", "-config", "../tsa.cnf", "-section", "authority", "-queryfile", "query",
                "-signer", str(signer.certificate), "-inkey", str(signer.key), "-out", "reply", *more,
            )  # fmt: skip

    def _signed_anew(self, work: Path, signer: _Pair) -> bytes:
        self._reply(work, self._signers["good"], "-token_out")
        self._openssl(work, "cms", "-verify", "-noverify", "-inform", "DER", "-in", "reply", "-out", "info")
        self._openssl(
            work, "cms", "-sign", "-binary", "-nodetach", "-cades", "-econtent_type", "1.2.840.113549.1.9.16.1.4",
            "-md", "sha256", "-in", "info", "-signer", str(signer.certificate), "-inkey", str(signer.key),
            "-outform", "DER", "-out", "token",
        )  # fmt: skip
        body = b"\x30\x03\x02\x01\x00" + (work / "token").read_bytes()
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    def _openssl(self, work: Path, *arguments: str) -> bytes:
        done = subprocess.run(
            ["openssl", *arguments], cwd=work, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
        return done.stdout


def _handler(authority: TimeAuthority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = self.path.strip("/")
            query = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Content-Type") != "application/timestamp-query" or answer not in ANSWERS:
                self._send(404, b"nothing is here")
            elif answer in _FIXED:
                status, body = _FIXED[answer]
                self._send(status, body, Location=authority.url())
            else:
                self._send(200, authority.reply(answer, query), slowly=answer == "slow")

        def _send(self, status: int, body: bytes, slowly: bool = False, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": _CONTENT, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                for piece in (body[each : each + 1] for each in range(len(body))) if slowly else (body,):
                    self.wfile.write(piece)
                    if slowly:
                        time.sleep(1.0)

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime.datetime, datetime.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


@dataclass(frozen=True)
class Signer:
    """A person with an SSH key. allowed_signers: the file that knows the key."""

    identity: str
    key: str
    allowed_signers: str

    @classmethod
    def make(
        cls, folder: Path, identity: str = "analyst@contoso.com", passphrase: str = "", options: str = ""
    ) -> Signer:
        """options: what allowed_signers says of the key besides the namespace, such as C(valid-before="20270101")."""
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / identity.partition("@")[0]
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(key)], check=True, timeout=30
        )
        allowed = folder / f"{key.name}.allowed_signers"
        public = Path(f"{key}.pub").read_text(encoding="ascii")
        said = ",".join(('namespaces="secops.defender"', options) if options else ('namespaces="secops.defender"',))
        allowed.write_text(f"{identity} {said} {public}", encoding="ascii")
        os.chmod(allowed, 0o644)
        return cls(identity, str(key), str(allowed))
