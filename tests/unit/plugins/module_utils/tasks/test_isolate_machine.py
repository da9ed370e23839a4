# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.isolate_machine import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.devices import PastAction
from simulator.settings import App

DAY = 86400.0
ISOLATED = PastAction("Isolate", age=3600.0)
RELEASED = PastAction("Unisolate", age=600.0)
KEYS = [
    "action",
    "asked",
    "changed",
    "computer_dns_name",
    "error",
    "evidence",
    "failed",
    "isolation",
    "isolation_source",
    "machine_id",
    "request",
    "status",
]
APPS = [
    App("secops-collector"),
    App("secops-containment", roles=("Machine.Isolate", "Machine.Read.All")),
    App("secops-reader", roles=("Machine.Read.All",)),
]


class Post:
    """Somebody who contains."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator

    def __call__(self, *machines: t.Any, app: str = "secops-containment", **given: t.Any) -> Result:
        self.simulator.reset_log()
        given = {"machines": list(machines), "comment": "Alert 1", "wait": True, "poll_interval": 1.0, **given}
        result = self.tenant(TASK, app=app, **given)
        for row in result["actions"]:
            assert sorted(row) == KEYS
        assert {"changed", "failed", "msg", "error", "actions"} == set(result)
        return result

    def release(self, *machines: t.Any, **given: t.Any) -> Result:
        return self(*machines, state="released", comment="It is clean", **given)

    def collect(self, *machines: str, dest: Path, **given: t.Any) -> Result:
        given = {"comment": "Alert 1", "poll_interval": 1.0, **given}
        return self.tenant(COLLECT, machines=list(machines), dest=str(dest), **given)

    def sent(self) -> list[str]:
        return [entry.endpoint for entry in self.simulator.requests if entry.method == "POST" and entry.machine_id]


@pytest.fixture
def post(tenant: t.Callable[..., Tenant]) -> t.Callable[..., Post]:
    def start(*devices: Device, **settings: t.Any) -> Post:
        return Post(tenant(*devices, **{"apps": APPS, "collect_seconds": (5.0, 5.0), **settings}))

    return start


Start = t.Callable[..., Post]


def one(result: Result) -> Result:
    rows = result["actions"]
    assert len(rows) == 1
    return t.cast(Result, rows[0])


# ---- isolating and releasing ----


def test_isolate_again_release_again(post: Start) -> None:
    desk = post(Device("pc01.contoso.com"))
    first = desk("pc01", isolation_type="selective")
    row = one(first)
    assert (first["changed"], first["failed"], first["msg"]) == (True, False, "1 device: 1 isolated.")
    assert (row["request"], row["status"], row["isolation"]) == ("started", "Succeeded", "isolated")
    assert row["isolation_source"]["action_id"] == row["action"]["id"]
    assert row["isolation_source"]["isolation_type"] == "selective"
    assert row["computer_dns_name"] == "pc01.contoso.com"
    assert desk.simulator.actions[-1]["scope"] == "Selective"
    assert desk.simulator.actions[-1]["requestorComment"] == "Alert 1"
    again = desk("pc01", isolation_type="selective")
    assert (again["changed"], again["failed"], desk.sent()) == (False, False, [])
    assert again["msg"] == "1 device: 1 isolated already."
    assert one(again)["action"]["id"] == row["action"]["id"]
    released = desk.release("pc01")
    assert (released["changed"], released["msg"]) == (True, "1 device: 1 released.")
    assert (one(released)["isolation"], one(released)["isolation_source"]["until"]) == ("released", None)
    once_more = desk.release("pc01")
    assert (once_more["changed"], once_more["msg"], desk.sent()) == (False, "1 device: 1 not isolated.", [])


def test_what_was_never_isolated_is_released_without_a_call(post: Start) -> None:
    desk = post(Device("pc01"))
    row = one(desk.release("pc01"))
    assert (row["failed"], row["changed"], row["isolation"], row["isolation_source"], row["action"]) == (
        False,
        False,
        None,
        None,
        None,
    )
    assert desk.sent() == []


def test_without_waiting_the_state_is_the_one_from_before(post: Start) -> None:
    desk = post(Device("pc01"))
    result = desk("pc01", wait=False)
    row = one(result)
    assert (row["request"], row["status"], row["isolation"]) == ("started", "Pending", None)
    assert result["msg"] == "1 device: 1 asked to be isolated."


def test_one_list_call_and_one_budget_for_all(post: Start) -> None:
    desk = post(*(Device(f"pc{number:02d}") for number in range(20)))
    assert desk(*(f"pc{number:02d}" for number in range(20)))["msg"] == "20 devices: 20 isolated."
    assert desk.sent() == ["isolate"] * 20
    assert desk.tenant.calls("machine_actions") <= 4


@pytest.mark.parametrize(("days", "isolation", "sent"), [(6.9, "isolated", []), (7.1, "released", ["isolate"])])
def test_isolation_ends_after_seven_days(
    post: Start, clock: VirtualClock, days: float, isolation: str, sent: list[str]
) -> None:
    desk = post(Device("pc01", history=(ISOLATED,)))
    clock.now += days * DAY - 3600.0
    row = one(desk("pc01", check_mode=True))
    assert row["isolation"] == isolation
    assert row["isolation_source"]["action_type"] == "Isolate"
    assert one(desk("pc01"))["isolation"] == "isolated"
    assert desk.sent() == sent


def test_an_isolation_that_took_three_days_to_come_about_counts_from_then(post: Start, clock: VirtualClock) -> None:
    desk = post(Device("pc01"), isolate_seconds=(3 * DAY, 3 * DAY))
    desk("pc01", wait=False)
    clock.now += 9.9 * DAY
    assert one(desk("pc01", check_mode=True))["isolation"] == "isolated"
    clock.now += 0.2 * DAY
    assert one(desk("pc01", check_mode=True))["isolation"] == "released"


def test_running_already_is_followed(post: Start) -> None:
    desk = post(Device("pc01"), isolate_seconds=(60.0, 60.0))
    first = desk("pc01", wait=False)
    second = desk("pc01", comment="Alert 2")
    row = one(second)
    assert (second["changed"], second["failed"], row["request"]) == (False, False, "already_running")
    assert row["action"]["id"] == one(first)["action"]["id"]
    assert (row["status"], row["isolation"], desk.sent()) == ("Succeeded", "isolated", [])


def test_a_race_for_the_start_is_followed(post: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody isolates between the look and the start: the service's refusal is forgiven, with that action's ID."""
    desk = post(Device("pc01"), isolate_seconds=(60.0, 60.0))
    fleet, device = desk.simulator.fleet, desk.simulator.device("pc01")
    listed = fleet.listed

    def race(now: float) -> t.Any:
        found = listed(now)
        if not fleet.actions:
            fleet.start_isolation(device, "Full", "Theirs", "analyst", now)
        return found

    monkeypatch.setattr(fleet, "listed", race)
    row = one(desk("pc01"))
    assert (row["request"], row["changed"], row["failed"], row["action"]["comment"]) == (
        "already_running",
        False,
        False,
        "Theirs",
    )
    assert desk.sent() == ["isolate"]


