# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest
import requests

from simulator import KINDS, Device, Simulator
from simulator.testing import Client, FakeClock, error_of
from simulator.timestamps import parse_utc

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


def test_status_with_json_of_odd_types(simulator: Simulator, client: Client) -> None:
    body = {"error": {"code": ["BadRequest"], "message": None, "target": 5}}
    simulator.add_fault("machines", "status", status=400, body=body, content_type="application/json")
    response = client.get("/api/machines")
    assert response.status_code == 400 and response.json() == body
    assert response.headers["Content-Type"] == "application/json"


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
    with pytest.raises(requests.JSONDecodeError):
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


@pytest.mark.parametrize(
    ("form", "text", "content_type"),
    [
        ("text", "default backend - 404", "text/plain; charset=utf-8"),
        ("empty", "", ""),
        ("json", '{"statusCode":404,"message":"Resource not found"}', "application/json; charset=utf-8"),
    ],
)
def test_gateway(simulator: Simulator, client: Client, form: str, text: str, content_type: str) -> None:
    simulator.add_fault("any", "gateway", form=form)
    response = client.get("/api/machines")
    assert (response.status_code, response.text) == (404, text)
    assert response.headers.get("Content-Type", "").startswith(content_type)
    assert bool(content_type) or response.headers.get("Content-Type") in (None, "application/octet-stream")
    assert client.get("/api/machines").status_code == 200


def test_other_machine(start: Start) -> None:
    asked, other = Device("pc01"), Device("pc02")
    simulator = start(asked, other)
    simulator.add_fault("collect", "other_machine", other=other.id)
    body = Client(simulator).collect(asked).json()
    assert (body["machineId"], body["computerDnsName"]) == (other.id, "pc02")
    assert simulator.accepted_starts() == {other.id: 1}
    assert simulator.requests[0].machine_id == asked.id


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("endpoint", ["token", "machines", "download"])
def test_drip_of_single_bytes(
    simulator: Simulator, client: Client, device: Device, clock: FakeClock, endpoint: str, head: bool
) -> None:
    action_id = client.collect(device).json()["id"]
    clock.advance(10)
    url = client.link(action_id) if endpoint == "download" else simulator.api_url + "/api/machines"
    simulator.add_fault(endpoint, "drip", byte_seconds=0.02, head=head)
    began = time.monotonic()
    if endpoint == "token":
        response = client.session.post(f"{simulator.login_url}/{simulator.tenant}/oauth2/v2.0/token", stream=True)
    else:
        response = client.session.get(url, headers=client.headers, stream=True)
    assert (time.monotonic() - began > 1) is head
    for _number in range(20):
        assert len(response.raw.read(1)) == 1
    assert time.monotonic() - began > 0.3
    response.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "²"},
        {"Content-Range": "bytes 0-" + "9" * 5000 + "/*"},
        {"Retry-After": "1e9"},
        {"Retry-After": "nan", "X-Other": "-1"},
        {"Date": None, "Content-Type": None},
        {"date": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ],
)
def test_headers(simulator: Simulator, client: Client, headers: dict[str, str | None]) -> None:
    simulator.add_fault("machines", "headers", headers=headers, status=206)
    response = client.get("/api/machines")
    assert response.status_code == 206
    for name, value in headers.items():
        assert response.headers.get(name) == value
    assert len(response.json()["value"]) == 1
    assert client.get("/api/machines").status_code == 200


def test_bomb(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "bomb", size=50 * 1024 * 1024)
    simulator.add_fault("machines", "bomb")
    response = client.session.get(simulator.api_url + "/api/machines", headers=client.headers, stream=True)
    packed = response.raw.read(decode_content=False)
    assert len(packed) < 200_000
    assert gzip.decompress(packed) == b'{"value":[' + b" " * 50 * 1024 * 1024 + b"]}"
    response = client.session.get(simulator.api_url + "/api/machines", headers=client.headers, stream=True)
    assert len(response.raw.read(decode_content=False)) < 1_000_000
    assert response.headers["Content-Encoding"] == "gzip"


def test_deep(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("any", "deep", depth=100_000, count=2)
    assert client.get("/api/machines").text.count("[") == 100_000
    with pytest.raises(RecursionError):
        client.get("/api/machines").json()


def test_field(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("machines", "field", name="machineTags", value=7)
    simulator.add_fault("machine", "field", name="id", value=None)
    simulator.add_fault("token", "field", name="expires_in", value="soon")
    assert client.get("/api/machines").json()["value"][0]["machineTags"] == 7
    assert client.get(f"/api/machines/{device.id}").json()["id"] is None
    assert _sign_in(simulator, client).json()["expires_in"] == "soon"


def _sign_in(simulator: Simulator, client: Client, **changes: str) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "scope": f"{simulator.audience}/.default",
    }
    return client.session.post(f"{simulator.login_url}/{simulator.tenant}/oauth2/v2.0/token", {**form, **changes})


def test_without(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("discovery", "without", names=["authorization_endpoint"])
    simulator.add_fault("machines", "without", names=["lastSeen"])
    facts = client.get(f"/{simulator.tenant}/v2.0/.well-known/openid-configuration").json()
    assert "authorization_endpoint" not in facts and "token_endpoint" in facts
    assert "lastSeen" not in client.get("/api/machines").json()["value"][0]


def test_redirect(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "redirect")
    simulator.add_fault("machines", "redirect", to="http://127.0.0.1:1/", status=307)
    first, second = (client.get("/api/machines", allow_redirects=False) for _number in range(2))
    assert (first.status_code, first.headers["Location"]) == (302, "https://elsewhere.invalid/api/machines")
    assert (second.status_code, second.headers["Location"]) == (307, "http://127.0.0.1:1/")


SECRET = 'p+w/="<&> ü~secret'


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        ("raw", SECRET),
        ("json", "p\\u002Bw\\u002F\\u003D\\u0022\\u003C\\u0026\\u003E\\u0020\\u00FC\\u007Esecret"),
        ("base64", base64.b64encode(SECRET.encode()).decode()),
        ("percent", "p%2Bw%2F%3D%22%3C%26%3E%20%C3%BC~secret"),
        ("html", "p+w/=&quot;&lt;&amp;&gt; ü~secret"),
        ("html_numbers", "p&#43;w&#47;&#61;&#34;&#60;&#38;&#62;&#32;&#252;&#126;secret"),
    ],
)
def test_echo(simulator: Simulator, client: Client, encoding: str, form: str) -> None:
    simulator.add_fault("token", "echo", encoding=encoding, status=401, pad=100)
    response = _sign_in(simulator, client, client_secret=SECRET)
    assert response.status_code == 401
    assert form in response.json()["error_description"][100:]
    simulator.faults.reset()
    if " " not in form:
        assert form in simulator.secrets


