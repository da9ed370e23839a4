# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service import api as _api
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_action_info import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Ask, Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.devices import PastAction

QUOTE = "o'brien.contoso.com"
OLD_ID = "e" * 40
COLLECT = "CollectInvestigationPackage"


@pytest.fixture
def actions(tenant: t.Callable[..., Tenant]) -> Ask:
    office = tenant(
        Device("pc01.contoso.com", "running", history=(PastAction("RunAntiVirusScan", age=7200.0),)),
        Device("pc02.contoso.com", history=(PastAction(age=100000.0), PastAction(status="Failed", age=50.0))),
        Device(QUOTE, history=(PastAction("Isolate", "Pending", age=30.0),)),
    )

    def ask(**given: t.Any) -> Result:
        return office(TASK, **given)

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
        ({"status": []}, []),
        ({"since": "4h"}, [ISOLATE, RECENT, RUNNING, SCAN]),
        ({"since": "90s"}, [ISOLATE, RECENT, RUNNING]),
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": "Pending;InProgress"}, [ISOLATE, RUNNING]),
        ({"status": "PENDING, inprogress,"}, [ISOLATE, RUNNING]),
        ({"status": '["Failed"]'}, [RECENT]),
        ({"type": "isolate"}, [ISOLATE]),
        ({"type": " collectinvestigationpackage "}, [RECENT, RUNNING, ANCIENT]),
        ({"machines": "pc01; pc02", "type": COLLECT}, [RECENT, RUNNING, ANCIENT]),
    ],
)
def test_the_services_words_in_any_case_and_lists_as_people_have_them(
    actions: Ask, given: dict[str, t.Any], expected: list[tuple[str, str, str]]
) -> None:
    assert kinds(actions(**given)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"status": "Running"}, "status has 'Running', which no machine action ever has. Give Pending, InProgress, "),
        ({"status": "Canceled"}, "status has 'Canceled', which no machine action ever has. Did you mean Cancelled? "),
        (
            {"status": ["Failed", "Suceeded"]},
            "status has 'Suceeded', which no machine action ever has. Did you mean Succeeded? ",
        ),
        (
            {"type": "CollectInvestigationPackages"},
            "type is 'CollectInvestigationPackages', which is none. Did you mean Coll",
        ),
        ({"type": "Isolat"}, "type is 'Isolat', which is none. Did you mean Isolate? Known types: "),
    ],
)
def test_words_that_the_service_does_not_have(actions: Ask, given: dict[str, t.Any], said: str) -> None:
    """It would answer that there is nothing, and that is not what was established."""
    result = actions(**given)
    assert result["failed"] and result["msg"].startswith(said), result["msg"]
    assert actions.tenant.simulator.requests == []  # type: ignore[attr-defined]


def test_a_type_that_may_be_new_is_sent_with_a_warning(actions: Ask) -> None:
    assert kinds(actions(type="SomethingElse")) == []
    assert actions.tenant.teller.told("warn") == [  # type: ignore[attr-defined]
        "type is SomethingElse, which this collection does not know: it is sent as it is."
    ]


@pytest.mark.parametrize("name", ["pc01.contoso.com", "oldname.contoso.com"], ids=["same name", "renamed"])
@pytest.mark.parametrize("by", ["id", "name"])
def test_the_actions_of_a_device_under_all_its_records(tenant: t.Callable[..., Tenant], by: str, name: str) -> None:
    new = Device("pc01.contoso.com", history=(PastAction(age=50.0),))
    second = Device("between.contoso.com", merged_into=new.id, history=(PastAction(age=60.0),))
    old = Device(name, id="0" * 39 + "1", merged_into=second.id, history=(PastAction(status="Pending", age=600.0),))
    result = tenant(new, second, old)(TASK, machines=[getattr(old, by)])
    assert [row["machine_id"] for row in result["machine_actions"]] == [new.id, second.id, old.id]
    assert result["not_found"] == [] and result["machine_actions"][-1]["status"] == "Pending"


@pytest.mark.parametrize("since", [720, "720", 20261101, "20261101", 1795694400, "90", 1.5])
def test_a_bare_number_is_no_since(actions: Ask, since: t.Any) -> None:
    """YAML makes one of 12:00; of a date without hyphens and of seconds since 1970 it would be an age of years."""
    result = actions(since=since)
    assert result["failed"] and result["error"]["code"] == "InvalidOptions"
    assert f"since is {since}, a bare number: YAML reads 12:00 as 720, too." in result["msg"]
    assert "such as '2026-11-23T08:00:00Z'), or an age with its unit such as 4h or 90m." in result["msg"]


def test_a_time_that_is_to_come_is_said(actions: Ask) -> None:
    """A slip of the year is answered with: 0 machine actions found."""
    assert actions(since="2099-11-23")["machine_actions"] == []
    assert actions.tenant.teller.told("warn") == [  # type: ignore[attr-defined]
        "since is 2099-11-23, which is still to come: no action is that young."
    ]
    # Clocks differ by some minutes, and time zones by hours.
    assert not actions(since=iso(actions.tenant.clock.wall() + 3600))["failed"]  # type: ignore[attr-defined]
    assert actions.tenant.teller.told("warn") == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["machines", "action_ids", "status"])
def test_an_empty_list_selects_nothing_and_says_so(actions: Ask, option: str) -> None:
    result = actions(**{option: []})
    assert kinds(result) == []
    assert result["msg"] == f"{option} is an empty list, which selects nothing: no action was asked for."


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"machines": [], "action_ids": []}, "machines"),
        ({"machines": [], "status": "Pending"}, "machines"),
        ({"action_ids": [], "type": COLLECT, "since": "1d"}, "action_ids"),
    ],
)
def test_an_empty_list_says_so_whatever_else_is_given(actions: Ask, given: dict[str, t.Any], option: str) -> None:
    result = actions(**given)
    assert kinds(result) == []
    assert result["msg"] == f"{option} is an empty list, which selects nothing: no action was asked for."


@pytest.mark.parametrize("given", ["collect", "Collect", "restrict"])
def test_a_type_that_a_known_one_begins_with_is_no_new_one(actions: Ask, given: str) -> None:
    result = actions(type=given)
    assert result["failed"] and "Did you mean" in result["msg"]


def test_a_mapping_is_no_id_of_an_action(actions: Ask) -> None:
    result = actions(action_ids=[{"machine_id": OLD_ID}])
    assert result["failed"] and result["msg"].startswith("action_ids holds ") and "machines" not in result["msg"]
    assert actions.tenant.simulator.requests == []  # type: ignore[attr-defined]


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
    monkeypatch.setattr(_api, "_PAGE", 5)
    office = tenant(
        *(Device(f"pc{number:02}.contoso.com", history=(PastAction(age=60.0 + number),)) for number in range(23)),
        page_size=5,
    )
    result = office(TASK, type=COLLECT)
    assert len(result["machine_actions"]) == 23
    assert office.calls("machine_actions") >= 5


def test_many_ids_go_out_in_few_calls(actions: Ask) -> None:
    office = actions.tenant  # type: ignore[attr-defined]
    result = actions(action_ids=[f"00000000-0000-4000-8000-{number:012}" for number in range(300)])
    assert len(result["not_found"]) == 300
    assert office.calls("machine_actions") <= 10
