# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from simulator import Alert, Change, Device, Simulator
from simulator.testing import Client, FakeClock, error_of
from simulator.timestamps import iso

Start = Callable[..., Simulator]


def _client(simulator: Simulator) -> Client:
    return Client(simulator, simulator.issue_token("secops-alerts", lifetime=1e7))


def _ids(client: Client, **params: str) -> list[str]:
    response = client.get("/api/alerts", params=params)
    assert response.status_code == 200, response.text
    return [row["id"] for row in response.json()["value"]]


def test_an_alert_has_its_fields(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", rbac_group="Servers")
    simulator = start(device, alerts=[Alert("pc01", incident_id=5, category="Execution")])
    client = _client(simulator)
    [row] = client.get("/api/alerts").json()["value"]
    assert re.fullmatch(r"da\d{18}_-?\d+", row["id"])
    assert (row["machineId"], row["computerDnsName"], row["rbacGroupName"]) == (device.id, "pc01", "Servers")
    assert (row["incidentId"], row["severity"], row["status"], row["category"]) == (5, "High", "New", "Execution")
    assert row["alertCreationTime"] == row["lastUpdateTime"] == iso(clock.now - 600)
    assert row["evidence"] == [] and row["aadTenantId"] == simulator.tenant
    one = client.get(f"/api/alerts/{row['id']}").json()
    assert one.pop("@odata.context").endswith("#Alerts/$entity") and one == row
    assert error_of(client.get("/api/alerts/da1_1")) == (404, "ResourceNotFound")


def test_evidence_comes_when_it_is_asked_for(start: Start) -> None:
    client = _client(start(Device("pc01"), alerts=[Alert("pc01", evidence=({"fileName": "b.exe"},))]))
    [row] = client.get("/api/alerts", params={"$expand": "evidence"}).json()["value"]
    assert row["evidence"][0]["fileName"] == "b.exe" and row["evidence"][0]["sha1"] is None
    assert client.get("/api/alerts", params={"$expand": "files"}).status_code == 400
    assert client.get("/api/machines", params={"$expand": "evidence"}).status_code in (400, 403)


@pytest.mark.parametrize(
    ("roles", "status"), [(["Alert.Read.All"], 200), (["Alert.ReadWrite.All"], 200), (["Machine.Read.All"], 403)]
)
def test_the_permission(start: Start, roles: list[str], status: int) -> None:
    simulator = start(Device("pc01"))
    reply = Client(simulator, simulator.issue_token(roles=roles)).get("/api/alerts")
    assert reply.status_code == status
    assert simulator.quota.limits("alerts") == (100, 1500)


def test_filters(start: Start, clock: FakeClock) -> None:
    alerts = [
        Alert(severity="High", age=100, id="a", incident_id=1),
        Alert(severity="Low", age=200, id="b", incident_id=2, status="Resolved"),
        Alert(severity="Medium", age=7200, id="c", incident_id=1, detection_source="WindowsDefenderAv"),
    ]
    client = _client(start(alerts=alerts))
    assert _ids(client) == ["a", "b", "c"]
    hour_ago = iso(clock.now - 3600)
    filters: dict[str, list[str]] = {
        f"alertCreationTime ge {hour_ago}": ["a", "b"],
        f"lastUpdateTime lt {hour_ago}": ["c"],
        "severity eq 'High' or severity eq 'Medium'": ["a", "c"],
        "severity eq 'high'": [],
        "status ne 'Resolved' and incidentId eq 1": ["a", "c"],
        "detectionSource eq 'WindowsDefenderAv'": ["c"],
        "investigationId eq 4": [],
    }
    for text, expected in filters.items():
        assert _ids(client, **{"$filter": text}) == expected
    assert _ids(client, **{"$top": "1", "$skip": "1"}) == ["b"]
    for text in ("machineId eq 'a'", "computerDnsName eq 'pc01'", f"alertCreationTime ge '{hour_ago}'", "title eq 'a'"):
        assert client.get("/api/alerts", params={"$filter": text}).status_code == 400


def test_alerts_come_up_and_change_in_time(start: Start, clock: FakeClock) -> None:
    later = Alert(id="later", age=-60.0, severity="Low", changes=(Change(100.0, "High"), Change(200.0, "", "Resolved")))
    simulator = start(alerts=[later, Alert(id="late", age=0.0, late=30.0)])
    client = _client(simulator)
    assert _ids(client) == []
    clock.advance(31)
    [late] = client.get("/api/alerts").json()["value"]
    assert late["id"] == "late" and late["alertCreationTime"] == iso(clock.now - 31)
    seen: list[Any] = []
    for seconds in (30, 100, 100):
        clock.advance(seconds)
        row = client.get("/api/alerts/later").json()
        seen.append((row["severity"], row["status"], row["lastUpdateTime"] > row["alertCreationTime"]))
    assert seen == [("Low", "New", False), ("High", "New", True), ("High", "Resolved", True)]


def test_alerts_on_demand(start: Start, clock: FakeClock) -> None:
    simulator = start(Device("pc01"))
    client = _client(simulator)
    reply = client.post("/_simulator/alerts", json={"machine": "pc01", "severity": "Medium"})
    assert reply.status_code == 201 and _ids(client) == [reply.json()["id"]]
    clock.advance(5)
    change = {"id": reply.json()["id"], "severity": "High"}
    assert client.post("/_simulator/alert-changes", json=change).status_code == 200
    assert _ids(client, **{"$filter": "severity eq 'High'"}) == [reply.json()["id"]]
    for path, body in (("alerts", {"severity": "Loud"}), ("alerts", {"x": 1}), ("alert-changes", {"id": "none"})):
        assert client.post(f"/_simulator/{path}", json=body).status_code == 400
    simulator.reset()
    assert _ids(client) == []


def test_alerts_of_what_cannot_be_seen(start: Start) -> None:
    client = _client(start(Device("pc01", hidden=True), alerts=[Alert("pc01", id="a"), Alert(id="b")]))
    assert _ids(client) == ["b"]
    assert client.get("/api/alerts/b").json()["machineId"] is None
    assert error_of(client.get("/api/alerts/a")) == (404, "ResourceNotFound")
