# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The custody log of an evidence folder: append-only, chained, written ahead of what it announces.

It is also what an interrupted run is resumed from, and where runs that use one folder at the same time see each other. A folder
belongs to one tenant. Several folders may be open at once, and one run may have several requests with a comment each.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import typing as t
import uuid
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import (
    FIRST,
    MAX_LINE,
    Chain,
    Entry,
    Line,
    Trouble,
    may_be_torn,
    repair,
    sha256_of_line,
    shortened,
    with_digest,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.events import (
    ACTION_KNOWN,
    DEVICE_FAILED,
    DOWNLOAD_STARTED,
    LOG_NAME,
    LOG_REPAIRED,
    PACKAGE_DIFFERS,
    PACKAGE_RESTORED,
    PACKAGE_STORED,
    PACKAGE_VERIFIED,
    REPORT_NAME,
    REPORT_STORED,
    RUN_ABORTED,
    RUN_ENDED,
    RUN_INTERRUPTED,
    RUN_STARTED,
    START_REQUESTED,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import (
    Dir,
    lock,
    open_dest,
    sync_file,
    unwritable,
    write_all,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import (
    Claim,
    History,
    Request,
    RunState,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.presence import Presence
from ansible_collections.secops.defender.plugins.module_utils._evidence.who import asked_by
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration, iso

__all__ = [
    "ACTION_KNOWN",
    "DEVICE_FAILED",
    "DOWNLOAD_STARTED",
    "FIRST",
    "LOG_NAME",
    "LOG_REPAIRED",
    "PACKAGE_DIFFERS",
    "PACKAGE_RESTORED",
    "PACKAGE_STORED",
    "PACKAGE_VERIFIED",
    "REPORT_NAME",
    "REPORT_STORED",
    "RUN_ABORTED",
    "RUN_ENDED",
    "RUN_INTERRUPTED",
    "RUN_STARTED",
    "START_REQUESTED",
    "Claim",
    "Custody",
    "History",
    "Request",
    "RunState",
    "unwritable",
]

_BLOCK = 1 << 20
# A clock that is off by more is spoken of. Seconds.
_SKEW = 60.0
# How long another process may hold the log. Seconds.
_LOCK_PATIENCE = 60.0


class Custody:
    """The log of one evidence folder, opened for one run. Safe for threads, and for several runs at once.

    Raises EvidenceError where the log cannot be written (nothing may happen that is not announced), and C(EvidenceAltered) where
    its chain is broken. read_only: only to know its history (check mode). launched_by: who asked, besides what the control node
    knows. warnings: what the caller should tell; each once.
    """

    def __init__(
        self, folder: Path, clock: Clock, read_only: bool = False, launched_by: t.Mapping[str, str] | None = None
    ) -> None:
        self.path = folder / LOG_NAME
        self.run = str(uuid.uuid4())
        self.asked_by = asked_by(launched_by)
        self.tenant: str | None = None
        # Seconds that the control node's clock is ahead of the service's; None where it was not measured.
        self.skew: float | None = None
        self.warnings: list[str] = []
        self.dir: Dir | None = None
        self._clock = clock
        self.read_only = read_only
        self._lock = threading.RLock()
        self._file = -1
        self._size = 0
        # Whether what was read ends with a line feed.
        self._whole = True
        # Once the log is not what it was, nothing is written to it any more.
        self._broken: EvidenceError | None = None
        self._presence: Presence | None = None
        self.history = History(alive=self._is_alive)
        self._chain = Chain(lambda _number, _digest, entry: self.history.read(entry), self._refuse)
        try:
            self._open(folder)
        except OSError as failure:
            self.close()
            raise unwritable(self.path, failure) from None
        except BaseException:
            self.close()
            raise

    # ---- opened and closed ----

    def _open(self, folder: Path) -> None:
        self.dir = open_dest(folder, self.read_only, self.warn)
        if self.dir is None:
            return
        self._presence = Presence(self.dir, self.run)
        if self.read_only:
            if self.dir.stat(LOG_NAME):
                self._file = self.dir.open_file(LOG_NAME)
                self._read_on()
            return
        self._file = self.dir.open_file(LOG_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._locked()
        try:
            self._read_on()
        finally:
            self._unlock()

    def warn(self, text: str) -> None:
        """Something for the user to know; each sentence once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def _is_alive(self, run: str) -> bool:
        return self._presence is not None and self._presence.is_alive(run)

    def is_gone(self, run: str) -> bool:
        """Whether the run's process is there no more; False where nobody can tell. Not before something was written or refreshed."""
        return self._presence is not None and bool(self._presence.works) and not self._presence.is_alive(run)

    def close(self) -> None:
        """Let go of the log and of the folder: other runs see this one no more. May be called twice."""
        with self._lock:
            if self._presence:
                self._presence.leave()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            if self.dir:
                self.dir.close()
                self.dir = None

    def __enter__(self) -> Custody:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    # ---- what runs write ----

    def require_tenant(self, tenant: str | None) -> None:
        """From now on this run's tenant. Writes nothing. Raises C(WrongTenantFolder) if the log names another one."""
        owner = self.history.tenant
        if owner and (tenant or "").lower() != owner.lower():
            raise EvidenceError(
                f"The evidence folder {self.path.parent} belongs to the tenant {owner}, and this run is for "
                f"{tenant or 'a tenant that its token does not name'}.",
                advice=f"Give each tenant a folder of its own, such as dest: {self.path.parent}-{tenant or 'other'}. "
                "Nothing was started.",
                code="WrongTenantFolder",
            )
        self.tenant = tenant

    def begin(self, tenant: str | None = None, skew: float | None = None, **facts: t.Any) -> None:
        """Write that the run has begun, and which earlier ones were interrupted.

        tenant: from the token; once given (here or to require_tenant) it is in every record. skew: see self.skew. facts: such as
        asked_by, comment (only if all requests have the same), devices. Raises EvidenceError, also C(WrongTenantFolder): another
        run may have been quicker.
        """
        self._know_skew(skew)
        with self._up_to_date():
            self.require_tenant(tenant or self.tenant)
            gone = [facts for facts in self.history.interrupted_runs() if not (facts.aborted or facts.interrupted)]
            self._write(
                RUN_STARTED,
                {
                    "tenant": self.tenant,
                    **facts,
                    "clock_skew_seconds": None if self.skew is None else round(self.skew, 1),
                    "alone": self._is_alone(),
                },
            )
            for earlier in gone:
                self._write(RUN_INTERRUPTED, {"interrupted_run": earlier.run, "since": earlier.started})

    def _know_skew(self, skew: float | None) -> None:
        self.skew = self.skew if skew is None else skew
        if self.skew is not None and abs(self.skew) > _SKEW:
            where = "ahead of" if self.skew > 0 else "behind"
            self.warn(
                f"The clock of this computer is {duration(abs(self.skew))} {where} the service's: the times in the custody log and in "
                "records are off by that. Log and records say so; set the clock."
            )

    def _is_alone(self) -> bool | None:
        """Whether no other run is going on here; None where the file system cannot tell."""
        if self._presence is None or not self._presence.works:
            return None
        others = [
            run for run, facts in self.history.runs.items() if run != self.run and not (facts.ended or facts.aborted)
        ]
        return not any(map(self._is_alive, others))

    def claim_start(self, machine_id: str, name: str | None, comment: str, sent: float | None = None) -> Claim | None:
        """Announce that a collection is about to be asked for, unless a living run is at the same request.

        Atomic over all runs of the folder. None: C(start_requested) is written, go ahead. Otherwise nothing was written, and this
        is the other run's request: follow its C(action_id), which is None as long as its own reply is out (ask again then). What a
        living run has merely C(reused), stored or given up is no claim. sent: seconds since 1970 by the service's clock, where it
        is known. Raises EvidenceError.
        """
        with self._up_to_date():
            claim = self._claim_of_another(machine_id, comment)
            if claim is None:
                facts = {"machine_id": machine_id, "computer_dns_name": name, "comment": comment}
                told = {} if sent is None else {"service_time": iso(sent)}
                self._write(START_REQUESTED, {**facts, **told})
            return claim

    def claim(self, machine_id: str, comment: str) -> Claim | None:
        """The request that another living run is at, if there is one; see claim_start. Writes nothing. Raises EvidenceError."""
        self.refresh()
        return self._claim_of_another(machine_id, comment)

    def _claim_of_another(self, machine_id: str, comment: str) -> Claim | None:
        found = self.history.begun(machine_id, comment)
        others = [each for each in found if each.run != self.run and each.run_state is RunState.ALIVE]
        return others[-1] if others else None

    def append(self, event: str, **facts: t.Any) -> str:
        """Write one event through to the disk; returns the SHA-256 that the next line will carry."""
        return self.append_line(event, **facts).sha256

    def append_line(self, event: str, **facts: t.Any) -> Line:
        """Like append; returns the line."""
        with self._up_to_date():
            return self._write(event, facts)

    def append_upon(self, event: str, make: t.Callable[[str], t.Mapping[str, t.Any]]) -> None:
        """Like append, of facts that are made from the SHA-256 of the line that theirs will follow."""
        with self._up_to_date():
            self._write(event, make(self._chain.previous))

    def head(self) -> tuple[int, str]:
        """The number of the newest line, whichever run has written it, and its SHA-256."""
        with self._up_to_date():
            return self._chain.seq, self._chain.previous

    def newest(self) -> Line:
        """The newest line, whichever run has written it."""
        if self.read_only:
            self.refresh()
            return self._newest()
        with self._up_to_date():
            return self._newest()

    def _newest(self) -> Line:
        length = self._chain.length
        text = os.pread(self._file, length, self._size - length - self._whole) if self._file >= 0 else b""
        return Line(self._chain.seq, text)

    def lines(self, numbers: t.Collection[int]) -> dict[int, bytes]:
        """The lines with these numbers (C(seq)), as far as there are such. Raises EvidenceError."""
        try:
            return lines_with(self._file, numbers) if self._file >= 0 else {}
        except OSError as failure:
            raise unwritable(self.path, failure) from None

    def refresh(self) -> History:
        """The history, with what other runs have written since. Raises EvidenceError."""
        if not self.read_only:
            with self._up_to_date():
                return self.history
        with self._lock:
            try:
                if self._file >= 0:
                    self._read_on()
            except OSError as failure:
                raise unwritable(self.path, failure) from None
        return self.history

    # ---- how ----

    @contextmanager
    def _up_to_date(self) -> t.Iterator[None]:
        """The log locked for this run, with all that other runs have appended taken in."""
        with self._lock:
            if self._broken:
                raise self._broken
            if self._file < 0 or self.dir is None or self._presence is None:
                raise EvidenceError(f"The custody log {self.path} was closed already.", code="EvidenceClosed")
            try:
                self._locked()
                try:
                    self._presence.enter()
                    self._require_same(self.dir)
                    self._read_on()
                    yield
                finally:
                    self._unlock()
            except OSError as failure:
                raise unwritable(self.path, failure) from None

    def _locked(self) -> None:
        """Wait for other runs' lines, which take moments; not for ever for a process that was stopped in the middle of one."""
        until, pause = time.monotonic() + _LOCK_PATIENCE, 0.001
        while True:
            try:
                lock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, self.warn)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise EvidenceError(
                        f"The custody log {self.path} has been locked by another process for {_LOCK_PATIENCE:g} seconds.",
                        advice=f"Find it (fuser {self.path}): a run that was stopped, or something that should not be there.",
                        code="EvidenceLocked",
                    ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _unlock(self) -> None:
        lock(self._file, fcntl.LOCK_UN, self.warn)

    def _require_same(self, folder: Dir) -> None:
        """The log is still the file that was opened, and has what was read from it."""
        if not folder.is_same(LOG_NAME, self._file):
            raise self._altered("was replaced while this run wrote to it")
        size, length = os.fstat(self._file).st_size, self._chain.length
        if size < self._size:
            raise self._altered("was cut off while this run wrote to it")
        if self._chain.lines and not self._chain.torn:
            last = os.pread(self._file, length, self._size - length - self._whole)
            if sha256_of_line(last) != self._chain.previous:
                raise self._altered("was changed while this run wrote to it")

    def _altered(self, what: str) -> EvidenceError:
        self._broken = EvidenceError(
            f"The custody log {self.path} {what}.",
            advice="Something else writes there (an editor, a synchronisation, or somebody who should not). Leave it as it is, check "
            "it with secops.defender.defender_verify_evidence, and collect into another folder.",
            code="EvidenceAltered",
        )
        return self._broken

    def _refuse(self, kind: Trouble, number: int, message: str, since: str | None) -> None:
        """What is wrong with a line that was read: only a crash's traces are forgiven."""
        if kind is not Trouble.TORN:
            right = f" Everything was right at {since}." if since else ""
            raise self._altered(f"cannot be gone on with: line {number} {message.rstrip('.')}.{right}".rstrip("."))

    def _read_on(self) -> None:
        """Take in what was appended since, and heal a line that a crash cut short."""
        for line in lines_of(self._file, self._size):
            whole = line.endswith(b"\n")
            if not whole and self.read_only and len(line) <= MAX_LINE:
                # Another run may be just writing it.
                break
            self._whole = whole
            self._size += len(line)
            self._chain.feed(line)
        if not all(map(may_be_torn, self._chain.torn)):
            self._chain.end()
        if not self.read_only and not (self._whole and not self._chain.torn):
            self._heal()

    def _heal(self) -> None:
        """Close a line that a crash cut short, and say so behind it."""
        if not self._whole:
            _write_all(self._file, b"\n")
            self._whole, self._size = True, self._size + 1
        torn = self._chain.torn
        # Of a whole line nothing but its line feed was missing.
        self._write(LOG_REPAIRED, repair(torn) if torn else {"torn_bytes": self._chain.length})

    def _write(self, event: str, facts: t.Mapping[str, t.Any]) -> Line:
        entry: Entry = {
            "seq": self._chain.seq + 1,
            "time": iso(self._clock.wall()),
            "run": self.run,
            "event": event,
            **{key: shortened(value) for key, value in facts.items()},
            "previous_sha256": self._chain.previous,
        }
        line = with_digest(entry).encode()
        if len(line) > MAX_LINE:
            raise EvidenceError(f"An event {event} is too long for the custody log.", code="EvidenceError")
        try:
            _write_all(self._file, line + b"\n")
            sync_file(self._file, self.warn)
        except OSError:
            # A line cut short, on a full disk say, must not stay: the next one would stand behind it.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line) + 1
        self._chain.wrote(line, entry)
        self.history.read(entry)
        return Line(self._chain.seq, line)


def lines_of(file: int, offset: int = 0) -> t.Iterator[bytes]:
    """The lines of an open log, each with its line feed; the last one may lack it. One that is too long comes in pieces."""
    left = b""
    while block := os.pread(file, _BLOCK, offset):
        offset += len(block)
        *whole, left = (left + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(left) > MAX_LINE:
            yield left
            left = b""
    if left:
        yield left


def lines_with(file: int, numbers: t.Collection[int]) -> dict[int, bytes]:
    """The lines with these numbers (C(seq)) of an open log, without their line feeds."""
    begun = {number: b'{"seq":%d,' % number for number in numbers}
    beginnings, found = tuple(begun.values()), {}
    for line in lines_of(file) if beginnings else ():
        if line.startswith(beginnings):
            found[next(number for number, text in begun.items() if line.startswith(text))] = line.removesuffix(b"\n")
    return found


# A seam for tests: every byte of a log goes through it.
_write_all = write_all