def test_a_lost_reply_is_looked_up_and_not_sent_again(post: Start) -> None:
    desk = post(Device("pc01", "lost_reply"), Device("pc02", "lost_request"))
    result = desk("pc01", "pc02")
    assert [row["request"] for row in result["actions"]] == ["started", "started"], result["msg"]
    assert sorted(entry.machine_id for entry in desk.simulator.requests if entry.endpoint == "isolate") == sorted(
        [desk.simulator.device("pc01").id] + [desk.simulator.device("pc02").id] * 2
    )
    assert [action["type"] for action in desk.simulator.actions] == ["Isolate", "Isolate"]


@pytest.mark.parametrize("first", ["isolated", "released"])
def test_the_opposite_that_still_runs_fails(post: Start, first: str) -> None:
    history = (ISOLATED,) if first == "released" else ()
    desk = post(Device("pc01", history=history), isolate_seconds=(600.0, 600.0))
    begun = one(desk("pc01", state=first, wait=False))
    row = one(desk("pc01", state="released" if first == "isolated" else "isolated"))
    assert row["error"]["code"] == "OppositeRunning" and begun["action"]["id"] in row["error"]["message"]
    assert "defender_cancel_action" in row["error"]["advice"] and desk.sent() == []


def test_another_type_of_isolation_is_not_taken_for_the_one_that_is_wanted(post: Start) -> None:
    desk = post(Device("pc01", history=(ISOLATED,)), Device("pc02"), isolate_seconds=(600.0, 600.0))
    desk("pc02", wait=False)
    result = desk("pc01", "pc02", isolation_type="selective")
    assert [row["error"]["code"] for row in result["actions"]] == ["IsolatedOtherwise"] * 2
    assert "full and not selective" in result["actions"][0]["error"]["message"] and desk.sent() == []


