# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an evidence folder is still what the runs made of it."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import parse_line, seal, sha256_of_line
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import hash_file, read_record
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    EvidenceError,
)

if t.TYPE_CHECKING:  # pragma: no cover
    pass

# Kinds of findings.
ALTERED, MISSING, NOT_RECORDED, BROKEN_CHAIN, TORN, UNFINISHED = (
    "altered",
    "missing",
    "not_recorded",
    "broken_chain",
    "torn",
    "unfinished",
)

# What to do, by the worst kind that was found.
_ADVICE = (
    (
        (ALTERED, BROKEN_CHAIN, MISSING),
        "Leave the folder as it is, find out who could write to it since, and compare it with a copy; packages that the "
        "service still has can be fetched into a new folder with secops.defender.defender_fetch_package.",
    ),
    (
        (NOT_RECORDED,),
        "Find out who put the files there, and move them out: an evidence folder holds nothing but what the runs write.",
    ),
    (
        (TORN, UNFINISHED),
        "If nothing is running in this folder, run the interrupted task again with the same dest: it finishes what was begun "
        "and says so in the log. A .part file that nobody needs any more may be removed.",
    ),
)

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
# Seconds between two lines of progress.
_PACE = 30.0


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
    """What was found in one evidence folder."""

    findings: list[Finding] = field(default_factory=list)
    packages: list[dict[str, t.Any]] = field(default_factory=list)
    events: int = 0
    repaired: int = 0
    head: str | None = None

    @property
    def verified(self) -> bool:
        """Whether all is as it was written, and there is something of which that is said."""
        return bool(self.packages) and not self.findings

    @property
    def advice(self) -> str:
        """What to do about the worst kind of finding."""
        kinds = {finding.kind for finding in self.findings}
        return next((text for those, text in _ADVICE if kinds.intersection(those)), "")


@dataclass
class _Log:
    """What the custody log says of the folder's files."""

    lines: set[str] = field(default_factory=set)
    stored: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    begun: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    reports: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    open_runs: dict[str, str] = field(default_factory=dict)


def verify(
    folder: Path, expected_head: str | None = None, progress: t.Callable[[int, int], None] = lambda done, of: None
) -> Verdict:
    """Check the custody log against its own chain, and every file against the log and its record. Reads only.

    expected_head: the SHA-256 of a line that must be in the log, noted elsewhere at some time; without it nobody can tell
    that whole runs were cut off the log's end together with their files. Raises EvidenceError if the folder cannot be read.
    """
    report = Verdict()
    try:
        if not folder.is_dir():
            raise EvidenceError(
                f"{folder} is no folder.",
                advice="Give the folder that was dest when the packages were collected.",
                code="EvidenceMissing",
            )
        files = _files(folder)
        log = _read_log(folder, report)
        if expected_head and expected_head.lower() not in log.lines:
            report.findings.append(
                Finding(
                    BROKEN_CHAIN,
                    custody.LOG_NAME,
                    f"No line of the log has the SHA-256 {expected_head}: lines were removed or rewritten.",
                )
            )
        for number, name in enumerate(sorted(log.stored)):
            progress(number, len(log.stored))
            _check_package(folder, name, log, report)
        for name in sorted(log.reports):
            _check_report(files, name, log.reports[name], report)
        _check_others(files, log, report)
    except OSError as failure:
        raise EvidenceError(
            f"{_readable(str(failure.filename or folder))} cannot be read: {failure.strerror}.",
            advice="Run as a user that may read the evidence.",
            code="EvidenceUnreadable",
        ) from None
    return report


def _files(folder: Path) -> dict[str, Path]:
    """Everything below the folder that is no folder itself, by its path from there; raises OSError for what cannot be read."""

    def refuse(failure: OSError) -> None:
        raise failure

    found = {}
    for parent, folders, files in os.walk(folder, onerror=refuse):
        for name in [*files, *(each for each in folders if os.path.islink(os.path.join(parent, each)))]:
            path = Path(parent, name)
            found[str(path.relative_to(folder))] = path
    return dict(sorted(found.items()))


def _read_log(folder: Path, report: Verdict) -> _Log:
    log = _Log()
    path = folder / custody.LOG_NAME
    if not path.is_file():
        report.findings.append(Finding(MISSING, custody.LOG_NAME, "There is no custody log."))
        return log
    with open(path, "rb") as lines:
        _Chain(log, report).read(lines)
    if not report.events:
        report.findings.append(Finding(MISSING, custody.LOG_NAME, "The custody log is empty."))
    for run, begun in log.open_runs.items():
        report.findings.append(
            Finding(
                UNFINISHED,
                custody.LOG_NAME,
                f"The run {run} has no end: it is still going on, it was interrupted, or the end of the log was cut off.",
                begun,
            )
        )
    return log


