# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it from other collections or standalone plugins/modules!
"""Whether an evidence folder is still what the runs made of it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils import _custody as custody
from ansible_collections.secops.defender.plugins.module_utils._custody import parse_line, seal, sha256_of_line
from ansible_collections.secops.defender.plugins.module_utils._errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._evidence import hash_file, read_record

# Kinds of findings.
ALTERED, MISSING, NOT_RECORDED, BROKEN_CHAIN, TORN, UNFINISHED = (
    "altered",
    "missing",
    "not_recorded",
    "broken_chain",
    "torn",
    "unfinished",
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
class Report:
    """What was found in one evidence folder."""

    findings: list[Finding] = field(default_factory=list)
    packages: list[dict[str, t.Any]] = field(default_factory=list)
    events: int = 0
    repaired: int = 0
    head: str | None = None


@dataclass
class _Log:
    """What the custody log says of the folder's files."""

    lines: set[str] = field(default_factory=set)
    stored: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    begun: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    open_runs: dict[str, str] = field(default_factory=dict)


def verify(folder: Path, expected_head: str | None = None) -> Report:
    """Check the custody log against its own chain, and every file against the log and its record. Reads only.

    expected_head: the SHA-256 of a line that must be in the log, noted elsewhere at some time; without it nobody can tell
    that whole runs were cut off the log's end together with their files. Raises EvidenceError if the folder cannot be read.
    """
    report = Report()
    try:
        if not folder.is_dir():
            raise EvidenceError(
                f"{folder} is no folder.", advice="Give the folder that was dest when the packages were collected."
            )
        files = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
        log = _read_log(folder, report)
        if expected_head and expected_head.lower() not in log.lines:
            report.findings.append(
                Finding(
                    BROKEN_CHAIN,
                    custody.LOG_NAME,
                    f"No line of the log has the SHA-256 {expected_head}: lines were removed or rewritten.",
                )
            )
        for name in sorted(log.stored):
            _check_package(folder, name, log, report)
        _check_others(folder, files, log, report)
    except OSError as failure:
        raise EvidenceError(
            f"{failure.filename or folder} cannot be read: {failure.strerror}.",
            advice="Run as a user that may read the evidence.",
            code="EvidenceUnreadable",
        ) from None
    return report


def _read_log(folder: Path, report: Report) -> _Log:
    log = _Log()
    path = folder / custody.LOG_NAME
    if not path.exists():
        report.findings.append(Finding(MISSING, custody.LOG_NAME, "There is no custody log."))
        return log
    previous: tuple[str, dict[str, t.Any] | None] = (custody.FIRST, None)
    good_until: str | None = None
    with open(path, "rb") as lines:
        upcoming: bytes | None = next(lines, None)
        number = 0
        while upcoming is not None:
            line, upcoming, number = upcoming, next(lines, None), number + 1
            text = line.removesuffix(b"\n")
            entry = parse_line(text)
            wrong = _line_trouble(text, entry, line.endswith(b"\n"), upcoming, previous, number)
            if wrong:
                report.findings.append(Finding(wrong[0], custody.LOG_NAME, f"Line {number} {wrong[1]}", good_until))
            elif entry:
                good_until = str(entry.get("time"))
            if entry:
                report.events += 1
                report.repaired += entry.get("event") == custody.LOG_REPAIRED
                _take_in(entry, log)
            report.head = sha256_of_line(text)
            log.lines.add(report.head)
            previous = (report.head, entry or previous[1])
    if not report.events:
        report.findings.append(Finding(MISSING, custody.LOG_NAME, "The custody log is empty."))
    for run, time in log.open_runs.items():
        report.findings.append(
            Finding(
                UNFINISHED,
                custody.LOG_NAME,
                f"The run {run} has no end: it is still going on, it was interrupted, or the end of the log was cut off. "
                "Running it again finishes it.",
                time,
            )
        )
    return log


def _line_trouble(
    text: bytes,
    entry: dict[str, t.Any] | None,
    complete: bool,
    upcoming: bytes | None,
    previous: tuple[str, dict[str, t.Any] | None],
    number: int,
) -> tuple[str, str] | None:
    if not complete:
        return (
            TORN,
            "is cut short, as a crash in the middle of writing leaves it; the next run in this folder says so in the log.",
        )
    if entry is None:
        repair = parse_line(upcoming.removesuffix(b"\n")) if upcoming else None
        if repair and repair.get("event") == custody.LOG_REPAIRED and repair.get("torn_bytes") == len(text):
            return None
        return ALTERED, "is no entry of the log."
    if seal(entry).encode() != text:
        return ALTERED, "is not what was written: its seal does not fit."
    before = previous[1]["seq"] if previous[1] else 0
    if entry.get("previous_sha256") != previous[0]:
        step = entry["seq"] - before
        if step > 1:
            return BROKEN_CHAIN, f"does not follow the line before: {step - 1} lines are missing."
        if step < 1:
            return (
                BROKEN_CHAIN,
                "does not follow the line before: lines were inserted, repeated or put in another order.",
            )
        return BROKEN_CHAIN, "does not follow the line before: that line was altered or replaced."
    if entry["seq"] != before + 1:
        return BROKEN_CHAIN, f"has the number {entry['seq']} where {before + 1} belongs."
    return None


def _take_in(entry: dict[str, t.Any], log: _Log) -> None:
    event, run, path = entry.get("event"), str(entry.get("run")), str(entry.get("path"))
    if event == custody.RUN_STARTED:
        # Earlier runs without an end were interrupted: the chain shows that nothing is missing between them and this one.
        log.open_runs = {run: str(entry.get("time"))}
    elif event in (custody.RUN_ENDED, custody.RUN_ABORTED):
        log.open_runs.pop(run, None)
    elif event == custody.PACKAGE_STORED:
        log.stored[path] = entry
    elif event in (custody.DOWNLOAD_STARTED, custody.PACKAGE_VERIFIED):
        log.begun[path] = entry


def _check_package(folder: Path, name: str, log: _Log, report: Report) -> None:
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
        elif digest is not None and (record.get("sha256"), record.get("size")) != (digest, size):
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


def _check_others(folder: Path, files: list[Path], log: _Log, report: Report) -> None:
    """Files that no completed download accounts for."""
    known = {custody.LOG_NAME}
    for name in log.stored:
        known.update({name, str(Path(name).with_suffix(".json"))})
    for path in files:
        name = str(path.relative_to(folder))
        package = str(Path(name.removesuffix(".part")).with_suffix(".zip"))
        if name in known and not path.is_symlink():
            continue
        if package in log.begun and package not in log.stored and name.endswith((".part", ".zip", ".json")):
            report.findings.append(
                Finding(
                    UNFINISHED,
                    name,
                    "The download was interrupted before it was recorded. Running it again finishes it.",
                    str(log.begun[package].get("time")),
                )
            )
        else:
            report.findings.append(Finding(NOT_RECORDED, name, "The custody log knows nothing of this file."))
