# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._tasks import queries as _queries
from ansible_collections.secops.defender.plugins.module_utils._tasks.queries import (
    access_token,
    cancel_action,
    machine_action_info,
    machine_info,
    snake_case,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import (
    MACHINE_INFO_RULES,
    NAMED_RULES,
    access_token_spec,
    cancel_spec,
    machine_action_info_spec,
    machine_info_spec,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import NetworkError, ReplyLost
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.service_world import VirtualClock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Tenant, options
from simulator import Device
from simulator.devices import PastAction
from simulator.settings import App

TWIN = "twin.contoso.com"
QUOTE = "o'brien.contoso.com"
OLD_ID = "e" * 40
COLLECT = "CollectInvestigationPackage"
Result = dict[str, t.Any]
Ask = t.Callable[..., Result]


@pytest.fixture
def tenant(simulate: t.Any, clock: VirtualClock) -> t.Callable[..., Tenant]:
    def start(*devices: Device, **settings: t.Any) -> Tenant:
        return Tenant(simulate(*devices, **settings), clock)

    return start


# ---- names of keys ----


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("computerDnsName", "computer_dns_name"),
        ("osPlatform", "os_platform"),
        ("creationDateTimeUtc", "creation_date_time_utc"),
        ("errorHResult", "error_hresult"),
        ("isAadJoined", "is_aad_joined"),
        ("id", "id"),
        ("lastExternalIpAddress", "last_external_ip_address"),
    ],
)
def test_keys_are_in_snake_case(key: str, expected: str) -> None:
    assert snake_case({key: 1}) == {expected: 1}


def test_keys_are_in_snake_case_at_every_depth_and_odatas_own_are_left_out() -> None:
    sent = {
        "@odata.context": "x",
        "ipAddresses": [{"macAddress": "A", "@odata.type": "y"}],
        "vmMetadata": {"vmId": None},
    }
    assert snake_case(sent) == {"ip_addresses": [{"mac_address": "A"}], "vm_metadata": {"vm_id": None}}


# ---- machines ----


@pytest.fixture
def machines(tenant: t.Callable[..., Tenant]) -> Ask:
    office = tenant(
        Device("pc01.contoso.com", tags=("tier0", "o'tag"), risk_score="High", ip="10.1.1.1"),
        Device("pc02.contoso.com", tags=("tier0",), ip="10.1.1.2", health_status="Inactive"),
        Device("pc021.contoso.com"),
        Device(TWIN, ip="10.1.1.9"),
        Device(TWIN, ip="10.1.1.9"),
        Device(QUOTE, tags=("tier1",)),
    )

    def ask(**given: t.Any) -> Result:
        options(machine_info_spec(), MACHINE_INFO_RULES, **{k: v for k, v in given.items() if k in machine_info_spec()})
        return office(machine_info, machine_info_spec(), **given)

    ask.tenant = office  # type: ignore[attr-defined]
    return ask


def names(result: Result) -> list[str]:
    assert not result["failed"], result["msg"]
    return [row["computer_dns_name"] for row in result["machines"]]


def test_all_machines(machines: Ask) -> None:
    result = machines()
    assert sorted(names(result)) == sorted(
        ["pc01.contoso.com", "pc02.contoso.com", "pc021.contoso.com", TWIN, TWIN, QUOTE]
    )
    assert (result["changed"], result["not_found"], result["error"]) == (False, [], None)
    assert result["msg"] == "6 machines found."
    row = result["machines"][0]
    assert row["machine_id"] == row["id"]
    assert {"os_platform", "health_status", "machine_tags", "ip_addresses", "aad_device_id"} <= set(row)


def test_an_empty_list_of_machines_asks_for_none(machines: Ask) -> None:
    result = machines(machines=[])
    assert names(result) == []
    assert machines.tenant.calls("machines") == 0  # type: ignore[attr-defined]


def test_machines_by_every_form_of_name_in_the_order_asked(machines: Ask) -> None:
    device = machines.tenant.simulator.device("pc021.contoso.com")  # type: ignore[attr-defined]
    result = machines(machines=["PC02", device.id.upper(), "10.1.1.1", QUOTE, TWIN])
    assert names(result) == ["pc02.contoso.com", "pc021.contoso.com", "pc01.contoso.com", QUOTE, TWIN, TWIN]


def test_machines_by_entra_id(machines: Ask) -> None:
    device = machines.tenant.simulator.device("pc021.contoso.com")  # type: ignore[attr-defined]
    assert names(machines(machines=[device.aad_device_id])) == ["pc021.contoso.com"]


