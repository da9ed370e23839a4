# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service import api as _api
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import TASK, snake_case
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Ask, Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.devices import PastAction

TWIN = "twin.contoso.com"
QUOTE = "o'brien.contoso.com"
OLD_ID = "e" * 40


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
        return office(TASK, **given)

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
    assert result["msg"] == "machines is an empty list, which selects nothing: no machine was asked for."
    assert machines.tenant.simulator.requests == []  # type: ignore[attr-defined]


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


def test_a_tag_that_no_machine_has_is_said(machines: Ask) -> None:
    assert machines(tag="teir0")["msg"] == "0 machines found. No machine has the tag teir0."
    assert names(machines(tag=" tier0 ")) == ["pc01.contoso.com", "pc02.contoso.com"]


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
def test_machines_exclude_tag_and_filter(machines: Ask, other: dict[str, str]) -> None:
    result = machines(machines=["pc01"], **other)
    assert result["error"]["code"] == "InvalidOptions"
    assert result["msg"] == (
        f"machines and {next(iter(other))} exclude each other, and both are given. Give one. Nothing was started."
    )
    assert machines.tenant.simulator.requests == []  # type: ignore[attr-defined]


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
    monkeypatch.setattr(_api, "_PAGE", 7)
    office = tenant(*(Device(f"pc{number:03}.contoso.com") for number in range(40)), page_size=7, next_link_bug=bug)
    result = office(TASK, filter="healthStatus eq 'Active'")
    assert sorted(names(result)) == [f"pc{number:03}.contoso.com" for number in range(40)]
    assert office.calls("machines") >= 6


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


def test_whether_a_device_is_isolated(tenant: t.Callable[..., Tenant], clock: VirtualClock) -> None:
    isolate, release = PastAction("Isolate", age=3600.0, scope="Selective"), PastAction("Unisolate", age=60.0)
    office = tenant(
        Device("in", history=(isolate,)),
        Device("out", history=(isolate, release)),
        Device("tried", history=(PastAction("Isolate", "Failed", age=60.0),)),
        Device("never"),
    )
    result = office(TASK, machines=["in", "out", "tried", "never"])
    assert [row["isolation"] for row in result["machines"]] == ["isolated", "released", None, None]
    source = result["machines"][0]["isolation_source"]
    assert (source["action_type"], source["isolation_type"]) == ("Isolate", "selective")
    assert result["machines"][1]["isolation_source"]["until"] is None
    assert office.calls("machine_actions") == 1
    clock.now += 7 * 86400.0
    assert office(TASK, machines=["in"])["machines"][0]["isolation"] == "released"


def test_what_cannot_be_known_of_isolation_is_said(tenant: t.Callable[..., Tenant]) -> None:
    office = tenant(Device("pc01", history=(PastAction("Isolate"),)))
    office.simulator.add_fault("machine_actions", "status", status=503, count=0)
    result = office(TASK, machines=["pc01"])
    assert (result["failed"], result["machines"][0]["isolation"]) == (False, None)
    assert office.teller.told("warn")[0].startswith("Which devices are isolated is not known.")