@pytest.mark.parametrize("scenario", ["fails", "times_out"])
def test_an_action_that_ends_badly(post: Start, scenario: str) -> None:
    desk = post(Device("pc01", scenario))
    row = one(desk("pc01"))
    assert row["failed"] and row["changed"] and row["isolation"] is None
    assert row["error"]["message"].startswith("The isolation on pc01 ")
    assert "attery" not in row["error"]["advice"]


def test_an_offline_device_is_not_waited_for_for_ever(post: Start, clock: VirtualClock) -> None:
    desk = post(Device("pc01", "offline"))
    row = one(desk("pc01", wait_timeout="2m"))
    assert row["error"]["code"] == "NotFinishedInTime" and row["status"] == "Pending"
    clock.now += 2 * DAY
    assert one(desk("pc01", wait=False))["request"] == "already_running"
    clock.now += 2 * DAY
    assert one(desk("pc01", wait=False))["request"] == "started"


def test_what_forbids_isolating_fails_by_itself(post: Start) -> None:
    devices = (Device("dc01", restricted=("advanced",)), Device("pc01"), Device("mac01", os_platform="macOS"))
    result = post(*devices)("dc01", "pc01", "mac01", isolation_type="selective")
    assert [(row["error"] or {}).get("code") for row in result["actions"]] == [
        "ResponseActionRestricted",
        None,
        "OsPlatformNotSupported",
    ]
    assert "Restricted security operations" in result["actions"][0]["error"]["advice"]
    assert "Machine.Isolate" in result["actions"][0]["error"]["advice"]
    assert "Isolate this device by other means" in result["actions"][2]["error"]["advice"]
    assert result["failed"] and result["changed"]


@pytest.mark.parametrize("app", ["secops-collector", "secops-reader"])
def test_the_permission_is_named_before_anything_is_sent(post: Start, app: str) -> None:
    desk = post(Device("pc01"))
    result = desk("pc01", app=app)
    assert result["error"]["code"] == "MissingPermission" and "Machine.Isolate" in result["msg"]
    assert one(result)["failed"] and desk.sent() == []


# ---- who is meant ----


def test_what_other_modules_return_is_taken_as_it_is(post: Start) -> None:
    desk = post(Device("pc01"), Device("pc02"), Device("pc03"))
    ids = [desk.simulator.device(name).id for name in ("pc01", "pc02")]
    search = {"machine_id": ids[0], "computer_dns_name": "pc01", "indicators": ["203.0.113.7"], "artefacts": ["other"]}
    package = {"machine": "pc02", "machine_id": ids[1], "request": "started", "status": "Succeeded", "package": None}
    result = desk(search, package, {"machine": "pc03", "comment": "Alert 9"})
    assert [row["computer_dns_name"] for row in result["actions"]] == ["pc01", "pc02", "pc03"]
    comments = {row["computerDnsName"]: row["requestorComment"] for row in desk.simulator.actions}
    assert comments == {"pc01": "Alert 1", "pc02": "Alert 1", "pc03": "Alert 9"}


