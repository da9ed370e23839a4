# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator import SCENARIOS, Device, PastAction, Simulator
from simulator.testing import Client, FakeClock, error_of

Start = Callable[..., Simulator]


def _begin(start: Start, device: Device, **settings: Any) -> tuple[Client, str]:
    client = Client(start(device, collect_seconds=(10.0, 10.0), **settings))
    response = client.collect(device)
    assert response.status_code == 201, response.text
    return client, response.json()["id"]


def _statuses(client: Client, device: Device) -> list[str]:
    rows = client.get("/api/machineactions", params={"$filter": f"machineId eq '{device.id}'"}).json()["value"]
    return [row["status"] for row in rows]


def test_an_action_goes_from_pending_over_in_progress_to_its_end(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01"))
    seen = []
    for _second in range(12):
        body = client.get(f"/api/machineactions/{action_id}").json()
        seen.append(body["status"])
        clock.advance(1)
    assert seen == ["Pending"] * 3 + ["InProgress"] * 7 + ["Succeeded"] * 2
    assert body["creationDateTimeUtc"] < body["lastUpdateDateTimeUtc"]


def test_the_duration_is_random_yet_repeatable(start: Start) -> None:
    devices = [Device(f"pc{number}") for number in range(20)]
    spans = []
    for seed in (1, 1, 2):
        simulator = start(*devices, collect_seconds=(1.0, 3.0), seed=seed)
        client = Client(simulator)
        for device in devices:
            client.collect(device)
        spans.append([action.ends - action.created for action in simulator.fleet.actions])
    assert spans[0] == spans[1] != spans[2]
    assert all(1 <= span <= 3 for span in spans[0]) and max(spans[0]) - min(spans[0]) > 1


def test_one_collection_at_a_time(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", history=(PastAction("Isolate", "Pending"),))
    client = _begin(start, device)[0]
    response = client.collect(device)
    assert error_of(response) == (400, "ActiveRequestAlreadyExists")
    assert response.json()["error"]["message"] == "Action is already in progress"
    clock.advance(10)
    assert client.collect(device).status_code == 201
    assert client.simulator.accepted_starts() == {device.id: 2}


def test_a_new_action_can_be_hidden_for_a_while(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01"), unseen_seconds=5.0, unlisted_seconds=2.0)
    path = f"/api/machineactions/{action_id}"
    assert client.get(path).status_code == 404
    assert client.get("/api/machineactions").json()["value"] == []
    assert len(client.simulator.actions) == 1
    clock.advance(2)
    assert len(client.get("/api/machineactions").json()["value"]) == 1
    clock.advance(3)
    assert client.get(path).status_code == 200


def test_cancelling_takes_a_moment(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01"), cancel_seconds=1.0)
    path = f"/api/machineactions/{action_id}"
    assert error_of(client.post(f"{path}/cancel", json={})) == (400, "MissingRequiredParameter")
    response = client.post(f"{path}/cancel", json={"Comment": "no longer needed"})
    assert response.status_code == 200
    assert response.json()["status"] == "Pending"
    assert response.json()["cancellationComment"] == "no longer needed"
    for seconds in (1, 20):
        clock.advance(seconds)
        assert client.status(action_id) == "Cancelled"
    assert client.post(f"{path}/cancel", json={"Comment": "again"}).status_code == 400
    assert client.get(f"{path}/getPackageUri").status_code == 404


def test_an_action_can_end_before_its_cancellation_takes_effect(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01"), cancel_seconds=5.0)
    clock.advance(9)
    assert client.post(f"/api/machineactions/{action_id}/cancel", json={"Comment": "late"}).status_code == 200
    clock.advance(10)
    assert client.status(action_id) == "Succeeded"


def test_no_link_for_another_type_or_outcome(start: Start) -> None:
    history = tuple(PastAction(status=status) for status in ("Failed", "TimeOut", "Cancelled", "InProgress"))
    simulator = start(Device("pc01", history=(PastAction("Isolate"), *history)))
    client = Client(simulator, simulator.issue_token())
    simulator.quota.limits = lambda endpoint: (100, 100)  # type: ignore[method-assign]
    for action in simulator.actions:
        response = client.get(f"/api/machineactions/{action['id']}/getPackageUri")
        assert error_of(response) == (404, "ResourceNotFound")


# Scenarios


@pytest.mark.parametrize(
    ("scenario", "end", "result"),
    [
        ("fine", "Succeeded", 0),
        ("fails", "Failed", -2147467259),
        ("times_out", "TimeOut", -2145844840),
        ("cancelled", "Cancelled", -2147467260),
    ],
)
def test_how_actions_end(start: Start, clock: FakeClock, scenario: str, end: str, result: int) -> None:
    client, action_id = _begin(start, Device("pc01", scenario))
    clock.advance(11)
    body = client.get(f"/api/machineactions/{action_id}").json()
    assert body["status"] == end
    assert body["errorHResult"] == result
    assert (body["cancellationRequestor"] is not None) is (end == "Cancelled")


def test_offline(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01", "offline"))
    clock.advance(3 * 86400)
    client.headers = Client(client.simulator).headers
    assert client.status(action_id) == "Pending"
    assert client.post(f"/api/machineactions/{action_id}/cancel", json={"Comment": "a"}).status_code == 200
    clock.advance(1)
    assert client.status(action_id) == "Cancelled"


def test_what_stays_offline_times_out_after_three_days(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01", "offline"))
    clock.advance(3 * 86400 + 15 * 60)
    client.headers = Client(client.simulator).headers
    assert client.status(action_id) == "TimeOut"


@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("unsupported_os", 400, "OsPlatformNotSupported"),
        ("old_client", 400, "ClientVersionNotSupported"),
        ("forbidden", 403, "Forbidden"),
    ],
)
def test_refusals(start: Start, scenario: str, status: int, code: str) -> None:
    device = Device("pc01", scenario, os_platform="Solaris")
    simulator = start(device)
    response = Client(simulator).collect(device)
    assert error_of(response) == (status, code)
    assert simulator.actions == []
    if scenario == "unsupported_os":
        assert response.json()["error"]["message"] == "OS Platform Solaris isn't supported for this action"


def test_not_onboarded(start: Start) -> None:
    device = Device("pc01", onboarding_status="CanBeOnboarded")
    assert error_of(Client(start(device)).collect(device)) == (400, "BadRequest")


def test_running(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", "running", running_since=120.0, collect_seconds=(5.0, 5.0))
    simulator = start(device)
    client = Client(simulator)
    assert error_of(client.collect(device)) == (400, "ActiveRequestAlreadyExists")
    assert _statuses(client, device) == ["InProgress"]
    assert simulator.actions[0]["requestor"] == "analyst@contoso.com"
    clock.advance(5)
    assert _statuses(client, device) == ["Succeeded"]
    assert client.download(client.link(simulator.actions[0]["id"])).status_code == 200
    assert simulator.accepted_starts() == {}


@pytest.mark.parametrize("scenario", ["fine", "running"])
def test_what_ends_by_looks_waits_for_them(start: Start, clock: FakeClock, scenario: str) -> None:
    device = Device("pc01", scenario, ends_after_looks=3)
    client = Client(start(device))
    if scenario != "running":
        client.collect(device)
    clock.advance(1800)
    assert [_statuses(client, device) for _look in range(4)] == [
        ["InProgress"],
        ["InProgress"],
        ["Succeeded"],
        ["Succeeded"],
    ]


def test_recent(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", "recent", recent_age=300.0)
    simulator = start(device)
    client = Client(simulator)
    assert _statuses(client, device) == ["Succeeded"]
    assert simulator.fleet.actions[0].ends == clock.now - 300
    assert client.collect(device).status_code == 201


def test_busy_then_done(start: Start) -> None:
    device = Device("pc01", "busy_then_done")
    client = Client(start(device))
    assert _statuses(client, device) == ["InProgress"]
    assert error_of(client.collect(device)) == (400, "ActiveRequestAlreadyExists")
    assert _statuses(client, device) == ["Succeeded"]
    assert client.collect(device).status_code == 201


def test_lost_reply(start: Start) -> None:
    device = Device("pc01", "lost_reply")
    simulator = start(device)
    client = Client(simulator)
    response = client.collect(device)
    assert response.status_code == 504 and "html" in response.headers["Content-Type"]
    assert _statuses(client, device) == ["Pending"]
    assert error_of(client.collect(device)) == (400, "ActiveRequestAlreadyExists")
    assert simulator.accepted_starts() == {device.id: 1}


def test_lost_request(start: Start) -> None:
    device = Device("pc01", "lost_request")
    simulator = start(device)
    client = Client(simulator)
    assert client.collect(device).status_code == 504
    assert simulator.actions == []
    assert client.collect(device).status_code == 201


def test_dropped_reply(start: Start) -> None:
    device = Device("pc01", "dropped_reply")
    simulator = start(device)
    client = Client(simulator)
    with pytest.raises(requests.ConnectionError):
        client.collect(device)
    assert _statuses(client, device) == ["Pending"]
    assert [entry.status for entry in simulator.requests if entry.endpoint == "collect"] == [0]


def _ready(start: Start, clock: FakeClock, device: Device) -> tuple[Client, str]:
    client, action_id = _begin(start, device)
    clock.advance(10)
    return client, client.link(action_id)


def test_truncated(start: Start, clock: FakeClock) -> None:
    client, url = _ready(start, clock, Device("pc01", "truncated", package_size=200_000))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.download(url)
    assert len(client.download(url).content) == 200_000


def test_truncated_always(start: Start, clock: FakeClock) -> None:
    client, url = _ready(start, clock, Device("pc01", "truncated", times=0))
    for _attempt in range(3):
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            client.download(url)


def test_corrupt(start: Start, clock: FakeClock) -> None:
    client, url = _ready(start, clock, Device("pc01", "corrupt"))
    bad, good = client.download(url), client.download(url)
    assert len(bad.content) == len(good.content) == int(bad.headers["Content-Length"])
    assert zipfile.ZipFile(io.BytesIO(bad.content)).testzip() is not None
    assert zipfile.ZipFile(io.BytesIO(good.content)).testzip() is None


def test_not_zip(start: Start, clock: FakeClock) -> None:
    client, url = _ready(start, clock, Device("pc01", "not_zip"))
    bad = client.download(url)
    assert bad.status_code == 200 and bad.text.startswith("<html>")
    assert client.download(url).content.startswith(b"PK")


def test_expired_link(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", "expired_link")
    client, url = _ready(start, clock, device)
    assert client.download(url).status_code == 403
    again = client.link(client.simulator.actions[0]["id"])
    assert client.download(again).status_code == 200


def test_huge() -> None:
    assert Device("pc01", "huge").package_size == 2 * 1024**3
    assert Device("pc01", "huge", package_size=5).package_size == 5


def test_slow(start: Start, clock: FakeClock) -> None:
    client, url = _ready(start, clock, Device("pc01", "slow", drip_seconds=0.3))
    began = time.monotonic()
    assert client.download(url).content.startswith(b"PK")
    assert time.monotonic() - began > 0.25


def test_every_scenario_is_known_and_no_other() -> None:
    for scenario in SCENARIOS:
        Device("pc01", scenario)
    with pytest.raises(ValueError, match="unknown scenario"):
        Device("pc01", "nice")


def test_reset_begins_again(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", "lost_request")
    simulator = start(device)
    client = Client(simulator)
    client.collect(device)
    client.collect(device)
    simulator.add_fault("collect", "reset", count=0)
    simulator.reset()
    assert (simulator.requests, simulator.actions, simulator.accepted_starts()) == ([], [], {})
    assert client.collect(device).status_code == 504
    assert client.collect(device).status_code == 201


# Packages and actions that are not what they should be


def test_packages_of_two_devices_and_of_two_actions_can_be_equal(start: Start, clock: FakeClock) -> None:
    devices = [Device("pc01", package_key="x"), Device("pc02", package_key="x"), Device("pc03")]
    client = Client(start(*devices, collect_seconds=(1.0, 1.0), quotas={"package_link": (100, 100)}))
    actions = [client.collect(device).json()["id"] for device in devices]
    clock.advance(10)
    actions += [client.collect(device).json()["id"] for device in (devices[0], devices[2])]
    clock.advance(10)
    equal = [client.download(client.link(action_id)).content for action_id in (actions[0], actions[1], actions[3])]
    others = [client.download(client.link(action_id)).content for action_id in (actions[2], actions[4])]
    assert len(set(equal)) == 1 and len({*equal, *others}) == 3


def test_a_package_can_be_a_file(start: Start, clock: FakeClock, tmp_path: Path) -> None:
    file = tmp_path / "any.zip"
    file.write_bytes(b"whatever it is")
    client, action_id = _begin(start, Device("pc01", package_file=str(file)))
    clock.advance(20)
    assert client.download(client.link(action_id)).content == b"whatever it is"


def test_a_package_expires(start: Start, clock: FakeClock) -> None:
    client, action_id = _begin(start, Device("pc01"), package_retention=100.0)
    clock.advance(105)
    client.link(action_id)
    clock.advance(10)
    assert client.status(action_id) == "Succeeded"
    assert error_of(client.get(f"/api/machineactions/{action_id}/getPackageUri")) == (404, "ResourceNotFound")


@pytest.mark.parametrize("status", [404, 410])
def test_an_expired_package_may_show_at_the_link_only(start: Start, clock: FakeClock, status: int) -> None:
    client, action_id = _begin(start, Device("pc01", package_retention=5.0), expired_package=str(status))
    clock.advance(20)
    response = client.download(client.link(action_id))
    assert (response.status_code, response.content) == (status, b"")


def test_a_record_merged_into_one_that_cannot_be_seen(start: Start) -> None:
    target = Device("pc01.new", "recent", id="b" * 40, hidden=True)
    record = Device("pc01", merged_into=target.id)
    client = Client(start(target, record))
    assert client.get(f"/api/machines/{record.id}").json()["mergedIntoMachineId"] == target.id
    assert client.names("/api/machines") == ["pc01"]
    for path in (f"/api/machines/{target.id}", "/api/machines/pc01.new"):
        assert error_of(client.get(path)) == (404, "ResourceNotFound")
    assert error_of(client.collect(target)) == (404, "ResourceNotFound")
    assert client.get("/api/machineactions").json()["value"] == []


def test_a_status_that_nobody_knows_while_it_runs(start: Start, clock: FakeClock) -> None:
    device = Device("pc01", status_word="Hibernating")
    client, action_id = _begin(start, device)
    clock.advance(5)
    assert client.status(action_id) == "Hibernating"
    assert error_of(client.collect(device)) == (400, "ActiveRequestAlreadyExists")
    clock.advance(10)
    assert client.status(action_id) == "Succeeded"


@pytest.mark.parametrize(("blocks", "status"), [(False, 201), (True, 400)])
def test_a_past_action_of_an_unknown_status_may_be_in_the_way(start: Start, blocks: bool, status: int) -> None:
    device = Device("pc01", history=(PastAction(status="Quarantined", blocks=blocks),))
    client = Client(start(device))
    assert _statuses(client, device) == ["Quarantined"]
    assert client.collect(device).status_code == status
