# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a device's evidence is safe before something is done that ends what there is to see. No network."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.events import LOG_NAME, SEAL_NAME
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import Request
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import Verdict
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine, duration, iso, parse_time
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

# Findings that make the whole log worthless as a witness; what a run that goes on or was interrupted leaves does not.
_BROKEN = (verify.ALTERED, verify.BROKEN_CHAIN, verify.MISSING)


def spec() -> Spec:
    """What is required."""
    return {
        "require_evidence": {"type": "path"},
        "evidence_max_age": {"type": "str"},
        "isolate_anyway_after": {"type": "str"},
    }


@dataclass(frozen=True)
class Evidence:
    """What is known of one device's evidence. error: why it does not pass. message: what is to be said where it does."""

    verified: bool
    message: str
    path: str | None = None
    collected: str | None = None
    error: EvidenceError | None = None

    def as_result(self) -> dict[str, t.Any]:
        """The C(evidence) of a device in a result."""
        return {
            "verified": self.verified,
            "path": self.path,
            "collected": self.collected,
            "message": self.message,
        }


@dataclass(frozen=True)
class Gate:
    """folder: the evidence folder. Times in seconds.

    max_age: how old a package may be, from the end of its collection. anyway_after: from which age of its collection on a device
    passes without a package. None: no limit, and never.
    """

    folder: Path
    max_age: float | None = None
    anyway_after: float | None = None

    @classmethod
    def of(cls, given: Given) -> Gate | None:
        """None where nothing is required. Raises OptionsError."""
        times = {
            name: given.positive(name)
            for name in ("evidence_max_age", "isolate_anyway_after")
            if given[name] is not None
        }
        if given["require_evidence"]:
            return cls(
                Path(given["require_evidence"]), times.get("evidence_max_age"), times.get("isolate_anyway_after")
            )
        if times:
            raise OptionsError(
                f"{' and '.join(times)} {'is' if len(times) == 1 else 'are'} given, but no require_evidence: no evidence would be "
                "required.",
                advice="Give the evidence folder in require_evidence. Nothing was started.",
            )
        return None

    def look(self, machines: t.Sequence[Machine], now: float) -> dict[str, Evidence]:
        """What is known of each machine's evidence, by device ID. now: seconds since 1970, by the service's clock."""
        try:
            verdict = verify.verify(self.folder, machines={machine.id for machine in machines})
        except EvidenceError as failure:
            # Of nobody is anything safe there; what is isolated or being isolated already is none of its business.
            return {machine.id: Evidence(False, failure.message, error=failure) for machine in machines}
        return {machine.id: self._of(machine, verdict, now) for machine in machines}

    def _of(self, machine: Machine, verdict: Verdict, now: float) -> Evidence:
        mine = [package for package in verdict.packages if str(package["machine_id"]).lower() == machine.id]
        good = [package for package in mine if package["verified"]] if not _broken(verdict) else []
        newest = max(good, key=lambda each: parse_time(each["collected"]), default=None)
        if newest:
            age = max(0.0, now - parse_time(newest["collected"]))
            if self.max_age is None or age <= self.max_age:
                message = f"{self.folder / newest['path']} is verified."
                return Evidence(True, message, newest["path"], newest["collected"])
            why = f"the newest verified package is from {newest['collected']}, {duration(age)} old"
            return self._without(machine, why, verdict, good, now, code="EvidenceTooOld")
        if mine:
            what = _broken(verdict) or _wrong_with(mine[0]["path"], verdict)
            return self._without(
                machine, f"its package is not verified ({what})", verdict, [], now, code="EvidenceNotVerified"
            )
        return self._without(
            machine, _no_package(_requests(machine, verdict)), verdict, [], now, code="EvidenceMissing"
        )

    def _without(
        self,
        machine: Machine,
        why: str,
        verdict: Verdict,
        good: t.Sequence[t.Mapping[str, t.Any]],
        now: float,
        *,
        code: str,
    ) -> Evidence:
        """No evidence that will do: whether isolating has waited long enough for it."""
        begun = _begun(_requests(machine, verdict), {package["action_id"] for package in good})
        said = f"In {self.folder} there is no evidence of {machine.label} that would do: {why}."
        advice = "Collect with secops.defender.defender_collect_package and this folder as dest, then run again."
        if code == "EvidenceNotVerified":
            advice = f"Look at the folder with secops.defender.defender_verify_evidence. {advice}"
        if self.anyway_after is not None and begun is None:
            advice += " No collection was begun there, so isolate_anyway_after has nothing to count from."
        elif self.anyway_after is not None and begun is not None:
            if now - begun >= self.anyway_after:
                waited = duration(now - begun)
                return Evidence(False, f"{said} Its collection was begun at {iso(begun)}, {waited} ago.")
            advice += f" From {iso(begun + self.anyway_after)} on it is isolated without (isolate_anyway_after)."
        return Evidence(False, said, error=EvidenceError(f"{said} It was not isolated.", advice=advice, code=code))


def _broken(verdict: Verdict) -> str | None:
    """What is wrong with the custody log itself, or with a seal that shows whether it was rewritten, if anything is."""
    found = [
        each
        for each in verdict.findings
        if each.kind in _BROKEN and (each.path == LOG_NAME or SEAL_NAME.match(each.path))
    ]
    return f"{found[0].path}: {found[0].message}" if found else None


def _wrong_with(path: str, verdict: Verdict) -> str:
    stem = path.removesuffix(".zip")
    found = [each for each in verdict.findings if each.path in (path, f"{stem}.json")]
    return f"{found[0].path}: {found[0].message}" if found else path


def _requests(machine: Machine, verdict: Verdict) -> list[Request]:
    """What was asked for this device, whatever the comment, oldest first."""
    requests = verdict.history.requests
    found = [each for (machine_id, _comment), all_of in requests.items() if machine_id == machine.id for each in all_of]
    return sorted(found, key=lambda each: each.requested)


def _no_package(requests: t.Sequence[Request]) -> str:
    last = requests[-1] if requests else None
    if last is None:
        return "nothing was collected from it there"
    if last.failed:
        return f"its collection has failed ({last.failed})"
    return f"its collection, begun at {iso(last.requested)}, has given no package yet"


def _begun(requests: t.Sequence[Request], good: t.Collection[str | None]) -> float | None:
    """When the collection was begun that has given no good package: the first since the last one that has. Seconds since 1970."""
    since: float | None = None
    for request in reversed(requests):
        if request.action_id in good:
            break
        since = request.requested
    return since
