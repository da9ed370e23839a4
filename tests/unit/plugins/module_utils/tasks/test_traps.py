# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Anything in an evidence folder may be a trap by the next time somebody works with it: nobody falls into it, and nobody waits."""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK as COMPARE
from ansible_collections.secops.defender.plugins.module_utils._tasks.extract_evidence import TASK as EXTRACT
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK as FETCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.package_info import TASK as INFO
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK as SEAL
from ansible_collections.secops.defender.plugins.module_utils._tasks.search_evidence import TASK as SEARCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Tenant, ask
from simulator import Device, Simulator
from simulator.sealing import Signer

# Seconds that no task takes here, unless it waits for something.
LONGEST = 20.0
CONNECTION = {"minute": 0.5, "hour": 18.0, "collect_seconds": (0.05, 0.1)}
DEVICES = [Device(f"pc0{number}.contoso.com") for number in (1, 2)]


class RunClock(Clock):
    """The true time, for one run after the other."""

    def start_again(self) -> None:
        self._stopped.clear()


class Office:
    """A tenant, who seals, and a folder that was collected, sealed and read once."""

    def __init__(self, simulator: Simulator, home: Path) -> None:
        self.tenant = Tenant(simulator, t.cast(t.Any, RunClock()))
        self.signer = Signer.make(home / "signer")
        self.home = home
        self.folder = home / "evidence"
        for _name, task, given in self.works(self.folder, home / "extracted"):
            result = self.do(task, given)
            assert not result["failed"], result["msg"]
        names = [
            path.relative_to(home) for place in (self.folder, home / "extracted") for path in sorted(place.rglob("*"))
        ]
        # One of each kind: the second device's files are like the first one's.
        self.paths = list({(name.parts[0], len(name.parts), name.suffix): str(name) for name in names}.values())

    def works(self, folder: Path, extracted: Path) -> list[tuple[str, t.Any, dict[str, t.Any]]]:
        asked: dict[str, t.Any] = {"machines": ["pc01", "pc02"], "dest": str(folder)}
        quotas = {"default": ["100/0.5", "1500/18"], "package_link": ["2/0.5", "120/18"]}
        asked.update(quota_dir=str(self.home / "quota"), quotas=quotas, report=True)
        waiting = {"comment": "Alert 1", "reuse_within": "1h", "poll_interval": 0.1, "wait_timeout": 10}
        sealed = {"signing_key": self.signer.key, "identity": self.signer.identity}
        path = {"path": str(folder)}
        return [
            ("collect", COLLECT, {**asked, **waiting, **sealed}),
            ("fetch", FETCH, asked),
            ("seal", SEAL, {**path, **sealed}),
            ("verify", VERIFY, {**path, "allowed_signers": self.signer.allowed_signers}),
            ("info", INFO, path),
            ("search", SEARCH, {**path, "indicators": "203.0.113.7", "report": True, "export": True}),
            ("compare", COMPARE, {**path, "report": True}),
            ("extract", EXTRACT, {**path, "dest": str(extracted)}),
        ]

    def do(self, task: t.Any, given: dict[str, t.Any]) -> dict[str, t.Any]:
        if "tenant" in task.spec:
            return self.tenant(task, **given)
        return ask(task, given, clock=Clock())


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Office]:
    with Simulator(DEVICES, **t.cast(t.Any, CONNECTION)) as simulator:
        yield Office(simulator, tmp_path_factory.mktemp("office"))


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _hard_link(path: Path, victim: Path) -> None:
    os.link(victim, path)


def _hard_link_to_nothing(path: Path, victim: Path) -> None:
    victim.write_bytes(b"")
    os.link(victim, path)


def _pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, victim: Path) -> None:
    path.mkdir()


def _nest(path: Path, victim: Path) -> None:
    path.write_bytes(b"[" * 200_000)


def _nothing(path: Path, victim: Path) -> None:
    path.touch()


TRAPS = [_link, _hard_link, _hard_link_to_nothing, _pipe, _folder, _nest, _nothing]


@pytest.mark.parametrize("trap", TRAPS)
def test_nobody_falls_into_a_trap(office: Office, trap: t.Callable[[Path, Path], None], tmp_path: Path) -> None:
    troubles = []
    for number, name in enumerate(office.paths):
        for work, task, _given in office.works(tmp_path, tmp_path):
            home = tmp_path / f"{number}-{work}"
            shutil.copytree(office.folder, home / "evidence")
            shutil.copytree(office.home / "extracted", home / "extracted")
            victim, path = home / "victim", home / name
            victim.write_bytes(b"the victim's")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            trap(path, victim)
            before = victim.read_bytes()
            given = {each: args for each, _task, args in office.works(home / "evidence", home / "extracted")}[work]
            began = time.monotonic()
            try:
                result = office.do(task, given)
            except BaseException as failure:
                troubles.append(f"{work}: {name}: {failure!r}")
                continue
            if time.monotonic() - began > LONGEST:
                troubles.append(f"{work}: {name}: took {time.monotonic() - began:.0f} s")
            if victim.read_bytes() != before:
                troubles.append(f"{work}: {name}: wrote {victim.read_bytes()[-200:]!r}")
            if "Unexpected" in str(result.get("error")):
                troubles.append(f"{work}: {name}: {result['msg']}")
            shutil.rmtree(home)
    assert troubles == []