def test_what_a_request_cannot_want_is_refused(post: Start) -> None:
    desk = post(Device("pc01"))
    result = desk({"machine": "pc01", "dest": "/evidence"})
    assert result["error"]["code"] == "InvalidOptions" and "dest" in result["msg"]
    assert desk.simulator.requests == []


def test_nobody_is_nothing_to_do(post: Start) -> None:
    desk = post(Device("pc01"))
    result = desk()
    assert (result["changed"], result["failed"], result["actions"]) == (False, False, [])
    assert result["msg"] == "An empty list selects nothing: no device was isolated."


def test_more_than_the_limit_is_refused(post: Start) -> None:
    desk = post(Device("pc01"))
    result = desk(*(f"pc{number:02d}" for number in range(21)))
    assert result["error"]["code"] == "InvalidOptions"
    assert "21 machines were named, but max_machines is 20." in result["msg"]
    assert [row["failed"] for row in result["actions"]] == [True] * 21 and desk.simulator.requests == []
    assert desk("pc01", max_machines=0)["changed"]


def test_named_twice_is_isolated_once(post: Start) -> None:
    desk = post(Device("pc01"))
    result = desk("pc01", desk.simulator.device("pc01").id)
    assert [row["changed"] for row in result["actions"]] == [True, True]
    assert (desk.sent(), result["msg"]) == (["isolate"], "1 device: 1 isolated.")


def test_unknown_and_ambiguous_fail_by_themselves(post: Start) -> None:
    desk = post(Device("twin"), Device("twin", last_seen=10.0), Device("pc01"))
    result = desk("ghost", "twin", "pc01")
    assert [(row["error"] or {}).get("code") for row in result["actions"]] == [
        "MachineNotFound",
        "MachineAmbiguous",
        None,
    ]
    assert desk("twin", on_ambiguous="newest")["changed"]


def test_check_mode_sends_nothing(post: Start) -> None:
    desk = post(Device("pc01"), Device("pc02", history=(ISOLATED,)))
    result = desk("pc01", "pc02", check_mode=True)
    assert [row["request"] for row in result["actions"]] == ["would_start", None]
    assert result["changed"] and desk.sent() == []
    assert result["msg"] == "2 devices: 1 would be isolated, 1 isolated already."
    lines = desk.tenant.teller.told("say")
    assert lines[0].startswith("pc01: ") and lines[0].endswith("would start")
    assert lines[1].endswith("nothing to do")


# ---- records that were merged ----

NEW = Device("pc01.contoso.com")


def former(*history: PastAction, name: str = "oldname.contoso.com") -> Device:
    return Device(name, merged_into=NEW.id, history=history)


@pytest.mark.parametrize("by", ["id", "name"])
def test_what_a_former_record_was_is_released(post: Start, by: str) -> None:
    """It may still bind the device, so "not isolated" would be more than is known."""
    old = former(ISOLATED)
    desk = post(NEW, old, refuse_repeated_isolation=False)
    row = one(desk.release(getattr(old, by)))
    assert (row["request"], row["isolation"], row["machine_id"]) == ("started", "released", NEW.id)
    assert desk.sent() == ["unisolate"]
    # If the service knows of no isolation, it says so, and that is told.
    refused = one(post(NEW, old).release(getattr(old, by)))
    assert refused["failed"] and refused["isolation"] is None


