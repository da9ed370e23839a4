# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service's rate limits: per app and tenant, and per endpoint."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from .settings import Settings

DEFAULT_LIMITS = (100, 1500)
LIMITS = {"package_link": (2, 120)}


@dataclass(frozen=True)
class Refusal:
    limit: int
    window: str
    seconds: float


class Quota:
    """Windows slide, or tick from one full minute (or hour) to the next: the service does not say which."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._taken: dict[tuple[str, str], deque[float]] = {}
        self.rejected: Counter[str] = Counter()

    def take(self, client_id: str, endpoint: str, now: float) -> Refusal | None:
        taken = self._taken.setdefault((client_id, endpoint), deque())
        while taken and taken[0] <= now - 2 * self._settings.hour:
            taken.popleft()
        refusal = self._refusal(taken, endpoint, now)
        if refusal is None or self._settings.count_rejected:
            taken.append(now)
        if refusal is not None:
            self.rejected[endpoint] += 1
        return refusal

    def limits(self, endpoint: str) -> tuple[int, int]:
        per_minute, per_hour = self._settings.quotas.get(endpoint) or LIMITS.get(endpoint, DEFAULT_LIMITS)
        return per_minute, per_hour

    def _refusal(self, taken: deque[float], endpoint: str, now: float) -> Refusal | None:
        minute, hour = self._settings.minute, self._settings.hour
        per_minute, per_hour = self.limits(endpoint)
        worst: Refusal | None = None
        for limit, window, name in ((per_minute, minute, "00:01:00"), (per_hour, hour, "01:00:00")):
            seconds = self._wait(taken, limit, window, now)
            if seconds > 0 and (worst is None or seconds > worst.seconds):
                worst = Refusal(limit, name, seconds)
        return worst

    def _wait(self, taken: deque[float], limit: int, window: float, now: float) -> float:
        inside = self._inside(taken, window, now)
        if len(inside) < limit:
            return 0.0
        if self._settings.quota_window == "tick":
            return window - now % window
        return inside[-limit] + window - now

    def _inside(self, taken: deque[float], window: float, now: float) -> list[float]:
        if self._settings.quota_window == "tick":
            return [at for at in taken if at // window == now // window]
        return [at for at in taken if at > now - window]

    def report(self, now: float) -> dict[str, Any]:
        used: dict[str, dict[str, dict[str, int]]] = {}
        for (client_id, endpoint), taken in list(self._taken.items()):
            used.setdefault(client_id, {})[endpoint] = {
                "minute": len(self._inside(taken, self._settings.minute, now)),
                "hour": len(self._inside(taken, self._settings.hour, now)),
            }
        return {"rejected": dict(self.rejected), "used": used}

    def reset(self) -> None:
        self._taken.clear()
        self.rejected.clear()
