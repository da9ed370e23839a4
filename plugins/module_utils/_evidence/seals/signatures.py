# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of people (OpenSSH's SSHSIG): made and judged by C(ssh-keygen), so whatever keys it takes can sign.

Of a key with a passphrase the agent signs (C(SSH_AUTH_SOCK)); nobody is asked for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.stamps import NotValid
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    EvidenceError,
    MasterGone,
    printable,
)

NAMESPACE = "secops.defender"
# Of the errors that are about signing alone.
CODES = ("SigningFailed", "MissingProgram")
# A hardware key waits for a touch. Seconds.
_PATIENCE = 60
# Between two looks at whether anybody still waits for it. Seconds.
_PACE = 0.5
_KEY = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}\b")
_NO_PROMPT = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force", "LC_ALL": "C", "TZ": "UTC"}
# Lines that say nothing about what went wrong.
_CHATTER = re.compile(r"^@|^Signing data|^Could not verify signature|^sig_verify")


@dataclass(frozen=True)
class Signers:
    """Whose signatures count. allowed: a file of ALLOWED SIGNERS (ssh-keygen(1)); revoked: a list of keys or a KRL."""

    allowed: str
    revoked: str | None = None


def fingerprint(key: str) -> str:
    """Of the key in a file, private or public. Raises EvidenceError."""
    done = _run(["-l", "-E", "sha256", "-f", key])
    match = _KEY.search(done.stdout.decode("utf-8", "replace"))
    if done.returncode or not match:
        raise _unusable(key, done)
    return match[0]


def sign(key: str, line: bytes) -> bytes:
    """The signature of a line of the log. Raises EvidenceError."""
    done = _run(["-Y", "sign", "-f", key, "-n", NAMESPACE], line)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise _unusable(key, done)
    return done.stdout


def _unusable(key: str, done: subprocess.CompletedProcess[bytes]) -> EvidenceError:
    return EvidenceError(
        f"The signing key {key} cannot be used: {_said(done)}.",
        advice="Give an SSH private key that only its owner can read (mode 0600). One with a passphrase must be in the agent "
        "(ssh-add), and SSH_AUTH_SOCK must lead there.",
        code="SigningFailed",
    )


def key_of(signature: bytes, line: bytes) -> str:
    """The fingerprint of the key that has signed a line, whosever it is. Raises NotValid, EvidenceError."""
    with _file(signature) as path:
        done = _run(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", path], line)
    match = _KEY.search(done.stdout.decode("utf-8", "replace"))
    if done.returncode or not match:
        raise NotValid(f"it does not fit its line ({_said(done)})")
    return match[0]


def signer(signature: bytes, line: bytes, signers: Signers, identity: str | None, moment: float) -> str:
    """Whose signature it is, judged at a moment (seconds since 1970). identity: who is said to have signed.

    Raises NotValid, EvidenceError.
    """
    at = f"-Overify-time={time.strftime('%Y%m%d%H%M%S', time.gmtime(moment))}"
    with _file(signature) as path:
        found = _run(["-Y", "find-principals", "-s", path, "-f", signers.allowed, at])
        names = [
            each for each in re.split(r"[,\s]+", found.stdout.decode("utf-8", "replace")) if each and each[0] != "!"
        ]
        if found.returncode or not names:
            raise NotValid(f"allowed_signers knows no such key for that time ({_said(found)})")
        name = identity or names[0]
        verify = ["-Y", "verify", "-n", NAMESPACE, "-s", path, "-f", signers.allowed, "-I", name, at]
        done = _run(verify, line)
        if done.returncode:
            raise NotValid(
                f"allowed_signers does not let {name} sign with this key ({_said(done)}); it is that of {', '.join(names)}"
            )
        if signers.revoked and _run([*verify, "-r", signers.revoked], line).returncode:
            raise NotValid(f"the key of {name} is in revoked_keys")
    return printable(name)


@contextmanager
def _file(signature: bytes) -> t.Iterator[str]:
    """A signature as a file of its own, as ssh-keygen wants it."""
    with tempfile.TemporaryDirectory(prefix="defender-seal-") as folder:
        path = Path(folder) / "signature"
        path.write_bytes(signature)
        yield str(path)


def _run(arguments: list[str], line: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise EvidenceError(
            "There is no ssh-keygen on the PATH, which makes and checks signatures.",
            advice="Install OpenSSH's client on the control node, or use an execution environment that has it.",
            code="MissingProgram",
        )
    try:
        # pylint: disable-next=ansible-bad-function  # run_command belongs to modules; this runs in action plugins, too.
        with subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_NO_PROMPT},
        ) as process:
            return subprocess.CompletedProcess(arguments, *_ended(process, line))
    except OSError as failure:
        raise EvidenceError(
            f"ssh-keygen ({program}) cannot be run: {failure.strerror or failure}.",
            advice="Install OpenSSH's client anew.",
            code="MissingProgram",
        ) from None


def _ended(process: subprocess.Popen[bytes], line: bytes) -> tuple[int, bytes, bytes]:
    """Its exit status and what it has said. It does not outlive whom the work is done for. Raises EvidenceError, MasterGone."""
    parent, until = os.getppid(), time.monotonic() + _PATIENCE
    given: bytes | None = line
    while True:
        try:
            said, complained = process.communicate(given, timeout=_PACE)
            return process.returncode, said, complained
        except subprocess.TimeoutExpired:
            given = None
        except BaseException:
            process.kill()
            raise
        if os.getppid() != parent:
            process.kill()
            raise MasterGone("ssh-keygen was ended, because nobody waits for the seal any more.", advice="Run again.")
        if time.monotonic() > until:
            process.kill()
            raise EvidenceError(
                f"ssh-keygen did not come to an end within {_PATIENCE} seconds.",
                advice="A hardware key waits for a touch, and an agent perhaps for its user: try ssh-keygen -Y sign by hand.",
                code="SigningFailed",
            )


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()]
    told = [line for line in lines if line and not _CHATTER.match(line)]
    return printable((told or ["it gave no reason"])[0].rstrip(".")[:300])