class _Chain:
    """Reads the log line by line, each against the one before."""

    def __init__(self, log: _Log, report: Verdict) -> None:
        self._log = log
        self._report = report
        self._number = 0
        self._previous = custody.FIRST
        self._seq = 0
        self._good_until: str | None = None
        # Lines that are no entries, until the next entry tells whether they were cut short by a crash.
        self._torn: list[bytes] = []

    def read(self, lines: t.Iterable[bytes]) -> None:
        for line in lines:
            self._number += 1
            text = line.removesuffix(b"\n")
            entry = parse_line(text)
            if not line.endswith(b"\n"):
                self._find(
                    TORN,
                    self._number,
                    "is cut short, as a crash in the middle of writing leaves it; the next run in this folder says so in the "
                    "log.",
                )
                if entry is None:
                    self._condemn(self._number - 1)
                    self._passed(text)
                    return
            if entry is None:
                self._torn.append(text)
            else:
                self._entry(text, entry)
            self._passed(text)
        self._condemn(self._number)

    def _passed(self, text: bytes) -> None:
        self._previous = self._report.head = sha256_of_line(text)
        self._log.lines.add(self._previous)

    def _entry(self, text: bytes, entry: dict[str, t.Any]) -> None:
        explained = self._torn and _repairs(entry, self._torn)
        unread = len(self._torn)
        if explained:
            self._torn.clear()
        else:
            self._condemn(self._number - 1)
        wrong = self._trouble(text, entry, 0 if explained else unread)
        if wrong:
            self._find(wrong[0], self._number, wrong[1])
        else:
            self._good_until = str(entry.get("time"))
        self._seq = entry["seq"]
        self._report.events += 1
        self._report.repaired += entry.get("event") == custody.LOG_REPAIRED
        self._take_in(entry)

    def _trouble(self, text: bytes, entry: dict[str, t.Any], unread: int) -> tuple[str, str] | None:
        if seal(entry).encode() != text:
            return ALTERED, "is not what was written: its seal does not fit."
        step = entry["seq"] - self._seq - unread
        if entry.get("previous_sha256") != self._previous:
            if step > 1:
                lost = "1 line is" if step == 2 else f"{step - 1} lines are"
                return BROKEN_CHAIN, f"does not follow the line before: {lost} missing."
            if step < 1:
                return (
                    BROKEN_CHAIN,
                    "does not follow the line before: lines were inserted, repeated or put in another order.",
                )
            return BROKEN_CHAIN, "does not follow the line before: that line was altered or replaced."
        if step != 1:
            return BROKEN_CHAIN, f"has the number {entry['seq']} where {self._seq + unread + 1} belongs."
        return None

    def _condemn(self, last: int) -> None:
        """Lines that are no entries, and no crash explains them."""
        for number in range(last - len(self._torn) + 1, last + 1):
            self._find(ALTERED, number, "is no entry of the log.")
        self._torn.clear()

    def _find(self, kind: str, number: int, message: str) -> None:
        self._report.findings.append(Finding(kind, custody.LOG_NAME, f"Line {number} {message}", self._good_until))

    def _take_in(self, entry: dict[str, t.Any]) -> None:
        event, run, path = entry.get("event"), str(entry.get("run")), str(entry.get("path"))
        log, moment = self._log, str(entry.get("time"))
        if event == custody.RUN_STARTED:
            # Where this one was alone, earlier ones without an end were interrupted: the chain shows that nothing is missing
            # between them and this one.
            if entry.get("alone") is not False:
                log.open_runs.clear()
            log.open_runs[run] = moment
        elif event in (custody.RUN_ENDED, custody.RUN_ABORTED):
            log.open_runs.pop(run, None)
        elif event == custody.PACKAGE_STORED:
            if not _is_place(path):
                self._find(ALTERED, self._number, "names a package where none can be.")
            elif path in log.stored and log.stored[path].get("sha256") != entry.get("sha256"):
                # A package is never overwritten, and its action gives no other.
                self._find(ALTERED, self._number, f"says that {path} was stored again with another SHA-256.")
            else:
                log.stored[path] = entry
        elif event in (custody.DOWNLOAD_STARTED, custody.PACKAGE_VERIFIED):
            log.begun[path] = entry
        elif event == custody.REPORT_STORED:
            if not custody.REPORT_NAME.match(path):
                self._find(ALTERED, self._number, "names a report where none can be.")
            else:
                log.reports[path] = entry


