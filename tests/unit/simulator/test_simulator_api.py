# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from simulator import Device, PastAction, Simulator
from simulator.testing import Client, FakeClock, error_of
from simulator.timestamps import iso

Start = Callable[..., Simulator]

UNKNOWN = "00000000-0000-4000-8000-000000000000"
MACHINE_KEYS = {
    "id", "mergedIntoMachineId", "isPotentialDuplication", "isExcluded", "exclusionReason", "computerDnsName", "firstSeen",
    "lastSeen", "osPlatform", "osVersion", "osProcessor", "version", "lastIpAddress", "lastExternalIpAddress",
    "agentVersion", "osBuild", "healthStatus", "deviceValue", "rbacGroupId", "rbacGroupName", "riskScore", "exposureLevel",
    "isAadJoined", "aadDeviceId", "machineTags", "onboardingStatus", "osArchitecture", "managedBy", "managedByStatus",
    "defenderAvStatus", "vmMetadata", "ipAddresses", "@odata.context",
}  # fmt: skip
ACTION_KEYS = {
    "id", "type", "title", "requestor", "requestorComment", "status", "machineId", "computerDnsName", "creationDateTimeUtc",
    "lastUpdateDateTimeUtc", "cancellationRequestor", "cancellationComment", "cancellationDateTimeUtc", "errorHResult",
    "scope", "externalId", "requestSource", "relatedFileInfo", "commands", "troubleshootInfo", "@odata.context",
}  # fmt: skip


def test_collect_makes_an_action_with_every_key(start: Start) -> None:
    device = Device("PC01.contoso.com")
    response = Client(start(device)).collect(device, "Alert 1234")
    body = response.json()
    assert response.status_code == 201
    assert set(body) == ACTION_KEYS
    assert body["@odata.context"].endswith("/api/$metadata#MachineActions/$entity")
    assert (body["status"], body["type"], body["requestorComment"]) == (
        "Pending",
        "CollectInvestigationPackage",
        "Alert 1234",
    )
    assert body["computerDnsName"] == "PC01.contoso.com"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", body["creationDateTimeUtc"])
    assert response.headers["OData-Version"] == "4.0"


def test_paths_are_matched_in_any_case_and_with_a_version(start: Start) -> None:
    client = Client(start(Device("pc01")))
    assert client.get("/API/v1.0/MACHINES").status_code == 200
    assert client.get("/api/MachineActions").status_code == 200
    assert error_of(client.get("/api/v2.0/machines")) == (404, "NotFound")


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"", "application/json", "InvalidRequestBody"),
        (b"{", "application/json", "InvalidRequestBody"),
        (b'["Comment"]', "application/json", "InvalidRequestBody"),
        (b'{"Comment": 5}', "application/json", "InvalidRequestBody"),
        (b'{"Comment": "a", "Other": 1}', "application/json", "InvalidRequestBody"),
        (b'{"Comment": "a"}', "text/plain", "InvalidRequestBody"),
        (b'{"Comment": "a"}', "", "InvalidRequestBody"),
        (b"{}", "application/json", "MissingRequiredParameter"),
        (b'{"Comment": ""}', "application/json", "MissingRequiredParameter"),
        (b'{"comment": "a"}', "application/json; charset=utf-8", "MissingRequiredParameter"),
    ],
)
def test_the_body_is_validated(start: Start, body: bytes, content_type: str, code: str) -> None:
    device = Device("pc01")
    simulator = start(device)
    headers = {"Content-Type": content_type} if content_type else {}
    path = f"/api/machines/{device.id}/collectInvestigationPackage"
    assert error_of(Client(simulator).post(path, data=body, headers=headers)) == (400, code)
    assert simulator.accepted_starts() == {}


def test_a_wrong_method_is_a_resource_that_is_not_there(start: Start) -> None:
    device = Device("pc01", "recent")
    simulator = start(device)
    client = Client(simulator)
    action_id = simulator.actions[0]["id"]
    response = client.post(f"/api/machineactions/{action_id}/getPackageUri", json={})
    assert error_of(response) == (404, "NotFound")
    assert "No HTTP resource was found that matches the request URI" in response.json()["error"]["message"]
    assert error_of(client.get(f"/api/machines/{device.id}/collectInvestigationPackage")) == (404, "NotFound")


