# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every endpoint, and every oddity for as long as a task lasts: it has to end in time, with a sentence, and to tell no secret.

Afterwards the service is itself again, and the same task has to come to its end with nothing lost and nothing started twice.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import shutil
import socket
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from account import Trial, account, devices_of, running_simulator, total, write_fleet
from trial import Facts, Hasty, Outcome, control, forked, options

from ansible_collections.secops.defender.plugins.module_utils._fleet import run as fleet
from ansible_collections.secops.defender.plugins.module_utils._tasks import (
    cancel_action,
    collect_package,
    machine_action_info,
    machine_info,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, open_door
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter

# What a task may take, in seconds: its sign-in, its looks and its wait each have an end, however odd the service is.
TIMEOUT, WAIT_TIMEOUT, LONGEST = 1, 4, 80.0
# A start whose reply was lost is looked for so long before it is sent again; two minutes otherwise.
UNLISTED = 2.0
# What one process may take, although the service sends 400 MiB. MiB.
MEMORY = 200
_SHORTEST_SECRET = 8

ODDITIES: dict[str, dict[str, object]] = {
    "drip": {"kind": "drip", "byte_seconds": 0.5, "head": True},
    "stall": {"kind": "hang", "seconds": 600},
    "reset": {"kind": "reset"},
    "truncated": {"kind": "truncate"},
    "400 MB": {"kind": "bomb"},
    "deep": {"kind": "deep"},
    "wrong type": {"kind": "wrong_shape", "body": [{"value": 5, "id": [], "access_token": {"x": None}}]},
    "redirect": {"kind": "redirect", "status": 307},
    "foreign 404": {"kind": "gateway", "form": "json_error"},
    "no digits": {"kind": "headers", "headers": {"Content-Length": "²", "Retry-After": "٣", "Date": "x" * 300}},
    "many digits": {"kind": "headers", "headers": {"Content-Length": "9" * 5000, "Content-Range": "bytes 0-1/" + "9" * 5000}},
    "Retry-After": {"kind": "status", "status": 429, "code": "429", "retry_after": "1e9"},
    "echo": {"kind": "echo"},
}  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """A task that needs an endpoint, and what differs from collecting from one device that is well.

    by_machine: the endpoint is asked for one device at a time. also: a fault that leads to the endpoint.
    """

    task: Task = collect_package.TASK
    more: Callable[[Facts, str], dict[str, object]] = lambda facts, name: {}
    by_machine: bool = False
    also: dict[str, object] | None = None

    @property
    def collects(self) -> bool:
        return self.task is collect_package.TASK


def _cancelling(facts: Facts, name: str) -> dict[str, object]:
    """A collection from a device that is offline, so that it can be cancelled."""
    start = {**options(facts, [name], Path()), "dest": None, "machines": [name]}
    forked(lambda: Outcome(complete=not _door(collect_package.TASK, start, Screen())["failed"]))
    started = [each["id"] for each in control(facts, "actions")["actions"] if each["computerDnsName"] == name]
    return {"action_ids": started, "comment": "Fault campaign", "wait": True, "wait_timeout": WAIT_TIMEOUT}


_OF_COLLECTING = ("machines", "comment", "dest", "poll_interval", "wait_timeout")
ENDPOINTS = {
    "discovery": Endpoint(),
    "token": Endpoint(),
    "managed_identity": Endpoint(
        more=lambda facts, name: {"auth_source": "managed_identity", "client_id": None, "client_secret": None}
    ),
    "machines": Endpoint(machine_info.TASK, lambda facts, name: {"machines": name}),
    "machine_actions": Endpoint(machine_action_info.TASK, lambda facts, name: {"machines": name}),
    "machine_action": Endpoint(cancel_action.TASK, _cancelling, also={"endpoint": "cancel", "kind": "status", "status": 504}),
    "collect": Endpoint(by_machine=True),
    "package_link": Endpoint(by_machine=True),
    "download": Endpoint(by_machine=True),
    "cancel": Endpoint(cancel_action.TASK, _cancelling),
}  # fmt: skip


@dataclass
class Cell(Trial):
    endpoint: str = ""
    oddity: str = ""
    seconds: float = 0.0
    memory: int = 0
    hung: int = 0
    told: int = 0
    followed: int = 0
    # Calls that met the oddity: a cell without one has tried nothing.
    struck: int = 0
    said: str = field(default="", repr=False)

    @property
    def clean(self) -> bool:
        return (
            super().clean and self.struck > 0 and not (self.hung or self.told or self.followed or self.memory > MEMORY)
        )

    def __str__(self) -> str:
        return (
            f"{super().__str__()}, {self.seconds:.1f} s, {self.memory} MiB, hung {self.hung}, secrets {self.told}, "
            f"redirects followed {self.followed}, met by {self.struck} calls: {self.said[:300]}"
        )


def cells(full: bool) -> Iterator[Cell]:
    """All; in the short form one of each endpoint and of each oddity, without those that are slow by design."""
    for endpoint in ENDPOINTS:
        for oddity in ODDITIES:
            if full or (endpoint, oddity) in _SHORT:
                yield Cell(f"{endpoint}: {oddity}", devices=1, endpoint=endpoint, oddity=oddity)


_SHORT = {
    ("discovery", "deep"),
    ("token", "echo"),
    ("token", "drip"),
    ("machines", "400 MB"),
    ("machine_actions", "foreign 404"),
    ("machine_action", "wrong type"),
    ("collect", "redirect"),
    ("package_link", "echo"),
    ("download", "no digits"),
    ("cancel", "many digits"),
    ("cancel", "drip"),
}


class Screen:
    """A display that keeps all it is told to show, at the highest verbosity."""

    verbosity = 4

    def __init__(self) -> None:
        self.said: list[str] = []

    def __getattr__(self, _name: str) -> Callable[..., None]:
        def say(text: str, *_args: object, **_more: object) -> None:
            self.said.append(text)

        return say


def _door(task: Task, given: dict[str, object], screen: Screen) -> dict[str, t.Any]:
    given = {name: value for name, value in given.items() if value is not None}
    secrets = Secrets()
    reporter = DisplayReporter(t.cast(t.Any, screen), secrets)
    return open_door(task, given, {}, None, Context(False, reporter, secrets, "here", Hasty()))


def _perform(task: Task, given: dict[str, object], said: Path) -> Outcome:
    """The task, in this process; what it told and took goes beside the evidence."""
    vars(fleet)["_UNLISTED"] = UNLISTED
    screen = Screen()
    result = _door(task, given, screen)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    text = json.dumps({"result": result, "said": screen.said, "memory": memory}, default=str, ensure_ascii=False)
    said.write_text(text, encoding="utf-8")
    return Outcome(complete=not result["failed"], message=str(result["msg"]))


def _told(facts: Facts, dest: Path) -> int:
    """How many secrets stand in what it said and wrote, in any form in which they were sent or given back."""
    known = [secret.encode() for secret in control(facts, "secrets") if len(secret) >= _SHORTEST_SECRET]
    files = [Path(f"{dest}.json"), *(path for path in dest.rglob("*") if path.is_file() and path.suffix != ".zip")]
    texts = b"\n".join(path.read_bytes() for path in files if path.exists())
    return sum(secret in texts for secret in known)


class Elsewhere:
    """Where nobody should be led to: a port that counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}/api/elsewhere"

    def visitors(self) -> int:
        count = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1


def _given(facts: Facts, endpoint: Endpoint, name: str, dest: Path) -> dict[str, object]:
    given = {**options(facts, [name], dest), "timeout": TIMEOUT, "wait_timeout": WAIT_TIMEOUT}
    if not endpoint.collects:
        given = {key: value for key, value in given.items() if key not in _OF_COLLECTING}
    return {**given, **endpoint.more(facts, name)}


def _set_fault(facts: Facts, cell: Cell, name: str, elsewhere: Elsewhere) -> None:
    endpoint = ENDPOINTS[cell.endpoint]
    fault = {"endpoint": cell.endpoint, "count": 0, **ODDITIES[cell.oddity]}
    if cell.oddity == "redirect":
        fault["to"] = elsewhere.url
    if endpoint.by_machine:
        fault["machine_id"] = next(each["id"] for each in facts.devices if each["name"] == name)
    for each in (fault, endpoint.also):
        if each:
            control(facts, "faults", {"count": 0, **each})


def _struck(facts: Facts, cell: Cell) -> int:
    return sum(bool(each["fault"]) and each["endpoint"] == cell.endpoint for each in control(facts, "requests"))


def _play(facts: Facts, cell: Cell, name: str, dest: Path, elsewhere: Elsewhere) -> None:
    endpoint = ENDPOINTS[cell.endpoint]
    given, said = _given(facts, endpoint, name, dest), Path(f"{dest}.json")
    before = _struck(facts, cell)
    _set_fault(facts, cell, name, elsewhere)
    began = time.monotonic()
    outcome = forked(functools.partial(_perform, endpoint.task, given, said), LONGEST)
    cell.seconds = time.monotonic() - began
    control(facts, "reset", {"what": "faults"})
    cell.struck = _struck(facts, cell) - before
    cell.tracebacks += outcome.traceback
    cell.hung = int(cell.seconds >= LONGEST)
    cell.said = outcome.message
    cell.told = _told(facts, dest)
    cell.followed = elsewhere.visitors()
    cell.memory = json.loads(said.read_text(encoding="utf-8"))["memory"] if said.exists() else 0
    if endpoint.collects:
        for _run in range(2):
            if not outcome.complete:
                outcome = forked(functools.partial(_perform, endpoint.task, given, said))
                cell.tracebacks += outcome.traceback
        account(facts, [name], dest, cell)


def _table(done: list[Cell]) -> None:
    print(f"  {'endpoint':17} cells  hung  tracebacks  secrets  followed  lost  started twice  longest  most memory")
    for endpoint in ENDPOINTS:
        some = [cell for cell in done if cell.endpoint == endpoint]
        if some:
            figures = [
                sum(getattr(cell, name) for cell in some)
                for name in ("hung", "tracebacks", "told", "followed", "lost", "twice")
            ]
            longest, memory = max(cell.seconds for cell in some), max(cell.memory for cell in some)
            print(
                "  {:17} {:5} {:5} {:11} {:8} {:9} {:5} {:14} {:6.1f} s {:8} MiB".format(
                    endpoint, len(some), *figures, longest, memory
                )
            )


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every cell was clean."""
    began = time.monotonic()
    wanted = [cell for cell in cells(full) if only in cell.name]
    write_fleet(work / "fleet.yml", len(wanted), ("fine", "offline"))
    elsewhere, done = Elsewhere(), []
    with running_simulator(work) as facts:
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = facts.identity_url
        for number, cell in enumerate(wanted):
            dest = work / f"evidence-{number}"
            fine, offline = devices_of(number, 2)
            _play(
                facts, cell, offline if ENDPOINTS[cell.endpoint].task is cancel_action.TASK else fine, dest, elsewhere
            )
            shutil.rmtree(dest, ignore_errors=True)
            done.append(cell)
            if not cell.clean or only:
                print(f"  {cell}", flush=True)
    _table(done)
    print(
        f"{len(done)} of endpoint and oddity tried in {time.monotonic() - began:.0f} s: {sum(cell.hung for cell in done)} hung, "
        f"{sum(cell.told for cell in done)} secrets told, {sum(cell.followed for cell in done)} redirects followed, {total(list(done))}",
    )
    return all(cell.clean for cell in done)
