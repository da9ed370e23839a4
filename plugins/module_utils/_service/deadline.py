# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a reply may take: as a whole, or by its rate. Time-outs of sockets bound each read, and a server that drips has many.

Whatever is read from a connection is read through here: the status line, the headers and the body, also those of a proxy.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import threading
import time
import typing as t

# Of this thread's call; whoever opens a reply takes it from here.
_THIS_CALL = threading.local()


class Limit(t.Protocol):
    """What bounds reading."""

    def left(self) -> float:
        """Seconds that the next read may take. Raises TimeoutError if there are none."""

    def got(self, size: int) -> None:
        """So many bytes have come."""


class Deadline:
    """Everything within so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def got(self, size: int) -> None:
        pass


class LeastRate:
    """Something within each C(stall) seconds, and at least C(rate) bytes a second in each C(window) seconds."""

    def __init__(self, stall: float, rate: float, window: float) -> None:
        self._stall = stall
        self._window = window
        self._least = rate * window
        self._began = time.monotonic()
        self._size = 0

    def left(self) -> float:
        passed = time.monotonic() - self._began
        if passed >= self._window:
            if self._size < self._least:
                raise TimeoutError(f"less than {self._least / self._window:.0f} bytes a second")
            self._began, self._size, passed = time.monotonic(), 0, 0.0
        return min(self._stall, self._window - passed)

    def got(self, size: int) -> None:
        self._size += size


class Pace:
    """What bounds one call at the moment: first its deadline, and then perhaps a rate."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit


@contextlib.contextmanager
def bounded_by(pace: Pace) -> t.Iterator[None]:
    """Whatever this thread opens meanwhile is read at that pace."""
    _THIS_CALL.pace = pace
    try:
        yield
    finally:
        _THIS_CALL.pace = None


def pace_pools(manager: t.Any) -> t.Any:
    """Let a pool manager of urllib3 read its replies at the pace of whoever asks."""
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _paced(pool) for scheme, pool in classes.items()}
    return manager


@functools.cache
def _paced(pool: t.Any) -> t.Any:
    # Late: it loads ssl.
    import http.client

    class Reply(http.client.HTTPResponse):
        def __init__(self, sock: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
            pace = getattr(_THIS_CALL, "pace", None)
            super().__init__(t.cast(socket.socket, _PacedSocket(sock, pace)) if pace else sock, *args, **kwargs)

    connection = type("PacedConnection", (pool.ConnectionCls,), {"response_class": Reply})
    return type("PacedPool", (pool,), {"ConnectionCls": connection})


class _PacedSocket:
    """What a reply is read from."""

    def __init__(self, sock: t.Any, pace: Pace) -> None:
        self._socket = sock
        self._pace = pace

    def makefile(self, mode: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return io.BufferedReader(_PacedReader(self._socket, self._pace))


class _PacedReader(io.RawIOBase):
    def __init__(self, sock: t.Any, pace: Pace) -> None:
        super().__init__()
        self._socket = sock
        self._pace = pace
        # It keeps the socket open until all is read, as the one in its place would.
        self._inner = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        limit = self._pace.limit
        usual = self._socket.gettimeout()
        left = limit.left()
        self._socket.settimeout(left if usual is None else min(left, usual))
        try:
            size: int | None = self._inner.readinto(buffer)
        finally:
            # The connection is used again.
            with contextlib.suppress(OSError):
                self._socket.settimeout(usual)
        limit.got(size or 0)
        return size

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()
