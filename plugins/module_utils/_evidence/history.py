# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What earlier runs have left in the custody log: requests, runs, packages.

A request is one wish for one device's package: device and comment (trimmed). It is open until its package is stored or the
device has failed. A run that takes up another one's request (C(resumed)) goes on with that request, and does not make it younger:
how old it is (C(resume_within)) counts from when it was first made, whoever was at it since. A run that finds that the package it
has taken up is kept no more, and asks anew, makes a new request of it; that one is as old as the new start.
"""

from __future__ import annotations

import enum
import re
import threading
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.secops.defender.plugins.module_utils._evidence import events
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time

Entry = t.Mapping[str, t.Any]

_HEX = re.compile(r"^[0-9a-f]{1,64}\Z")
# Words of a request (design: results, C(request)).
_RESUMED, _REUSED = "resumed", "reused"
# The code of the one failure that leaves a stored package.
_DUPLICATE = "DuplicatePackage"


class RunState(str, enum.Enum):
    """What became of a run."""

    ALIVE = "alive"  # it has no end, and its process is still there
    ENDED = "ended"  # it came to its end; what it left open was not finished in time
    ABORTED = "aborted"  # it said that it gave up
    GONE = "gone"  # it has no end, and its process is no more (or nobody can tell: see Custody.warnings)


@dataclass
class Request:
    """A request for one device's package with one comment, as the log knows it.

    requested: when it was first made, seconds since 1970 by the service's clock, where the log tells it; since: by the control node's.
    run: the run that was at it last. word: how that run came to the action: C(started), C(already_running), C(reused),
    C(resumed); None while no action is known. failed: the code of the failure that ended it. known: how many actions were known
    when it was made: those are none of its own. renewed: the run that was at it has asked anew, and the new request stands for it.
    overtaken: a later request for the same device and comment has its package.
    run_state is right in what History returns, at the time it is returned.
    """

    machine_id: str
    comment: str
    requested: float
    run: str
    name: str | None = None
    since: str = ""
    known: int = 0
    word: str | None = None
    action_id: str | None = None
    stored: bool = False
    failed: str | None = None
    message: str | None = None
    renewed: bool = False
    overtaken: bool = False
    run_state: RunState = RunState.GONE

    @property
    def ended(self) -> bool:
        """Whether nothing is open any more: its package is stored, the device has failed, or another request stands for it."""
        return self.stored or self.failed is not None or self.renewed


# What another run is at; see Custody.claim_start.
Claim = Request


@dataclass
class StoredPackage:
    """A package as the log recorded it. order: of the folder's packages, from 0."""

    path: str
    action_id: str
    machine_id: str
    sha256: str
    record_sha256: str
    time: str
    order: int


@dataclass(frozen=True)
class VerifiedPackage:
    """A package that was whole on disk, perhaps still as C(.part). record_sha256: of the record that was made for it."""

    sha256: str
    size: int
    record_sha256: str
    time: str


@dataclass(frozen=True)
class StoredSeal:
    """A seal as the log recorded it. path: C(seals/<seq>.sig) or C(.tsr); covers: the line that it is of; line: that tells of it.

    sha256: of the seal. key: the fingerprint of a signature's; nonce: of a stamp's question; authority: its address.
    """

    path: str
    covers: int
    covers_sha256: str
    sha256: str
    line: int
    time: str
    identity: str | None = None
    key: str | None = None
    nonce: int | None = None
    authority: str | None = None


@dataclass(frozen=True)
class KeptPackage:
    """Other bytes that the service gave for a recorded package. path: where they are kept; of: the recorded package."""

    path: str
    of: str
    sha256: str
    time: str


@dataclass
class RunFacts:
    """One run. devices: how many it was asked for, if it said so. interrupted: a later run has found it without end and master.

    task: the same for the tries of one task (C(until)), if it has more than one.
    """

    run: str
    started: str
    devices: int | None = None
    tenant: str | None = None
    ended: bool = False
    aborted: bool = False
    interrupted: bool = False
    task: str | None = None


