# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from standin import Awx

from simulator import Device, Simulator

TOP = Path(__file__).resolve().parents[2]
PROJECT = TOP / "docs" / "awx" / "project"
BIN = Path(sys.executable).parent


def bare_environment(home: Path) -> dict[str, str]:
    """What a job begins with: nothing of whoever runs the tests, above all no credentials."""
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
        "ANSIBLE_NOCOLOR": "1",
    }


@dataclass
class Ran:
    code: int
    output: str
    recap: dict[str, int]


class SetUp:
    """Runs the playbook secops.defender.awx_setup against a stand-in."""

    def __init__(self, awx: Awx, simulator: Simulator, folder: Path) -> None:
        self.awx, self.simulator, self.folder, self.user = awx, simulator, folder, awx.username
        self.variables: dict[str, t.Any] = {
            "awx_setup_project_url": "https://git.example.com/secops/evidence.git",
            "awx_setup_execution_environment_image": "registry.example.com/secops/defender-ee:1.0.0",
            "awx_setup_tenant": simulator.tenant,
            "awx_setup_client_id": simulator.client_id,
            "awx_setup_client_secret": simulator.client_secret,
        }

    def run(self, *arguments: str, **changes: t.Any) -> Ran:
        variables = self.folder / "variables.json"
        user = self.awx.users[self.user]
        variables.write_text(json.dumps({**self.variables, **changes}))
        self.awx.calls.clear()
        done = subprocess.run(
            ["ansible-playbook", "secops.defender.awx_setup", "-e", f"@{variables}", *arguments],
            env={
                **bare_environment(self.folder),
                "ANSIBLE_PIPELINING": "1",
                "CONTROLLER_HOST": self.awx.url,
                "CONTROLLER_USERNAME": user["username"],
                "CONTROLLER_PASSWORD": user["_password"],
            },
            cwd=self.folder,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        recap = re.search(r"^localhost +: (.*)$", done.stdout, re.M)
        counts = dict(each.split("=") for each in recap[1].split()) if recap else {}
        return Ran(done.returncode, done.stdout, {name: int(count) for name, count in counts.items()})


@pytest.fixture(scope="session")
def simulator() -> t.Iterator[Simulator]:
    devices = [Device(f"ws{number:02}.contoso.com", tags=("tier0",) if number < 3 else ()) for number in range(8)]
    devices.append(Device("old.contoso.com", "unsupported_os"))
    with Simulator(devices, minute=1.0, hour=60.0, collect_seconds=(0.2, 0.5)) as running:
        yield running


@pytest.fixture(scope="session")
def awx() -> t.Iterator[Awx]:
    standin = Awx(PROJECT).start()
    yield standin
    standin.stop()


@pytest.fixture(scope="session")
def first(awx: Awx, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[SetUp, Ran]:
    """An AWX that was set up, and how that went."""
    setup = SetUp(awx, simulator, tmp_path_factory.mktemp("setup"))
    ran = setup.run("-vvv")
    assert ran.code == 0, ran.output
    return setup, ran
