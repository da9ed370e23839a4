# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be broken inside a run: its life, the wire, the disk, the clock."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import signatures as _signatures
from ansible_collections.secops.defender.plugins.module_utils._service import session as _session
from ansible_collections.secops.defender.plugins.module_utils._service import wire as _http
from ansible_collections.secops.defender.plugins.module_utils._words import clock as _clock


class Break:
    """Installs itself in the process that is about to run."""

    def install(self, clock: _clock.Clock) -> None:
        raise NotImplementedError


class Steps(Break):
    """Counts everything that leaves a trace outside the process, just before and just after it happens."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._count += 1
            self.reached(self._count)

    def reached(self, count: int) -> None:
        raise NotImplementedError

    def install(self, clock: _clock.Clock) -> None:
        self._around(_http.Http, "send")
        self._around(_custody, "_write_all")
        self._around(_signatures, "_run")
        for name in ("rename", "fsync", "mkdir", "unlink"):
            self._around(os, name)
        self._halve_writes()
        whole = _http.chunks_of

        def chunks(reply: t.Any) -> t.Iterator[bytes]:
            # In small pieces, so that there is a middle to be killed in.
            for chunk in whole(reply):
                for start in range(0, len(chunk), 3000):
                    self.step()
                    yield chunk[start : start + 3000]

        vars(_session)["chunks_of"] = chunks

    def _around(self, owner: t.Any, name: str) -> None:
        original: Callable[..., t.Any] = getattr(owner, name)

        def around(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self.step()
            try:
                return original(*args, **kwargs)
            finally:
                self.step()

        setattr(owner, name, around)

    def _halve_writes(self) -> None:
        """Every write has a middle; whoever writes has to bear that less than all is taken."""
        whole = os.write

        def write(file: int, data: bytes) -> int:
            if len(data) < 2 or not stat.S_ISREG(os.fstat(file).st_mode):
                return whole(file, data)
            taken = whole(file, data[: len(data) // 2])
            self.step()
            return taken

        setattr(os, "write", write)  # noqa: B010


class Count(Steps):
    """How many steps a run has that nobody disturbs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def reached(self, count: int) -> None:
        self._path.write_text(str(count), encoding="ascii")


class KillAt(Steps):
    """kill -9 at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def reached(self, count: int) -> None:
        if count == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


class Wire(Break):
    """One call of an endpoint meets a closed port, or a server whose certificate nobody has signed."""

    PATHS: t.ClassVar[dict[str, str]] = {
        "discovery": "openid-configuration",
        "token": "/oauth2/v2.0/token",
        "machines": "/api/machines",
        "machine_actions": "/api/machineactions",
        "collect": "/collectInvestigationPackage",
        "package_link": "/getPackageUri",
        "download": "/safedownload/",
    }

    def __init__(self, kind: str, endpoint: str, after: int) -> None:
        self._kind = kind
        self._endpoint = endpoint
        self._left = after

    def install(self, clock: _clock.Clock) -> None:
        original = _http.Http.send

        def send(http: _http.Http, method: str, url: str, **kwargs: t.Any) -> t.Any:
            if not self._hit(urlsplit(url).path):
                return original(http, method, url, **kwargs)
            if self._kind == "refused":
                with socket.socket() as closed:
                    closed.bind(("127.0.0.1", 0))
                    port = closed.getsockname()[1]
                return original(http, method, urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{port}")), **kwargs)
            verify, http._verify = http._verify, True
            try:
                return original(http, method, url, **kwargs)
            finally:
                http._verify = verify

        setattr(_http.Http, "send", send)  # noqa: B010

    def _hit(self, path: str) -> bool:
        if not path.endswith(self.PATHS[self._endpoint]) and self.PATHS[self._endpoint] not in path.removesuffix(
            path.split("/")[-1]
        ):
            return False
        self._left -= 1
        return self._left == -1


class DiskFull(Break):
    """The disk is full from one write on to the end of the run."""

    def __init__(self, call: int) -> None:
        self._left = call
        self._lock = threading.Lock()

    def install(self, clock: _clock.Clock) -> None:
        original = os.fsync

        def fsync(file: int) -> None:
            with self._lock:
                self._left -= 1
                full = self._left <= 0
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(file)

        setattr(os, "fsync", fsync)  # noqa: B010


class ClockStep(Break):
    """The computer's clock is set while the run goes on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def install(self, clock: _clock.Clock) -> None:
        began = time.monotonic()
        clock.wall = lambda: time.time() + (self._seconds if time.monotonic() > began + 0.2 else 0.0)  # type: ignore[method-assign]
