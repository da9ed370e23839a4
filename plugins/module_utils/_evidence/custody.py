# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The custody log: append-only, chained, written ahead of what it announces.

One JSON object a line. C(previous_sha256) is the SHA-256 of the line before (64 zeros in the first), C(seal) that of the
line itself without its seal; so a change anywhere, the last line included, shows. It is also what an interrupted run is
resumed from.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import hashlib
import itertools
import json
import os
import re
import socket
import threading
import typing as t
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso, parse_time
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

LOG_NAME = "custody.jsonl"
FIRST = "0" * 64
# The reports' names, in the evidence folder itself.
REPORT_NAME = re.compile(r"^report-\d{8}T\d{6}Z-[0-9a-f]{8}\.(html|json)\Z")
_TAIL = 1 << 16

# Events. What a run resumes from is told by them alone.
RUN_STARTED, RUN_ENDED = "run_started", "run_ended"
RUN_ABORTED = "run_aborted"  # it gave up; what it left open is taken up by the next run
START_REQUESTED = "start_requested"  # a collection is about to be asked for
ACTION_KNOWN = "action_known"  # the machine action that will give the package: started, adopted, reused or resumed
DOWNLOAD_STARTED = "download_started"
PACKAGE_VERIFIED = "package_verified"  # the whole package is on disk under its .part name
PACKAGE_STORED = "package_stored"  # package and record have their final names
DEVICE_FAILED = "device_failed"
REPORT_STORED = "report_stored"  # a report of the run is on disk, and about to get its final name
LOG_REPAIRED = "log_repaired"  # the line before was cut short by a crash


def seal(entry: dict[str, t.Any]) -> str:
    """The line for an entry, sealed."""
    body = {key: value for key, value in entry.items() if key != "seal"}
    digest = hashlib.sha256(_dump(body).encode()).hexdigest()
    return _dump({**body, "seal": digest})


def _dump(entry: dict[str, t.Any]) -> str:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":"))


def sha256_of_line(line: bytes) -> str:
    """The SHA-256 that the next line carries: of the line without its line feed."""
    return hashlib.sha256(line).hexdigest()


@dataclass
class Request:
    """What the log knows of the latest request for one device with one comment."""

    requested: float
    run: str
    # How many actions were known when it was made: those are none of its own.
    known: int = 0
    action_id: str | None = None
    stored: bool = False
    failed: bool = False


@dataclass
class History:
    """What earlier runs left in the log."""

    requests: dict[tuple[str, str], Request] = field(default_factory=dict)
    ended_runs: set[str] = field(default_factory=set)
    # In the order in which they became known.
    known_actions: dict[str, int] = field(default_factory=dict)
    stored_actions: set[str] = field(default_factory=set)
    stored_files: dict[str, str] = field(default_factory=dict)
    verified_files: dict[str, tuple[str, int]] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    _current: dict[tuple[str, str], Request] = field(default_factory=dict)

    def read(self, entry: dict[str, t.Any]) -> None:
        event, run, path = entry.get("event"), str(entry.get("run")), str(entry.get("path"))
        machine_id, comment = str(entry.get("machine_id")), str(entry.get("comment"))
        if event == RUN_ENDED:
            self.ended_runs.add(run)
        elif event in (START_REQUESTED, ACTION_KNOWN):
            request = self.requests.get((machine_id, comment))
            if request is None or event == START_REQUESTED or entry.get("request") not in ("started", "resumed"):
                request = self.requests[machine_id, comment] = Request(
                    parse_time(entry.get("time")), run, len(self.known_actions)
                )
            if event == ACTION_KNOWN:
                request.action_id, request.run = str(entry.get("action_id")), run
                self.known_actions.setdefault(request.action_id, len(self.known_actions))
            self._current[run, machine_id] = request
        elif event == PACKAGE_VERIFIED:
            if isinstance(entry.get("size"), int):
                self.verified_files[path] = (str(entry.get("sha256")), entry["size"])
        elif event == REPORT_STORED and REPORT_NAME.match(path):
            self.reports[path] = str(entry.get("sha256"))
        elif event in (PACKAGE_STORED, DEVICE_FAILED):
            if event == PACKAGE_STORED:
                self.stored_files[path] = str(entry.get("sha256"))
                self.stored_actions.add(str(entry.get("action_id")))
            ended = self._current.get((run, machine_id))
            if ended:
                ended.stored, ended.failed = event == PACKAGE_STORED, event == DEVICE_FAILED

    def unfinished(self, machine_id: str, comment: str, since: float) -> Request | None:
        """The device's request that a run which was interrupted left to this one, if it is the same request and recent.

        A request is the same if its comment is. One that a completed run carried to its end is none: asking again is new.
        """
        request = self.requests.get((machine_id, comment))
        if request is None or request.requested < since or request.failed:
            return None
        # Its package may have been stored for another request: two can have the same action.
        stored = request.stored or request.action_id in self.stored_actions
        return None if stored and request.run in self.ended_runs else request


