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
from simulator.sealing import Signer, TimeAuthority

TOP = Path(__file__).resolve().parents[2]
PROJECT = TOP / "docs" / "awx" / "project"
BIN = Path(sys.executable).parent
# The same with the oldest ansible-core, where there is a Python for it.
OLDEST = Path(os.environ.get("AWX_OLDEST", "there-is-none"))


PEOPLE = {"analyst": "SOC", "approver": "Incident leads", "colleague": "Others", "siem": None}


def bare_environment(home: Path, programs: Path = BIN) -> dict[str, str]:
    """What a job begins with: nothing of whoever runs the tests, above all no credentials."""
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
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
            # Beside others on a small computer the role takes its time.
            timeout=1200,
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
    """With teams, and with people in them; and with somebody that a SIEM signs in as."""
    standin = Awx(PROJECT).start()
    for user, team in PEOPLE.items():
        if team:
            standin.add("teams", name=team, organization=standin.one("organizations", "Default")["id"])
        standin.add_user(user, f"the password of {user}", teams=[team] if team else [])
    yield standin
    standin.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[TimeAuthority]:
    with TimeAuthority(tmp_path_factory.mktemp("authority")) as running:
        yield running


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"), "awx@contoso.com")


@pytest.fixture(scope="session")
def first(
    awx: Awx, simulator: Simulator, authority: TimeAuthority, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SetUp, Ran]:
    """An AWX that was set up, with seals, and how that went."""
    setup = SetUp(awx, simulator, tmp_path_factory.mktemp("setup"))
    setup.variables.update(
        awx_setup_tsa_url=authority.url(),
        awx_setup_tsa_ca_path="seals/root.pem",
        awx_setup_allowed_signers="seals/allowed_signers",
        awx_setup_revoked_keys="seals/revoked_keys",
        awx_setup_signing_credential_name="Evidence key",
        awx_setup_signing_key=Path(signer.key).read_text(),
        awx_setup_signing_identity=signer.identity,
        awx_setup_analyst_teams=["SOC"],
        awx_setup_approver_teams=["Incident leads"],
        awx_setup_alert_users=["siem"],
        awx_setup_alert_exclude_tags=["tier0"],
    )
    ran = setup.run("-vvv")
    assert ran.code == 0, ran.output
    return setup, ran
