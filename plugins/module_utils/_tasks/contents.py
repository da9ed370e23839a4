# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What packages hold, for the report: one at a time while the fleet waits for others, and never at the cost of the run."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Package
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import facts, packages, whose
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Observer, Plan, Progress
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration

# Of one package; containers in it stay closed.
LIMITS = Limits(entries=20_000, unpacked=4 << 30, entry=1 << 30, nesting=0, seconds=60.0)
# Seconds for what is left when the fleet has come to its end.
BUDGET = 300.0
_LOGS = 5


class Contents:
    """Looks into each package as soon as it is stored; beside that it is the observer that it was given.

    It has one thread of its own: the quota gives two packages a minute, and looking into one takes a second or two.
    """

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._looks: dict[Device, Future[Result]] = {}

    def plan(self, plan: Plan) -> None:
        self._observer.plan(plan)

    def device(self, device: Device, what: str, detail: str = "") -> None:
        self._observer.device(device, what, detail)
        if what == "done" and device.package and device not in self._looks:
            name = device.machine.dns_name
            self._looks[device] = self._pool.submit(look_into, device.package, name, self._clock)

    def trouble(self, text: str) -> None:
        self._observer.trouble(text)

    def tick(self, fleet: Progress) -> float:
        return self._observer.tick(fleet)

    def settle(self, budget: float = BUDGET) -> None:
        """Wait for those that are not done yet; what is not by then stays closed. Raises what the clock was abandoned for."""
        end = self._clock.monotonic() + budget
        left = self._left()
        if len(left) > 1:
            self._observer.trouble(
                f"Looking into {count(len(left), 'package')} for the report, {duration(budget)} at the most."
            )
        while left and (rest := end - self._clock.monotonic()) > 0:
            self._clock.wait(left, rest)
            left = self._left()
        self.close()

    def _left(self) -> list[Future[Result]]:
        return [look for look in self._looks.values() if not look.done()]

    def of(self, device: Device | None) -> Result | None:
        """None for a device without a package."""
        if device is None or device.package is None:
            return None
        look = self._looks.get(device)
        if look is None or not look.done() or look.cancelled():
            return _closed("there was no time left to look into it")
        return look.result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def look_into(package: Package, device: str | None, clock: Clock) -> Result:
    """What a package holds. Raises nothing: a package that cannot be read says why. device: its DNS name."""
    try:
        known = packages.Package(package.path, package.path.name, None, {"sha256": package.sha256})
        with packages.open_ordinary(package.path) as file:
            _digest, why = packages.check(known, file, {})
            if why:
                return _closed(why)
            return _held(facts.read(file, Meter(LIMITS, clock)), device)
    except Exception as failure:
        return _closed(f"it cannot be read: {str(failure) or type(failure).__name__}")


def _held(found: facts.Facts, device: str | None) -> Result:
    logs = [
        {key: row[key] for key in ("name", "records", "first", "last")} for row in found.entries if row.get("records")
    ]
    # The log of sign-ins comes first; the longest of the others next.
    logs.sort(key=lambda row: ("security" not in row["name"].lower(), -row["records"]))
    return {
        "why": next((why for name, _kind, why in found.not_read if name is None), None),
        "system": found.system.value,
        "entries": len(found.entries),
        "artefacts": found.artefacts,
        "missing": found.missing,
        "empty": found.empty,
        "strangers": whose.strangers(found.computer_names, device),
        "event_logs": logs[:_LOGS],
        "more_event_logs": max(0, len(logs) - _LOGS),
    }


def _closed(why: str) -> Result:
    """The same keys for a package that was not looked into."""
    return {
        "why": why,
        "system": "unknown",
        "entries": 0,
        "artefacts": {},
        "missing": [],
        "empty": [],
        "strangers": [],
        "event_logs": [],
        "more_event_logs": 0,
    }
