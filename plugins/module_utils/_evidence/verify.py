# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an evidence folder is still what the runs made of it."""

from __future__ import annotations

import errno
import os
import re
import stat
import typing as t
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ansible_collections.secops.defender.plugins.module_utils._evidence import events, records
from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import Chain, Entry, Trouble
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import lines_of, lines_with
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, NotOrdinary, hash_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import (
    History,
    Request,
    RunState,
    StoredPackage,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.presence import FOLDER as RUNS
from ansible_collections.secops.defender.plugins.module_utils._evidence.presence import Presence, run_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import judging
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.judging import Seal, Trusted
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.sealing import content_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.stamps import NotValid
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError, printable

# Kinds of findings.
ALTERED, MISSING, NOT_RECORDED, BROKEN_CHAIN, TORN, UNFINISHED, DUPLICATE, INVALID_SEAL, UNSEALED = (
    "altered",
    "missing",
    "not_recorded",
    "broken_chain",
    "torn",
    "unfinished",
    "duplicate",
    judging.INVALID,
    "unsealed",
)

_ALTERED = (
    "Leave the folder as it is, find out who could write to it since, and compare it with a copy; packages that the "
    "service still has can be fetched into a new folder with secops.defender.defender_fetch_package."
)
# What to do, by the worst kind that was found.
_ADVICE = (
    (
        (ALTERED, BROKEN_CHAIN, MISSING),
        _ALTERED,
    ),
    (
        (INVALID_SEAL,),
        "Check that tsa_ca_path, allowed_signers and revoked_keys are those of the folder's seals. If they are, a seal was forged or "
        "made with what could not be trusted: treat the folder as altered.",
    ),
    (
        (NOT_RECORDED,),
        "Find out who put the files there, and move them out: an evidence folder holds nothing but what the runs write.",
    ),
    (
        (DUPLICATE,),
        "Two collections never give equal packages: one of them is not what its action collected. Collect anew from both devices, and "
        "ask Microsoft's support with both action IDs.",
    ),
    (
        (TORN, UNFINISHED),
        "If nothing is running in this folder, run the interrupted task again with the same dest: it finishes what was begun "
        "and says so in the log. A .part file that nobody needs any more may be removed.",
    ),
    (
        (UNSEALED,),
        "Seal the folder with secops.defender.defender_seal_evidence; to judge its seals, give tsa_ca_path and allowed_signers.",
    ),
)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. since: when it was last known to be right, ISO 8601 UTC, if that is known."""

    kind: str
    path: str
    message: str
    since: str | None = None

    def as_result(self) -> dict[str, t.Any]:
        return {"kind": self.kind, "path": self.path, "message": self.message, "since": self.since}


@dataclass
class Verdict:
    """What was found in one evidence folder.

    interrupted: runs without an end and runs that gave up, for ever: C(run), C(started), C(state), C(devices) that it was asked for,
    C(open) requests that nobody has finished since. None of that is a finding by itself: what is still open is one.
    without_package: devices that failed or were not ready in time, and that nobody has collected from since, with C(machine_id), C(computer_dns_name),
    C(comment), C(asked), C(code) and C(message). No finding either: what is there is as it was written, and no one can collect
    from a device that cannot.
    head_compared: whether a head that was noted elsewhere was looked for. tenant: whose folder it is, as the log says. history: what
    the log tells of requests and runs.
    """

    findings: list[Finding] = field(default_factory=list)
    packages: list[dict[str, t.Any]] = field(default_factory=list)
    interrupted: list[dict[str, t.Any]] = field(default_factory=list)
    without_package: list[dict[str, t.Any]] = field(default_factory=list)
    events: int = 0
    repaired: int = 0
    head: str | None = None
    head_compared: bool = False
    tenant: str | None = None
    seals: list[Seal] = field(default_factory=list)
    # The last line that a valid seal vouches for, and the last one that must be vouched for.
    sealed: int = 0
    changed: int = 0
    history: History = field(default_factory=History)

    @property
    def verified(self) -> bool:
        """Whether all is as it was written, and there is something of which that is said."""
        return bool(self.packages) and not self.findings

    @property
    def advice(self) -> str:
        """What to do about the worst kind of finding."""
        kinds = {finding.kind for finding in self.findings}
        if (MISSING, events.LOG_NAME) in {(finding.kind, finding.path) for finding in self.findings}:
            # More often somebody has named the folder above, or below, than taken a log away.
            return f"Give the folder that was dest when the packages were collected. If it is this one, l{_ALTERED[1:]}"
        return next((text for those, text in _ADVICE if kinds.intersection(those)), "")

    def find(self, kind: str, path: str, message: str, since: str | None = None) -> None:
        self.findings.append(Finding(kind, _readable(path), printable(message), since))


def verify(
    folder: Path,
    expected_head: str | None = None,
    progress: t.Callable[[int, int], None] = lambda done, of: None,
    trusted: Trusted | None = None,
    require_seal: bool = False,
    machines: t.Container[str] | None = None,
) -> Verdict:
    """Check the custody log against its own chain, and every file against the log and its record. Reads only.

    expected_head: the SHA-256 of a line that must be in the log, noted elsewhere at some time; without it nobody can tell
    that whole runs were cut off the log's end together with their files. machines: whose packages are checked, by device ID; None for
    all. Raises EvidenceError if the folder cannot be read.
    """
    if not folder.is_dir():
        raise EvidenceError(
            f"{folder} is no folder.",
            advice="Give the folder that was dest when the packages were collected.",
            code="EvidenceMissing",
        )
    try:
        with Dir.open(folder, lambda text: None) as opened:
            verification = _Verification(opened)
            verification.check_log(expected_head)
            verification.check_seals(trusted or Trusted(), require_seal)
            return verification.verdict(progress, machines)
    except OSError as failure:
        raise EvidenceError(
            f"{_readable(str(failure.filename or folder))} cannot be read: {failure.strerror}.",
            advice="Run as a user that may read the evidence.",
            code="EvidenceUnreadable",
        ) from None


class _Log:
    """What the custody log says, and what is wrong with it."""

    def __init__(self, presence: Presence, verdict: Verdict) -> None:
        self.lines: dict[str, int] = {}
        self.skews: dict[str, float] = {}
        self.last = 0
        self._skew = 0.0
        self.history = History(alive=presence.is_alive)
        self.begun: dict[str, str] = {}
        self.runs: set[str] = set()
        self._verdict = verdict
        self._chain = Chain(self._take_in, self._trouble)

    def read(self, file: int) -> None:
        torn = False
        for line in lines_of(file):
            torn = not line.endswith(b"\n")
            self._chain.feed(line)
        self._chain.end(torn)
        verdict, chain = self._verdict, self._chain
        verdict.events, verdict.repaired, verdict.tenant = chain.events, chain.repaired, self.history.tenant
        verdict.head = chain.previous if chain.lines else None

    def _trouble(self, kind: Trouble, number: int, message: str, since: str | None) -> None:
        self._verdict.find(kind.value, events.LOG_NAME, f"Line {number} {message}", since)

    def _wrong(self, number: int, message: str) -> None:
        self._verdict.find(ALTERED, events.LOG_NAME, f"Line {number} {message}", self._chain.good_until)

    def _take_in(self, number: int, digest: str, entry: Entry) -> None:
        self.lines[digest] = self.last = entry["seq"]
        self.runs.add(str(entry.get("run")))
        event, path = entry.get("event"), str(entry.get("path"))
        if event == events.PACKAGE_STORED and not self._may_be_stored(number, path, entry):
            return
        if event == events.RUN_STARTED and not _is_same_tenant(entry.get("tenant"), self.history.tenant):
            self._wrong(number, "is of another tenant than the lines before: a folder belongs to one.")
        if event == events.REPORT_STORED and not events.REPORT_NAME.match(path):
            self._wrong(number, "names a report where none can be.")
        if event in (events.DOWNLOAD_STARTED, events.PACKAGE_VERIFIED, events.REPORT_STORED):
            self.begun[path] = str(entry.get("time"))
        if event == events.SEAL_STORED:
            self.skews[path] = self._skew
        elif isinstance(entry.get("clock_skew_seconds"), (int, float)):
            self._skew = float(entry["clock_skew_seconds"])
        self.history.read(entry)

    def _may_be_stored(self, number: int, path: str, entry: Entry) -> bool:
        known = self.history.stored.get(path)
        if not _is_place(path):
            self._wrong(number, "names a package where none can be.")
            return False
        if known and known.sha256 != entry.get("sha256"):
            # A package is never overwritten, and its action gives no other.
            self._wrong(number, f"says that {path} was stored again with another SHA-256.")
            return False
        return True


class _Verification:
    """One look at one folder."""

    def __init__(self, folder: Dir) -> None:
        self._folder = folder
        self._verdict = Verdict()
        self._presence = Presence(folder, "")
        self._log = _Log(self._presence, self._verdict)
        self._history = self._log.history
        self._files: dict[str, os.stat_result] = {}
        self._texts: dict[int, bytes] = {}

    def check_log(self, expected_head: str | None) -> None:
        self._files = dict(sorted(_files(self._folder)))
        self._read_log()
        self._check_head(expected_head)

    def verdict(self, progress: t.Callable[[int, int], None], machines: t.Container[str] | None) -> Verdict:
        """After the log and its seals, everything else."""
        stored = sorted(self._history.stored.values(), key=lambda each: each.path)
        stored = [each for each in stored if machines is None or each.machine_id.lower() in machines]
        for number, package in enumerate(stored):
            progress(number, len(stored))
            self._check_package(package)
        self._check_kept()
        self._check_reports()
        self._check_others()
        self._check_runs()
        self._check_requests()
        self._verdict.history = self._history
        return self._verdict

    # ---- the log ----

    def _read_log(self) -> None:
        if events.LOG_NAME not in self._files:
            self._verdict.find(MISSING, events.LOG_NAME, "There is no custody log.")
            return
        try:
            file = self._folder.open_file(events.LOG_NAME)
        except NotOrdinary as failure:
            self._verdict.find(NOT_RECORDED, events.LOG_NAME, f"This is no ordinary file, but {failure.kind}.")
            return
        try:
            self._log.read(file)
            self._texts = lines_with(file, self._wanted())
        finally:
            os.close(file)
        if not self._verdict.events:
            self._verdict.find(MISSING, events.LOG_NAME, "The custody log is empty.")

    def _check_head(self, expected: str | None) -> None:
        self._verdict.head_compared = bool(expected)
        if expected and expected.lower() not in self._log.lines:
            self._verdict.find(
                BROKEN_CHAIN,
                events.LOG_NAME,
                f"No line of the log has the SHA-256 {expected}: lines were removed or rewritten.",
            )

    def _check_runs(self) -> None:
        for run, facts in self._history.runs.items():
            state = self._history.run_state(run)
            if state is RunState.ALIVE:
                self._verdict.find(UNFINISHED, events.LOG_NAME, f"The run {run} is still going on.", facts.started)
            elif state is RunState.GONE and not facts.interrupted:
                self._verdict.find(
                    UNFINISHED,
                    events.LOG_NAME,
                    f"The run {run} has no end: it was interrupted, or the end of the log was cut off.",
                    facts.started,
                )
        left = [each.run for each in self._history.open_requests() if not each.overtaken]
        for facts in self._history.interrupted_runs():
            self._verdict.interrupted.append(
                {
                    "run": facts.run,
                    "started": facts.started,
                    "state": self._history.run_state(facts.run).value,
                    "devices": facts.devices,
                    "open": left.count(facts.run),
                }
            )

    def _check_requests(self) -> None:
        """What was asked for and ended without a package, or has not ended.

        A run that came to its end has told of every device that was not ready in time; it is named, and nothing is out of order.
        """
        left = [request for request in self._history.open_requests() if not request.overtaken]
        for request in left:
            if request.run_state is not RunState.ENDED:
                self._verdict.find(
                    UNFINISHED,
                    events.LOG_NAME,
                    f"The package of {_asked(request)} has not come: {_STATES[request.run_state]}.",
                    request.since,
                )
        named = [request for request in left if request.run_state is RunState.ENDED]
        self._verdict.without_package = [_without(request) for request in [*self._history.without_package(), *named]]

    # ---- its seals ----

    def _seal_names(self) -> dict[str, int]:
        """All seals that are here or should be, with the number of the line that each is of; time stamps first."""
        names = {*self._history.seals, *self._files}
        found = {name: int(match[1]) for name in names if (match := events.SEAL_NAME.match(name))}
        return dict(sorted(found.items(), key=lambda each: (each[0].endswith(".sig"), each[1])))

    def _wanted(self) -> set[int]:
        """The lines that judging the seals takes."""
        told = self._history.seals.values()
        return {*self._seal_names().values(), *(each.covers for each in told)}

    def check_seals(self, trusted: Trusted, required: bool) -> None:
        """Raises EvidenceError, MissingLibrary where nobody who is trusted can be asked."""
        verdict, log = self._verdict, self._log
        facts = judging.Logged(log.lines, self._texts, log.last, log.skews)
        judge = judging.Judge(facts, trusted, verdict.find)
        for name, seq in self._seal_names().items():
            recorded = self._history.seals.get(name)
            verdict.seals.append(judge.seal(name, seq, self._content(name), recorded))
        verdict.seals.sort(key=lambda each: (each.seq, each.kind))
        verdict.sealed = max((each.covers for each in verdict.seals if each.valid), default=0)
        verdict.changed = self._history.changed
        if required and verdict.sealed < verdict.changed:
            since = f"line {verdict.sealed + 1} on" if verdict.sealed else "its beginning on"
            verdict.find(UNSEALED, events.LOG_NAME, f"No valid seal vouches for the log from {since}.")

    def _content(self, name: str) -> bytes | NotValid | None:
        """A seal, after it was held against the log's record of it; None if it is not there."""
        recorded = self._history.seals.get(name)
        there = name if name in self._files else f"{name}.part"
        if there not in self._files:
            self._verdict.find(MISSING, name, "The seal is missing.", recorded.time if recorded else None)
            return None
        if recorded:
            self._hashed(there, "seal", recorded.time, recorded.sha256)
        try:
            with self._folder.folder(events.SEALS) as seals:
                return content_of(seals, there)
        except NotValid as failure:
            return failure
        except NotOrdinary as failure:
            self._not_ordinary(there, failure)
            return NotValid("it is no ordinary file")

    # ---- files that the log tells of ----

    def _check_package(self, stored: StoredPackage) -> None:
        before = len(self._verdict.findings)
        digest, size = self._hashed(stored.path, "package", stored.time, stored.sha256)
        record = self._check_record(stored, digest, size)
        twin = self._history.duplicate_of(stored.path)
        if twin:
            self._verdict.find(
                DUPLICATE,
                stored.path,
                f"The package of the action {stored.action_id} has the same bytes as that of the action {twin.action_id} "
                f"({twin.path}).",
                stored.time,
            )
        self._verdict.packages.append(
            {
                "path": stored.path,
                "machine_id": stored.machine_id,
                "action_id": stored.action_id,
                "sha256": digest,
                "size": size,
                "collected": _collected(record),
                "downloaded": record.get("downloaded"),
                "verified": len(self._verdict.findings) == before,
            }
        )

    def _hashed(self, name: str, what: str, since: str, recorded: str) -> tuple[str | None, int | None]:
        """SHA-256 and size of a file that should be there; None if it is not."""
        try:
            with _opened(self._folder, name) as file:
                digest, size = hash_of(file.fileno())
        except FileNotFoundError:
            other = next((kept.path for kept in self._history.kept.values() if kept.of == name), None)
            more = f" The service gave other bytes for it later; they are kept as {other}." if other else ""
            self._verdict.find(MISSING, name, f"The {what} is missing.{more}", since)
            return None, None
        except NotOrdinary as failure:
            self._not_ordinary(name, failure)
            return None, None
        if digest != recorded:
            self._verdict.find(ALTERED, name, f"The {what} has the SHA-256 {digest} instead of {recorded}.", since)
        return digest, size

    def _not_ordinary(self, name: str, failure: NotOrdinary) -> None:
        told = Path(str(failure.filename)).name if name == events.LOG_NAME else name
        self._verdict.find(NOT_RECORDED, told, f"This is no ordinary file, but reached through {failure.kind}.")

    def _check_record(self, stored: StoredPackage, digest: str | None, size: int | None) -> dict[str, t.Any]:
        name, since = _record_of(stored.path), stored.time
        path = PurePosixPath(name)
        try:
            with self._folder.folder(path.parts[0]) as device:
                record_sha256, record = records.read(device, path.name)
        except FileNotFoundError:
            self._verdict.find(MISSING, name, "The package's record is missing.", since)
            return {}
        except NotOrdinary as failure:
            self._not_ordinary(name, failure)
            return {}
        except NotADirectoryError:
            self._verdict.find(MISSING, name, "The package's record is missing.", since)
            return {}
        if record_sha256 != stored.record_sha256:
            self._verdict.find(ALTERED, name, "The record is not the one that was written.", since)
        elif digest == stored.sha256 and (record.get("sha256"), record.get("size")) != (digest, size):
            self._verdict.find(ALTERED, stored.path, "The package is not what its record says.", since)
        if record.get("custody_sha256") not in self._log.lines:
            self._verdict.find(
                BROKEN_CHAIN, events.LOG_NAME, f"The line that {name} stands on is not in the log.", since
            )
        return record

    def _check_kept(self) -> None:
        for kept in self._history.kept.values():
            if not _is_place(kept.path):
                self._verdict.find(ALTERED, events.LOG_NAME, "A line names a kept package where none can be.")
            elif kept.path in self._files or f"{kept.of}.part" not in self._files:
                self._hashed(kept.path, "kept package", kept.time, kept.sha256)

    def _check_reports(self) -> None:
        for name, recorded in sorted(self._history.reports.items()):
            part = f"{name}.part"
            if name in self._files or part not in self._files or self._digest(part) != recorded:
                # A crash between the log's line and the renaming leaves it under its other name: not missing, but unfinished.
                self._hashed(name, "report", self._log.begun.get(name, ""), recorded)

    def _digest(self, name: str) -> str | None:
        try:
            with _opened(self._folder, name) as file:
                return hash_of(file.fileno())[0]
        except NotOrdinary:
            return None

    # ---- files that it does not ----

    def _check_others(self) -> None:
        known = {events.LOG_NAME, *self._history.reports, *self._history.kept, *self._history.seals}
        known.update(name for name in self._files if events.BESIDE_SEALS.match(name))
        for name in self._history.stored:
            known.update((name, _record_of(name)))
        for name, found in self._files.items():
            if name in known:
                continue
            run = run_of(name)
            if run is None or found.st_size or not stat.S_ISREG(found.st_mode):
                self._unknown(name, found)
            elif run not in self._log.runs and not self._presence.is_alive(run):
                self._verdict.find(
                    UNFINISHED,
                    name,
                    "It is the empty lock of a run that has written nothing: it was killed at its beginning, or never was one.",
                )

    def _unknown(self, name: str, found: os.stat_result) -> None:
        package = re.sub(r"\.(zip|json)(\.part)?$", ".zip", name)
        ordinary = stat.S_ISREG(found.st_mode)
        if ordinary and package in self._log.begun and (package not in self._history.stored or name.endswith(".part")):
            self._verdict.find(
                UNFINISHED,
                name,
                "The download was interrupted before it was recorded, or is still going on.",
                self._log.begun[package],
            )
        elif ordinary and name.endswith(".part") and events.REPORT_NAME.match(name.removesuffix(".part")):
            self._verdict.find(UNFINISHED, name, "The writing of a report was interrupted.")
        elif ordinary and name.endswith(".part") and events.SEAL_NAME.match(name.removesuffix(".part")):
            self._verdict.find(UNFINISHED, name, "The making of a seal was interrupted.")
        elif ordinary:
            self._verdict.find(NOT_RECORDED, name, "The custody log knows nothing of this file.")
        else:
            self._verdict.find(NOT_RECORDED, name, "The custody log knows nothing of this; it is no ordinary file.")


# What is said of an open request, by what became of its run.
_STATES = {
    RunState.ALIVE: "the run is still going on",
    RunState.ABORTED: "the run gave up, and nobody has picked it up since",
    RunState.GONE: "the run was interrupted, and nobody has picked it up since",
}


def _without(request: Request) -> dict[str, t.Any]:
    """A device that was asked for and has no package, as the result shows it."""
    late = "It was not ready in time, and nobody has picked it up since."
    return {
        "machine_id": request.machine_id,
        "computer_dns_name": request.name,
        "comment": request.comment,
        "asked": request.since,
        "code": request.failed or "NotFinishedInTime",
        "message": printable(request.message or "") if request.failed else late,
    }


def _asked(request: Request) -> str:
    reason = f" ({request.comment[:100]!r})" if request.comment else ""
    action = f", action {request.action_id}," if request.action_id else ""
    return f"{request.name or request.machine_id}{action} asked for at {request.since}{reason}"


def _files(folder: Dir) -> t.Iterator[tuple[str, os.stat_result]]:
    """Everything in the folder and in its folders, by its path from there; what lies deeper can be no evidence, and is not entered.

    Raises OSError for what cannot be read.
    """
    for name in os.listdir(folder.file):
        found = folder.stat(name)
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode):
            yield name, found
            continue
        try:
            with folder.folder(name) as inner:
                for each in os.listdir(inner.file):
                    inside = inner.stat(each)
                    if inside is not None:
                        yield f"{name}/{each}", inside
        except FileNotFoundError:
            # The locks' folder goes with the last run.
            if name != RUNS:
                raise