def test_a_former_record_makes_no_device_isolated(post: Start) -> None:
    old = former(ISOLATED)
    row = one(post(NEW, old)("oldname"))
    assert (row["request"], row["status"], row["machine_id"]) == ("started", "Succeeded", NEW.id)


@pytest.mark.parametrize("by", ["id", "name"])
def test_what_still_runs_under_a_former_record_would_undo_it(post: Start, by: str) -> None:
    old = former(PastAction("Unisolate", "Pending", age=600.0))
    desk = post(NEW, old)
    row = one(desk(getattr(old, by)))
    assert row["error"]["code"] == "OppositeRunning" and desk.sent() == []
    # The same way round it is of no avail to the device as it is now.
    assert one(post(NEW, former(PastAction("Isolate", "Pending", age=600.0)))("oldname"))["request"] == "started"


# ---- who is excluded ----

DC = Device("dc01.contoso.com", tags=("Tier0",), rbac_group="Domain controllers")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"exclude": ["DC01"]}, "exclude names it (dc01.contoso.com)"),
        ({"exclude": [{"machine_id": DC.id}]}, "exclude names it"),
        ({"exclude_tags": "tier0, dns"}, "the tag Tier0 of exclude_tags"),
        ({"exclude_groups": ["domain controllers"]}, "its device group Domain controllers is one of exclude_groups"),
    ],
)
def test_an_excluded_device_fails_before_anything_starts(post: Start, given: dict[str, t.Any], why: str) -> None:
    desk = post(DC, Device("pc01.contoso.com"), Device("ns01.contoso.com", tags=("dns",)))
    result = desk("dc01", "pc01", **given)
    assert [(row["error"] or {}).get("code") for row in result["actions"]] == ["Excluded", None]
    assert why in result["actions"][0]["error"]["message"]
    assert desk.sent() == ["isolate"] and result["actions"][0]["machine_id"] == DC.id
    assert desk.tenant.teller.told("warn") == []


def test_a_record_that_was_merged_into_an_excluded_one(post: Start) -> None:
    old = Device("olddc", merged_into=DC.id)
    result = post(DC, old)("dc01", exclude=["olddc"])
    assert one(result)["error"]["code"] == "Excluded"


def test_an_excluded_device_may_be_released(post: Start) -> None:
    dc = Device("dc01", tags=("tier0",), history=(ISOLATED,))
    assert post(dc).release("dc01", exclude_tags=["tier0"], exclude=["dc01"])["changed"]


def test_a_name_that_excludes_nothing_is_warned_of(post: Start) -> None:
    desk = post(Device("pc01"))
    assert desk("pc01", exclude=["dco1"])["changed"]
    assert "dco1" in desk.tenant.teller.told("warn")[0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"exclude": ["dco1", "pc01"]},
            "exclude has dco1, which no device is known by, and dc01.contoso.com is near it",
        ),
        ({"exclude_tags": ["teir0"]}, "exclude_tags has teir0, a tag that no device has, and Tier0 is near it"),
        ({"exclude_tags": ["tier"]}, "exclude_tags has tier, a tag that no device has, and Tier0 is near it"),
        (
            {"exclude_groups": ["Domain-Controler"]},
            "exclude_groups has Domain-Controler, a device group that no device is in, and Domain controllers is near it",
        ),
    ],
)
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_misspelt_exclusion_protects_whom_it_may_mean(
    post: Start, given: dict[str, t.Any], why: str, check_mode: bool
) -> None:
    desk = post(DC, Device("pc01.contoso.com"), Device("pc02.contoso.com", tags=("office",), rbac_group="Clients"))
    result = desk("dc01", "pc02", check_mode=check_mode, **given)
    errors = [row["error"] for row in result["actions"]]
    assert [error and error["code"] for error in errors] == ["ExclusionUnclear", None] and result["failed"]
    assert why in errors[0]["message"] and why.split(",")[0] in desk.tenant.teller.told("warn")[0]
    assert desk.sent() == ([] if check_mode else ["isolate"])


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"exclude_tags": ["tier1"]}, "exclude_tags has tier1, a tag that no device has: this excludes nothing."),
        ({"exclude": ["dc02"]}, "exclude has dc02, which no device is known by: this excludes nothing."),
        (
            {"exclude_groups": ["plc"]},
            "exclude_groups has plc, a device group that no device is in: this excludes nothing.",
        ),
    ],
)
def test_an_exclusion_of_nobody_is_said(post: Start, given: dict[str, t.Any], warned: str) -> None:
    desk = post(DC)
    assert desk("dc01", **given)["changed"]
    assert desk.tenant.teller.told("warn") == [warned]
    assert not desk.release("dc01", **given)["failed"] and desk.tenant.teller.told("warn") == []


