# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the seals of an evidence folder hold, and of how much of its log."""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import parse_line, sha256_of_line
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import StoredSeal
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import signatures, stamps
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.sealing import KINDS
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.signatures import Signers
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.stamps import NotValid, Stamp, Trust
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError, MissingLibrary
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration, iso, parse_time

# Kinds of findings.
ALTERED, INVALID, BROKEN_CHAIN = "altered", "invalid_seal", "broken_chain"
UNPROVEN = "signing time unproven"
# Clocks may differ by so much, and an authority takes its time. Seconds.
_LEEWAY = 300.0


@dataclass(frozen=True)
class Trusted:
    """Who is trusted. now: seconds since 1970, for a signature that no stamp covers."""

    authorities: Trust | None = None
    signers: Signers | None = None
    now: float = 0.0


@dataclass
class Logged:
    """What is known of the log. lines: the number of each, by its SHA-256; texts: the lines that seals are of or that tell of them.

    skews: by how many seconds the control node's clock was ahead of the service's when a seal was made, where the log tells it.
    """

    lines: Mapping[str, int]
    texts: Mapping[int, bytes]
    last: int
    skews: Mapping[str, float] = field(default_factory=dict)

    def time(self, number: int) -> float:
        """Of a line, seconds since 1970; 0.0 if it is not known."""
        return parse_time((parse_line(self.texts.get(number, b"")) or {}).get("time"))


@dataclass
class Seal:
    """One seal, judged. seq: the line that was sealed. covers: the last line that it vouches for; 0 where it fits none.

    time: a stamp's own, or that of the earliest stamp that covers a signature. valid: whether somebody who is trusted vouches for it.
    """

    path: str
    seq: int
    kind: str
    head: str | None = None
    covers: int = 0
    time: float | None = None
    signer: str | None = None
    valid: bool = False
    why: str | None = None

    def as_result(self) -> dict[str, t.Any]:
        return {
            "seq": self.seq,
            "head": self.head,
            "kind": self.kind,
            "time": None if self.time is None else iso(self.time),
            "signer": self.signer,
            "valid": self.valid,
            "why": self.why,
        }


class Judge:
    """Judges seals against a log: stamps first, since they tell when a signature was there.

    find: told the kind of a finding, the seal and a sentence.
    """

    def __init__(self, log: Logged, trusted: Trusted, find: Callable[[str, str, str], None]) -> None:
        self._log = log
        self._trusted = trusted
        self._find = find
        self._stamps: list[Seal] = []

    def seal(self, path: str, seq: int, content: bytes | NotValid | None, recorded: StoredSeal | None) -> Seal:
        """Judge one. content: None if it is missing; NotValid: it cannot be read. Raises EvidenceError, MissingLibrary."""
        seal = Seal(path, seq, KINDS[path.rpartition(".")[2]])
        line = self._log.texts.get(seq)
        seal.head = sha256_of_line(line) if line is not None else None
        if seq > self._log.last:
            self._wrong(seal, BROKEN_CHAIN, f"the log ends at line {self._log.last}: lines were cut off its end")
        elif content is None:
            seal.why = "it is missing"
        elif isinstance(content, NotValid):
            self._wrong(seal, ALTERED, str(content))
        elif seal.path.endswith(".tsr"):
            self._stamp(seal, content, recorded)
        else:
            self._signature(seal, content, recorded)
        if seal.valid and recorded and hashlib.sha256(t.cast(bytes, content)).hexdigest() != recorded.sha256:
            # Somebody may have made another one that holds; when, nobody vouches for.
            seal.valid, seal.why = False, "it is not the one that was made: the log tells of another file"
        if seal.valid and seal.path.endswith(".tsr"):
            self._stamps.append(seal)
        return seal

    def _wrong(self, seal: Seal, kind: str, why: str) -> None:
        seal.why = why
        self._find(kind, seal.path, f"The seal of line {seal.seq} does not hold: {why}.")

    # ---- time stamps ----

    def _stamp(self, seal: Seal, content: bytes, recorded: StoredSeal | None) -> None:
        try:
            stamp = stamps.read(content)
        except NotValid as failure:
            self._wrong(seal, ALTERED, str(failure))
            return
        except MissingLibrary as failure:
            if self._trusted.authorities:
                raise
            seal.why = f"it was not looked at: {failure.message}"
            return
        seal.time, seal.signer = stamp.time, stamp.signer
        seal.covers = self._log.lines.get(stamp.digest, 0)
        if seal.covers < seal.seq:
            seal.covers = 0
            self._wrong(
                seal,
                ALTERED,
                f"the line that it is of (SHA-256 {stamp.digest}) is not in the log: the log was rewritten",
            )
        elif recorded and recorded.nonce is not None and stamp.nonce != recorded.nonce:
            self._wrong(seal, ALTERED, "it answers another request (the nonce differs)")
        elif self._is_in_time(seal, stamp, recorded):
            self._vouch(seal, stamp)

    def _is_in_time(self, seal: Seal, stamp: Stamp, recorded: StoredSeal | None) -> bool:
        skew = self._log.skews.get(seal.path, 0.0)
        before = self._log.time(seal.covers)
        after = parse_time(recorded.time) if recorded else 0.0
        for line, off, word in (
            (seal.covers, before - skew - stamp.time if before else 0.0, "before"),
            (recorded.line if recorded else 0, stamp.time - (after - skew) if after else 0.0, "after"),
        ):
            if off > _LEEWAY:
                self._wrong(
                    seal,
                    INVALID,
                    f"it was made at {iso(stamp.time)}, {duration(off)} {word} line {line} was written by the log's own time: the "
                    "control node's clock was wrong, or the log's times were made up",
                )
                return False
        return True

    def _vouch(self, seal: Seal, stamp: Stamp) -> None:
        if self._trusted.authorities is None:
            seal.why = "tsa_ca_path was not given, so nobody vouches for the authority"
            return
        try:
            stamps.judge(stamp, self._trusted.authorities)
        except NotValid as failure:
            self._wrong(seal, INVALID, str(failure))
            return
        seal.valid = True

    # ---- signatures ----

    def _signature(self, seal: Seal, content: bytes, recorded: StoredSeal | None) -> None:
        line = self._log.texts.get(seal.seq)
        if line is None:
            self._wrong(seal, ALTERED, "its line is not in the log")
            return
        try:
            key = signatures.key_of(content, line)
        except NotValid as failure:
            self._wrong(seal, ALTERED, str(failure))
            return
        except EvidenceError as failure:
            if self._trusted.signers:
                raise
            seal.why = f"it was not looked at: {failure.message}"
            return
        seal.covers, seal.signer = seal.seq, key
        if self._trusted.signers is None:
            seal.why = f"allowed_signers was not given, so nobody says whose the key is ({key})"
            return
        seal.time = min(
            (each.time for each in self._stamps if each.time and recorded and each.covers >= recorded.line),
            default=None,
        )
        try:
            seal.signer = signatures.signer(
                content,
                line,
                self._trusted.signers,
                recorded.identity if recorded else None,
                self._trusted.now if seal.time is None else seal.time,
            )
        except NotValid as failure:
            self._wrong(seal, INVALID, str(failure))
            return
        seal.valid = True
        seal.why = UNPROVEN if seal.time is None else None