def test_names_that_fit_nothing_are_no_failure(machines: Ask) -> None:
    result = machines(machines=["nobody", "pc01", "10.9.9.9", "nobody", OLD_ID])
    assert names(result) == ["pc01.contoso.com"]
    assert result["not_found"] == ["nobody", "10.9.9.9", OLD_ID]
    assert result["msg"] == f"1 machine found, not found: nobody, 10.9.9.9, {OLD_ID}."


def test_many_names_that_fit_nothing_are_counted_in_the_sentence(machines: Ask) -> None:
    result = machines(machines=[f"ghost{number}" for number in range(25)])
    assert len(result["not_found"]) == 25
    assert result["msg"].endswith("ghost9 and 15 more.")


def test_machines_by_tag(machines: Ask) -> None:
    assert names(machines(tag="tier0")) == ["pc01.contoso.com", "pc02.contoso.com"]
    assert names(machines(tag="tier")) == []
    assert names(machines(tag="o'tag")) == ["pc01.contoso.com"]


def test_machines_by_filter(machines: Ask) -> None:
    assert names(machines(filter="healthStatus eq 'Inactive'")) == ["pc02.contoso.com"]
    assert names(machines(filter="computerDnsName eq 'o''brien.contoso.com'")) == [QUOTE]


def test_machines_by_tag_and_filter(machines: Ask) -> None:
    assert names(machines(tag="tier0", filter="healthStatus eq 'Active'")) == ["pc01.contoso.com"]
    assert names(machines(tag="tier1", filter="riskScore eq 'High'")) == []


def test_a_filter_that_the_service_refuses_says_so(machines: Ask) -> None:
    result = machines(filter="nonsense eq 'x'")
    assert result["failed"] and result["machines"] == []
    assert "filter" in result["error"]["advice"]


@pytest.mark.parametrize("other", [{"tag": "tier0"}, {"filter": "id eq 'x'"}])
def test_machines_exclude_tag_and_filter(other: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="mutually exclusive"):
        options(machine_info_spec(), MACHINE_INFO_RULES, machines=["pc01"], **other)


def test_malformed_names_are_refused_before_signing_in(machines: Ask) -> None:
    result = machines(machines=["10.300.1.1"])
    assert result["failed"] and result["error"]["code"] == "InvalidOptions"
    assert machines.tenant.simulator.requests == []  # type: ignore[attr-defined]


def test_reading_is_enough(machines: Ask) -> None:
    assert names(machines(app="secops-reader", machines=["pc01"])) == ["pc01.contoso.com"]


def test_without_permission_it_fails_with_the_same_keys(machines: Ask) -> None:
    result = machines(app="secops-nothing")
    assert result["failed"] and result["error"]["code"] == "MissingPermission"
    assert set(result) == set(machines())


