# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the hosts of a play meet: what each asks for, who works for whom, and what each is answered.

Ansible runs every task of every host in a process of its own. These meet in files below the folder that ansible-playbook makes
for itself at its start and removes at its end; no other user can read it. Nothing in it is a secret.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import typing as t
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet

Row = dict[str, t.Any]


class Desk:
    """One entry into the role. root: the folder of this ansible-playbook. Raises OSError where that cannot be written.

    Every host asks before any host leads: the strategies that share an entry go on to the next task only when all are done.
    """

    def __init__(self, root: str, entry: str) -> None:
        self._folder = Path(root) / "secops.defender" / _name(entry)
        if not (self._folder / "answers").is_dir():
            for name in ("hosts", "fleets", "led", "answers"):
                (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def ask(self, request: Request) -> None:
        """A host's request, instead of all that it asked for or was answered before."""
        self.take(request.host)
        with self._alone():
            _write(self._folder / "requests", json.dumps(request.as_mapping()) + "\n", os.O_APPEND)
        _write(self._folder / "hosts" / _name(request.host), request.fleet, os.O_TRUNC)

    def lead(self, host: str, judge: t.Callable[[list[Request]], list[Sheet]]) -> Sheet | None:
        """What a host has to do for its fleet; None if there is nothing, or another host does it.

        judge: makes sheets of all requests. The first host that comes calls it, and the others wait for that.
        """
        with self._alone():
            requests = self._collect()
            if requests:
                for sheet in judge(requests):
                    _write(self._folder / "fleets" / sheet.fleet, json.dumps(sheet.as_mapping()), os.O_TRUNC)
        fleet = self.asked(host)
        led = self._folder / "led" / f"{fleet}.{os.getpid()}"
        try:
            # Only one of those who try it at the same time succeeds.
            os.rename(self._folder / "fleets" / (fleet or "-"), led)
        except FileNotFoundError:
            return None
        return Sheet.of(json.loads(led.read_text(encoding="utf-8")))

    def asked(self, host: str) -> str | None:
        """The fleet of a host's request, if it made one that it has not taken the answer of."""
        with suppress(FileNotFoundError):
            return (self._folder / "hosts" / _name(host)).read_text(encoding="utf-8")
        return None

    def answer(self, host: str, row: Row) -> None:
        _write(self._folder / "answers" / _name(host), json.dumps(row), os.O_TRUNC)

    def take(self, host: str) -> Row | None:
        """A host's answer, and nothing of it is left behind."""
        row: Row | None = None
        answer = self._folder / "answers" / _name(host)
        with suppress(FileNotFoundError):
            row = json.loads(answer.read_text(encoding="utf-8"))
            answer.unlink()
        with suppress(FileNotFoundError):
            (self._folder / "hosts" / _name(host)).unlink()
        return row

    def _collect(self) -> list[Request]:
        """The requests that nobody has seen to yet, of each host its last one."""
        requests, seen_to = self._folder / "requests", self._folder / "led" / f"requests.{os.getpid()}"
        try:
            os.rename(requests, seen_to)
        except FileNotFoundError:
            return []
        lines = seen_to.read_text(encoding="utf-8").splitlines()
        seen_to.unlink()
        asked = [Request.of(json.loads(line)) for line in lines]
        return list({request.host: request for request in asked}.values())

    @contextmanager
    def _alone(self) -> t.Iterator[None]:
        descriptor = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _name(text: str) -> str:
    """A file name for what may hold any character, in any length."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]


def _write(path: Path, text: str, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
