# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wall time over the quota's bound, calls of the API per package, refusals."""

from __future__ import annotations

import math
from pathlib import Path

from figures import Figure
from processes import Task, collect
from tenant import Tenant, fleet

_SUBJECT = "One task"
_WALL = "wall time over the quota's bound"


def bound(packages: int, minute: float) -> float:
    """The least seconds between the first and the last of so many links at two a minute, up to 120 packages."""
    return (math.ceil(packages / 2) - 1) * minute


class Measured:
    """One fleet of a tenant of its own, under way. It mostly waits, so that several can at the same time.

    ready: the packages are there already and are taken. Otherwise they are collected first.
    """

    def __init__(self, work: Path, packages: int, minute: float, ready: bool = False) -> None:
        self.packages, self.minute = packages, minute
        self.tenant = Tenant(work, fleet(packages, scenario="recent" if ready else "fine"), minute)
        self.tenant.__enter__()
        self._task: Task = collect(self.tenant, reuse_within="1h" if ready else "0")

    def wait(self) -> None:
        result, usage = self._task.wait()
        self.seconds, self.stored, self.cpu = float(result["seconds"]), int(result["stored"]), usage.cpu
        self.calls = len(self.tenant.calls())
        self.throttled = self.tenant.throttled()
        self.tenant.__exit__()

    @property
    def ratio(self) -> float:
        return self.seconds / bound(self.packages, self.minute)


def figures(ten: Measured, hundred: Measured) -> list[Figure]:
    return [
        Figure(_SUBJECT, f"{_WALL}, 10 packages that are ready", ten.ratio, "x", most=1.05, promise=True),
        Figure(_SUBJECT, f"{_WALL}, 100 devices from start to package", hundred.ratio, "x", most=1.05, promise=True),
        Figure(
            _SUBJECT,
            "API calls per package, 100 devices",
            hundred.calls / hundred.packages,
            most=2.1,
            promise=True,
        ),
        Figure(_SUBJECT, "refusals (429)", ten.throttled + hundred.throttled, most=0, promise=True),
    ]