@pytest.mark.parametrize("bug", ["", "lost_filter", "loop"])
def test_all_pages_of_machines(tenant: t.Callable[..., Tenant], bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.secops.defender.plugins.module_utils._service import api as _api

    monkeypatch.setattr(_api, "_PAGE", 7)
    office = tenant(*(Device(f"pc{number:03}.contoso.com") for number in range(40)), page_size=7, next_link_bug=bug)
    result = office(machine_info, machine_info_spec(), filter="healthStatus eq 'Active'")
    assert sorted(names(result)) == [f"pc{number:03}.contoso.com" for number in range(40)]
    assert office.calls("machines") >= 6


# ---- machine actions ----


@pytest.fixture
def actions(tenant: t.Callable[..., Tenant]) -> Ask:
    office = tenant(
        Device("pc01.contoso.com", "running", history=(PastAction("RunAntiVirusScan", age=7200.0),)),
        Device("pc02.contoso.com", history=(PastAction(age=100000.0), PastAction(status="Failed", age=50.0))),
        Device(QUOTE, history=(PastAction("Isolate", "Pending", age=30.0),)),
    )

    def ask(**given: t.Any) -> Result:
        return office(machine_action_info, machine_action_info_spec(), **given)

    ask.tenant = office  # type: ignore[attr-defined]
    return ask


def kinds(result: Result) -> list[tuple[str, str, str]]:
    assert not result["failed"], result["msg"]
    return [(row["computer_dns_name"].split(".")[0], row["type"], row["status"]) for row in result["machine_actions"]]


ISOLATE = ("o'brien", "Isolate", "Pending")
RECENT = ("pc02", COLLECT, "Failed")
RUNNING = ("pc01", COLLECT, "InProgress")
SCAN = ("pc01", "RunAntiVirusScan", "Succeeded")
ANCIENT = ("pc02", COLLECT, "Succeeded")


def test_all_actions_newest_first(actions: Ask) -> None:
    result = actions()
    assert kinds(result) == [ISOLATE, RECENT, RUNNING, SCAN, ANCIENT]
    assert result["msg"] == "5 machine actions found."
    assert result["not_found"] == [] and result["changed"] is False
    assert {"requestor_comment", "creation_date_time_utc", "error_hresult", "machine_id"} <= set(
        result["machine_actions"][0]
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": COLLECT}, [RECENT, RUNNING, ANCIENT]),
        ({"type": COLLECT.lower()}, [RECENT, RUNNING, ANCIENT]),
        ({"type": "O'Type"}, []),
        ({"status": ["Pending", "inprogress"]}, [ISOLATE, RUNNING]),
        ({"status": ["Failed"]}, [RECENT]),
        ({"status": []}, [ISOLATE, RECENT, RUNNING, SCAN, ANCIENT]),
        ({"since": "4h"}, [ISOLATE, RECENT, RUNNING, SCAN]),
        ({"since": "90"}, [ISOLATE, RECENT, RUNNING]),
        ({"since": "90m", "status": ["InProgress", "Failed"], "type": COLLECT}, [RECENT, RUNNING]),
        ({"machines": ["pc01"]}, [RUNNING, SCAN]),
        ({"machines": ["pc01", QUOTE]}, [ISOLATE, RUNNING, SCAN]),
        ({"machines": ["pc01", "pc02"], "type": COLLECT, "status": ["Succeeded", "InProgress"]}, [RUNNING, ANCIENT]),
        ({"machines": ["pc02"], "since": "1d"}, [RECENT]),
        ({"machines": []}, []),
        ({"action_ids": []}, []),
    ],
)
def test_actions_by(actions: Ask, given: dict[str, t.Any], expected: list[tuple[str, str, str]]) -> None:
    result = actions(**given)
    assert kinds(result) == expected
    assert result["not_found"] == []


def test_actions_by_id_and_those_that_are_none(actions: Ask) -> None:
    known = [row["id"] for row in actions()["machine_actions"]]
    nobody = "00000000-0000-4000-8000-000000000000"
    result = actions(action_ids=[known[3].upper(), nobody, known[0], nobody])
    assert kinds(result) == [ISOLATE, SCAN]
    assert result["not_found"] == [nobody]


def test_an_id_of_another_status_is_found_but_not_wanted(actions: Ask) -> None:
    known = [row["id"] for row in actions()["machine_actions"]]
    result = actions(action_ids=known, status=["Failed"], since="1h", type=COLLECT)
    assert kinds(result) == [RECENT]
    assert result["not_found"] == []


def test_ids_and_machines_together_are_what_either_names(actions: Ask) -> None:
    known = [row["id"] for row in actions()["machine_actions"]]
    assert kinds(actions(action_ids=known[:2], machines=["pc02"])) == [ISOLATE, RECENT, ANCIENT]


def test_a_machine_that_is_not_found(actions: Ask) -> None:
    result = actions(machines=["nobody", "pc02", OLD_ID])
    assert kinds(result) == [RECENT, ANCIENT]
    assert sorted(result["not_found"]) == sorted(["nobody", OLD_ID])


def test_the_actions_of_a_device_outlive_it(actions: Ask) -> None:
    fleet = actions.tenant.simulator.fleet  # type: ignore[attr-defined]
    gone = fleet.devices[1].id
    fleet.machine_entities = [row for row in fleet.machine_entities if row["id"] != gone]
    result = actions(machines=[gone.upper()])
    assert kinds(result) == [RECENT, ANCIENT]
    assert result["not_found"] == []


def test_since_a_time_in_every_spelling_that_yaml_makes_of_it(actions: Ask, clock: VirtualClock) -> None:
    stamp = iso(clock.wall() - 3600)
    spellings = [stamp, stamp[:-1], stamp.replace("T", " "), stamp.replace("T", " ").replace("Z", "+00:00")]
    for spelling in [*spellings, stamp.replace("Z", ".123Z"), f" {stamp} "]:
        assert kinds(actions(since=spelling)) == [ISOLATE, RECENT, RUNNING], spelling
    assert len(kinds(actions(since=iso(clock.wall() - 10 * 86400)[:10]))) == 5
    assert kinds(actions(since=iso(clock.wall() + 86400)[:10])) == []