def test_unknown_things_are_not_found(start: Start) -> None:
    client = Client(start(Device("pc01")))
    for path in (f"/api/machines/{'0' * 40}", f"/api/machineactions/{UNKNOWN}", "/api/machines/pc"):
        assert error_of(client.get(path)) == (404, "ResourceNotFound")
    assert error_of(client.collect(Device("other"))) == (404, "ResourceNotFound")
    assert error_of(client.post(f"/api/machineactions/{UNKNOWN}/cancel", json={"Comment": "a"})) == (
        404,
        "ResourceNotFound",
    )


def test_an_empty_tenant_has_no_machines(start: Start) -> None:
    assert error_of(Client(start()).get("/api/machines")) == (404, "NotFound")


# Permissions


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        (["Machine.CollectForensics"], {"collect", "cancel"}),
        (["Machine.Read.All"], {"machines", "machine_actions", "package_link"}),
        (["Machine.ReadWrite.All"], {"machines", "machine_actions", "package_link"}),
        (["Machine.Isolate"], {"cancel"}),
        ([], set()),
    ],
)
def test_permissions_of_an_app(start: Start, roles: list[str], allowed: set[str]) -> None:
    device = Device("pc01")
    simulator = start(device)
    client = Client(simulator, simulator.issue_token(roles=roles))
    _call_everything(client, device)
    assert {entry.endpoint for entry in simulator.requests if entry.status != 403} == allowed


def test_permissions_of_a_user(start: Start) -> None:
    device = Device("pc01")
    simulator = start(device)
    token = simulator.issue_token("secops-desktop", user="reader@contoso.onmicrosoft.com")
    _call_everything(Client(simulator, token), device)
    assert {entry.endpoint for entry in simulator.requests if entry.status != 403} == {"machines", "machine_actions"}
    simulator.reset_log()
    token = simulator.issue_token("secops-desktop", user="analyst@contoso.onmicrosoft.com")
    _call_everything(Client(simulator, token), device)
    assert 403 not in {entry.status for entry in simulator.requests}


def _call_everything(client: Client, device: Device) -> None:
    client.collect(device)
    client.get("/api/machines")
    client.get("/api/machineactions")
    client.get(f"/api/machineactions/{UNKNOWN}/getPackageUri")
    client.post(f"/api/machineactions/{UNKNOWN}/cancel", json={"Comment": "a"})


def test_the_text_of_a_missing_role(start: Start) -> None:
    simulator = start(Device("pc01"))
    response = Client(simulator, simulator.issue_token(roles=["Machine.Isolate"])).get("/api/machines")
    assert response.json()["error"]["message"] == (
        "Missing application roles. API required roles: Machine.Read.All,Machine.ReadWrite.All, "
        "application roles: Machine.Isolate."
    )


def test_the_older_text_of_a_missing_role(start: Start) -> None:
    simulator = start(Device("pc01"), denial="permissions")
    response = Client(simulator, simulator.issue_token(roles=[])).get("/api/machines")
    assert response.status_code == 403 and response.json()["error"]["message"] == (
        "The application does not have any of the required application permissions (Machine.Read.All, "
        "Machine.ReadWrite.All) to access the resource."
    )


def test_the_target_of_a_429_is_the_tenant(start: Start) -> None:
    simulator = start(Device("pc01"), quotas={"machines": (1, 1)})
    replies = [Client(simulator).get("/api/machines") for _number in range(2)]
    assert replies[1].status_code == 429 and replies[1].json()["error"]["target"] == simulator.tenant


def test_the_unkind_readings_of_permissions(start: Start) -> None:
    device = Device("pc01")
    simulator = start(device, link_needs_read_write=True, cancel_needs_other_role=True)
    _call_everything(Client(simulator), device)
    assert {entry.endpoint for entry in simulator.requests if entry.status == 403} == {"package_link", "cancel"}


