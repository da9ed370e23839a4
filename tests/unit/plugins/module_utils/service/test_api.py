# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._service import api as _api
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AlreadyRunning,
    NotFound,
    ReplyLost,
    ServiceError,
    from_reply,
)
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import COLLECTION
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, Machine
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, PastAction, Simulator
from simulator.odata import MACHINE_PROPERTIES, parse_filter

Simulate = Callable[..., Simulator]
Connect = Callable[..., Session]


class ScriptedSession:
    """Answers with what it was given, one reply a call, and notes what it was asked."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []
        self.endpoints = endpoints()

    def call(self, method: str, endpoint: str, path: str, doing: str, **kwargs: Any) -> Any:
        self.asked.append((method, endpoint, path, kwargs.get("params") or {}))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def scripted(*replies: Any) -> tuple[Api, ScriptedSession]:
    session = ScriptedSession(*replies)
    return Api(session, Secrets()), session  # type: ignore[arg-type]


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": f"{number:040x}", "computerDnsName": f"pc{number}"} for number in numbers]


# Literals


@given(st.text(), st.text())
def test_no_literal_changes_a_filter(wanted: str, other: str) -> None:
    fits = parse_filter(f"computerDnsName eq {literal(wanted)}", MACHINE_PROPERTIES)
    assert fits({"computerDnsName": wanted})
    assert fits({"computerDnsName": other}) is (wanted == other)


@pytest.mark.parametrize(
    "name", ["o'neill", "' or id ne '", "''", "'", "a') or startswith(id,'", "x' and id eq 'y", "%27", "100%", "a+b&c=d#e"]
)  # fmt: skip
def test_no_literal_gets_lost_on_the_way(name: str, simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device(name), Device("pc01"))
    api = Api(connect(simulator), Secrets())
    assert [row["computerDnsName"] for row in api.machines(f"computerDnsName eq {literal(name)}")] == [name]
    assert [row["computerDnsName"] for row in api.machines_by_name_prefix([name])] == [name]


# Pages


def test_all_pages_by_skip(simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "_PAGE", 3)
    simulator = simulate(*(Device(f"pc{number}") for number in range(8)))
    api = Api(connect(simulator), Secrets())
    assert [row["computerDnsName"] for row in api.machines()] == [f"pc{number}" for number in range(8)]
    assert [(entry.query["$top"], entry.query.get("$skip")) for entry in simulator.requests] == [
        ("3", None),
        ("3", "3"),
        ("3", "6"),
    ]
    simulator.reset_log()
    # The filter goes with every page.
    assert len(api.machines("healthStatus eq 'Active'")) == 8
    assert {entry.query["$filter"] for entry in simulator.requests} == {"healthStatus eq 'Active'"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6])
def test_pages_that_end_anywhere(
    count: int, simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_api, "_PAGE", 2)
    # An empty tenant answers 404.
    simulator = simulate(*(Device(f"pc{number}") for number in range(count)))
    assert len(Api(connect(simulator), Secrets()).machines()) == count


def test_next_links_are_taken_for_a_sign_only() -> None:
    """They have been seen without filter, with nameless parameters, and leading round in circles (issue 8316)."""
    api, session = scripted(
        {"value": rows(1, 2), "@odata.nextLink": "https://elsewhere.example/api/machines?=10&$skip=10000"},
        {"value": rows(3), "@odata.nextLink": "https://elsewhere.example/api/machines?=10&$skip=10000"},
        {"value": []},
    )
    assert api.machines("id ne 'x'") == rows(1, 2, 3)
    assert [asked[2] for asked in session.asked] == ["/api/machines"] * 3
    assert [asked[3].get("$skip") for asked in session.asked] == [None, "2", "3"]
    assert all(asked[3]["$filter"] == "id ne 'x'" for asked in session.asked)


def test_a_list_that_goes_round_in_circles_is_an_error() -> None:
    """Whether there are others behind the rows that come again, nobody can tell."""
    page = {"value": rows(1, 2), "@odata.nextLink": "https://api.security.microsoft.com/api/machines"}
    for ask, noun in ((Api.machines, "machines"), (Api.actions, "machine actions")):
        api, session = scripted(*[page] * 5)
        with pytest.raises(ServiceError, match=f"after 2 {noun} the service sends the same ones again") as caught:
            ask(api)
        assert len(session.asked) == 2 and caught.value.code == "ListIncomplete"


def test_a_list_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "_PAGES", 7)
    api, session = scripted(*({"value": rows(number), "@odata.nextLink": "x"} for number in range(50)))
    with pytest.raises(ServiceError, match="after 7 pages with 7 machines the list has no end") as caught:
        api.machines()
    assert len(session.asked) == 7 and caught.value.code == "ListEndless"


def test_a_list_without_end_costs_two_minutes_of_the_budget_at_the_most() -> None:
    api, session = scripted(*({"value": rows(number), "@odata.nextLink": "x"} for number in range(300)))
    with pytest.raises(ServiceError):
        api.machines()
    assert len(session.asked) <= 2 * 100


@pytest.mark.parametrize("ask", [Api.machines, Api.actions, Api.every_machine])
def test_a_list_whose_pages_are_shorter_than_asked_for(
    ask: Callable[..., Any], simulate: Simulate, connect: Connect, secrets: Secrets
) -> None:
    simulator = simulate(*(Device(f"pc{number}", history=(PastAction(),)) for number in range(7)), short_page=3)
    assert len(ask(Api(connect(simulator), secrets))) == 7


def test_each_id_once_whatever_its_case() -> None:
    double = [*rows(10, 11), *rows(10), {"id": rows(11)[0]["id"].upper()}]
    api, _session = scripted({"value": double})
    assert api.machines() == rows(10, 11)


def test_rows_that_are_none_are_left_out() -> None:
    strange: list[Any] = [None, 5, "text", [], {}, {"id": None}, {"id": ""}, *rows(1)]
    api, _session = scripted({"value": strange})
    assert api.machines() == rows(1)
    api, _session = scripted({"value": [{"id": "a"}, {"id": "b", "status": 5}, {"id": "c", "status": "Pending"}]})
    assert [action.id for action in api.actions()] == ["c"]


def test_nothing_there_is_an_empty_list() -> None:
    for ask in (
        lambda api: api.machines(),
        lambda api: api.actions(),
        lambda api: api.machines_by_ip("10.0.0.1", 1e9),
        lambda api: api.every_machine(tag="x"),
    ):
        api, _session = scripted(NotFound("Not found.", status=404))
        assert ask(api) == []


def test_any_other_refusal_is_an_error() -> None:
    api, _session = scripted({"value": rows(1), "@odata.nextLink": "x"}, ServiceError("No.", status=403))
    with pytest.raises(ServiceError):
        api.machines()


@pytest.mark.parametrize("body", [[], {}, {"value": None}, {"value": {"id": "x"}}, {"value": "x"}, 5, None])
def test_wrong_shapes(body: Any, simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("any", "wrong_shape", count=0, body=body)
    api = Api(connect(simulator), Secrets())
    for ask in (
        api.machines,
        api.actions,
        lambda: api.every_machine(tag="x"),
        lambda: api.machines_by_ip("10.0.0.1", 1e9),
    ):
        with pytest.raises(ReplyLost, match="not what it should be"):
            ask()


# Machines


def test_machines_by_ip_and_tag(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01", ip="10.1.2.3", tags=("tier 0 & more",)), Device("pc02", ip="fe80::1"))
    api = Api(connect(simulator), Secrets())
    assert [row["computerDnsName"] for row in api.machines_by_ip("10.1.2.3", clock.wall())] == ["pc01"]
    assert [row["computerDnsName"] for row in api.machines_by_ip("fe80::1", clock.wall())] == ["pc02"]
    assert api.machines_by_ip("10.9.9.9", clock.wall()) == []
    assert [row["computerDnsName"] for row in api.every_machine(tag="tier 0 & more")] == ["pc01"]
    assert api.every_machine(tag="tier") == []


def test_an_ip_cannot_break_out_of_the_path(clock: VirtualClock) -> None:
    api, session = scripted({"value": []})
    api.machines_by_ip("fe80::1%'/../x", 1_800_000_000.0)
    path = "/api/machines/findbyip(ip='fe80::1%25%27%2F..%2Fx',timestamp=2027-01-15T08:00:00Z)"
    assert session.asked == [("GET", "find_by_ip", path, {})]


# Actions


def test_collections(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    history = (PastAction(age=5000), PastAction(age=100), PastAction("RunAntiVirusScan", age=50))
    devices = [Device("pc01", history=history), Device("pc02", history=(PastAction(age=10),))]
    api = Api(connect(simulate(*devices)), Secrets())
    assert len(api.actions()) == 4
    assert len(api.actions_of(COLLECT)) == 3
    assert len(api.actions_of(COLLECT, since=clock.wall() - 1000)) == 2


def test_collections_of_a_service_that_ignores_the_filter() -> None:
    scan = {"id": "a", "status": "Pending", "type": "RunAntiVirusScan"}
    collection = {"id": "b", "status": "Pending", "type": "CollectInvestigationPackage"}
    api, _session = scripted({"value": [scan, collection]})
    assert [action.id for action in api.actions_of(COLLECT)] == ["b"]


def test_the_life_of_an_action(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    device = Device("pc01", collect_seconds=(60, 60))
    simulator = simulate(device)
    secrets = Secrets()
    api = Api(connect(simulator), secrets)
    machine = Machine.from_api(api.machines()[0])
    action = api.start(COLLECTION, machine, "Alert 1: 'quoted' ünd mehr")
    assert (action.status, action.machine_id, action.comment) == ("Pending", device.id, "Alert 1: 'quoted' ünd mehr")
    with pytest.raises(AlreadyRunning, match=r"Failed to start a collection on pc01"):
        api.start(COLLECTION, machine, "Alert 1")
    with pytest.raises(NotFound, match=r"Failed to get the package link for pc01"):
        api.package_link(action.id, "pc01")
    assert api.action(action.id).status == "Pending"
    clock.now += 61
    assert api.action(action.id).status == "Succeeded"
    link = api.package_link(action.id, "pc01")
    assert link.startswith("https://127.0.0.1:") and '"' not in link
    assert secrets.scrub(f"see {link}") == "see ********"
    with pytest.raises(ServiceError, match="Failed to cancel the collection on pc01"):
        api.cancel(action.id, "Not needed", "pc01")
    other = api.start(COLLECTION, machine, "Alert 2")
    api.cancel(other.id, "Not needed", "pc01")
    clock.now += 1
    assert api.action(other.id).status == "Cancelled"


def test_an_unknown_action(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    with pytest.raises(ServiceError, match="read machine action ../machines"):
        Api(connect(simulator), Secrets()).action("../machines")
    assert [entry.endpoint for entry in simulator.requests] != ["machines"]


# Links

GOOD = "https://userrequests-us.securitycenter.windows.com:443/safedownload/p.zip?token=abc%3D"


@pytest.mark.parametrize("value", [GOOD, f'"{GOOD}"', f' "{GOOD}" \n', f'""{GOOD}""'])
def test_links_in_quotes(value: str) -> None:
    api, session = scripted({"value": value})
    assert api.package_link("4711", "pc01") == GOOD
    assert session.asked == [("GET", "package_link", "/api/machineactions/4711/getPackageUri", {})]


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://evil.example/p.zip?token=abcdefgh", "evil.example"),
        ('"http://api.security.microsoft.com/p.zip?token=abcdefgh"', "api.security.microsoft.com"),
        ("https://api.security.microsoft.com@evil.example/?token=abcdefgh", "evil.example"),
        ("https://evil.example\\@api.security.microsoft.com/?token=abcdefgh", ""),
        ("file:///etc/passwd?token=abcdefgh", "?"),
        ("https://[half?token=abcdefgh", "?"),
        ("no link?token=abcdefgh", "?"),
        ("", "?"),
    ],
)
def test_links_that_are_not_trusted(value: str, host: str) -> None:
    session = ScriptedSession({"value": value})
    secrets = Secrets()
    with pytest.raises(ServiceError) as caught:
        Api(session, secrets).package_link("4711", "pc01")  # type: ignore[arg-type]
    assert caught.value.code == "LinkNotTrusted"
    assert host in caught.value.message and "pc01" in caught.value.message
    # It is a secret all the same, and nothing was sent there.
    assert "abcdefgh" not in str(caught.value)
    assert "abcdefgh" not in secrets.scrub(f"x {value}")
    assert len(session.asked) == 1


def test_a_link_that_is_no_text(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01", history=(PastAction(),)))
    simulator.add_fault("package_link", "wrong_shape", count=0, body={"value": {"url": GOOD}})
    with pytest.raises(ReplyLost):
        Api(connect(simulator), Secrets()).package_link(simulator.actions[0]["id"], "pc01")


def test_an_action_of_another_machine_is_not_taken(simulate: Simulate, connect: Connect) -> None:
    asked, other = Device("pc01"), Device("pc02")
    simulator = simulate(asked, other)
    simulator.add_fault("collect", "other_machine", other=other.id)
    with pytest.raises(ServiceError, match="of another device") as caught:
        Api(connect(simulator), Secrets()).start(COLLECTION, Machine(asked.id, "pc01"), "Incident")
    assert caught.value.code == "WrongMachine" and other.id in caught.value.message


@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.machines("id eq 'a'"),
        lambda api: api.every_machine(tag="tier0"),
        lambda api: api.machines_by_ip("10.0.0.1", 0.0),
        lambda api: api.actions("id eq 'a'"),
        lambda api: api.action("4711"),
        lambda api: api.start(COLLECTION, Machine("a" * 40, "pc01"), "Why"),
        lambda api: api.cancel("4711", "Why", "pc01"),
    ],
)
def test_a_link_in_a_refusal_of_any_call_is_a_secret(ask: Callable[[Api], object]) -> None:
    body = {"error": {"code": "BadRequest", "message": f"no: {GOOD}"}}
    api, _session = scripted(from_reply(400, body, "do it"))
    with pytest.raises(ServiceError) as caught:
        ask(api)
    assert "********" in caught.value.message and "token=" not in str(caught.value)


def test_a_link_in_a_refusal_is_a_secret(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01", history=(PastAction(age=600.0),)))
    simulator.add_fault("package_link", "link_in_error", count=0)
    secrets = Secrets()
    with pytest.raises(ServiceError) as caught:
        Api(connect(simulator), secrets).package_link(simulator.actions[0]["id"], "pc01")
    links = [secret for secret in simulator.secrets if secret in str(caught.value)]
    assert not links and "********" in caught.value.message and "token=" not in str(caught.value)
