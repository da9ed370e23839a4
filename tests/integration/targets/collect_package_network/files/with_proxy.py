# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command behind a proxy on loopback: with_proxy.py LOG USER:PASSWORD COMMAND…

The proxy forwards CONNECT and nothing else, and only for those who know the password. Its address is in HTTPS_PROXY while the
command runs, or in the variable that PROXY_VARIABLE names; LOG gets a line for each request: the answer and the host.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    log: Path
    wanted: str


class Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        method, target = self.rfile.readline().decode().split()[:2]
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _colon, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if method != "CONNECT":
            return self.answer(405, target)
        if headers.get("proxy-authorization") != self.server.wanted:
            return self.answer(407, target)
        host, _colon, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as other:
            self.answer(200, target)
            self.forward(other)

    def answer(self, status: int, target: str) -> None:
        with open(self.server.log, "a", encoding="utf-8") as log:
            log.write(f"{status} {target}\n")
        self.wfile.write(f"HTTP/1.1 {status} As it is\r\n\r\n".encode())

    def forward(self, other: socket.socket) -> None:
        ends = {self.connection: other, other: self.connection}
        while True:
            readable, _writable, _broken = select.select(list(ends), [], [], 30)
            for end in readable:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)
            if not readable:
                return


def main() -> None:
    log, credentials, *command = sys.argv[1:]
    with Proxy(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.log = Path(log)
        proxy.log.touch()
        proxy.wanted = "Basic " + base64.b64encode(b"user:proxy-password-4711").decode()
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://{credentials}@127.0.0.1:{proxy.server_address[1]}"
        # The lower-case names win where both are read.
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        chosen = {name: os.environ[name] for name in ("NO_PROXY",) if os.environ.get(name)}
        variable = os.environ.get("PROXY_VARIABLE", "HTTPS_PROXY")
        done = subprocess.run(command, env={**clean, **chosen, variable: address}, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