def test_tokens_that_are_not_accepted(start: Start, clock: FakeClock) -> None:
    simulator = start(Device("pc01"))
    expired = simulator.issue_token(lifetime=-1)
    good = simulator.issue_token()
    head, payload, signature = good.split(".")
    forged = f"{head}.{payload}.{signature[::-1]}"
    for token in (expired, forged, "nonsense"):
        response = Client(simulator, token).get("/api/machines")
        assert error_of(response) == (401, "Unauthorized")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert Client(simulator).get("/api/machines", headers={"Authorization": ""}).status_code == 401
    other = simulator.issue_token(audience="https://api.security.microsoft.com", roles=["Machine.Read.All"])
    assert error_of(Client(simulator, other).get("/api/machines")) == (403, "Forbidden")
    client = Client(simulator, good)
    assert client.get("/api/machines").status_code == 200
    clock.advance(3599)
    assert client.get("/api/machines").status_code == 401


# Machines


def test_a_machine_has_every_key_and_is_found_by_id_and_name(start: Start) -> None:
    device = Device("pc01.contoso.com", tags=("tier0",))
    client = Client(start(device))
    entity = client.get(f"/api/machines/{device.id}").json()
    assert set(entity) == MACHINE_KEYS
    assert entity == client.get("/api/machines/pc01.contoso.com").json()
    assert [address["type"] for address in entity["ipAddresses"]] == ["Ethernet", "SoftwareLoopback"]
    assert client.get(f"/api/machines/{device.id.upper()}").status_code == 404


def test_one_name_can_be_two_machines(start: Start) -> None:
    first, second = Device("pc01.contoso.com"), Device("pc01.contoso.com", last_seen=9e5, health_status="Inactive")
    client = Client(start(first, second))
    assert first.id != second.id and first.ip != second.ip and first.aad_device_id != second.aad_device_id
    rows = client.get("/api/machines", params={"$filter": "computerDnsName eq 'pc01.contoso.com'"}).json()["value"]
    assert [row["id"] for row in rows] == [first.id, second.id]


def test_find_by_ip(start: Start, clock: FakeClock) -> None:
    active = Device("pc01", ip="10.1.1.1", first_seen=86400.0)
    gone = Device("pc02", ip="10.1.1.1", health_status="Inactive", last_seen=3600.0)
    client = Client(start(active, gone))

    def find(ip: str, moment: str) -> Any:
        return client.get(f"/api/machines/findbyip(ip='{ip}',timestamp={moment})")

    def found(seconds_ago: float) -> list[str]:
        return [row["computerDnsName"] for row in find("10.1.1.1", iso(clock.now - seconds_ago)).json()["value"]]

    assert found(0) == ["pc01"]
    assert found(3600 - 901) == ["pc01"]
    assert found(3600 - 899) == ["pc01", "pc02"]
    assert found(86400 + 901) == ["pc02"]
    assert find("10.9.9.9", iso(clock.now)).json()["value"] == []
    for ip, moment in (
        ("10.1.1.1", iso(clock.now - 31 * 86400)),
        ("10.1.1.1", iso(clock.now + 5)),
        ("10.1.1.1", "yesterday"),
    ):
        assert error_of(find(ip, moment)) == (400, "InvalidInput")
    assert error_of(find("pc01", iso(clock.now))) == (400, "InvalidIpAddress")
    assert error_of(client.get("/api/machines/findbyip(ip='10.1.1.1')")) == (400, "InvalidInput")


def test_find_by_tag(start: Start) -> None:
    client = Client(start(Device("pc01", tags=("tier0",)), Device("pc02", tags=("tier0-dc",)), Device("pc03")))
    path = "/api/machines/findbytag"
    assert client.names(path, tag="tier0") == ["pc01"]
    assert client.names(path, tag="tier0", useStartsWithFilter="true") == ["pc01", "pc02"]
    assert client.names(path, tag="none") == []
    assert error_of(client.get(path)) == (400, "InvalidInput")
    assert error_of(client.get(path, params={"tag": "a", "useStartsWithFilter": "maybe"})) == (400, "InvalidInput")