def _nobody(_run: str) -> bool:
    return False


@dataclass
class History:
    """What earlier runs left in the log, and what this one has written so far. Safe for threads.

    alive: tells whether the process of a run without an end is still there.
    """

    alive: t.Callable[[str], bool] = _nobody
    requests: dict[tuple[str, str], list[Request]] = field(default_factory=dict)
    runs: dict[str, RunFacts] = field(default_factory=dict)
    # In the order in which they became known.
    known_actions: dict[str, int] = field(default_factory=dict)
    stored: dict[str, StoredPackage] = field(default_factory=dict)
    verified: dict[str, VerifiedPackage] = field(default_factory=dict)
    kept: dict[str, KeptPackage] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    seals: dict[str, StoredSeal] = field(default_factory=dict)
    # The newest line that a seal has to cover: some lines only tell of seals, or that somebody has read.
    changed: int = 0
    # What a person has noted, as long as nothing but sealing, reading and repairing came after it.
    note: t.Any = None
    tenant: str | None = None
    _by_action: dict[str, list[Request]] = field(default_factory=dict)
    _stored_actions: set[str] = field(default_factory=set)
    _by_digest: dict[str, list[StoredPackage]] = field(default_factory=dict)
    _current: dict[tuple[str, str], Request] = field(default_factory=dict)
    _lock: t.Any = field(default_factory=threading.RLock)

    # ---- what is asked ----

    def request(self, machine_id: str, comment: str) -> Request | None:
        """The latest request for a device with a comment; one that was merely C(reused) only if there is no other.

        Its C(run_state) says what became of the run that was at it. What follows from that (Resume) is the caller's to decide.
        """
        with self._lock:
            found = self.requests.get(_key(machine_id, comment), [])
            own = [each for each in found if each.word != _REUSED]
            return self._told((own or found)[-1]) if found else None

    def begun(self, machine_id: str, comment: str) -> list[Request]:
        """Requests of a device with a comment that are open, oldest first; without those that were merely C(reused)."""
        with self._lock:
            found = self.requests.get(_key(machine_id, comment), [])
            return [self._told(each) for each in found if not each.ended and each.word != _REUSED]

    def open_requests(self) -> list[Request]:
        """Requests that were begun and have no end, whoever made them, oldest first; also those of living runs (C(run_state)).

        They stay here until their package is stored or their device has failed. C(overtaken) ones have a later sibling with its
        package.
        """
        with self._lock:
            return [self._told(each) for each in self._all() if not each.ended]

    def without_package(self) -> list[Request]:
        """Requests that have failed and that no later run has made again: a later one speaks for itself."""
        with self._lock:
            failed = [each for each in self._all() if each.failed is not None and not each.stored]
            return [self._told(each) for each in failed if not self._later(each)]

    def interrupted_runs(self) -> list[RunFacts]:
        """Runs that have no end and no master, and runs that gave up, in the order in which they began. They stay here for ever."""
        with self._lock:
            return [
                facts for run, facts in self.runs.items() if self.run_state(run) in (RunState.GONE, RunState.ABORTED)
            ]

    def run_state(self, run: str) -> RunState:
        """What became of a run."""
        facts = self.runs.get(run)
        if facts and facts.aborted:
            return RunState.ABORTED
        if facts and facts.ended:
            return RunState.ENDED
        return RunState.ALIVE if self.alive(run) else RunState.GONE

    def duplicate_of(self, path: str) -> StoredPackage | None:
        """The earlier package of another action that has the same bytes as the stored one at this path."""
        with self._lock:
            mine = self.stored.get(path)
            if mine is None:
                return None
            alike = self._by_digest.get(mine.sha256, [])
            return next((each for each in alike if each.action_id != mine.action_id and each.order < mine.order), None)

    def _told(self, request: Request) -> Request:
        overtaken = any(each.stored for each in self._later(request))
        return replace(request, run_state=self.run_state(request.run), overtaken=overtaken)

    def _later(self, request: Request) -> list[Request]:
        """What later runs have asked for the same device with the same comment."""
        siblings = self.requests[request.machine_id, request.comment]
        place = next(number for number, each in enumerate(siblings) if each is request)
        return [each for each in siblings[place + 1 :] if each.run != request.run]

    def _all(self) -> list[Request]:
        every = [each for found in self.requests.values() for each in found]
        return sorted(every, key=lambda each: each.requested)

    # ---- what is read ----

    def read(self, entry: Entry) -> None:
        """Take in one entry of the log."""
        event = str(entry.get("event"))
        if event not in events.QUIET:
            self.changed = entry.get("seq", 0)
            if event != events.LOG_REPAIRED:
                self.note = entry.get("note") if event == events.NOTED else None
        reader = _READERS.get(event)
        if reader:
            with self._lock:
                reader(self, entry)

    def _run_started(self, entry: Entry) -> None:
        run, devices = str(entry.get("run")), entry.get("devices")
        self.runs[run] = RunFacts(
            run,
            str(entry.get("time")),
            devices if isinstance(devices, int) else None,
            _text(entry.get("tenant")),
            task=_text(entry.get("task")),
        )
        self.tenant = self.tenant or self.runs[run].tenant

    def _run_over(self, entry: Entry) -> None:
        run = str(entry.get("run"))
        facts = self.runs.setdefault(run, RunFacts(run, str(entry.get("time"))))
        facts.ended = entry.get("event") == events.RUN_ENDED
        facts.aborted = not facts.ended

    def _run_interrupted(self, entry: Entry) -> None:
        facts = self.runs.get(str(entry.get("interrupted_run")))
        if facts:
            facts.interrupted = True

    def _start_requested(self, entry: Entry) -> None:
        run, key = str(entry.get("run")), _key(entry.get("machine_id"), entry.get("comment"))
        own = self._own(key, run)
        if own is None or own.ended or own.action_id is not None:
            if own:
                # What it had taken up is kept no more.
                own.renewed = not own.ended
            own = self._new(entry)
        self._current[run, key[0]] = own

    def _action_known(self, entry: Entry) -> None:
        run, key, action = (
            str(entry.get("run")),
            _key(entry.get("machine_id"), entry.get("comment")),
            str(entry.get("action_id")),
        )
        word = _text(entry.get("request"))
        request = self._own(key, run)
        if request is None or request.ended or request.action_id not in (None, action):
            request = self._left(key, action) if word == _RESUMED else None
        request = request or self._new(entry)
        if request.action_id != action:
            request.action_id = action
            self._by_action.setdefault(action, []).append(request)
        request.run, request.word = run, word
        # What is there already, fetched or collected with another comment, is not announced again.
        request.stored = request.stored or action in self._stored_actions
        request.name = request.name or _text(entry.get("computer_dns_name"))
        self.known_actions.setdefault(action, len(self.known_actions))
        self._current[run, key[0]] = request

    def _own(self, key: tuple[str, str], run: str) -> Request | None:
        """The run's latest request of that device and comment."""
        return next((each for each in reversed(self.requests.get(key, [])) if each.run == run), None)

    def _left(self, key: tuple[str, str], action: str) -> Request | None:
        """The request that a run takes up with this action: the one that led to it, or one whose reply never came.

        Not one that has merely taken the same package: nobody picks that up, and it is younger.
        """
        found = [each for each in self.requests.get(key, [])[::-1] if each.word != _REUSED]
        same = next((each for each in found if each.action_id == action), None)
        return same or next((each for each in found if each.action_id is None and not each.ended), None)

    def _new(self, entry: Entry) -> Request:
        key = _key(entry.get("machine_id"), entry.get("comment"))
        request = Request(
            *key,
            requested=parse_time(entry.get("service_time")) or parse_time(entry.get("time")),
            run=str(entry.get("run")),
            name=_text(entry.get("computer_dns_name")),
            since=str(entry.get("time")),
            known=len(self.known_actions),
        )
        self.requests.setdefault(key, []).append(request)
        return request

    def _package_verified(self, entry: Entry) -> None:
        if isinstance(entry.get("size"), int):
            self.verified[str(entry.get("path"))] = VerifiedPackage(
                str(entry.get("sha256")), entry["size"], str(entry.get("record_sha256")), str(entry.get("time"))
            )

    def _package_stored(self, entry: Entry) -> None:
        path, action = str(entry.get("path")), str(entry.get("action_id"))
        known = self.stored.get(path)
        package = StoredPackage(
            path,
            action,
            str(entry.get("machine_id")),
            str(entry.get("sha256")),
            str(entry.get("record_sha256")),
            str(entry.get("time")),
            known.order if known else len(self.stored),
        )
        self.stored[path] = package
        self._stored_actions.add(action)
        if known is None:
            self._by_digest.setdefault(package.sha256, []).append(package)
        current = self._current.get((str(entry.get("run")), package.machine_id.lower()))
        for request in self._by_action.get(action, []):
            request.stored = True
        if current and current.action_id in (None, action):
            current.stored = True

    def _package_restored(self, entry: Entry) -> None:
        package = self.stored.get(str(entry.get("path")))
        if package and package.sha256 == entry.get("sha256"):
            package.record_sha256 = str(entry.get("record_sha256"))

    def _package_differs(self, entry: Entry) -> None:
        path = str(entry.get("kept"))
        self.kept[path] = KeptPackage(
            path, str(entry.get("path")), str(entry.get("downloaded_sha256")), str(entry.get("time"))
        )

    def _device_failed(self, entry: Entry) -> None:
        run, machine_id = str(entry.get("run")), str(entry.get("machine_id")).lower()
        request = self._failing(entry, run, machine_id) or self._new(entry)
        request.failed = _text(entry.get("code")) or "Error"
        # A copy of another action's package was stored all the same; whatever else failed has none.
        request.stored = request.stored and request.failed == _DUPLICATE
        request.message = _text(entry.get("message"))

    def _failing(self, entry: Entry, run: str, machine_id: str) -> Request | None:
        """The request that a failure ends: by its action and comment where the entry says them."""
        for request in reversed(self._by_action.get(str(entry.get("action_id")), [])):
            if request.run == run and request.machine_id == machine_id:
                return request
        if entry.get("comment") is not None:
            return self._own(_key(machine_id, entry["comment"]), run)
        return self._current.get((run, machine_id))

    def _report_stored(self, entry: Entry) -> None:
        path = str(entry.get("path"))
        if events.REPORT_NAME.match(path):
            self.reports[path] = str(entry.get("sha256"))

    def _seal_stored(self, entry: Entry) -> None:
        path, covers, nonce = str(entry.get("path")), entry.get("covers"), entry.get("nonce")
        if events.SEAL_NAME.match(path) and isinstance(covers, int):
            self.seals[path] = StoredSeal(
                path,
                covers,
                str(entry.get("covers_sha256")),
                str(entry.get("sha256")),
                entry.get("seq", 0),
                str(entry.get("time")),
                _text(entry.get("identity")),
                _text(entry.get("key")),
                int(nonce, 16) if isinstance(nonce, str) and _HEX.match(nonce) else None,
                _text(entry.get("tsa")),
            )


_READERS: dict[str, t.Callable[[History, Entry], None]] = {
    events.RUN_STARTED: History._run_started,
    events.RUN_ENDED: History._run_over,
    events.RUN_ABORTED: History._run_over,
    events.RUN_INTERRUPTED: History._run_interrupted,
    events.START_REQUESTED: History._start_requested,
    events.ACTION_KNOWN: History._action_known,
    events.PACKAGE_VERIFIED: History._package_verified,
    events.PACKAGE_STORED: History._package_stored,
    events.PACKAGE_RESTORED: History._package_restored,
    events.PACKAGE_DIFFERS: History._package_differs,
    events.DEVICE_FAILED: History._device_failed,
    events.REPORT_STORED: History._report_stored,
    events.SEAL_STORED: History._seal_stored,
}


def _key(machine_id: object, comment: object) -> tuple[str, str]:
    return str(machine_id).lower(), str(comment or "").strip()


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None
