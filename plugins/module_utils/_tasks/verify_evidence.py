# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_verify_evidence: whether an evidence folder is still what the runs made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import Verdict
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    OptionsError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
# Seconds between two lines of progress: hashing a large folder takes its time.
_PACE = 30.0
# Findings that the sentence tells; all are in the result.
_TOLD = 5


def spec() -> Spec:
    """What the module takes: it connects to nothing."""
    return {
        "path": {"type": "path", "required": True, "aliases": ["dest", "evidence"]},
        "custody_head": {"type": "str"},
    }


@dataclass(frozen=True)
class Options:
    """path: the evidence folder. custody_head: the SHA-256 of a line that must be in its log."""

    path: Path
    custody_head: str | None

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        head = (given["custody_head"] or "").strip().lower()
        if head and not _SHA256.match(head):
            raise OptionsError(
                f"custody_head is {given['custody_head']!r}.",
                advice="Give the head that an earlier run returned, 64 hexadecimal digits.",
            )
        return cls(Path(given["path"]), head or None)


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    try:
        verdict = verify.verify(options.path, options.custody_head, _Pace(context.reporter, context.clock))
    except DefenderError as failure:
        return {**_failed(failure), "node": context.node}
    found = [finding.as_result() for finding in verdict.findings]
    return {
        "changed": False,
        "failed": not verdict.verified,
        "msg": printable(_sentence(options, verdict, context.node)),
        "error": None,
        "verified": verdict.verified,
        "findings": found,
        "packages": verdict.packages,
        "interrupted": verdict.interrupted,
        "without_package": verdict.without_package,
        "tenant": verdict.tenant,
        "summary": {
            "packages": len(verdict.packages),
            "verified": sum(package["verified"] for package in verdict.packages),
            "findings": len(found),
            "events": verdict.events,
            "repaired": verdict.repaired,
        },
        "head": verdict.head,
        "head_compared": verdict.head_compared,
        "node": context.node,
    }


def _failed(error: DefenderError) -> Result:
    """The result where nothing could be verified, with the same keys."""
    return {
        "changed": False,
        "failed": True,
        "msg": str(error),
        "error": error.as_result(),
        "verified": False,
        "findings": [],
        "packages": [],
        "interrupted": [],
        "without_package": [],
        "tenant": None,
        "summary": dict.fromkeys(("packages", "verified", "findings", "events", "repaired"), 0),
        "head": None,
        "head_compared": False,
        "node": None,
    }


class _Pace:
    """A line of progress now and then."""

    def __init__(self, reporter: Reporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock = clock
        self._next = clock.monotonic() + _PACE

    def __call__(self, done: int, of: int) -> None:
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + _PACE
            self._reporter.say(f"{done} of {of} packages checked")


def _sentence(options: Options, verdict: Verdict, node: str) -> str:
    where, without = f"{options.path} on {node}", _without_package(verdict)
    packages, events = count(len(verdict.packages), "package"), count(verdict.events, "event")
    if verdict.findings:
        told = "".join(f" {_told(finding)}" for finding in verdict.findings[:_TOLD])
        more = f" And {len(verdict.findings) - _TOLD} more." if len(verdict.findings) > _TOLD else ""
        return f"{where}: {count(len(verdict.findings), 'finding')} in {packages} and {events}.{told}{more}{without} {verdict.advice}"
    if not verdict.verified:
        return (
            f"{where}: the custody log of {events} is as it was written, but there is no package, so nothing is verified."
            f"{without}"
        )
    head = (
        "The head that was given is in the log."
        if options.custody_head
        else "No head was given to compare with, so events cut off the end would not show."
    )
    times = f" {verdict.repaired} times" if verdict.repaired > 1 else ""
    repaired = f" A line that a crash cut short was repaired{times}." if verdict.repaired else ""
    runs = len(verdict.interrupted)
    interrupted = (
        f" {count(runs, 'run')} {'was' if runs == 1 else 'were'} interrupted; nothing of it is open." if runs else ""
    )
    return (
        f"{where}: {packages} and the custody log of {events} are as they were written.{without} {head}{repaired}"
        f"{interrupted}"
    )


def _without_package(verdict: Verdict) -> str:
    """Who was asked for and has no package: verified is only what is there."""
    if not verdict.without_package:
        return ""
    names = listed(
        f"{each['computer_dns_name'] or each['machine_id']} ({each['code']})" for each in verdict.without_package
    )
    return f" {count(len(verdict.without_package), 'request')} without a package: {names}."


def _told(finding: verify.Finding) -> str:
    since = f" It was right at {finding.since}." if finding.since else ""
    return f"{finding.path}: {finding.message}{since}"


TASK = Task(
    "defender_verify_evidence",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: _failed(error),
)