# Queries


def test_filter_top_skip_and_select(start: Start) -> None:
    client = Client(start(*(Device(f"pc{number}", tags=("odd",) if number % 2 else ()) for number in range(6))))
    path = "/api/machines"
    assert client.names(path, **{"$filter": "machineTags/any(tag: tag eq 'odd')"}) == ["pc1", "pc3", "pc5"]
    assert client.names(path, **{"$top": "2", "$skip": "3"}) == ["pc3", "pc4"]
    assert client.names(path, **{"$filter": "startswith(computerDnsName,'pc')", "$top": "1"}) == ["pc0"]
    rows = client.get(path, params={"$select": "id, computerDnsName", "$top": "1"}).json()["value"]
    assert [set(row) for row in rows] == [{"id", "computerDnsName"}]


@pytest.mark.parametrize(
    "params",
    [
        {"$top": "10001"},
        {"$top": "-1"},
        {"$top": "many"},
        {"$skip": "x"},
        {"$orderby": "lastSeen desc"},
        {"$count": "true"},
        {"$stop": "5"},
        {"$select": "onboardingStatus"},
        {"$select": "nothing"},
        {"$filter": "contains(computerDnsName,'pc')"},
        {"$filter": "computerDnsName eq 'pc+01"},
    ],
)
def test_queries_that_are_refused(start: Start, params: dict[str, str]) -> None:
    assert Client(start(Device("pc01"))).get("/api/machines", params=params).status_code == 400


def test_the_captured_shape_of_a_query_error(start: Start) -> None:
    error = Client(start(Device("pc01"))).get("/api/machines", params={"$stop": "5"}).json()["error"]
    assert error == {
        "code": "",
        "message": "The query specified in the URI is not valid. Custom query option '$stop' that starts with '$' is not "
        "supported.",
        "details": [],
    }


def _pages(client: Client, path: str, most: int = 20) -> list[list[str]]:
    pages: list[list[str]] = []
    url = path
    while url and len(pages) < most:
        body = client.get(url.removeprefix(client.simulator.api_url)).json()
        pages.append([row["computerDnsName"] for row in body["value"]])
        url = body.get("@odata.nextLink", "")
    return pages


def test_next_links_lead_through_everything(start: Start) -> None:
    devices = [Device(f"pc{number}", tags=("it's",) if number % 2 else ()) for number in range(7)]
    client = Client(start(*devices, page_size=2))
    query = quote("machineTags/any(tag: tag eq 'it''s')")
    assert _pages(client, f"/api/machines?$filter={query}") == [["pc1", "pc3"], ["pc5"]]
    assert [len(page) for page in _pages(client, "/api/machines")] == [2, 2, 2, 1]
    assert "@odata.nextLink" not in client.get("/api/machines?$top=2").json()


def test_next_links_as_the_service_once_got_them_wrong(start: Start) -> None:
    devices = [Device(f"pc{number}", health_status="Active" if number < 4 else "Inactive") for number in range(6)]
    query = quote("healthStatus eq 'Active'")
    lost = _pages(Client(start(*devices, page_size=2, next_link_bug="lost_filter")), f"/api/machines?$filter={query}")
    assert lost == [["pc0", "pc1"], ["pc2", "pc3"], ["pc4", "pc5"]]
    loop = _pages(Client(start(*devices, page_size=2, next_link_bug="loop")), f"/api/machines?$filter={query}&$skip=0")
    assert len(loop) == 20 and loop[1] == loop[2] == ["pc2", "pc3"]


