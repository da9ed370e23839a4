# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_verify_evidence: whether an evidence folder is still what the runs made of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.events import LOG_NAME
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import stamps
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.judging import Trusted
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.signatures import Signers
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import Verdict
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    OptionsError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
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
        "tsa_ca_path": {"type": "path"},
        "allowed_signers": {"type": "path"},
        "revoked_keys": {"type": "path", "no_log": False},
        "require_seal": {"type": "bool", "default": False},
        "return_packages": {"type": "bool", "default": True},
    }


@dataclass(frozen=True)
class Options:
    """path: the evidence folder. custody_head: the SHA-256 of a line that must be in its log.

    tsa_ca_path, allowed_signers, revoked_keys: whose seals count. require_seal: whether all of the log must be sealed.
    return_packages: whether the result lists them.
    """

    path: Path
    custody_head: str | None
    tsa_ca_path: str | None
    allowed_signers: str | None
    revoked_keys: str | None
    require_seal: bool
    return_packages: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        head = (given["custody_head"] or "").strip().lower()
        if head and not _SHA256.match(head):
            raise OptionsError(
                f"custody_head is {given['custody_head']!r}.",
                advice="Give the head that an earlier run returned, 64 hexadecimal digits.",
            )
        allowed, revoked = given["allowed_signers"], given["revoked_keys"]
        if revoked and not allowed:
            raise OptionsError("revoked_keys is given, but there is no allowed_signers.", advice="Give both.")
        for name in ("allowed_signers", "revoked_keys"):
            if given[name] and not os.access(given[name], os.R_OK):
                raise OptionsError(f"{name} {given[name]} cannot be read.", advice="Give a file that is there.")
        if given["require_seal"] and not (given["tsa_ca_path"] or allowed):
            raise OptionsError(
                "require_seal is true, but nothing says whose seals count.",
                advice="Give tsa_ca_path or allowed_signers.",
            )
        return cls(
            Path(given["path"]),
            head or None,
            given["tsa_ca_path"],
            allowed,
            revoked,
            given["require_seal"],
            given["return_packages"],
        )

    def trusted(self, now: float) -> Trusted:
        """Raises OptionsError, MissingLibrary."""
        return Trusted(
            stamps.trust(self.tsa_ca_path) if self.tsa_ca_path else None,
            Signers(self.allowed_signers, self.revoked_keys) if self.allowed_signers else None,
            now,
        )


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    try:
        verdict = verify.verify(
            options.path,
            options.custody_head,
            _Pace(context.reporter, context.clock),
            options.trusted(context.clock.wall()),
            options.require_seal,
        )
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
        "packages": verdict.packages if options.return_packages else [],
        "interrupted": verdict.interrupted,
        "without_package": verdict.without_package,
        "seals": [seal.as_result() for seal in verdict.seals],
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
        "seals": [],
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
        found = f"{count(len(verdict.findings), 'finding')} in {packages} and {events}."
        return f"{where}: {found}{told}{more}{without}{_seals(verdict)} {verdict.advice}"
    if not verdict.verified:
        return (
            f"{where}: the custody log of {events} is as it was written, but there is no package, so nothing is verified."
            f"{without}{_seals(verdict)}"
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
        f"{interrupted}{_seals(verdict)}"
    )


def _seals(verdict: Verdict) -> str:
    """How much of the log stands before the newest valid seal, and by whom."""
    if not verdict.seals:
        return ""
    valid = [seal for seal in verdict.seals if seal.valid]
    rest = _not_valid(verdict)
    if not valid:
        return f" No seal vouches for the log.{rest}"
    newest = max(valid, key=lambda seal: (seal.covers, seal.time or 0.0))
    people = f"signed by {newest.signer}"
    if newest.time is not None:
        people = f"at {iso(newest.time)} by {newest.signer}"
    elif newest.why:
        people += f" ({newest.why})"
    told = f"line {verdict.sealed} of {verdict.events}, {people}"
    asked = "Revocation of certificates was not asked for."
    if any(
        finding.path == LOG_NAME and finding.kind in (verify.ALTERED, verify.BROKEN_CHAIN)
        for finding in verdict.findings
    ):
        return f" The newest valid seal is of {told}, but the chain that leads to it is broken.{rest} {asked}"
    after = max(0, verdict.changed - verdict.sealed)
    said = (
        f"{count(after, 'line')} after it {'is' if after == 1 else 'are'} not sealed"
        if after
        else "nothing after it counts"
    )
    return f" Sealed up to {told}; {said}.{rest} {asked}"


def _not_valid(verdict: Verdict) -> str:
    """Which seals nobody vouches for, and why: each reason once, for what is missing from the task is missing for all of them."""
    reasons: dict[str, list[str]] = {}
    for seal in verdict.seals:
        if not seal.valid:
            reasons.setdefault(seal.why or "", []).append(seal.path)
    told = "; ".join(f"{listed(paths)} ({why})" for why, paths in reasons.items())
    return f" Not counted: {told}." if told else ""


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
