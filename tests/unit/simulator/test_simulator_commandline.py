# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

import simulator
from simulator.fleetfile import read_fleet

FLEET = {
    "devices": [
        {"name": "pc01.contoso.com", "scenario": "recent", "tags": ["tier0"], "history": [{"type": "Isolate"}]},
        {"name": "ws{n}.contoso.com", "repeat": 12},
    ],
    "apps": [{"name": "mine", "roles": ["Machine.Read.All"], "secret": "s3cret"}],
    "settings": {"collect_seconds": [0.1, 0.2], "page_size": 5},
    "neighbours": [
        {
            "devices": [{"name": "pc01.contoso.com"}],
            "settings": {"tenant": "11111111-2222-4333-8444-555555555555", "tenant_name": "fabrikam.com"},
        }
    ],
}


class Program:
    def __init__(self, folder: Path, *arguments: str) -> None:
        fleet = folder / "fleet.yml"
        fleet.write_text(yaml.safe_dump(FLEET), encoding="utf-8")
        self.state = folder / "state" / "simulator.json"
        tests = str(Path(simulator.__file__).parents[1])
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "simulator",
                "--fleet",
                str(fleet),
                "--state-dir",
                str(self.state.parent),
                *arguments,
            ],
            env={**os.environ, "PYTHONPATH": tests},
        )
        self._wait(self.state.exists)
        self.facts: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self.facts["ca_path"]

    def _wait(self, condition: Any) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            assert self.process.poll() is None, "it ended instead of starting"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return self.session.request(method, self.facts["api_url"] + path, timeout=10, **kwargs)

    def token(self) -> str:
        data = {
            "grant_type": "client_credentials",
            "client_id": self.facts["client_id"],
            "client_secret": self.facts["client_secret"],
            "scope": f"{self.facts['audience']}/.default",
        }
        token: str = self.call("POST", f"/{self.facts['tenant']}/oauth2/v2.0/token", data=data).json()["access_token"]
        return token


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    running = Program(tmp_path, "--minute", "5", "--hour", "50", "--seed", "3", "--token-lifetime", "100")
    yield running
    running.process.kill()
    running.process.wait()


def test_it_serves_the_fleet_file_and_tells_what_happened(program: Program) -> None:
    facts = program.facts
    assert facts["pid"] == program.process.pid
    assert program.state.stat().st_mode & 0o077 == 0
    assert [device["name"] for device in facts["devices"]][:3] == [
        "pc01.contoso.com",
        "ws01.contoso.com",
        "ws02.contoso.com",
    ]
    headers = {"Authorization": f"Bearer {program.token()}"}
    body = program.call("GET", "/api/machines", headers=headers).json()
    assert len(body["value"]) == 5 and "@odata.nextLink" in body
    requests_seen = program.call("GET", "/_simulator/requests").json()
    assert [entry["endpoint"] for entry in requests_seen] == ["token", "machines"]
    actions = program.call("GET", "/_simulator/actions").json()
    assert [action["type"] for action in actions["actions"]] == ["Isolate", "CollectInvestigationPackage"]
    assert actions["starts"] == {}
    assert "s3cret" in program.call("GET", "/_simulator/secrets").json()
    quota = program.call("GET", "/_simulator/quota").json()
    assert quota["used"][facts["client_id"]]["machines"] == {"minute": 1, "hour": 1}
    assert quota["rejected"] == {}


def test_a_neighbour_shares_the_addresses_and_has_a_log_of_its_own(program: Program) -> None:
    [facts] = program.facts["neighbours"]
    assert facts["api_url"] == program.facts["api_url"] and facts["control_url"] != program.facts["control_url"]
    assert facts["devices"][0]["id"] != program.facts["devices"][0]["id"]
    program.call("GET", "/fabrikam.com/v2.0/.well-known/openid-configuration")
    log = program.session.get(facts["control_url"] + "/_simulator/requests", timeout=10).json()
    assert [entry["endpoint"] for entry in log] == ["discovery"]
    assert program.call("GET", "/_simulator/requests").json() == []


def test_the_environment_points_the_collection_at_it(program: Program) -> None:
    for facts, folder in (
        (program.facts, program.state.parent),
        (program.facts["neighbours"][0], program.state.parent / "neighbour1"),
    ):
        path = folder / "environment"
        assert path.stat().st_mode & 0o077 == 0
        command = f'. "{path}"; printf "%s " "$DEFENDER_TENANT" "$DEFENDER_CLIENT_SECRET" "$DEFENDER_CA_PATH"'
        said = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout
        assert said.split() == [facts["tenant"], facts["client_secret"], facts["ca_path"]]


def test_faults_and_resets_from_outside(program: Program) -> None:
    headers = {"Authorization": f"Bearer {program.token()}"}
    fault = {"endpoint": "any", "kind": "status", "status": 502, "count": 1}
    assert program.call("POST", "/_simulator/faults", json=fault).status_code == 201
    assert program.call("POST", "/_simulator/faults", json={"endpoint": "any", "kind": "no"}).status_code == 400
    assert program.call("POST", "/_simulator/reset", json={"what": "faults"}).status_code == 200
    assert program.call("GET", "/api/machines", headers=headers).status_code == 200
    assert program.call("POST", "/_simulator/faults", json=fault).status_code == 201
    assert program.call("GET", "/api/machines", headers=headers).status_code == 502
    assert program.call("GET", "/api/machines", headers=headers).status_code == 200
    assert program.call("POST", "/_simulator/reset").status_code == 200
    assert program.call("GET", "/_simulator/requests").json() == []
    assert program.call("POST", "/_simulator/reset", json={"what": "all"}).status_code == 200
    assert program.call("POST", "/_simulator/reset", json={"what": "world"}).status_code == 400


def test_it_ends_on_a_signal_and_takes_its_state_with_it(program: Program) -> None:
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(10) == 0
    assert not program.state.exists() and not program.state.with_name("environment").exists()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    program = Program(tmp_path, "--parent-pid", str(parent.pid))
    try:
        assert program.process.poll() is None
        parent.kill()
        parent.wait()
        assert program.process.wait(10) == 0
    finally:
        program.process.kill()
        parent.communicate()


def test_a_fleet_file_with_an_unknown_section(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yml"
    path.write_text("machines: []", encoding="utf-8")
    with pytest.raises(ValueError, match="sections are devices"):
        read_fleet(path)
