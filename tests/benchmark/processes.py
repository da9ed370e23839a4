# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes, and what they used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from tenant import Tenant

_HERE = Path(__file__).parent
# ru_maxrss is in bytes on macOS and in KiB elsewhere.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """Of a process and of all its children: seconds from start to end, seconds of CPU, and the largest one's memory in bytes."""

    status: int
    wall: float
    cpu: float
    peak: int


class Started:
    """A process under way. Its output is kept in a file, for when it goes wrong."""

    def __init__(self, command: list[str], environment: dict[str, str], work: Path, log: Path) -> None:
        self.log = log
        self._began = time.monotonic()
        with open(log, "wb") as file:
            self._process = subprocess.Popen(command, env=environment, cwd=work, stdout=file, stderr=subprocess.STDOUT)

    def wait(self) -> Usage:
        _pid, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - self._began
        return Usage(self._process.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * _RSS_UNIT)


class Task:
    """One task of a module in a process of its own: the same work as the module's, without ansible-playbook around it."""

    def __init__(self, tenant: Tenant, module: str, name: str, options: dict[str, t.Any]) -> None:
        self._result = tenant.work / f"{name}.result.json"
        given = tenant.work / f"{name}.options.json"
        common = {"quotas": tenant.quotas, "quota_dir": str(tenant.work / "quota")}
        given.write_text(json.dumps({**tenant.connection, **common, **options}), encoding="utf-8")
        command = [sys.executable, str(_HERE / "task.py"), module, str(given), str(self._result)]
        self._process = Started(command, dict(os.environ), tenant.work, tenant.work / f"{name}.log")

    def wait(self) -> tuple[dict[str, t.Any], Usage]:
        usage = self._process.wait()
        if usage.status:
            raise RuntimeError(self._process.log.read_text(encoding="utf-8", errors="replace"))
        return json.loads(self._result.read_text(encoding="utf-8")), usage


def collect(tenant: Tenant, name: str = "collect", **more: t.Any) -> Task:
    """defender_collect_package for the tenant's whole fleet."""
    options = {
        "machines": tenant.names,
        "comment": "Benchmark",
        "dest": str(tenant.work / "evidence"),
        "poll_interval": tenant.poll_interval,
        **more,
    }
    return Task(tenant, "collect", name, options)


def playbook(
    tenant: Tenant, name: str, play: str, hosts: list[str], forks: int, variables: dict[str, t.Any], **environment: str
) -> Started:
    """ansible-playbook over these hosts, which nobody can reach."""
    inventory = tenant.work / f"{name}.ini"
    inventory.write_text("\n".join(hosts) + "\n", encoding="utf-8")
    given = tenant.work / f"{name}.vars.json"
    given.write_text(json.dumps(variables), encoding="utf-8")
    command = ["ansible-playbook", play, "--inventory", str(inventory), "--forks", str(forks)]
    command += ["--extra-vars", f"@{given}"]
    own = {"ANSIBLE_HOME": str(tenant.work / "ansible"), "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_NOCOWS": "1"}
    inherited = {key: value for key, value in os.environ.items() if key != "ANSIBLE_CONFIG"}
    environment = {**inherited, **tenant.environment, **own, **environment}
    return Started(command, environment, tenant.work, tenant.work / f"{name}.log")


def play_file(name: str) -> str:
    """A playbook of the benchmark."""
    return str(_HERE / name)