def _opened(folder: Dir, name: str) -> t.BinaryIO:
    """A file one folder down, or in the folder itself. Raises FileNotFoundError, NotOrdinary, OSError."""
    path = PurePosixPath(name)
    try:
        if len(path.parts) == 1:
            return os.fdopen(folder.open_file(name), "rb")
        with folder.folder(path.parts[0]) as inner:
            return os.fdopen(inner.open_file(path.name), "rb")
    except NotADirectoryError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None


def _is_place(name: str) -> bool:
    """Whether a package can be there: a folder, and a zip file in it."""
    path = PurePosixPath(name)
    return len(path.parts) == 2 and path.parts[0] not in ("/", "..") and path.suffix == ".zip" and "\0" not in name


def _is_same_tenant(tenant: object, known: str | None) -> bool:
    return known is None or tenant is None or str(tenant).lower() == known.lower()


def _collected(record: dict[str, t.Any]) -> str | None:
    """When its collection ended, as the service said."""
    action = record.get("action")
    told = (action.get(key) for key in ("lastUpdateDateTimeUtc", "updated")) if isinstance(action, dict) else ()
    return next((each for each in told if isinstance(each, str)), None)


def _record_of(package: str) -> str:
    return f"{package.removesuffix('.zip')}.json"


def _readable(name: str) -> str:
    """A name that is no text in any encoding must not spoil the result."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