def test_an_exclusion_of_others_is_no_news(post: Start) -> None:
    """A tag is asked for; groups can only be read, as far as it takes."""
    desk = post(Device("pc01.contoso.com", tags=("tier1",), rbac_group="Clients"), DC, Device("pc03"), short_page=1)
    result = desk("pc01", exclude_tags=["Tier0"], exclude_groups=["domain controllers"])
    assert result["changed"] and desk.tenant.teller.told("warn") == []
    calls = [entry.endpoint for entry in desk.simulator.requests]
    assert (calls.count("find_by_tag"), calls.count("machines")) == (1, 3)
    # The service minds case, so its no is not the last word.
    assert desk("pc01", exclude_tags=["TIER0"])["changed"] is False and desk.tenant.teller.told("warn") == []


def test_who_has_an_excluded_tag_is_not_known(post: Start) -> None:
    desk = post(DC)
    desk.simulator.add_fault("find_by_tag", "status", count=0, status=403)
    result = desk("dc01", exclude_tags=["teir0"])
    assert result["changed"]
    assert "Whether any device has what exclude_tags" in desk.tenant.teller.told("warn")[0]


def test_an_address_excludes_who_has_it_now(post: Start) -> None:
    """The record that still has it may be of a device that is gone."""
    gone = Device("gone", ip="10.0.0.9", health_status="Inactive", last_seen=90 * DAY)
    now = Device("dc01.contoso.com", ip="10.0.0.1")
    desk = post(gone, now)
    seen = {"id": now.id, "computerDnsName": now.name}
    desk.simulator.add_fault("find_by_ip", "wrong_shape", body={"value": [seen]})
    assert one(desk("dc01", exclude=["10.0.0.9"]))["error"]["code"] == "Excluded"
    assert desk.tenant.teller.told("warn") == []


@pytest.mark.parametrize("blank", ["", " ", None])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("require_evidence", "require_evidence is blank, so no evidence is required."),
        ("evidence_max_age", "evidence_max_age is blank, so evidence of any age will do."),
        ("state", "state is blank, so the devices are isolated."),
    ],
)
def test_a_blank_that_holds_nothing_back_is_said(post: Start, option: str, said: str, blank: t.Any) -> None:
    desk = post(Device("pc01"))
    assert not desk("pc01", **{option: blank})["failed"]
    assert desk.tenant.teller.told("warn") == [f"{said} Leave {option} out if that is meant."]


def test_a_record_that_was_merged_twice_is_excluded(post: Start) -> None:
    second = Device("second", merged_into=DC.id)
    first = Device("first", merged_into=second.id)
    assert one(post(DC, first, second)("dc01", exclude=["first"]))["error"]["code"] == "Excluded"


@pytest.mark.parametrize("option", ["exclude", "exclude_tags", "exclude_groups"])
def test_a_blank_exclusion_is_refused(post: Start, option: str) -> None:
    desk = post(Device("pc01"))
    assert desk("pc01", **{option: ""})["error"]["code"] == "InvalidOptions"
    assert desk.simulator.requests == []


