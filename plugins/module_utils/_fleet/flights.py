# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls under way: made in the pool's threads, their outcomes taken in by the fleet's own."""

from __future__ import annotations

import typing as t
from collections import deque
from concurrent.futures import Executor, Future
from functools import partial

from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError

T = t.TypeVar("T")
P = t.ParamSpec("P")
Land = t.Callable[["Future[t.Any]"], None]


class UnexpectedError(DefenderError):
    """What no call should raise: a mistake in this collection. It is its device's failure, not the run's end."""


class Flights:
    """Calls under way, each with what takes in its outcome.

    expected: what a call may raise besides DefenderError; everything else comes back as an UnexpectedError. scrub: takes
    secrets out of a text.
    """

    def __init__(self, pool: Executor, scrub: t.Callable[[str], str], expected: tuple[type[Exception], ...]) -> None:
        self._pool = pool
        self._scrub = scrub
        self._expected = expected
        self._pending: dict[Future[t.Any], Land] = {}
        self._asides: deque[tuple[Land, t.Callable[..., t.Any], tuple[t.Any, ...]]] = deque()
        self._aside = False

    def __iter__(self) -> t.Iterator[Future[t.Any]]:
        """Those that are to be waited for."""
        return iter(self._pending)

    def send(self, land: Land, call: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> None:
        """land: called with the call's outcome, by land()."""
        self._pending[self._pool.submit(guarded(call, self._scrub, *self._expected), *args, **kwargs)] = land

    def send_aside(self, land: Land, call: t.Callable[..., t.Any], *args: t.Any) -> None:
        """For calls that many devices can need at the same moment: one at a time, so that they leave the pool to the others."""
        self._asides.append((land, call, args))
        self._send_next_aside()

    def land(self) -> None:
        """Take in what has come back."""
        for flight in [flight for flight in self._pending if flight.done()]:
            self._pending.pop(flight)(flight)

    def _send_next_aside(self) -> None:
        if self._asides and not self._aside:
            self._aside = True
            land, call, args = self._asides.popleft()
            self.send(partial(self._aside_landed, land), call, *args)

    def _aside_landed(self, land: Land, flight: Future[t.Any]) -> None:
        self._aside = False
        land(flight)
        self._send_next_aside()


def guarded(call: t.Callable[P, T], scrub: t.Callable[[str], str], *expected: type[Exception]) -> t.Callable[P, T]:
    """The same call; what it raises that nobody foresaw becomes an UnexpectedError. expected: besides DefenderError."""

    known: tuple[type[Exception], ...] = (DefenderError, *expected)

    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except known:
            raise
        except Exception as failure:
            raise _unexpected(failure, scrub) from failure

    return made


def _unexpected(failure: Exception, scrub: t.Callable[[str], str]) -> UnexpectedError:
    """The error for an exception that nobody foresaw. Its text may be anything, a link of the service included."""
    said = scrub(f"{type(failure).__name__}: {failure}")[:500].rstrip(".")
    return UnexpectedError(
        f"Something unexpected went wrong: {said}.",
        code="UnexpectedError",
        advice="Report it as a bug of this collection, with this message. Running again takes the device up where it was.",
    )
