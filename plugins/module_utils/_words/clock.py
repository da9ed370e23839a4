# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock, injected so that an hour of quota is tested in a millisecond."""

from __future__ import annotations

import random
import threading
import time
import typing as t
from concurrent.futures import FIRST_COMPLETED, Future, wait

from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError

# Seconds that a wait for calls goes on at most before it looks whether the work was abandoned.
_SLICE = 1.0


class Stopped(Exception):
    """The task is ending: whoever was waiting in a thread gives up."""


class Clock:
    """Time and randomness as the rest of the collection sees them."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._abandoned: DefenderError | None = None

    def stop(self) -> None:
        """End every wait, now and later, with Stopped: a thread must not hold up the end of an interrupted task."""
        self._stopped.set()

    def abandon(self, why: DefenderError) -> None:
        """End every wait, now and later, with an error: nobody is there any more whom the work is for."""
        self._abandoned = why
        self._stopped.set()

    def check(self) -> None:
        """Raises Stopped once the task is ending, and what it was abandoned for."""
        if self._abandoned:
            raise self._abandoned
        if self._stopped.is_set():
            raise Stopped

    def monotonic(self) -> float:
        """Seconds that never step; the same for all processes since the computer started."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._stopped.wait(seconds)
        self.check()

    def wait(self, futures: t.Iterable[Future[t.Any]], seconds: float) -> None:
        """Until one of the futures is done, or for that many seconds."""
        pending = list(futures)
        if not pending:
            self.sleep(seconds)
            return
        end = self.monotonic() + seconds
        while not self._abandoned:
            left = max(0.0, end - self.monotonic())
            done, _others = wait(pending, timeout=min(_SLICE, left), return_when=FIRST_COMPLETED)
            if done or left <= _SLICE:
                return
        self.check()

    def jitter(self, seconds: float) -> float:
        """A random share of the seconds, from a half to all, so that processes do not retry in step."""
        return seconds * random.uniform(0.5, 1.0)