def _repairs(entry: dict[str, t.Any], torn: list[bytes]) -> bool:
    """Whether an entry says of the lines before it that they were cut short."""
    if entry.get("event") != custody.LOG_REPAIRED or entry.get("torn_bytes") != len(torn[-1]):
        return False
    if not all(map(custody.may_be_torn, torn)):
        return False
    if len(torn) == 1:
        return True
    return (entry.get("torn_lines"), entry.get("torn_sha256")) == (len(torn), sha256_of_line(b"\n".join(torn)))


def _is_place(name: str) -> bool:
    """Whether a package can be there: a folder, and a zip file in it."""
    path = PurePosixPath(name)
    return len(path.parts) == 2 and path.parts[0] not in ("/", "..") and path.suffix == ".zip" and "\0" not in name


def _check_package(folder: Path, name: str, log: _Log, report: Verdict) -> None:
    event = log.stored[name]
    since = str(event.get("time"))
    before = len(report.findings)
    package, record_path = folder / name, (folder / name).with_suffix(".json")
    digest, size, record = None, None, None
    if not package.is_file():
        report.findings.append(Finding(MISSING, name, "The package is missing.", since))
    else:
        digest, size = hash_file(package)
        if digest != event.get("sha256"):
            report.findings.append(
                Finding(ALTERED, name, f"The package has the SHA-256 {digest} instead of {event.get('sha256')}.", since)
            )
    record_name = str(record_path.relative_to(folder))
    if not record_path.is_file():
        report.findings.append(Finding(MISSING, record_name, "The package's record is missing.", since))
    else:
        record = read_record(record_path) or {}
        if hash_file(record_path)[0] != event.get("record_sha256"):
            report.findings.append(Finding(ALTERED, record_name, "The record is not the one that was written.", since))
        elif digest == event.get("sha256") and (record.get("sha256"), record.get("size")) != (digest, size):
            report.findings.append(Finding(ALTERED, name, "The package is not what its record says.", since))
        if record.get("custody_sha256") not in log.lines:
            report.findings.append(
                Finding(
                    BROKEN_CHAIN, custody.LOG_NAME, f"The line that {record_name} stands on is not in the log.", since
                )
            )
    report.packages.append(
        {
            "path": name,
            "machine_id": event.get("machine_id"),
            "action_id": event.get("action_id"),
            "sha256": digest,
            "size": size,
            "downloaded": (record or {}).get("downloaded"),
            "verified": len(report.findings) == before,
        }
    )


def _check_report(files: dict[str, Path], name: str, event: dict[str, t.Any], report: Verdict) -> None:
    since, recorded = str(event.get("time")), event.get("sha256")
    path, part = (each if each and each.is_file() else None for each in (files.get(name), files.get(f"{name}.part")))
    if path is None:
        # A crash between the log's line and the renaming leaves it under its other name: not missing, but unfinished.
        if part is None or hash_file(part)[0] != recorded:
            report.findings.append(Finding(MISSING, name, "The report is missing.", since))
    elif (digest := hash_file(path)[0]) != recorded:
        report.findings.append(
            Finding(ALTERED, name, f"The report has the SHA-256 {digest} instead of {recorded}.", since)
        )


def _check_others(files: dict[str, Path], log: _Log, report: Verdict) -> None:
    """Files that no completed download accounts for."""
    known = {custody.LOG_NAME, *log.reports}
    for name in log.stored:
        known.update({name, str(PurePosixPath(name).with_suffix(".json"))})
    for name, path in files.items():
        if name in known and not path.is_symlink():
            continue
        package = re.sub(r"\.(zip|json)(\.part)?$", ".zip", name)
        if package in log.begun and package not in log.stored and not path.is_symlink():
            report.findings.append(
                Finding(
                    UNFINISHED,
                    name,
                    "The download was interrupted before it was recorded, or is still going on.",
                    str(log.begun[package].get("time")),
                )
            )
        elif custody.REPORT_NAME.match(name.removesuffix(".part")) and name.endswith(".part") and not path.is_symlink():
            report.findings.append(Finding(UNFINISHED, name, "The writing of a report was interrupted."))
        elif name in known:
            report.findings.append(Finding(NOT_RECORDED, name, "This is a link to a file that is somewhere else."))
        else:
            report.findings.append(
                Finding(NOT_RECORDED, _readable(name), "The custody log knows nothing of this file.")
            )


def _readable(name: str) -> str:
    """A name that is no text in any encoding must not spoil the result."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
