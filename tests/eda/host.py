# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host on which ansible-rulebook runs the rulebook as shipped, against a simulated tenant; also a plugin of pytest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections import Counter
from pathlib import Path

import pytest

from simulator import Alert, Device, Simulator
from simulator.settings import App

BIN = Path(sys.executable).parent
ROLES = ("Machine.CollectForensics", "Machine.Read.All", "Alert.Read.All")
# The simulated minute, in seconds, so that two package links a minute do not take long.
MINUTE = 0.5
RULEBOOK = "secops.defender.collect_on_alert"
# How often the source looks in these tests, and the shipped rulebook's window. Seconds.
POLL, WINDOW = 1.0, 10.0
# A busy machine is no failure, a hanging one is. Seconds.
PATIENCE = 300.0
_INVENTORY = "all: {hosts: {localhost: {ansible_connection: local}}}\n"


class Host:
    """variables: of the rulebook, over those that hurry it along."""

    def __init__(self, tenant: Simulator, folder: Path, variables: t.Mapping[str, t.Any]) -> None:
        self.tenant, self.evidence = tenant, folder / "evidence"
        self.output = folder / "output"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._left: list[int] = []
        (folder / "inventory.yml").write_text(_INVENTORY)
        hurry = {"collect_on_alert_poll_interval": POLL, "collect_on_alert_package_poll_interval": 1}
        where = {"collect_on_alert_dest": str(self.evidence)}
        (folder / "alerts.yml").write_text(json.dumps({**hurry, **where, **variables}))
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "JAVA_HOME": os.environ["JAVA_HOME"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
            "ANSIBLE_NOCOLOR": "1",
            "DEFENDER_TENANT": tenant.tenant,
            "DEFENDER_CLIENT_ID": tenant.client_id,
            "DEFENDER_CLIENT_SECRET": tenant.client_secret,
            "DEFENDER_API_URL": tenant.api_url,
            "DEFENDER_LOGIN_URL": tenant.login_url,
            "DEFENDER_CA_PATH": str(tenant.ca_path),
        }

    def start(self) -> None:
        """Returns as soon as the source has looked for the first time."""
        before = self.looks()
        command = [str(BIN / "ansible-rulebook"), "--rulebook", RULEBOOK]
        command += ["--inventory", str(self._folder / "inventory.yml"), "--vars", str(self._folder / "alerts.yml")]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self.environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        self.until(lambda: self.looks() > before, "the source looks")

    def kill(self, playbooks: bool) -> None:
        """kill -9 of ansible-rulebook, which leaves its playbooks running; or of those as well, as when a host goes down."""
        assert self._process
        work = descendants(self._process.pid)
        kill([self._process.pid, *(work if playbooks else ())])
        self._process.wait()
        self._process = None
        self._left += work

    def close(self) -> None:
        if self._process:
            self.kill(playbooks=True)
        # What was left running would look for its tenant for an hour. Its command names this host's folder.
        kill(process for process in self._left if str(self._folder) in command_of(process))
        self.tenant.stop()

    def alert(self, machine: str, incident: int, **more: t.Any) -> None:
        self.tenant.add_alert(Alert(machine, incident_id=incident, age=0.0, **more))

    def looks(self) -> int:
        return sum(call.endpoint == "alerts" and call.status == 200 for call in list(self.tenant.requests))

    def starts(self) -> Counter[str]:
        """By device: how many collections were begun."""
        return Counter({machine: count for machine, count in self.tenant.accepted_starts().items() if count})

    def began(self) -> list[float]:
        """When, by the tenant's clock."""
        return [call.time for call in list(self.tenant.requests) if call.endpoint == "collect" and call.status == 201]

    def packages(self) -> Counter[tuple[str, str]]:
        """By incident's folder and device: how many packages stand under their final names."""
        return Counter((path.parents[1].name, path.parent.name) for path in self.evidence.glob("*/*/*.zip"))

    def ended(self) -> int:
        """How many playbooks have come to their end."""
        return self.said().count("PLAY RECAP")

    def said(self) -> str:
        """All that ansible-rulebook has written."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def until(self, what: t.Callable[[], bool], called: str) -> None:
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, f"never: {called}\n{self.said()[-6000:]}"
            time.sleep(0.1)

    def verified(self, folder: Path) -> dict[str, t.Any]:
        """What defender_verify_evidence says of a folder."""
        command = [
            str(BIN / "ansible"),
            "localhost",
            "-m",
            "secops.defender.defender_verify_evidence",
            "-a",
            f"path={folder}",
        ]
        environment = {**self.environment, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "minimal"}
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert " => {" in done.stdout, done.stdout + done.stderr
        answer: dict[str, t.Any] = json.loads("{" + done.stdout.partition(" => {")[2])
        return answer


def kill(processes: t.Iterable[int]) -> None:
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def command_of(process: int) -> str:
    """Nothing for one that is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(process: int) -> list[int]:
    """A process's children, and theirs."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found: list[int] = []
    ahead = [process]
    while ahead:
        children = [child for child, parent in parents.items() if parent == ahead[0]]
        found += children
        ahead = ahead[1:] + children
    return found


@pytest.fixture
def short() -> t.Iterator[Path]:
    """A folder with a short name: Ansible's sockets lie below it, and the name of a socket has 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="eda-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def host(short: Path) -> t.Iterator[t.Callable[..., Host]]:
    """Makes a tenant with some devices, and a host on which ansible-rulebook runs."""
    made: list[Host] = []

    def make(*devices: Device, **variables: t.Any) -> Host:
        app = App("secops-responder", roles=ROLES)
        tenant = Simulator(
            devices,
            apps=[app],
            minute=MINUTE,
            hour=60 * MINUTE,
            collect_seconds=(0.5, 2.0),
            state_dir=short / "tenant",
        )
        limits = {"default": [f"100/{MINUTE}", f"1500/{60 * MINUTE}"], "package_link": [f"2/{MINUTE}"]}
        made.append(Host(tenant.start(), short, {"collect_on_alert_quotas": limits, **variables}))
        return made[-1]

    yield make
    for each in made:
        each.close()
