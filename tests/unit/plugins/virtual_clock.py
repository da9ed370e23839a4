# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time that passes only when somebody waits for it."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock


class VirtualClock(Clock):
    """Sleeping is moving the hands; jitter is none."""

    def __init__(self, now: float = 1000.0, base: float = 1_800_000_000.0) -> None:
        super().__init__()
        self.now = now
        self.base = base
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.base + self.now

    def sleep(self, seconds: float) -> None:
        self.check()
        self.slept.append(seconds)
        self.now += max(0.0, seconds)

    def jitter(self, seconds: float) -> float:
        return seconds

    def start_again(self) -> None:
        """After a run has stopped it: the next one has a clock of its own."""
        self._stopped.clear()