class Custody:
    """The log of one evidence folder, opened for one run. Safe for threads, and for several runs at once.

    Raises EvidenceError where the log cannot be written: nothing may happen that is not announced.
    read_only: only to know its history (check mode). launched_by: who asked, besides what the control node knows.
    """

    def __init__(
        self, folder: Path, clock: Clock, read_only: bool = False, launched_by: t.Mapping[str, str] | None = None
    ) -> None:
        self.path = folder / LOG_NAME
        self.run = str(uuid.uuid4())
        self.asked_by = {**asked_by(), **(launched_by or {})}
        self._clock = clock
        self._lock = threading.Lock()
        self._open_files = ExitStack()
        self._size = -1
        self._last = FIRST
        self._count = 0
        try:
            if not read_only:
                self._file = self._keep_open(
                    os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                )
            self.history = self._read()
        except OSError as failure:
            self.close()
            raise unwritable(self.path, failure) from None

    def _keep_open(self, file: int) -> int:
        self._open_files.callback(os.close, file)
        return file

    def _read(self) -> History:
        history = History()
        if self.path.exists():
            with open(self.path, "rb") as log:
                for line in log:
                    entry = parse_line(line)
                    if entry:
                        history.read(entry)
        return history

    def history_of(self, name: str) -> History:
        """The history, read anew where it does not tell that a file was stored: another run may just have done so.

        Raises OSError.
        """
        return self.history if name in self.history.stored_files else self._read()

    def begin(self, **facts: t.Any) -> None:
        """Write that the run has begun, and whether it is alone in the folder: then earlier ones without an end are dead."""
        with self._up_to_date():
            self._write(RUN_STARTED, {**facts, "alone": self._alone()})

    def append(self, event: str, **facts: t.Any) -> str:
        """Write one event through to the disk; returns the SHA-256 that the next line will carry."""
        with self._up_to_date():
            return self._write(event, facts)

    def head(self) -> tuple[int, str]:
        """The number of the newest line, whichever run has written it, and its SHA-256."""
        with self._up_to_date():
            return self._count, self._last

    def _alone(self) -> bool | None:
        """Whether no other run is going on here; from now on, until close, others know of this one.

        None: not to be told, on a network file system for instance.
        """
        try:
            folder = self._keep_open(os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                alone = False
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return None
        return alone

    @contextmanager
    def _up_to_date(self) -> t.Iterator[None]:
        """The log locked for this run, with all that other runs have appended taken in."""
        with self._lock:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                try:
                    if not os.path.samestat(os.fstat(self._file), os.stat(self.path)):
                        raise EvidenceError(
                            f"The custody log {self.path} was replaced while this run wrote to it.",
                            advice="Something else writes there, an editor or a synchronisation. Verify the folder, then run again.",
                            code="EvidenceAltered",
                        )
                    self._catch_up()
                    yield
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            except OSError as failure:
                # Whatever was written or not: the next one reads it anew.
                self._size = -1
                raise unwritable(self.path, failure) from None

    def close(self) -> None:
        """Let go of the log and of the folder; may be called twice."""
        with self._lock:
            self._file = -1
            self._open_files.close()

    def _write(self, event: str, facts: dict[str, t.Any]) -> str:
        entry = {
            "seq": self._count + 1,
            "time": iso(self._clock.wall()),
            "run": self.run,
            "event": event,
            **facts,
            "previous_sha256": self._last,
        }
        line = seal(entry).encode()
        try:
            _write_all(self._file, line + b"\n")
            os.fsync(self._file)
        except OSError:
            # A line cut short, on a full disk say, must not stay: the next one would stand behind it.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line) + 1
        self._count += 1
        self._last = sha256_of_line(line)
        return self._last

    def _catch_up(self) -> None:
        """Take in what other runs have appended since, and heal a line that a crash cut short."""
        size = os.fstat(self._file).st_size
        if size == self._size:
            return
        self._size = size
        if size == 0:
            self._last, self._count = FIRST, 0
            return
        lines, torn = self._last_lines(size)
        if torn:
            _write_all(self._file, b"\n")
            self._size += 1
        last = lines[-1]
        self._last = sha256_of_line(last)
        behind = list(itertools.takewhile(lambda line: not parse_line(line), lines[::-1]))[::-1]
        newest = parse_line(lines[-1 - len(behind)]) if len(behind) < len(lines) else None
        self._count = int(newest["seq"]) if newest else 0
        if (torn or behind) and all(map(may_be_torn, behind or [last])):
            facts: dict[str, t.Any] = {"torn_bytes": len(last)}
            if len(behind) > 1:
                # A repair was cut short as well. The chain covers the last line only, so the others are told by their hash.
                facts.update(torn_lines=len(behind), torn_sha256=sha256_of_line(b"\n".join(behind)))
            self._write(LOG_REPAIRED, facts)

    def _last_lines(self, size: int) -> tuple[list[bytes], bool]:
        """The lines from the newest entry on, and whether the last one lacks its line feed."""
        reach = _TAIL
        while True:
            tail = os.pread(self._file, reach, max(0, size - reach))
            torn = not tail.endswith(b"\n")
            lines = (tail if torn else tail[:-1]).split(b"\n")
            # The first one may have begun before the tail.
            if reach >= size or any(map(parse_line, lines[1:])):
                return lines, torn
            reach *= 2


def parse_line(line: bytes) -> dict[str, t.Any] | None:
    """The entry, or None for a line that is no entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("seq"), int) else None


def may_be_torn(line: bytes) -> bool:
    """Whether a crash can have left this of an entry: its beginning, and zeros where a power cut kept back what followed."""
    begun = line.rstrip(b"\0")
    try:
        json.loads(begun)
    except (ValueError, RecursionError):
        return begun[:1] in (b"", b"{")
    # Nothing but its line feed is missing.
    return parse_line(begun) is not None


def asked_by() -> dict[str, t.Any]:
    """Who runs this, as far as the control node knows: for the log and the records."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    who: dict[str, t.Any] = {"user": user, "host": socket.gethostname(), "tool": USER_AGENT}
    if os.environ.get("JOB_ID"):
        who["awx_job_id"] = os.environ["JOB_ID"]
    return who


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def unwritable(path: Path, failure: OSError) -> EvidenceError:
    """The error for a file of the evidence folder that cannot be written."""
    full = failure.errno in (errno.ENOSPC, errno.EDQUOT)
    return EvidenceError(
        f"The evidence folder {path.parent} cannot be written: {failure.strerror}.",
        advice="Free space there, then run again: what was begun is picked up."
        if full
        else "Check that dest is a folder, its owner and permissions, and whether the file system is mounted read-only.",
        code="DiskFull" if full else "DestNotWritable",
    )