def test_machine_actions_are_listed_newest_first_and_filtered(start: Start, clock: FakeClock) -> None:
    history = (PastAction("Isolate", age=50), PastAction(age=7200), PastAction(status="Failed", age=3600))
    first, second = Device("pc01", history=history), Device("pc02")
    client = Client(start(first, second))
    client.collect(second)
    clock.advance(1)
    client.collect(first)

    def listed(**params: str) -> list[str]:
        rows = client.get("/api/machineactions", params=params).json()["value"]
        return [f"{row['computerDnsName']} {row['type'][:7]} {row['status']}" for row in rows]

    everything = [
        "pc01 Collect Pending",
        "pc02 Collect InProgress",
        "pc01 Isolate Succeeded",
        "pc01 Collect Failed",
        "pc01 Collect Succeeded",
    ]
    assert listed() == everything
    assert listed(**{"$top": "2", "$skip": "1"}) == everything[1:3]
    busy = f"machineId eq '{first.id}' and (status eq 'Pending' or status eq 'InProgress')"
    assert listed(**{"$filter": busy}) == everything[:1]
    since = f"creationDateTimeUtc ge {iso(clock.now - 3700)} and type eq 'CollectInvestigationPackage'"
    assert listed(**{"$filter": since}) == [everything[0], everything[1], everything[3]]


def test_long_urls_are_refused(start: Start) -> None:
    client = Client(start(Device("pc01")))
    assert client.get("/api/machines?x=" + "a" * 7900).status_code == 200
    assert client.get("/api/machines?x=" + "a" * 8000).status_code == 414
    assert client.get("/api/machines?x=" + "a" * 60000).status_code == 414


# The log


def test_the_log_names_what_was_called(start: Start) -> None:
    device = Device("pc01", "recent")
    simulator = start(device)
    client = Client(simulator)
    action_id = simulator.actions[0]["id"]
    client.download(client.link(action_id))
    client.collect(Device("unknown"))
    client.get("/api/machines", params={"$top": "1"})
    entries = simulator.requests
    assert [(entry.endpoint, entry.status, entry.error_code) for entry in entries] == [
        ("package_link", 200, ""),
        ("download", 200, ""),
        ("collect", 404, "ResourceNotFound"),
        ("machines", 200, ""),
    ]
    assert [entry.machine_id for entry in entries[:2]] == [device.id] * 2
    assert [entry.action_id for entry in entries[:2]] == [action_id] * 2
    assert [entry.bearer for entry in entries] == [True, False, True, True]
    assert entries[0].client_id == simulator.client_id
    assert entries[3].query == {"$top": "1"}
    simulator.reset_log()
    assert simulator.requests == []


def test_a_list_shorter_than_top_goes_on_behind_a_next_link(start: Start) -> None:
    client = Client(start(*(Device(f"pc{number}") for number in range(6)), short_page=2))
    assert _pages(client, "/api/machines?$top=5") == [["pc0", "pc1"], ["pc2", "pc3"], ["pc4"]]
    assert _pages(client, "/api/machines?$top=2") == [["pc0", "pc1"]]
    assert _pages(client, "/api/machines?$skip=3") == [["pc3", "pc4"], ["pc5"]]


def test_next_links_may_lead_to_another_host(start: Start) -> None:
    devices = [Device(f"pc{number}") for number in range(3)]
    body = Client(start(*devices, page_size=2, next_link_base="https://api.other.invalid")).get("/api/machines").json()
    assert body["@odata.nextLink"] == "https://api.other.invalid/api/machines?$skip=2"


@pytest.mark.parametrize(("bug", "later"), [("endless", []), ("endless_rows", ["pc0", "pc1"])])
def test_a_list_that_never_ends(start: Start, bug: str, later: list[str]) -> None:
    client = Client(start(Device("pc0"), Device("pc1"), page_size=2, next_link_bug=bug))
    for path in ("/api/machines", "/api/machines?$top=2"):
        pages = _pages(client, path)
        assert len(pages) == 20 and pages[0] == ["pc0", "pc1"] and pages[19] == later
    links = [client.get(f"/api/machines?$skip={skip}").json()["@odata.nextLink"] for skip in (0, 2, 4)]
    assert len(set(links)) == 3


# Identifiers and names


