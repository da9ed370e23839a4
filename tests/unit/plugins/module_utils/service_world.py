# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the lower half of the engine have in common: a way in, and small servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Budget, Limit
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from simulator import Simulator
from simulator.keys import authority

ROOMY = {"default": (Limit(1_000_000, 60.0),)}


class StubTokens:
    """A bearer for the session without a sign-in; counts renewals."""

    def __init__(self, *bearers: str) -> None:
        self.bearers = list(bearers)
        self.renewed = 0

    def get(self) -> str:
        return self.bearers[min(self.renewed, len(self.bearers) - 1)]

    def renew(self) -> None:
        self.renewed += 1


def endpoints_of(simulator: Simulator) -> Endpoints:
    return Endpoints("public", simulator.login_url, simulator.api_url, simulator.audience)


def private_budget(clock: Clock, limits: t.Any = None) -> Budget:
    return Budget("tests", limits or ROOMY, clock)


Server = t.TypeVar("Server", bound="TinyServer")


class TinyServer:
    """A TLS (or plain) server that hands each connection to a function in a thread of its own."""

    def __init__(self, serve: t.Callable[[socket.socket], None], tls: bool = True) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority()[1].configure_cert(self._context)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(plain,), daemon=True).start()

    def _one(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            plain.settimeout(10)
            self._serve(self._context.wrap_socket(plain, server_side=True) if self._context else plain)

    def __enter__(self: Server) -> Server:
        return self

    def __exit__(self, *failure: object) -> None:
        # A thread that waits in accept keeps the port: shutting down wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Everything up to the end of the headers."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = connection.recv(65536)
        if not piece:
            break
        text += piece
    return text


def answering(reply: bytes) -> t.Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(reply)

    return serve