def test_a_wildcard_excludes_nobody_and_is_refused(post: Start) -> None:
    result = post(Device("pc01"))("pc01", exclude=["dc*"])
    assert result["failed"] and result["msg"].startswith("Malformed in exclude: 'dc*' has a wildcard")


def test_a_group_with_a_comma_in_its_name(post: Start) -> None:
    desk = post(Device("pc01", rbac_group="Servers, EU"), Device("pc02", rbac_group="Servers"))
    result = desk("pc01", "pc02", exclude_groups=["Servers, EU"])
    assert result["actions"][0]["error"]["code"] == "Excluded"


# ---- only with evidence ----


def test_only_with_verified_evidence(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01"), Device("pc02"))
    assert not desk.collect("pc01", dest=tmp_path)["failed"]
    result = desk("pc01", "pc02", require_evidence=str(tmp_path))
    have, lack = result["actions"]
    assert (have["failed"], have["isolation"], have["evidence"]["verified"]) == (False, "isolated", True)
    assert have["evidence"]["path"].startswith("pc01/") and have["evidence"]["collected"]
    assert (lack["error"]["code"], lack["evidence"]["verified"]) == ("EvidenceMissing", False)
    assert "nothing was collected from it there" in lack["error"]["message"]
    assert "defender_collect_package" in lack["error"]["advice"]
    assert desk.sent() == ["isolate"]
    assert result["msg"].startswith("2 devices: 1 isolated, 1 failed.")


def _altered(dest: Path) -> None:
    package = next(dest.glob("pc01/*.zip"))
    package.chmod(0o600)
    package.write_bytes(package.read_bytes() + b"x")


def _record_rewritten(dest: Path) -> None:
    record = next(dest.glob("pc01/*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "comment": "another"}))


def _log_rewritten(dest: Path) -> None:
    log = dest / "custody.jsonl"
    log.write_text(log.read_text().replace("Alert 1", "Alert 2", 1))


def _removed(dest: Path) -> None:
    next(dest.glob("pc01/*.zip")).unlink()


def _seal_missing(dest: Path) -> None:
    with Custody(dest, Clock()) as custody:
        custody.append("seal_stored", path="seals/3.sig", sha256="0" * 64, covers=3)


def _seal_of_a_longer_log(dest: Path) -> None:
    (dest / "seals").mkdir(mode=0o700)
    (dest / "seals" / "999.sig").write_bytes(b"x")


@pytest.mark.parametrize(
    "forge", [_altered, _record_rewritten, _log_rewritten, _removed, _seal_missing, _seal_of_a_longer_log]
)
def test_evidence_that_is_not_as_it_was_written(post: Start, tmp_path: Path, forge: t.Callable[[Path], None]) -> None:
    desk = post(Device("pc01"))
    desk.collect("pc01", dest=tmp_path)
    forge(tmp_path)
    row = one(desk("pc01", require_evidence=str(tmp_path)))
    assert row["error"]["code"] == "EvidenceNotVerified", row["error"]
    assert "defender_verify_evidence" in row["error"]["advice"] and desk.sent() == []


def test_another_devices_broken_package_is_no_hindrance(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01"), Device("pc02"))
    desk.collect("pc01", "pc02", dest=tmp_path)
    _altered(tmp_path)
    assert one(desk("pc02", require_evidence=str(tmp_path)))["evidence"]["verified"]


def test_evidence_that_is_too_old(post: Start, clock: VirtualClock, tmp_path: Path) -> None:
    desk = post(Device("pc01"))
    desk.collect("pc01", dest=tmp_path)
    clock.now += 7200.0
    row = one(desk("pc01", require_evidence=str(tmp_path), evidence_max_age="1h"))
    assert row["error"]["code"] == "EvidenceTooOld" and "2 h" in row["error"]["message"]
    assert desk.sent() == []
    # That a package is old is no collection that one could wait for.
    late = one(desk("pc01", require_evidence=str(tmp_path), evidence_max_age="1h", isolate_anyway_after="1m"))
    assert late["error"]["code"] == "EvidenceTooOld" and "nothing to count from" in late["error"]["advice"]
    assert desk("pc01", require_evidence=str(tmp_path), evidence_max_age="3h")["changed"]


def test_isolate_anyway_after(post: Start, clock: VirtualClock, tmp_path: Path) -> None:
    """It counts from the collection's start, also where later runs have taken the same request up."""
    desk = post(Device("pc01", "offline"))
    began = clock.wall()
    for _run in range(3):
        desk.collect("pc01", dest=tmp_path, wait_timeout="10m")
    gate: Result = {"require_evidence": str(tmp_path), "isolate_anyway_after": "2h", "wait": False}
    early = one(desk("pc01", **gate))
    assert early["error"]["code"] == "EvidenceMissing" and "has given no package yet" in early["error"]["message"]
    assert "isolated without (isolate_anyway_after)" in early["error"]["advice"] and desk.sent() == []
    clock.now += began + 7190.0 - clock.wall()
    assert one(desk("pc01", **gate))["failed"]
    clock.now += began + 7210.0 - clock.wall()
    late = desk("pc01", **gate)
    assert (one(late)["failed"], one(late)["request"], desk.sent()) == (False, "started", ["isolate"])
    assert late["msg"] == "1 device: 1 asked to be isolated. Without evidence: pc01."
    assert one(late)["evidence"]["verified"] is False and "ago" in one(late)["evidence"]["message"]
    assert "pc01 is isolated without evidence." in desk.tenant.teller.told("warn")[0]


def test_evidence_that_failed_counts_from_its_start_too(post: Start, clock: VirtualClock, tmp_path: Path) -> None:
    desk = post(Device("pc01", "fails"))
    assert desk.collect("pc01", dest=tmp_path)["failed"]
    gate: Result = {"require_evidence": str(tmp_path), "isolate_anyway_after": "1h", "wait": False}
    assert "has failed (Failed)" in one(desk("pc01", **gate))["error"]["message"]
    clock.now += 3600.0
    assert one(desk("pc01", **gate))["request"] == "started"


def test_nothing_was_begun_so_nothing_is_counted(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01"), Device("pc02"))
    desk.collect("pc02", dest=tmp_path)
    row = one(desk("pc01", require_evidence=str(tmp_path), isolate_anyway_after="1s"))
    assert row["error"]["code"] == "EvidenceMissing" and "nothing to count from" in row["error"]["advice"]


def test_what_is_isolated_already_needs_no_evidence(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01", history=(ISOLATED,)))
    row = one(desk("pc01", require_evidence=str(tmp_path / "none")))
    assert (row["failed"], row["isolation"], row["evidence"]) == (False, "isolated", None)


def test_a_folder_that_is_not_there_is_no_evidence(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01"), Device("pc02", history=(PastAction("Isolate", "Pending", age=60.0),)))
    result = desk("pc01", "pc02", require_evidence=str(tmp_path / "none"), wait=False)
    lack, running = result["actions"]
    assert (lack["error"]["code"], lack["evidence"]["verified"], desk.sent()) == ("EvidenceMissing", False, [])
    assert "is no folder" in lack["error"]["message"]
    # What runs already needs none.
    assert (running["failed"], running["request"]) == (False, "already_running")


def test_a_release_is_never_held_back(post: Start, tmp_path: Path) -> None:
    desk = post(Device("pc01", history=(ISOLATED,)))
    assert desk.release("pc01", require_evidence=str(tmp_path / "none"))["changed"]


@pytest.mark.parametrize("option", ["evidence_max_age", "isolate_anyway_after"])
def test_limits_of_nothing_are_refused(post: Start, option: str) -> None:
    result = post(Device("pc01"))("pc01", **{option: "1h"})
    assert result["error"]["code"] == "InvalidOptions" and option in result["msg"]
