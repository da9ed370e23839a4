# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks.alert_requests import COMMENT, TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Ask, Result, Tenant
from simulator import Device

PC1, PC2 = Device("pc01.contoso.com"), Device("pc02.contoso.com")
EUROPE = Device("dc-eu.contoso.com", tags=("Domain, EU",), rbac_group="Servers, EU")
DC = Device("dc01.contoso.com", tags=("Tier0",))
SERVER = Device("srv01.contoso.com", rbac_group="Hypervisors")
NEW = Device("new01.contoso.com", onboarding_status="CanBeOnboarded")


@pytest.fixture
def office(tenant: t.Callable[..., Tenant]) -> Tenant:
    return tenant(PC1, PC2, EUROPE, DC, SERVER, NEW)


@pytest.fixture
def plan(office: Tenant) -> Ask:
    def ask(*alerts: t.Any, **given: t.Any) -> Result:
        return office(TASK, **{"alerts": list(alerts), "dest": "/srv/evidence", **given})

    return ask


def about(device: Device | None, incident: int = 7001, created: str = "2026-11-23T10:00:00Z", **more: t.Any) -> Result:
    return {"machine_id": device.id if device else None, "incident_id": incident, "created": created, **more}


def test_each_device_once_with_its_incident_in_comment_and_folder(plan: Ask) -> None:
    result = plan(about(PC1, 7002, "2026-11-23T11:00:00Z"), {"alert": about(PC1)}, about(PC1), about(PC2, 7002))
    assert result["requests"] == [
        {
            "machine": PC1.id,
            "comment": f"Incident 7001 (also 7002): {COMMENT}",
            "dest": "/srv/evidence/incident-7001",
        },
        {"machine": PC2.id, "comment": f"Incident 7002: {COMMENT}", "dest": "/srv/evidence/incident-7002"},
    ]
    assert (result["changed"], result["left_out"]) == (False, [])
    assert result["msg"] == "2 devices to collect from, in 2 folders."


def test_devices_by_what_a_siem_calls_them(plan: Ask) -> None:
    result = plan(
        {"machine": "PC01", "incident_id": "INC/4711"}, {"computer_dns_name": "pc02.contoso.com", "id": "da1_2"}
    )
    assert [row["machine"] for row in result["requests"]] == [PC1.id, PC2.id]
    assert [row["dest"] for row in result["requests"]][1] == "/srv/evidence/alert-da1_2"
    # A name that is no file's name is made one, and not mistaken for another.
    assert result["requests"][0]["dest"].startswith("/srv/evidence/incident-INC_4711-")


def test_who_is_left_to_a_person_is_said(plan: Ask) -> None:
    result = plan(
        about(DC),
        about(SERVER),
        about(NEW),
        about(None),
        about(PC1),
        exclude_tags=["tier0"],
        exclude_groups=["hypervisors"],
    )
    assert [row["machine"] for row in result["requests"]] == [PC1.id]
    assert {row["machine"]: row["why"] for row in result["left_out"]} == {
        None: "Incident 7001 has an alert about no device",
        DC.name: "has the tag Tier0 of exclude_tags",
        SERVER.name: "is in the device group Hypervisors of exclude_groups",
        NEW.name: "is not onboarded (CanBeOnboarded), so nothing can be collected from it",
    }
    assert "Left out: Incident 7001 has an alert about no device, dc01.contoso.com has the tag Tier0" in result["msg"]


def test_a_misspelt_exclusion_leaves_whom_it_may_mean_to_a_person(plan: Ask, office: Tenant) -> None:
    result = plan(about(DC), about(PC1), exclude_tags=["teir0"], exclude_groups=["nobody's"])
    assert [row["machine"] for row in result["requests"]] == [PC1.id]
    assert result["left_out"][0]["why"] == (
        "may be meant to be excluded: exclude_tags has teir0, a tag that no device has, and Tier0 is near it"
    )
    assert office.teller.told("warn") == [
        "exclude_tags has teir0, a tag that no device has: this excludes nothing.",
        "exclude_groups has nobody's, a device group that no device is in: this excludes nothing.",
    ]


def test_a_tag_and_a_group_with_a_comma_in_their_names_exclude(plan: Ask) -> None:
    result = plan(about(EUROPE), exclude_tags=["Domain, EU"])
    assert (result["requests"], result["left_out"][0]["why"]) == ([], "has the tag Domain, EU of exclude_tags")
    result = plan(about(EUROPE), exclude_groups=["Servers, EU"])
    assert (result["requests"], result["left_out"][0]["why"]) == (
        [],
        "is in the device group Servers, EU of exclude_groups",
    )


def test_only_alerts_about_no_device_need_no_service(plan: Ask, office: Tenant) -> None:
    result = plan(about(None))
    assert not result["failed"] and result["requests"] == []
    assert office.simulator.requests == []


def test_a_device_that_is_not_found_is_left_for_collecting_to_fail(plan: Ask) -> None:
    assert [row["machine"] for row in plan(about(PC1), {"machine": "ghost", "incident_id": 1})["requests"]] == [
        PC1.id,
        "ghost",
    ]


def test_the_hourly_brake(plan: Ask, office: Tenant) -> None:
    collect = office(COLLECT, machines=[PC1.id], comment=f"Incident 7001: {COMMENT}")
    assert not collect["failed"]
    office(COLLECT, machines=[SERVER.id], comment="somebody's own")
    # PC1 counts, but is no further device; what others have started does not count.
    assert not plan(about(PC1), about(PC2), max_machines_per_hour=2)["failed"]
    result = plan(about(PC1), about(PC2), about(DC), max_machines_per_hour=2)
    assert (result["error"]["code"], result["requests"]) == ("StormBrake", [])
    assert "2 devices would be collected from on alerts, after 1 in the last hour" in result["msg"]
    assert "pc02.contoso.com, dc01.contoso.com" in result["msg"]
    assert not plan(about(PC1), max_machines_per_hour=1)["failed"]
    assert not plan(about(PC2), about(DC), max_machines_per_hour=0)["failed"]
    office.clock.sleep(3700)
    assert not plan(about(PC2), about(DC), max_machines_per_hour=2)["failed"]


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        (["pc01"], "which is no alert"),
        ([{"machine_id": "a" * 40}], "neither incident_id nor id"),
        ([{"machine_id": "a" * 40, "incident_id": " "}], "neither incident_id nor id"),
        ([{"machine_id": "a" * 40, "incident_id": {"id": 1}}], 'incident_id of an alert is {"id": 1}'),
        ([{"machine_id": ["a" * 40], "incident_id": 1}], "machine_id of an alert is"),
        ([{"machine_id": "*", "incident_id": 1}], "has a wildcard"),
    ],
)
def test_what_cannot_be_an_alert_is_refused(plan: Ask, alerts: list[t.Any], said: str) -> None:
    result = plan(*alerts)
    assert result["failed"] and said in result["msg"]
