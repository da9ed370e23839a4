# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from simulator import Device, PastAction, Simulator
from simulator.testing import Client, FakeClock, error_of

Start = Callable[..., Simulator]

ISOLATED = PastAction("Isolate", age=3600.0)


def _client(simulator: Simulator) -> Client:
    return Client(simulator, simulator.issue_token("secops-containment", lifetime=1e7))


def _isolate(client: Client, device: Device, kind: str = "Full", **more: Any) -> requests.Response:
    body = {"Comment": "Alert 1", "IsolationType": kind, **more}
    return client.post(f"/api/machines/{device.id}/isolate", json=body)


def _release(client: Client, device: Device) -> requests.Response:
    return client.post(f"/api/machines/{device.id}/unisolate", json={"Comment": "It is clean"})


def test_isolating_and_releasing(start: Start, clock: FakeClock) -> None:
    device = Device("pc01")
    simulator = start(device)
    client = _client(simulator)
    asked = [(_isolate, "Isolate", "Selective"), (_release, "Unisolate", None)]
    for ask, kind, scope in asked:
        reply = ask(client, device, *([scope] if scope else []))
        body = reply.json()
        assert (reply.status_code, body["type"], body["scope"], body["status"]) == (201, kind, scope, "Pending")
        clock.advance(10)
        assert client.status(body["id"]) == "Succeeded"
    assert [action["requestorComment"] for action in simulator.actions] == ["Alert 1", "It is clean"]
    assert simulator.accepted_starts() == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"Comment": "a"}, "MissingRequiredParameter"),
        ({"IsolationType": "Full"}, "MissingRequiredParameter"),
        ({"Comment": "a", "isolationType": "Full"}, "MissingRequiredParameter"),
        ({"Comment": "a", "IsolationType": "full"}, "InvalidInput"),
        ({"Comment": "a", "IsolationType": "Full", "Scope": "Full"}, "InvalidRequestBody"),
    ],
)
def test_the_body_is_validated(start: Start, body: dict[str, str], code: str) -> None:
    device = Device("pc01")
    simulator = start(device)
    assert error_of(_client(simulator).post(f"/api/machines/{device.id}/isolate", json=body)) == (400, code)
    assert simulator.actions == []


def test_the_permission(start: Start) -> None:
    device = Device("pc01")
    simulator = start(device)
    client = Client(simulator)
    for reply in (_isolate(client, device), _release(client, device)):
        assert error_of(reply) == (403, "Forbidden") and "Machine.Isolate" in reply.text
    assert [entry.endpoint for entry in simulator.requests] == ["isolate", "unisolate"]
    assert {entry.machine_id for entry in simulator.requests} == {device.id}


def test_the_quota(start: Start) -> None:
    device = Device("pc01")
    simulator = start(device)
    assert simulator.quota.limits("isolate") == simulator.quota.limits("unisolate") == (100, 1500)


def test_one_at_a_time(start: Start, clock: FakeClock) -> None:
    device = Device("pc01")
    client = _client(start(device))
    assert _isolate(client, device).status_code == 201
    assert error_of(_isolate(client, device)) == (400, "ActiveRequestAlreadyExists")


@pytest.mark.parametrize("refused", [True, False])
def test_what_is_isolated_already(start: Start, refused: bool) -> None:
    isolated, free = Device("pc01", history=(ISOLATED,)), Device("pc02")
    client = _client(start(isolated, free, refuse_repeated_isolation=refused))
    status = 400 if refused else 201
    assert (_isolate(client, isolated).status_code, _release(client, free).status_code) == (status, status)


def test_isolation_ends_by_itself(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", history=(ISOLATED,))
    simulator = start(device)
    clock.advance(6.9 * 86400)
    assert error_of(_isolate(_client(simulator), device)) == (400, "BadRequest")
    clock.advance(0.2 * 86400)
    assert error_of(_release(_client(simulator), device)) == (400, "BadRequest")
    assert _isolate(_client(simulator), device).status_code == 201
    assert [action["type"] for action in simulator.actions] == ["Isolate", "Isolate"]


def test_an_offline_device_is_tried_for_three_days(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", "offline")
    client = _client(start(device))
    action_id = _isolate(client, device).json()["id"]
    clock.advance(3 * 86400)
    assert client.status(action_id) == "Pending"
    clock.advance(3600)
    assert client.status(action_id) == "TimeOut"


@pytest.mark.parametrize(
    ("restricted", "collected", "isolated"), [(("basic",), 403, 201), (("advanced",), 201, 403), ((), 201, 201)]
)
def test_a_device_may_forbid_response_actions(
    start: Start, restricted: tuple[str, ...], collected: int, isolated: int
) -> None:
    device = Device("dc01", restricted=restricted)
    simulator = start(device)
    assert Client(simulator).collect(device).status_code == collected
    assert _isolate(_client(simulator), device).status_code == isolated


def test_an_unmanaged_device_is_contained(start: Start) -> None:
    managed, unmanaged = Device("pc01"), Device("printer", onboarding_status="CanBeOnboarded")
    client = _client(start(managed, unmanaged))
    assert error_of(_isolate(client, managed, "UnManagedDevice")) == (400, "BadRequest")
    assert error_of(_isolate(client, unmanaged, "Full")) == (400, "BadRequest")
    assert _isolate(client, unmanaged, "UnManagedDevice").status_code == 201


def test_selective_isolation_is_for_windows(start: Start) -> None:
    device = Device("mac01", os_platform="macOS")
    client = _client(start(device))
    assert error_of(_isolate(client, device, "Selective")) == (400, "OsPlatformNotSupported")
    assert _isolate(client, device, "Full").status_code == 201


@pytest.mark.parametrize(("vpn", "status"), [(True, "Pending"), (False, "Succeeded")])
def test_collecting_goes_on_unless_a_full_tunnel_is_cut(start: Start, clock: FakeClock, vpn: bool, status: str) -> None:
    device = Device("pc01", history=(ISOLATED,), full_tunnel_vpn=vpn)
    client = Client(start(device))
    action_id = client.collect(device).json()["id"]
    clock.advance(60)
    assert client.status(action_id) == status


def test_a_lost_reply(start: Start) -> None:
    device = Device("pc01", "lost_reply")
    simulator = start(device)
    assert _isolate(_client(simulator), device).status_code == 504
    assert [action["type"] for action in simulator.actions] == ["Isolate"]
    assert Client(simulator).collect(device).status_code == 504