@pytest.mark.parametrize("since", ["yesterday", "2026-13-45", "4 weeks", "-5"])
def test_since_that_is_no_time(actions: Ask, since: str) -> None:
    result = actions(since=since)
    assert result["failed"] and result["error"]["code"] == "InvalidOptions"
    assert "ISO 8601" in result["msg"] and since in result["msg"]
    assert actions.tenant.simulator.requests == []  # type: ignore[attr-defined]


def test_all_pages_of_actions(tenant: t.Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.secops.defender.plugins.module_utils._service import api as _api

    monkeypatch.setattr(_api, "_PAGE", 5)
    office = tenant(
        *(Device(f"pc{number:02}.contoso.com", history=(PastAction(age=60.0 + number),)) for number in range(23)),
        page_size=5,
    )
    result = office(machine_action_info, machine_action_info_spec(), type=COLLECT)
    assert len(result["machine_actions"]) == 23
    assert office.calls("machine_actions") >= 5


def test_many_ids_go_out_in_few_calls(actions: Ask) -> None:
    office = actions.tenant  # type: ignore[attr-defined]
    result = actions(action_ids=[f"00000000-0000-4000-8000-{number:012}" for number in range(300)])
    assert len(result["not_found"]) == 300
    assert office.calls("machine_actions") <= 10


# ---- cancelling ----

CANCEL_KEYS = ["action", "asked", "changed", "computer_dns_name", "error", "failed", "machine_id", "status"]


class Desk:
    """Somebody who cancels."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator

    def __call__(self, **given: t.Any) -> Result:
        self.simulator.reset_log()
        given = {"comment": "Not needed", "poll_interval": 1.0, **given}
        result = self.tenant(cancel_action, cancel_spec(), **given)
        for row in result["actions"]:
            assert sorted(row) == CANCEL_KEYS
        assert {"changed", "failed", "msg", "error", "actions"} == set(result)
        return result

    def id_of(self, name: str) -> str:
        machine = self.simulator.device(name).id
        return str(next(row["id"] for row in self.simulator.actions[::-1] if row["machineId"] == machine))

    def status(self, name: str) -> str:
        machine = self.simulator.device(name).id
        return str(next(row["status"] for row in self.simulator.actions[::-1] if row["machineId"] == machine))

    def comment(self, name: str) -> object:
        machine = self.simulator.device(name).id
        return next(row["cancellationComment"] for row in self.simulator.actions[::-1] if row["machineId"] == machine)


@pytest.fixture
def desk(tenant: t.Callable[..., Tenant]) -> Desk:
    return Desk(_staffed(tenant))


def _staffed(tenant: t.Callable[..., Tenant], **settings: t.Any) -> Tenant:
    settings.setdefault("cancel_seconds", 5.0)
    return tenant(
        Device("busy1.contoso.com", "running", collect_seconds=(9000.0, 9000.0)),
        Device("busy2.contoso.com", "running", collect_seconds=(9000.0, 9000.0)),
        Device("brief.contoso.com", "running", collect_seconds=(3.0, 3.0)),
        Device("done.contoso.com", "recent"),
        Device("idle.contoso.com"),
        Device("scanned.contoso.com", history=(PastAction("RunAntiVirusScan", "InProgress", age=30.0),)),
        Device(TWIN),
        Device(TWIN),
        **settings,
    )


def test_cancel_by_action_id(desk: Desk) -> None:
    result = desk(action_ids=[desk.id_of("busy1.contoso.com")])
    assert (result["changed"], result["failed"], result["error"]) == (True, False, None)
    row = result["actions"][0]
    assert (row["changed"], row["failed"], row["status"]) == (True, False, "InProgress")
    assert row["computer_dns_name"] == "busy1.contoso.com"
    assert row["machine_id"] == desk.simulator.device("busy1.contoso.com").id
    assert desk.comment("busy1.contoso.com") == "Not needed"
    assert desk.comment("busy2.contoso.com") is None
    assert result["msg"] == "1 action: 1 cancelled."


def test_cancel_by_machine_takes_the_running_collection_and_nothing_else(desk: Desk) -> None:
    result = desk(machines=["busy1", "scanned"])
    assert [row["changed"] for row in result["actions"]] == [True, False]
    assert desk.tenant.posts() == ["cancel"]
    assert desk.comment("scanned.contoso.com") is None


def test_cancel_any_type_by_its_id(desk: Desk) -> None:
    assert desk(action_ids=[desk.id_of("scanned.contoso.com")])["changed"]
    assert desk.comment("scanned.contoso.com") == "Not needed"


def test_what_has_ended_and_what_does_not_run_is_ok(desk: Desk) -> None:
    result = desk(action_ids=[desk.id_of("done.contoso.com")], machines=["idle", "done"])
    assert (result["changed"], result["failed"]) == (False, False)
    assert [(row["status"], row["changed"], row["failed"]) for row in result["actions"]] == [
        ("Succeeded", False, False),
        (None, False, False),
        (None, False, False),
    ]
    assert result["msg"] == "3 actions: 3 not running."
    assert desk.tenant.posts() == []


def test_nothing_named_is_nothing_to_do(desk: Desk) -> None:
    result = desk(action_ids=[])
    assert (result["changed"], result["failed"], result["actions"]) == (False, False, [])
    assert result["msg"] == "0 actions: nothing to do."


def test_one_of_the_two_must_be_given() -> None:
    with pytest.raises(AssertionError, match="one of the following is required"):
        options(cancel_spec(), NAMED_RULES, comment="x")


def test_named_twice_is_cancelled_once(desk: Desk) -> None:
    action_id = desk.id_of("busy1.contoso.com")
    result = desk(action_ids=[action_id, action_id.upper()], machines=["busy1", "BUSY1.contoso.com"])
    assert [row["changed"] for row in result["actions"]] == [True] * 4
    assert desk.tenant.posts() == ["cancel"]
    assert result["msg"] == "1 action: 1 cancelled."


def test_unknown_and_ambiguous_fail_by_themselves(desk: Desk) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    result = desk(action_ids=[nobody], machines=["ghost", TWIN, "busy1"])
    assert [(row["error"] or {}).get("code") for row in result["actions"]] == [
        "ActionNotFound",
        "MachineNotFound",
        "MachineAmbiguous",
        None,
    ]
    assert result["failed"] and result["changed"]
    assert desk.comment("busy1.contoso.com") == "Not needed"
    assert "1 cancelled" in result["msg"] and "3 failed" in result["msg"] and "ghost (MachineNotFound)" in result["msg"]


def test_check_mode_sends_nothing_that_changes(desk: Desk) -> None:
    result = desk(check_mode=True, wait=True, action_ids=[desk.id_of("done.contoso.com")], machines=["busy1", "idle"])
    assert [row["changed"] for row in result["actions"]] == [False, True, False]
    assert result["changed"] and result["msg"] == "3 actions: 1 would be cancelled, 2 not running."
    assert desk.tenant.posts() == []
    assert desk.comment("busy1.contoso.com") is None


def test_raced_by_the_end_of_the_action(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends between the look and the cancellation: what the service refuses then is no failure."""
    action_id = desk.id_of("brief.contoso.com")
    real = Api.cancel

    def cancel(self: Api, *args: t.Any) -> t.Any:
        desk.tenant.clock.sleep(10)
        return real(self, *args)

    monkeypatch.setattr(Api, "cancel", cancel)
    result = desk(action_ids=[action_id])
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["actions"][0]["status"] == "Succeeded"
    assert desk.tenant.posts() == ["cancel"]
    assert result["msg"] == "1 action: 1 not running."


@pytest.mark.parametrize("kind", ["reset_after", "status_after"])
def test_a_lost_reply_of_a_cancellation_that_was_taken(desk: Desk, kind: str) -> None:
    desk.simulator.add_fault("cancel", kind, **({"status": 504} if kind == "status_after" else {}))
    result = desk(machines=["busy1"])
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    assert desk.tenant.posts() == ["cancel"]


def test_cancelled_by_somebody_else_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = desk.simulator.fleet
    action = fleet.action(desk.id_of("busy1.contoso.com"), 0)

    def cancel(self: Api, *args: t.Any) -> t.Any:
        fleet.cancel(action, "analyst", "Theirs", desk.tenant.clock.wall())
        desk.tenant.clock.sleep(10)
        raise ReplyLost("The reply did not arrive.")

    monkeypatch.setattr(Api, "cancel", cancel)
    result = desk(machines=["busy1"])
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["actions"][0]["status"] == "Cancelled"


@pytest.mark.parametrize("kind", ["reset", "status"])
def test_a_lost_cancellation_is_sent_again(desk: Desk, kind: str) -> None:
    desk.simulator.add_fault("cancel", kind, **({"status": 503} if kind == "status" else {}))
    result = desk(machines=["busy1"])
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    assert desk.tenant.posts() == ["cancel", "cancel"]


def test_a_service_in_trouble_fails_one_and_the_others_go_on(desk: Desk) -> None:
    machine = desk.simulator.device("busy1.contoso.com").id
    desk.simulator.add_fault("cancel", "status", count=0, machine_id=machine, status=503)
    result = desk(machines=["busy1", "busy2"])
    assert [(row["changed"], row["failed"]) for row in result["actions"]] == [(False, True), (True, False)]
    assert result["failed"] and result["changed"]
    assert "busy1.contoso.com" in result["msg"]
    assert desk.tenant.teller.told("trouble")


def test_what_was_cancelled_before_the_network_went_is_in_the_result(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Api.cancel

    def cancel(self: Api, action_id: str, comment: str, label: str) -> t.Any:
        if label.startswith("busy2"):
            raise NetworkError("api.example cannot be reached.")
        return real(self, action_id, comment, label)

    monkeypatch.setattr(Api, "cancel", cancel)
    result = desk(machines=["busy1", "busy2", "done"])
    assert result["failed"] and result["changed"]
    assert result["error"]["code"] == "NetworkError"
    assert [(row["changed"], row["failed"]) for row in result["actions"]] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_a_cancellation_that_is_not_authorized_any_more(desk: Desk) -> None:
    desk.simulator.add_fault("cancel", "unauthorized", count=0, after=1)
    result = desk(machines=["busy1", "busy2", "idle"])
    assert [(row["changed"], (row["error"] or {}).get("code")) for row in result["actions"]] == [
        (True, None),
        (False, "Unauthorized"),
        (False, None),
    ]


def test_wait_until_it_is_cancelled(desk: Desk, clock: VirtualClock) -> None:
    began = clock.now
    result = desk(machines=["busy1", "busy2"], wait=True)
    assert [row["status"] for row in result["actions"]] == ["Cancelled", "Cancelled"]
    assert 5 <= clock.now - began < 10
    assert result["msg"] == "2 actions: 2 cancelled."


def test_wait_sees_one_that_ends_before_its_cancellation_takes_effect(desk: Desk) -> None:
    result = desk(machines=["brief", "busy1"], wait=True)
    assert [(row["status"], row["changed"], row["failed"]) for row in result["actions"]] == [
        ("Succeeded", False, False),
        ("Cancelled", True, False),
    ]
    assert result["msg"] == "2 actions: 1 cancelled, 1 not running."


def test_wait_ends_in_time(tenant: t.Callable[..., Tenant], clock: VirtualClock) -> None:
    desk = Desk(_staffed(tenant, cancel_seconds=4000.0))
    began = clock.now
    result = desk(machines=["busy1"], wait=True, wait_timeout=100.0)
    assert 100 <= clock.now - began < 102
    row = result["actions"][0]
    assert result["failed"] and row["error"]["code"] == "NotCancelledInTime"
    assert row["changed"] and result["changed"]
    assert "still InProgress after 100 seconds" in result["msg"]
    assert any("1 to go" in line for line in desk.tenant.teller.told("say"))


def test_wait_bears_looks_that_fail(desk: Desk) -> None:
    desk.simulator.add_fault("machine_actions", "status", status=503, count=12, after=1)
    result = desk(machines=["busy1"], wait=True)
    assert result["actions"][0]["status"] == "Cancelled", result["msg"]
    assert any("Asking again" in line for line in desk.tenant.teller.told("trouble"))


def test_without_waiting_nothing_more_is_asked(desk: Desk, clock: VirtualClock) -> None:
    began = clock.now
    desk(machines=["busy1"])
    assert clock.now == began
    assert desk.tenant.calls("machine_actions") == 1


def test_the_service_wants_another_permission(tenant: t.Callable[..., Tenant]) -> None:
    desk = Desk(_staffed(tenant, cancel_needs_other_role=True))
    result = desk(machines=["busy1", "busy2"])
    assert result["failed"] and not result["changed"]
    advice = result["actions"][0]["error"]["advice"]
    assert "issue 6062" in advice and "Machine.Scan" in advice and "Machine.LiveResponse" in advice
    assert "issue 6062" in result["msg"]


def test_another_permission_will_do(tenant: t.Callable[..., Tenant]) -> None:
    apps = [App("secops-collector"), App("scanner", roles=("Machine.Scan", "Machine.Read.All"))]
    desk = Desk(_staffed(tenant, cancel_needs_other_role=True, apps=apps))
    assert desk(machines=["busy1"], app="scanner")["changed"]


@pytest.mark.parametrize("app", ["secops-reader", "secops-starter", "secops-nothing"])
def test_a_missing_permission_is_named_before_anything_is_sent(desk: Desk, app: str) -> None:
    result = desk(machines=["busy1"], app=app)
    assert result["failed"] and result["error"]["code"] == "MissingPermission"
    assert [row["asked"] for row in result["actions"]] == ["busy1"]
    assert result["actions"][0]["failed"]
    assert desk.tenant.posts() == []


def test_a_comment_is_needed(desk: Desk) -> None:
    result = desk(machines=["busy1"], comment="  ")
    assert result["failed"] and result["error"]["code"] == "InvalidOptions"


def test_a_status_that_is_not_known_yet_is_running(desk: Desk) -> None:
    action = desk.simulator.fleet.action(desk.id_of("busy1.contoso.com"), 0)
    original = action.entity
    action.entity = lambda now: {**original(now), "status": "Paused"}  # type: ignore[method-assign]
    assert desk(machines=["busy1"])["actions"][0]["status"] == "Paused"
    assert desk.tenant.posts() == ["cancel"]


# ---- tokens ----

TOKEN_KEYS = [
    "audience",
    "changed",
    "client_id",
    "delegated",
    "error",
    "expires",
    "expires_in",
    "failed",
    "msg",
    "permissions",
    "tenant",
]


@pytest.fixture
def office(tenant: t.Callable[..., Tenant]) -> Tenant:
    return tenant(Device("pc01.contoso.com"))


def token(office: Tenant, **given: t.Any) -> Result:
    result = office(access_token, access_token_spec(), **given)
    assert sorted(set(result) - {"access_token"}) == TOKEN_KEYS
    return result


def test_what_a_token_says_of_itself(office: Tenant, clock: VirtualClock) -> None:
    result = token(office)
    assert not result["failed"] and not result["changed"]
    assert result["audience"] == "https://api.securitycenter.microsoft.com"
    assert result["permissions"] == ["Machine.CollectForensics", "Machine.Read.All"]
    assert result["delegated"] is False
    assert result["tenant"] == office.simulator.tenant
    assert result["client_id"] == office.simulator.client_id
    assert result["expires"] == iso(clock.wall() + result["expires_in"])
    assert 3500 < result["expires_in"] < 3700
    assert result["msg"] == f"The token is good until {result['expires']}."
    assert "access_token" not in result


def test_no_secret_is_in_the_result_unless_asked_for(office: Tenant) -> None:
    shown = json.dumps(token(office)) + json.dumps(office.teller.lines)
    assert not [secret for secret in office.simulator.secrets if secret in shown]


def test_the_token_when_asked_for(office: Tenant) -> None:
    result = token(office, return_token=True)
    assert result["access_token"] in office.simulator.secrets
    assert not any(result["access_token"] in text for _how, text in office.teller.lines)


def test_no_token_on_failure(office: Tenant) -> None:
    result = token(office, return_token=True, required_permissions=["Machine.Isolate"])
    assert result["failed"] and "access_token" not in result


def test_all_missing_permissions_are_named(office: Tenant) -> None:
    result = token(
        office, required_permissions=["Machine.Isolate", "Machine.Read.All", "Machine.Scan", "Machine.Isolate"]
    )
    assert result["failed"] and result["error"]["code"] == "MissingPermission"
    assert result["error"]["message"] == (
        "The token lacks the application permissions Machine.Isolate, Machine.Scan; it has Machine.CollectForensics, "
        "Machine.Read.All."
    )
    assert "admin consent" in result["msg"]
    assert result["permissions"] == ["Machine.CollectForensics", "Machine.Read.All"]


def test_writing_permits_reading(tenant: t.Callable[..., Tenant]) -> None:
    office = tenant(Device("pc01"), apps=[App("writer", roles=("Machine.ReadWrite.All",))])
    assert not token(office, app="writer", required_permissions=["Machine.Read.All"])["failed"]
    assert token(office, app="writer", required_permissions=["Machine.CollectForensics"])["failed"]


def test_writing_permits_reading_for_users_too(office: Tenant) -> None:
    user = office.simulator.users[0]
    given = office.simulator.issue_token(user=user, roles=["Machine.ReadWrite"])
    assert token(office, access_token=given)["delegated"] is True
    assert not token(office, access_token=given, required_permissions=["Machine.Read.All", "Machine.Read"])["failed"]
    assert "lacks the delegated permission" in token(office, access_token=given, required_permissions=["X"])["msg"]


def test_a_token_without_any_permission(office: Tenant) -> None:
    assert token(office, app="secops-nothing")["permissions"] == []
    result = token(office, app="secops-nothing", required_permissions=["Machine.Read.All"])
    assert "lacks the application permission Machine.Read.All; it has none." in result["msg"]


def test_the_wrong_audience_and_an_expired_token(office: Tenant) -> None:
    stranger = office.simulator.issue_token(audience="https://graph.microsoft.com")
    assert token(office, access_token=stranger)["error"]["code"] == "WrongAudience"
    assert token(office, access_token=office.simulator.issue_token(lifetime=-10))["error"]["code"] == "TokenExpired"


def test_a_token_that_cannot_be_read(office: Tenant) -> None:
    result = token(office, access_token="opaque-token-of-some-sort")
    assert not result["failed"] and result["msg"] == "The token does not say when it ends."
    assert (result["permissions"], result["expires"]) == ([], None)
    assert token(office, access_token="opaque-token-of-some-sort", required_permissions=["X"])["failed"]


def test_a_wrong_secret_says_what_to_do(office: Tenant) -> None:
    result = token(office, client_secret="wrong-secret")
    assert result["error"]["code"] == "AADSTS7000215" and "client_secret" in result["msg"]


# ---- device code ----


@pytest.fixture
def desktop(tenant: t.Callable[..., Tenant]) -> Tenant:
    return tenant(Device("pc01.contoso.com"), device_code_seconds=7.0)


def by_code(office: Tenant, **given: t.Any) -> Result:
    return token(office, **{"app": "secops-desktop", "client_secret": None, "device_code": True, **given})


@pytest.mark.filterwarnings("ignore:Attempted too soon")
def test_device_code(desktop: Tenant, clock: VirtualClock) -> None:
    result = by_code(desktop, return_token=True, required_permissions=["Machine.CollectForensics", "Machine.Read.All"])
    assert not result["failed"], result["msg"]
    assert result["delegated"] is True
    assert result["permissions"] == ["Machine.CollectForensics", "Machine.Read"]
    assert result["access_token"]
    assert clock.slept.count(1.0) >= 7
    said = desktop.teller.told("say")
    assert len(said) == 1 and "https://microsoft.com/devicelogin" in said[0] and "15 minutes" in said[0]
    code = next(iter(desktop.simulator.entra._device_codes), None)
    assert code is None


@pytest.mark.filterwarnings("ignore:Attempted too soon")
def test_the_device_code_itself_is_a_secret(tenant: t.Callable[..., Tenant]) -> None:
    office = tenant(Device("pc01"), device_code_seconds=None)
    result = by_code(office)
    (code,) = office.simulator.entra._device_codes
    assert code not in json.dumps(result) + json.dumps(office.teller.lines)
    assert code not in office.secrets.scrub(f"said {code} aloud")
    assert result["failed"] and result["error"]["code"] == "DeviceCodeExpired"
    assert "within 15 minutes" in result["msg"]


def test_device_code_where_nobody_would_see_it(desktop: Tenant) -> None:
    result = by_code(desktop, live=False)
    assert result["failed"] and "without delegate_to" in result["msg"]
    assert desktop.teller.told("warn")
    assert desktop.simulator.requests == []


@pytest.mark.parametrize("missing", ["tenant", "client_id"])
def test_device_code_needs(desktop: Tenant, missing: str) -> None:
    result = by_code(desktop, **{missing: None})
    assert (
        result["failed"] and f"missing: {missing}" in result["msg"] and f"DEFENDER_{missing.upper()}" in result["msg"]
    )


def test_device_code_with_an_app_that_is_not_public(desktop: Tenant) -> None:
    result = by_code(desktop, app="secops-collector")
    assert result["error"]["code"] == "AADSTS7000218" and "public client" in result["msg"]


def test_how_far_up_the_imports_go() -> None:
    """Tasks stand above queries: what both need is below."""
    with open(_queries.__file__, encoding="utf-8") as source:
        assert "_tasks" not in source.read()