def _filter(client: Client, path: str, text: str) -> Any:
    return client.get(path, params={"$filter": text})


def test_an_entra_device_id_is_a_guid(start: Start) -> None:
    device = Device("pc01")
    client = Client(start(device, Device("pc02")))
    found = _filter(client, "/api/machines", f"aadDeviceId eq {device.aad_device_id}").json()["value"]
    assert [row["computerDnsName"] for row in found] == ["pc01"]
    refused = _filter(client, "/api/machines", f"aadDeviceId eq '{device.aad_device_id}' or computerDnsName eq 'pc02'")
    assert error_of(refused) == (400, "ODataError")
    assert "incompatible types" in refused.json()["error"]["message"]
    assert "'Edm.Guid' and 'Edm.String'" in refused.json()["error"]["message"]


def test_an_entra_device_id_may_be_typed_as_text(start: Start) -> None:
    device = Device("pc01")
    client = Client(start(device, guid_literals=False))
    assert len(_filter(client, "/api/machines", f"aadDeviceId eq '{device.aad_device_id}'").json()["value"]) == 1
    refused = _filter(client, "/api/machines", f"aadDeviceId eq {device.aad_device_id}")
    assert error_of(refused) == (400, "ODataError") and "'Edm.String' and 'Edm.Guid'" in refused.text


@pytest.mark.parametrize("typed", [False, True])
def test_the_id_of_an_action_is_a_text_or_a_guid(start: Start, typed: bool) -> None:
    simulator = start(Device("pc01", "recent"), action_id_guid=typed)
    client, action_id = Client(simulator), simulator.actions[0]["id"]
    forms = {False: f"id eq '{action_id}'", True: f"id eq {action_id}"}
    assert len(_filter(client, "/api/machineactions", forms[typed]).json()["value"]) == 1
    assert error_of(_filter(client, "/api/machineactions", forms[not typed])) == (400, "ODataError")


@pytest.mark.parametrize(("sensitive", "found"), [(True, []), (False, ["C-Lab-31"])])
def test_a_name_is_kept_as_it_was_recorded(start: Start, sensitive: bool, found: list[str]) -> None:
    client = Client(start(Device("C-Lab-31"), case_sensitive_names=sensitive))
    assert client.names("/api/machines") == ["C-Lab-31"]
    for spelling, expected in (("C-Lab-31", ["C-Lab-31"]), ("c-lab-31", found)):
        assert client.names("/api/machines", **{"$filter": f"computerDnsName eq '{spelling}'"}) == expected
        assert client.names("/api/machines", **{"$filter": f"startswith(computerDnsName,'{spelling[:5]}')"}) == expected
        assert client.get(f"/api/machines/{spelling}").status_code == (200 if expected else 404)


def test_two_spellings_of_a_name_are_two_records(start: Start) -> None:
    simulator = start(Device("PC042.contoso.com"), Device("pc042.contoso.com", health_status="Inactive"))
    assert len({device.id for device in simulator.fleet.devices}) == 2


def test_a_bare_name_is_not_found_by_its_full_name(start: Start) -> None:
    client = Client(start(Device("pc01")))
    for text in ("computerDnsName eq 'pc01.contoso.com'", "startswith(computerDnsName,'pc01.')"):
        assert client.names("/api/machines", **{"$filter": text}) == []
    assert client.get("/api/machines/pc01.contoso.com").status_code == 404


@pytest.mark.parametrize("status", ["CanBeOnboarded", "Unsupported", "InsufficientInfo"])
def test_what_is_not_onboarded_cannot_be_collected_from(start: Start, status: str) -> None:
    device = Device("printer", onboarding_status=status)
    client = Client(start(device))
    row = client.get(f"/api/machines/{device.id}").json()
    assert (row["onboardingStatus"], row["healthStatus"], row["agentVersion"]) == (status, None, None)
    assert error_of(client.collect(device)) == (400, "BadRequest")
    assert client.names("/api/machines", **{"$filter": "onboardingStatus eq 'Onboarded'"}) == []
