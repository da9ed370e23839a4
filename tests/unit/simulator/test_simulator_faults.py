# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests

from simulator import KINDS, Device, Simulator
from simulator.testing import Client, FakeClock, error_of

Start = Callable[..., Simulator]


@pytest.fixture
def device() -> Device:
    return Device("pc01")


@pytest.fixture
def simulator(start: Start, device: Device) -> Simulator:
    return start(device)


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator)


def test_status(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("collect", "status", status=503, code="ServiceUnavailable", message="Try later", retry_after=7)
    response = client.collect(device)
    assert error_of(response) == (503, "ServiceUnavailable") and response.headers["Retry-After"] == "7"
    assert simulator.actions == []
    assert simulator.requests[0].fault == "status"
    assert client.collect(device).status_code == 201


def test_status_with_a_body_of_any_kind(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "status", status=500)
    simulator.add_fault("machines", "status", status=502, body="<b>bad</b>")
    first, second = client.get("/api/machines"), client.get("/api/machines")
    assert first.status_code == 500 and first.text.startswith("<html>")
    assert second.status_code == 502 and second.text == "<b>bad</b>"


def test_status_after(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("collect", "status_after", status=500, code="InternalServerError")
    assert error_of(client.collect(device)) == (500, "InternalServerError")
    assert simulator.accepted_starts() == {device.id: 1}


def test_reset(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("collect", "reset")
    with pytest.raises(requests.ConnectionError):
        client.collect(device)
    assert simulator.actions == [] and simulator.requests[0].status == 0


def test_reset_after(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("collect", "reset_after")
    with pytest.raises(requests.ConnectionError):
        client.collect(device)
    assert simulator.accepted_starts() == {device.id: 1}


def test_truncate(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "truncate")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get("/api/machines")


def test_drip(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "drip", seconds=0.3)
    began = time.monotonic()
    assert len(client.get("/api/machines").json()["value"]) == 1
    assert time.monotonic() - began > 0.25


@pytest.mark.parametrize(("kind", "done_at_once"), [("hang", 0), ("hang_after", 1)])
def test_hang(simulator: Simulator, client: Client, device: Device, kind: str, done_at_once: int) -> None:
    simulator.add_fault("collect", kind, seconds=0.4)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(
            f"{simulator.api_url}/api/machines/{device.id}/collectInvestigationPackage",
            json={"Comment": "a"},
            headers=client.headers,
            timeout=0.15,
        )
    assert len(simulator.actions) == done_at_once
    time.sleep(0.5)
    assert len(simulator.actions) == 1


def test_a_simulator_stops_although_calls_hang(device: Device) -> None:
    with Simulator([device]) as simulator:
        simulator.add_fault("machines", "hang", seconds=60)
        client = Client(simulator)
        with pytest.raises(requests.ReadTimeout):
            client.session.get(simulator.api_url + "/api/machines", headers=client.headers, timeout=0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_garbage(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "garbage")
    response = client.get("/api/machines")
    assert response.status_code == 200
    with pytest.raises(ValueError):
        response.json()


def test_wrong_shape(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "wrong_shape")
    simulator.add_fault("machines", "wrong_shape", body={"value": None})
    assert client.get("/api/machines").json() == ["unexpected"]
    assert client.get("/api/machines").json() == {"value": None}


def test_unknown_status(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("machine_actions", "unknown_status", word="Queued")
    simulator.add_fault("machine_action", "unknown_status")
    action_id = client.collect(device).json()["id"]
    assert [row["status"] for row in client.get("/api/machineactions").json()["value"]] == ["Queued"]
    assert client.status(action_id) == "Hibernating"
    assert client.status(action_id) == "Pending"


def test_unauthorized(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "unauthorized")
    response = client.get("/api/machines")
    assert error_of(response) == (401, "Unauthorized") and "WWW-Authenticate" in response.headers
    assert client.get("/api/machines").status_code == 200


def test_count_and_after(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "status", count=2, after=1, status=500)
    assert [client.get("/api/machines").status_code for _attempt in range(5)] == [200, 500, 500, 200, 200]
    simulator.add_fault("any", "status", count=0, status=503)
    assert [client.get("/api/machines").status_code for _attempt in range(3)] == [503] * 3
    assert client.get("/api/machineactions").status_code == 503


def test_a_fault_of_one_machine(start: Start) -> None:
    devices = Device("pc01"), Device("pc02")
    simulator = start(*devices)
    simulator.add_fault("collect", "status", machine_id=devices[1].id, status=500)
    assert [Client(simulator).collect(device).status_code for device in devices] == [201, 500]


def test_faults_strike_tokens_and_downloads_too(
    simulator: Simulator, client: Client, device: Device, clock: FakeClock
) -> None:
    simulator.add_fault("token", "status", status=503, code="temporarily_unavailable")
    response = client.post(f"/{simulator.tenant}/oauth2/v2.0/token", data={})
    assert response.status_code == 503
    action_id = client.collect(device).json()["id"]
    clock.advance(10)
    url = client.link(action_id)
    simulator.add_fault("download", "truncate", machine_id=device.id)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.download(url)
    assert client.download(url).status_code == 200


def test_faults_are_checked_when_they_are_made(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        simulator.add_fault("machines", "earthquake")
    with pytest.raises(ValueError, match="no argument seconds"):
        simulator.add_fault("machines", "reset", seconds=3)
    assert {name[5:] for name in globals() if name.startswith("test_")} >= set(KINDS) - {"hang_after"}
