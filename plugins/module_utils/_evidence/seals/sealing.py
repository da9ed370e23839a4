# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seals of an evidence folder: which are wanted, and how they come into it.

A seal vouches for a line of the custody log, and so, by the chain, for everything before it. It is on the disk as a C(.part) file, then
in the log with its own SHA-256, then under its name: C(seals/<seq>.sig) and C(seals/<seq>.tsr), of the head at line C(seq).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from ansible_collections.secops.defender.plugins.module_utils._evidence import events, records
from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import Line
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody, unwritable
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import (
    Dir,
    NotOrdinary,
    hash_of,
    lock,
    not_ordinary,
    read_all,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import History, StoredSeal
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import signatures, stamps
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.stamps import NotValid
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError, MissingLibrary
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso

SIGNATURE, TIME_STAMP = "signature", "time_stamp"
# By the ends of their names.
KINDS = {"sig": SIGNATURE, "tsr": TIME_STAMP}

# How long another run may be sealing the folder. Seconds.
_PATIENCE = 120.0
# No seal is longer. Bytes.
MAX_SEAL = 1 << 20

# From a question to the authority's answer.
Ask = t.Callable[[bytes], bytes]


@dataclass(frozen=True)
class Signing:
    """key: a file; identity: who signs, as allowed_signers has it, or None."""

    key: str
    identity: str | None


@dataclass(frozen=True)
class Stamping:
    """url: of the authority, for the log. ca: who is trusted, None for whoever answers. ask: sends the question."""

    url: str
    ca: str | None
    ask: Ask


@dataclass(frozen=True)
class Made:
    """A seal. seq, head: the line that was sealed, and its SHA-256. time: a stamp's, ISO 8601 UTC."""

    kind: str
    seq: int
    head: str
    path: str
    sha256: str
    signer: str | None
    time: str | None = None


@dataclass(frozen=True)
class Missing:
    """Which seals of the newest line that counts are not there."""

    signature: bool
    stamp: bool

    def __bool__(self) -> bool:
        return self.signature or self.stamp


def missing(history: History, signing: Signing | None, stamping: Stamping | None) -> Missing:
    """What a folder lacks of what is wanted. Raises EvidenceError where the signing key cannot be read.

    Another key or another authority is wanted for what it vouches for itself: that is how a seal is renewed.
    Where both are wanted, a signature without a stamp over the line that tells of it is but half a seal: nobody knows when it was made.
    """
    key = signatures.fingerprint(signing.key) if signing else None
    signed = [each for each in history.seals.values() if key and each.key == key]
    stamped = [
        each.covers
        for each in history.seals.values()
        if each.path.endswith(".tsr") and stamping and each.authority == stamping.url
    ]
    unsigned = signing is not None and max((each.covers for each in signed), default=0) < history.changed
    last = max((each.line for each in signed), default=0)
    return Missing(
        unsigned,
        stamping is not None and (unsigned or max(stamped, default=0) < max(history.changed, last)),
    )


class Sealer:
    """Seals one folder, as far as it is not sealed. made: what it has made, also where it then fails."""

    def __init__(self, custody: Custody, signing: Signing | None, stamping: Stamping | None) -> None:
        self._custody = custody
        self._signing = signing
        self._stamping = stamping
        self.made: list[Made] = []

    def seal(self) -> None:
        """Raises EvidenceError, MissingLibrary, and what the way to the authority raises."""
        with _turn(self._custody) as alone:
            history = self._custody.refresh()
            if alone:
                self._drop_drafts(history)
            try:
                self._seal(history, self._signing)
            except EvidenceError as failure:
                if failure.code in signatures.CODES:
                    # Who signs can do so later; the time cannot be made up for.
                    self._seal(history, None)
                raise

    def _seal(self, history: History, signing: Signing | None) -> None:
        lacking = missing(history, signing, self._stamping)
        line = head = self._custody.newest() if lacking else Line(0, b"")
        if signing and lacking.signature:
            line = self._sign(head, signing)
        if self._stamping and lacking.stamp:
            self._stamp(head, line, self._stamping)

    def _drop_drafts(self, history: History) -> None:
        """Remove what a crash has left of seals before they were in the log: the next ones are of later lines."""
        home = _home(self._custody)
        try:
            if home.stat(events.SEALS) is None:
                return
            with home.folder(events.SEALS) as seals:
                for name in os.listdir(seals.file):
                    path = f"{events.SEALS}/{name.removesuffix('.part')}"
                    if name.endswith(".part") and events.SEAL_NAME.match(path) and path not in history.seals:
                        seals.unlink(name)
        except OSError as failure:
            raise unwritable(self._custody.path.parent / events.SEALS / "drafts", failure) from None

    def _sign(self, head: Line, signing: Signing) -> Line:
        signature = signatures.sign(signing.key, head.text)
        key = signatures.key_of(signature, head.text)
        return self._store(
            Made(
                SIGNATURE, head.seq, head.sha256, f"{events.SEALS}/{head.seq}.sig", _digest(signature), signing.identity
            ),
            signature,
            head,
            {"identity": signing.identity, "key": key},
        )

    def _stamp(self, head: Line, line: Line, stamping: Stamping) -> None:
        """line: that the stamp is of: the one that tells of the signature, or the head itself."""
        trusted = stamps.trust(stamping.ca) if stamping.ca else None
        question = stamps.question(line.text)
        answer = stamping.ask(question.content)
        try:
            stamp = stamps.read(answer)
            stamps.answers(stamp, line.text, question.nonce)
            if trusted:
                stamps.judge(stamp, trusted)
        except NotValid as failure:
            raise EvidenceError(
                f"The time-stamping authority {stamping.url} gave no stamp that holds: {failure}.",
                advice="Check tsa_url and tsa_ca_path, or use another authority. Nothing of the answer was kept; the next run seals "
                "what is unsealed.",
                code="StampInvalid",
            ) from None
        self._store(
            Made(
                TIME_STAMP,
                head.seq,
                head.sha256,
                f"{events.SEALS}/{head.seq}.tsr",
                _digest(answer),
                stamp.signer,
                iso(stamp.time),
            ),
            answer,
            line,
            {"tsa": stamping.url, "stamped": iso(stamp.time), "signer": stamp.signer, "nonce": f"{question.nonce:x}"},
        )

    def _store(self, made: Made, content: bytes, line: Line, facts: t.Mapping[str, t.Any]) -> Line:
        name = PurePosixPath(made.path).name
        try:
            with _home(self._custody).folder(events.SEALS, make=True) as seals:
                part = records.prepare(seals, name, content)
                told = self._custody.append_line(
                    events.SEAL_STORED,
                    path=made.path,
                    kind=made.kind,
                    sha256=made.sha256,
                    sealed=made.seq,
                    covers=line.seq,
                    covers_sha256=line.sha256,
                    asked_by=self._custody.asked_by,
                    **facts,
                )
                # Whoever opens the folder just now may have done so already.
                if seals.stat(part) or not seals.stat(name):
                    seals.rename(part, name)
                seals.sync()
        except OSError as failure:
            raise unwritable(self._custody.path.parent / made.path, failure) from None
        self.made.append(made)
        return told


@contextmanager
def _turn(custody: Custody) -> t.Iterator[bool]:
    """One run at a time seals a folder: two would give two seals one name. False where nobody can tell. Raises EvidenceError."""
    home, until = _home(custody), time.monotonic() + _PATIENCE
    while True:
        try:
            alone = lock(home.file, fcntl.LOCK_EX | fcntl.LOCK_NB, home.warn)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise EvidenceError(
                    f"Another run has been sealing {custody.path.parent} for {_PATIENCE:g} seconds.",
                    advice="Run again: what is unsealed then is sealed.",
                    code="EvidenceLocked",
                ) from None
        except OSError:
            # A share that locks no folders.
            alone = False
            break
        time.sleep(0.05)
    try:
        yield alone
    finally:
        with suppress(OSError):
            lock(home.file, fcntl.LOCK_UN, home.warn)


def _home(custody: Custody) -> Dir:
    if custody.dir is None:
        raise EvidenceError(f"The evidence folder {custody.path.parent} was closed already.", code="EvidenceClosed")
    return custody.dir


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ---- a folder that is opened ----


def check(custody: Custody) -> None:
    """Whether a folder's seals are those that its log tells of, and fit it; what a crash has left is completed first.

    All by their SHA-256, and by their numbers; the newest of each kind also by what is in them, as far as the programs for that are
    there. Whose they are is for defender_verify_evidence. Raises EvidenceError.
    """
    if custody.dir is None or (custody.dir.stat(events.SEALS) is None and not custody.history.seals):
        return
    try:
        with custody.dir.folder(events.SEALS) as seals:
            _check(custody, seals)
    except NotOrdinary as failure:
        raise not_ordinary(failure) from None
    except FileNotFoundError:
        raise _altered(custody, f"{events.SEALS} is missing") from None
    except OSError as failure:
        raise EvidenceError(
            f"The seals in {custody.path.parent} cannot be read: {failure.strerror}.",
            advice="Check their owner and permissions, then run again.",
            code="EvidenceUnreadable",
        ) from None


def _check(custody: Custody, seals: Dir) -> None:
    history, last = custody.history, custody.newest().seq
    for seal in history.seals.values():
        if not _in_place(custody, seals, seal):
            raise _altered(custody, f"the seal {seal.path} is missing, or is not the one that was made")
    for name in os.listdir(seals.file):
        match = events.SEAL_NAME.match(f"{events.SEALS}/{name}")
        if match and int(match[1]) > last:
            raise _altered(custody, f"the log ends at line {last}, but {match[0]} is of line {match[1]}")
    newest = {kind: seal for seal in history.seals.values() if (kind := seal.path.rpartition(".")[2])}
    lines = custody.lines({seal.covers for seal in newest.values()})
    for seal in newest.values():
        try:
            _check_content(content_of(seals, seal.path), lines.get(seal.covers, b""), seal)
        except NotValid as failure:
            raise _altered(custody, f"the seal {seal.path} is not of what stands in the log: {failure}") from None


def _in_place(custody: Custody, seals: Dir, seal: StoredSeal) -> bool:
    name = PurePosixPath(seal.path).name
    part = f"{name}.part"
    if seals.stat(name) is None and _sha256(seals, part) == seal.sha256:
        if custody.read_only:
            return True
        with suppress(FileNotFoundError):
            seals.rename(part, name)
    return _sha256(seals, name) == seal.sha256


def _sha256(seals: Dir, name: str) -> str | None:
    try:
        file = seals.open_file(name)
    except FileNotFoundError:
        return None
    try:
        return hash_of(file)[0]
    finally:
        os.close(file)


def content_of(seals: Dir, path: str) -> bytes:
    """A seal, by its path in the evidence folder. Raises NotValid for one that is too long to be any, OSError."""
    name = PurePosixPath(path).name
    file = seals.open_file(name if seals.stat(name) else f"{name}.part")
    try:
        return read_all(file, MAX_SEAL)
    except ValueError:
        raise NotValid("it is too long to be a seal") from None
    finally:
        os.close(file)


def _check_content(content: bytes, line: bytes, seal: StoredSeal) -> None:
    """Raises NotValid. What cannot be looked at, for want of a program, is left to the verification."""
    try:
        if seal.path.endswith(".sig"):
            signatures.key_of(content, line)
        else:
            stamps.answers(stamps.read(content), line, seal.nonce)
    except (MissingLibrary, EvidenceError):
        pass


def _altered(custody: Custody, what: str) -> EvidenceError:
    return EvidenceError(
        f"The evidence folder {custody.path.parent} cannot be gone on with: {what}.",
        advice="Leave it as it is, check it with secops.defender.defender_verify_evidence, compare it with a copy, and collect into "
        "another folder.",
        code="EvidenceAltered",
    )
