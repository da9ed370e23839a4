# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peak memory of the process that works, for small and large fleets."""

from __future__ import annotations

from pathlib import Path

from figures import MIB, Figure
from processes import collect
from tenant import Tenant, fleet

_SUBJECT = "Memory"
_FEW, _MANY, _MOST = 10, 1000, 10_000


def measure(work: Path) -> list[Figure]:
    few, many = (_peak(work / str(count), count) for count in (_FEW, _MANY))
    projected = many + (many - few) / (_MANY - _FEW) * (_MOST - _MANY)
    return [
        Figure(_SUBJECT, f"peak, {_FEW} devices", few, "MiB", most=150, promise=True),
        Figure(_SUBJECT, f"peak, {_MANY} devices", many, "MiB", most=150, promise=True),
        Figure(_SUBJECT, f"peak, {_MOST} devices, projected from these two", projected, "MiB", most=200, promise=True),
    ]


def _peak(work: Path, count: int) -> float:
    with Tenant(work, fleet(count)) as tenant:
        _result, usage = collect(tenant).wait()
    return usage.peak / MIB