def test_echo_of_a_bearer(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("machines", "echo")
    response = client.get("/api/machines")
    token = client.headers["Authorization"].partition(" ")[2]
    assert error_of(response) == (400, "BadRequest")
    assert token in response.json()["error"]["message"] and token in response.json()["error"]["target"]
    assert base64.b64encode(token.encode()).decode() in response.text


def test_link_in_error(simulator: Simulator, client: Client, device: Device, clock: FakeClock) -> None:
    simulator.add_fault("package_link", "link_in_error", status=409)
    action_id = client.collect(device).json()["id"]
    clock.advance(10)
    response = client.get(f"/api/machineactions/{action_id}/getPackageUri")
    assert response.status_code == 409 and "/safedownload/" in response.json()["error"]["message"]


def test_gzip(simulator: Simulator, client: Client, device: Device, clock: FakeClock) -> None:
    action_id = client.collect(device).json()["id"]
    clock.advance(10)
    url = client.link(action_id)
    simulator.add_fault("download", "gzip")
    response = client.session.get(url, stream=True)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.raw.read(decode_content=False)) == client.download(url).content


def test_block_page(simulator: Simulator, client: Client, device: Device, clock: FakeClock) -> None:
    action_id = client.collect(device).json()["id"]
    clock.advance(10)
    url = client.link(action_id)
    simulator.add_fault("download", "block_page")
    response = client.download(url)
    assert response.status_code == 200 and response.headers["Content-Type"].startswith("text/html")
    assert "web filter" in response.text and response.text.startswith("<html>")


@pytest.mark.parametrize("path", ["/metadata/identity/oauth2/token", "/msi/token"])
def test_a_managed_identity_that_is_not_ready(simulator: Simulator, path: str) -> None:
    """410 while the endpoint is being updated, 404 before it is there, as Microsoft's guidance for retries says."""
    simulator.add_fault("managed_identity", "gateway", form="empty", status=410)
    simulator.add_fault("managed_identity", "gateway", form="empty")
    replies = [requests.get(simulator.identity_url + path, timeout=5) for _number in range(2)]
    assert [(reply.status_code, reply.text) for reply in replies] == [(410, ""), (404, "")]


@pytest.mark.parametrize("skew", [0.0, 86400.0, -3600.0])
def test_the_date_header_follows_the_clock_and_its_skew(start: Start, clock: FakeClock, skew: float) -> None:
    response = Client(start(Device("pc01"), date_skew=skew)).get("/api/machines")
    assert parsedate_to_datetime(response.headers["Date"]).timestamp() == clock.now + skew


def test_the_whole_clock_may_be_wrong(start: Start, clock: FakeClock) -> None:
    simulator = start(Device("pc01"), clock_skew=5 * 86400.0)
    response = Client(simulator).collect(simulator.device("pc01"))
    assert parsedate_to_datetime(response.headers["Date"]).timestamp() == clock.now + 5 * 86400
    assert parse_utc(response.json()["creationDateTimeUtc"]) == clock.now + 5 * 86400


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
    with pytest.raises(ValueError, match="needs the argument other"):
        simulator.add_fault("collect", "other_machine")
    with pytest.raises(ValueError, match="form is one of"):
        simulator.add_fault("machines", "gateway", form="picture")
    with pytest.raises(ValueError, match="encoding is all"):
        simulator.add_fault("machines", "echo", encoding="rot13")
    assert {name[5:] for name in globals() if name.startswith("test_")} >= set(KINDS) - {"hang_after"}


def test_say_back(simulator: Simulator, client: Client, device: Device) -> None:
    simulator.add_fault("machines", "say_back", also=["hunter2"], but=["id"])
    bearer = client.headers["Authorization"].partition(" ")[2]
    (row,) = client.get("/api/machines").json()["value"]
    assert row["id"] == device.id and row["computerDnsName"] == f"{device.name} {bearer} hunter2"
    assert row["ipAddresses"][0]["type"] == f"Ethernet {bearer} hunter2" and f"said {bearer} hunter2" in row
    assert client.get("/api/machines").json()["value"][0]["computerDnsName"] == device.name
