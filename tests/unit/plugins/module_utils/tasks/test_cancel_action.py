# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Resolved
from ansible_collections.secops.defender.plugins.module_utils._tasks import cancel_action as _module
from ansible_collections.secops.defender.plugins.module_utils._tasks.cancel_action import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.errors import NetworkError, ReplyLost
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.devices import PastAction
from simulator.settings import App

TWIN = "twin.contoso.com"
CANCEL_KEYS = ["action", "asked", "changed", "computer_dns_name", "error", "failed", "machine_id", "status"]


class Desk:
    """Somebody who cancels."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator

    def __call__(self, **given: t.Any) -> Result:
        self.simulator.reset_log()
        given = {"comment": "Not needed", "poll_interval": 1.0, **given}
        result = self.tenant(TASK, **given)
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
    # It is still running: what became of it is told where somebody waits for it.
    assert result["msg"] == "1 action: 1 asked to be cancelled."


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
    assert result["msg"] == "An empty list selects nothing: no action was asked to be cancelled."


def test_one_of_the_two_must_be_given(desk: Desk) -> None:
    result = desk()
    assert result["error"]["code"] == "InvalidOptions"
    assert result["msg"] == (
        "secops.defender.defender_cancel_action needs one of machines, action_ids, and none is given. Give one of them."
    )
    assert desk.simulator.requests == []


def test_named_twice_is_cancelled_once(desk: Desk) -> None:
    action_id = desk.id_of("busy1.contoso.com")
    result = desk(action_ids=[action_id, action_id.upper()], machines=["busy1", "BUSY1.contoso.com"])
    assert [row["changed"] for row in result["actions"]] == [True] * 4
    assert desk.tenant.posts() == ["cancel"]
    assert result["msg"] == "1 action: 1 asked to be cancelled."


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
    assert (
        "1 asked to be cancelled" in result["msg"]
        and "3 failed" in result["msg"]
        and "ghost (MachineNotFound)" in result["msg"]
    )


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
    details: dict[str, t.Any] = {"status": 504} if kind == "status_after" else {}
    desk.simulator.add_fault("cancel", kind, **details)
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
    details: dict[str, t.Any] = {"status": 503} if kind == "status" else {}
    desk.simulator.add_fault("cancel", kind, **details)
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
    assert result["msg"] == "2 actions: 1 cancelled, 1 had ended as Succeeded before."


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


def test_the_running_action_of_a_record_that_was_merged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by what it was before: the action may still stand under the former record."""
    old, new = desk.simulator.device("busy1.contoso.com"), desk.simulator.device("idle.contoso.com")
    merged = Resolved("busy1", Machine(new.id, new.name), records=(old.id,))
    monkeypatch.setattr(_module, "resolve", lambda api, names, on_ambiguous: [merged])
    result = desk(machines=["busy1"])
    assert result["actions"][0]["action"]["id"] == desk.id_of("busy1.contoso.com")
    assert desk.comment("busy1.contoso.com") == "Not needed"


@pytest.mark.parametrize("name", ["pc01.contoso.com", "oldname.contoso.com"], ids=["same name", "renamed"])
@pytest.mark.parametrize("by", ["id", "name"])
def test_the_pending_action_of_a_former_record(tenant: t.Callable[..., Tenant], by: str, name: str) -> None:
    """By the service's own word that the record was merged, and not by what is made up for it."""
    new = Device("pc01.contoso.com")
    old = Device(name, id="0" * 39 + "1", merged_into=new.id, history=(PastAction(status="Pending", age=600.0),))
    desk = Desk(tenant(new, old))
    result = desk(machines=[getattr(old, by)])
    row = result["actions"][0]
    assert (row["failed"], row["changed"], row["action"]["id"]) == (False, True, desk.simulator.actions[0]["id"])
    assert row["machine_id"] == new.id and result["msg"] == "1 action: 1 asked to be cancelled."
    assert desk.tenant.posts() == ["cancel"]
    # One that runs on the device's own record is no reason to let the other go on.
    new = Device("pc01.contoso.com", history=(PastAction(status="Pending", age=60.0),))
    desk = Desk(tenant(new, old))
    result = desk(machines=[getattr(old, by)])
    assert result["msg"] == "2 actions: 2 asked to be cancelled." and desk.tenant.posts() == ["cancel", "cancel"]
    assert [row["asked"] for row in result["actions"]] == [getattr(old, by)] * 2


@pytest.mark.parametrize("outcome", ["taken", "ended before"])
def test_a_sentence_says_no_more_than_became_of_it(tenant: t.Callable[..., Tenant], outcome: str) -> None:
    desk = Desk(_staffed(tenant, cancel_seconds=5.0 if outcome == "taken" else 4000.0))
    result = desk(machines=["brief"])
    assert result["msg"] == "1 action: 1 asked to be cancelled." and result["actions"][0]["status"] == "InProgress"
    desk.tenant.clock.sleep(10)
    later = desk(machines=["brief"], wait=True)
    assert later["actions"][0]["changed"] is False and later["msg"] == "1 action: 1 not running."


def test_a_comment_is_needed(desk: Desk) -> None:
    result = desk(machines=["busy1"], comment="  ")
    assert result["failed"] and result["error"]["code"] == "InvalidOptions"


def test_a_status_that_is_not_known_yet_is_running(desk: Desk) -> None:
    action = desk.simulator.fleet.action(desk.id_of("busy1.contoso.com"), 0)
    original = action.entity
    action.entity = lambda now: {**original(now), "status": "Paused"}  # type: ignore[method-assign]
    assert desk(machines=["busy1"])["actions"][0]["status"] == "Paused"
    assert desk.tenant.posts() == ["cancel"]
