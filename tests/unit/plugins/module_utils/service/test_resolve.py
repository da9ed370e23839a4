# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    DEVICE_ID,
    DNS_NAME,
    ENTRA_ID,
    IP,
    Name,
    Resolved,
    find_actions,
    parse_names,
    resolve,
)
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError, ServiceError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, PastAction, Simulator

Simulate = Callable[..., Simulator]
Connect = Callable[..., Session]

HEX = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"
GUID = "80fe8ff8-2624-418e-9591-41f0491218f9"


# The forms of a name


@pytest.mark.parametrize(
    ("asked", "kind", "value"),
    [
        (HEX, DEVICE_ID, HEX),
        (HEX.upper(), DEVICE_ID, HEX),
        (f"  {HEX}\n", DEVICE_ID, HEX),
        (GUID, ENTRA_ID, GUID),
        (GUID.upper(), ENTRA_ID, GUID),
        ("10.1.2.3", IP, "10.1.2.3"),
        ("2001:DB8:0:0::1", IP, "2001:db8::1"),
        ("::1", IP, "::1"),
        ("::FFFF:10.1.2.3", IP, "10.1.2.3"),
        ("pc01", DNS_NAME, "pc01"),
        ("PC01.Contoso.COM", DNS_NAME, "pc01.contoso.com"),
        ("pc01.contoso.com.", DNS_NAME, "pc01.contoso.com"),
        ("O'Neill's Mac", DNS_NAME, "o'neill's mac"),
        ("büro-1", DNS_NAME, "büro-1"),
        ("12345.contoso.com", DNS_NAME, "12345.contoso.com"),
        (f"https://security.microsoft.com/machines/v2/{HEX}/overview?tid=x", DEVICE_ID, HEX),
        (f"https://security.microsoft.com/machines/v2/{HEX.upper()}", DEVICE_ID, HEX),
        (f" https://security.microsoft.com/machines/{HEX}/timeline ", DEVICE_ID, HEX),
        (f"https://security.microsoft.us/machine/{HEX}", DEVICE_ID, HEX),
        (f"https://security.apps.mil/machines/v2/{HEX}/overview?tid=x", DEVICE_ID, HEX),
        (f"https://securitycenter.windows.com/machines/{HEX}/alerts#x", DEVICE_ID, HEX),
        ("deadbeef", DNS_NAME, "deadbeef"),
        ("1.2.3.4.contoso.com", DNS_NAME, "1.2.3.4.contoso.com"),
    ],
)
def test_forms(asked: str, kind: str, value: str) -> None:
    assert parse_names([asked]) == [Name(asked, kind, value)]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", "is no device name"),
        ("  ", "is no device name"),
        (".", "is no device name"),
        ("...", "is no device name"),
        ("a/b", "is no device name"),
        ("https://pc01", "is not the address of a device's page"),
        (f"https://evil.example/machines/v2/{HEX}/overview", "is not the address of a device's page"),
        ("https://security.microsoft.com/alerts/da637", "is not the address of a device's page"),
        (f"https://security.microsoft.com/machines/v2/{HEX}0/overview", "is not the address of a device's page"),
        ("https://[half", "is no address"),
        ("pc*", "has a wildcard, but a name is no pattern: list devices with defender_machine_info"),
        ("pc0?", "has a wildcard"),
        ("pc[01]", "has a wildcard"),
        ("12345", "is a bare number"),
        ("10.1.2", "looks like an IP address but is none"),
        ("10.1.0.0/16", "looks like an IP address but is none"),
        ("pc\n01", "is no device name"),
        ("pc\x0001", "is no device name"),
        ("x" * 256, "is no device name"),
        (HEX[:-1], "has 39 hexadecimal digits instead of 40"),
        (HEX + "0", "has 41 hexadecimal digits instead of 40"),
        (HEX + HEX[:24], "has 64 hexadecimal digits instead of 40"),
        (GUID[:-1], "not of the form 8-4-4-4-12"),
        (f"{{{GUID}}}", "not of the form 8-4-4-4-12"),
        ("10.1.2.300", "looks like an IP address but is none"),
        ("010.1.2.3", "looks like an IP address but is none"),
    ],
)
def test_malformed(asked: str, words: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse_names(["pc00", asked, "10.1.2.999"])
    assert f"{asked!r}" in caught.value.message and words in caught.value.message
    # All of them are listed, the good one is not.
    assert "'10.1.2.999'" in caught.value.message and "'pc00'" not in caught.value.message
    assert "Nothing was started" in caught.value.advice


def test_none_at_all() -> None:
    with pytest.raises(OptionsError, match="machines is empty"):
        parse_names([])


_ODD = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=50) | st.text(
    "0123456789abcdefABCDEF-.:{}'%() ", max_size=45
)


@given(st.lists(_ODD, min_size=1, max_size=5))
def test_any_text_parses_or_is_listed(asked: list[str]) -> None:
    try:
        names = parse_names(asked)
    except OptionsError as error:
        assert any(repr(each) in error.message for each in asked)
    else:
        assert [name.asked for name in names] == asked
        assert all(name.value and name.value == name.value.strip().lower() for name in names)
        # What was understood is understood again.
        assert [name.value for name in parse_names([name.value for name in names])] == [name.value for name in names]


# Devices


@pytest.fixture
def look(simulate: Simulate, connect: Connect) -> Callable[..., list[Resolved]]:
    def do(devices: list[Device], *asked: str, on_ambiguous: str = "fail", **settings: Any) -> list[Resolved]:
        do.simulator = simulate(*devices, **settings)  # type: ignore[attr-defined]
        return resolve(Api(connect(do.simulator), Secrets()), parse_names(asked), on_ambiguous)  # type: ignore[attr-defined]

    return do


Look = Callable[..., list[Resolved]]


def names_of(resolved: list[Resolved]) -> list[str | None]:
    return [each.machine.dns_name if each.machine else None for each in resolved]


def test_each_form(look: Look) -> None:
    devices = [Device(f"pc0{number}.contoso.com", ip=f"10.0.0.{number}") for number in range(6)]
    devices.append(Device("short", ip="fe80::7"))
    asked = [
        devices[0].id.upper(), devices[1].aad_device_id or "", "10.0.0.2", "PC03.contoso.com.", "Pc04", "SHORT", "fe80:0::7",
    ]  # fmt: skip
    resolved = look(devices, *asked)
    assert names_of(resolved) == [*(f"pc0{number}.contoso.com" for number in range(5)), "short", "short"]
    assert [each.asked for each in resolved] == asked
    assert all(each.error is None for each in resolved)
    # One question for all of them, and one for the Entra device ID, whose type may be another one.
    assert len(look.simulator.requests) == 2  # type: ignore[attr-defined]


def test_the_same_device_named_in_every_way(look: Look) -> None:
    device = Device("pc01.contoso.com", ip="10.0.0.1")
    asked = ["pc01", "PC01", "pc01.contoso.com", device.id, device.id.upper(), device.aad_device_id or "", "10.0.0.1"]
    assert {each.machine.id for each in look([device], *asked) if each.machine} == {device.id}


def test_a_short_name_is_no_prefix(look: Look) -> None:
    devices = [Device("pc1.contoso.com"), Device("pc10.contoso.com"), Device("pc1x"), Device("xpc1")]
    assert names_of(look(devices, "pc1")) == ["pc1.contoso.com"]
    # A full name is meant in full.
    assert names_of(look(devices, "pc1.contoso")) == [None]


@pytest.mark.parametrize(
    "name",
    ["o'neill", "' or id ne '", "x') or startswith(id,'pc", "100%25", "a&$filter=b", "a+b", "pc01 or 1"],
)
def test_names_cannot_change_the_question(name: str, look: Look) -> None:
    assert names_of(look([Device("pc01"), Device("pc02")], name)) == [None]
    assert names_of(look([Device("pc01"), Device(name)], name)) == [name]


def test_names_without_a_device_do_not_disturb_others(look: Look) -> None:
    resolved = look(
        [Device("pc01.contoso.com"), Device("web01.contoso.com")], "web01", "pc0l", "zzzzzz", "f" * 40, GUID
    )
    assert names_of(resolved) == ["web01.contoso.com", None, None, None, None]
    errors = [each.error for each in resolved if each.error]
    assert all(error.code == "MachineNotFound" for error in errors)
    assert errors[0].message == "No device is known by the DNS name pc0l."
    assert errors[0].advice.startswith("Did you mean pc01.contoso.com? ")
    assert "Did you mean" not in errors[1].advice
    assert errors[2].message == f"No device is known by the device ID {'f' * 40}."
    assert errors[3].message == f"No device is known by the Entra device ID {GUID}."


def test_near_names(look: Look) -> None:
    devices = [Device(f"server-{name}.contoso.com") for name in ("berlin", "bern", "reykjavik-archive")]
    error = look(devices, "server-berlln.contoso.com")[0].error
    assert error and "server-berlin.contoso.com" in error.advice and "archive" not in error.advice


def test_hints_are_no_reason_to_fail(look: Look, simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", "status", after=1, status=400, count=0)
    resolved = resolve(Api(connect(simulator), Secrets()), parse_names(["pc0l"]), "fail")
    assert resolved[0].error and "Did you mean" not in resolved[0].error.advice


def test_an_empty_tenant(look: Look) -> None:
    assert names_of(look([], "pc01", "10.0.0.1", HEX)) == [None, None, None]


def test_a_token_that_may_not_look_is_no_missing_device(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", "status", status=403, count=0)
    with pytest.raises(ServiceError):
        resolve(Api(connect(simulator), Secrets()), parse_names(["pc01", "pc02"]), "fail")
    assert len(simulator.requests) == 1


# Several devices of one name


def test_duplicates(look: Look) -> None:
    devices = [
        Device("pc01.contoso.com", health_status="Inactive", last_seen=60.0),
        Device("pc01.contoso.com", last_seen=9000.0),
        Device("pc01.contoso.com", last_seen=300.0),
        Device("pc02.contoso.com"),
    ]
    resolved = look(devices, "pc01", "pc02")
    assert names_of(resolved) == [None, "pc02.contoso.com"]
    error = resolved[0].error
    assert error and error.code == "MachineAmbiguous"
    assert error.message.startswith("The DNS name pc01 fits 3 devices: ")
    for device in devices[:3]:
        assert device.id in error.message
    assert "Inactive" in error.message and "last seen 20" in error.message
    assert "on_ambiguous" in error.advice
    newest = look(devices, "pc01", on_ambiguous="newest")[0]
    assert newest.machine and newest.machine.id == devices[2].id and newest.error is None


@pytest.mark.parametrize("newest", [0, 1, 2])
def test_the_newest_is_the_one_seen_last(newest: int, look: Look) -> None:
    devices = [
        Device("pc01", id=f"{number:040x}", last_seen=30.0 if number == newest else 9000.0) for number in range(3)
    ]
    resolved = look(devices, "pc01", on_ambiguous="newest")[0]
    assert resolved.machine and resolved.machine.id == devices[newest].id


def test_a_name_in_two_domains(look: Look) -> None:
    devices = [Device("pc01.contoso.com"), Device("pc01.fabrikam.com")]
    assert names_of(look(devices, "pc01", "pc01.fabrikam.com")) == [None, "pc01.fabrikam.com"]


def test_many_duplicates_are_listed_in_part(look: Look) -> None:
    error = look([Device("pc01") for _each in range(15)], "pc01")[0].error
    assert error and "fits 15 devices" in error.message and "; …" in error.message
    assert error.message.count("last seen") == 10


def test_merged_records_stand_for_their_target(look: Look) -> None:
    target = Device("pc01.contoso.com")
    renamed = Device("pc-renamed.contoso.com")
    devices = [
        target,
        renamed,
        Device("pc01.contoso.com", merged_into=target.id.upper()),
        Device("old.contoso.com", merged_into=renamed.id),
    ]
    resolved = look(devices, "pc01", "old")
    assert [each.machine.id for each in resolved if each.machine] == [target.id, renamed.id]


def test_merged_records_of_merged_records(look: Look) -> None:
    last = Device("third.contoso.com")
    second = Device("second.contoso.com", merged_into=last.id)
    resolved = look([Device("first.contoso.com", merged_into=second.id), second, last], "first")
    assert names_of(resolved) == ["third.contoso.com"]


def test_merged_records_in_a_loop(look: Look) -> None:
    one, two = Device("pc01.contoso.com"), Device("pc02.contoso.com")
    one.merged_into, two.merged_into = two.id, one.id
    selfish = Device("pc03.contoso.com")
    selfish.merged_into = selfish.id
    resolved = look([one, two, selfish], "pc01", "pc03")
    assert all(each.machine for each in resolved)
    assert names_of(resolved)[1] == "pc03.contoso.com"


@pytest.mark.parametrize("on_ambiguous", ["fail", "newest"])
def test_a_merge_target_that_cannot_be_seen(on_ambiguous: str, look: Look) -> None:
    """What is left of it is dead: nothing is started there."""
    hidden = Device("pc02.contoso.com", hidden=True)
    for target in ("f" * 40, hidden.id):
        devices = [hidden, Device("pc01.contoso.com", merged_into=target), Device("pc03")]
        resolved = look(devices, "pc01", devices[1].id, "pc03", on_ambiguous=on_ambiguous)
        assert names_of(resolved) == [None, None, "pc03"]
        for each in resolved[:2]:
            assert each.error and each.error.code == "MachineMerged"
            assert devices[1].id in each.error.message and target in each.error.message


def test_a_record_in_sight_beside_one_that_is_not(look: Look) -> None:
    devices = [Device("pc01.contoso.com", merged_into="f" * 40), Device("pc01.contoso.com")]
    error = look(devices, "pc01")[0].error
    assert error and error.code == "MachineMerged"
    newest = look(devices, "pc01", on_ambiguous="newest")[0]
    assert newest.machine and newest.machine.id == devices[1].id


def test_the_records_that_were_merged_are_told(look: Look) -> None:
    """Their actions are the device's, too."""
    last = Device("third.contoso.com")
    second = Device("second.contoso.com", merged_into=last.id)
    first = Device("first.contoso.com", merged_into=second.id)
    by_name, by_id, direct = look([first, second, last], "first", second.id, "third")
    assert by_name.records == (first.id, second.id) and by_id.records == (second.id,) and direct.records == ()


# Spellings


@pytest.mark.parametrize(
    "asked", ["pc042", "PC042", "Pc042", "pc042.contoso.com", "PC042.Contoso.com", "PC042.CONTOSO.COM"]
)
@pytest.mark.parametrize("recorded", ["pc042.contoso.com", "PC042.contoso.com", "PC042.CONTOSO.COM", "pc042", "PC042"])
def test_names_in_the_spellings_of_people_and_of_windows(asked: str, recorded: str, look: Look) -> None:
    assert names_of(look([Device(recorded), Device("pc04.contoso.com")], asked)) == [recorded]


@pytest.mark.parametrize("asked", ["C-Lab-31", "C-Lab-31.contoso.com"])
@pytest.mark.parametrize("recorded", ["C-Lab-31", "C-Lab-31.contoso.com"])
def test_a_name_as_it_is_typed(asked: str, recorded: str, look: Look) -> None:
    assert names_of(look([Device(recorded)], asked)) == [recorded]


def test_each_spelling_of_one_name_is_asked(look: Look) -> None:
    assert names_of(look([Device("C-Lab-31")], "c-lab-31", "C-Lab-31", "C-LAB-31")) == ["C-Lab-31"] * 3


@pytest.mark.parametrize("asked", ["pc042", "PC042", "pc042.contoso.com", "Pc042.contoso.com"])
def test_records_that_differ_in_case_only_are_ambiguous(asked: str, look: Look) -> None:
    devices = [
        Device("PC042.contoso.com"),
        Device("pc042.contoso.com", health_status="Inactive", last_seen=365 * 86_400.0),
    ]
    error = look(devices, asked)[0].error
    assert error and error.code == "MachineAmbiguous" and all(device.id in error.message for device in devices)
    newest = look(devices, asked, on_ambiguous="newest")[0]
    assert newest.machine and newest.machine.id == devices[0].id


def test_the_full_name_counts_before_the_bare_one_unless_it_is_dead(look: Look) -> None:
    devices = [Device("pc01.contoso.com"), Device("pc01"), Device("pc01.fabrikam.com")]
    assert names_of(look(devices, "pc01.contoso.com")) == ["pc01.contoso.com"]
    devices[0] = Device("pc01.contoso.com", health_status="Inactive", last_seen=90 * 86_400.0)
    error = look(devices, "pc01.contoso.com")[0].error
    assert error and "fits 2 devices" in error.message


def test_labels_that_say_little_are_not_asked_for_by_their_beginning(look: Look) -> None:
    devices = [
        Device("1.contoso.com"),
        Device("X.contoso.com"),
        *(Device(f"1.{number}.example") for number in range(5)),
    ]
    assert names_of(look(devices, "1.contoso.com", "x.contoso.com")) == ["1.contoso.com", "X.contoso.com"]
    assert not any("startswith" in entry.query["$filter"] for entry in look.simulator.requests)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("asked", "near"), [("pc42", "pc043"), ("pc042", "pc43"), ("PC42.contoso.com", "PC0043.contoso.com")]
)
def test_near_names_with_other_zeros(asked: str, near: str, look: Look) -> None:
    error = look([Device(near), Device("server-1")], asked)[0].error
    assert error and f"Did you mean {near.lower()}?" in error.advice


# Onboarding


def test_what_is_onboarded_comes_first(look: Look) -> None:
    """A device that was only seen on the network cannot be collected from, however lately that was."""
    devices = [
        Device("pc01.contoso.com", last_seen=9000.0),
        Device("pc01.contoso.com", last_seen=10.0, onboarding_status="CanBeOnboarded"),
    ]
    newest = look(devices, "pc01", on_ambiguous="newest")[0]
    assert newest.machine and newest.machine.id == devices[0].id and newest.note is None
    error = look(devices, "pc01")[0].error
    assert error and "CanBeOnboarded" in error.message and "Onboarded" in error.message


def test_a_single_record_that_is_not_onboarded_is_told(look: Look) -> None:
    found = look([Device("pc01.contoso.com", onboarding_status="CanBeOnboarded")], "pc01")[0]
    assert found.machine and found.error is None
    assert found.note == "pc01.contoso.com is not onboarded (CanBeOnboarded): nothing can be asked of it."


def test_what_a_name_led_to(look: Look) -> None:
    found = look([Device("pc01.contoso.com", tags=("tier0",))], "pc01")[0].machine
    assert found and found.tags == ("tier0",) and found.onboarding_status == "Onboarded"
    assert (
        found.os_platform
        and found.os_platform in found.condition
        and "Active, Onboarded, last seen 20" in found.condition
    )


# Terms that the service refuses


@pytest.mark.parametrize("unquoted", [True, False])
def test_entra_device_ids_in_whichever_type(unquoted: bool, look: Look) -> None:
    devices = [Device(f"pc{number:02}") for number in range(30)]
    asked = [str(device.aad_device_id) for device in devices]
    resolved = look(devices, *asked, "pc03", guid_literals=unquoted)
    assert names_of(resolved) == [*(device.name for device in devices), "pc03"]
    statuses = [entry.status for entry in look.simulator.requests]  # type: ignore[attr-defined]
    assert statuses == ([200, 200] if unquoted else [200, 400, 200])


def test_a_term_that_is_refused_fails_its_own_name_only(simulate: Simulate, connect: Connect) -> None:
    devices = [Device(f"pc{number:02}") for number in range(6)]
    api = Api(connect(simulate(*devices)), Secrets())
    ask = api.machines

    def refuse(query: str | None = None) -> list[dict[str, Any]]:
        if "pc03" in (query or "").lower():
            raise ServiceError("Failed to list machines: odd.", status=400, code="ODataError", advice="Ask.")
        return ask(query)

    api.machines = refuse  # type: ignore[method-assign]
    resolved = resolve(api, parse_names([device.name for device in devices]), "fail")
    assert names_of(resolved) == ["pc00", "pc01", "pc02", None, "pc04", "pc05"]
    error = resolved[3].error
    assert error and error.code == "ODataError" and "DNS name pc03 could not be looked up" in error.message


@pytest.mark.parametrize("guid", [True, False])
def test_actions_by_ids_of_whichever_type(guid: bool, simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(*(Device(f"pc{number}", history=(PastAction(),)) for number in range(3)), action_id_guid=guid)
    ids = [action["id"] for action in simulator.actions]
    found = find_actions(Api(connect(simulator), Secrets()), [*ids, GUID])
    assert [each.action.id if each.action else None for each in found] == [*ids, None]


# IP addresses


def test_an_address_of_the_last_minutes(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01", ip="10.0.0.1"))
    # The list still shows the address of the last full report.
    for entity in simulator.fleet.machine_entities:
        entity["lastIpAddress"] = "10.0.0.99"
    api = Api(connect(simulator), Secrets())
    assert names_of(resolve(api, parse_names(["10.0.0.1"]), "fail")) == ["pc01"]
    assert [entry.endpoint for entry in simulator.requests] == ["machines", "find_by_ip"]


def test_an_address_that_several_have(look: Look) -> None:
    devices = [Device("pc01", ip="10.0.0.1"), Device("pc02", ip="10.0.0.1", health_status="Inactive")]
    error = look(devices, "10.0.0.1")[0].error
    assert error and "The IP address 10.0.0.1 fits 2 devices" in error.message
    assert names_of(look(devices, "10.0.0.1", on_ambiguous="newest")) == ["pc01"]


def test_an_address_that_has_changed_hands(simulate: Simulate, connect: Connect) -> None:
    """The last address of a device that has been gone for months is another one's by now."""
    gone = Device("pc01", ip="10.0.0.1", health_status="Inactive", last_seen=60 * 86_400.0)
    simulator = simulate(gone, Device("pc02", ip="10.0.0.1"))
    entities = {entity["id"]: entity for entity in simulator.fleet.machine_entities}
    # The list knows the other one's address of its last full report.
    next(entity for number, entity in entities.items() if number != gone.id)["lastIpAddress"] = "10.0.0.99"
    api = Api(connect(simulator), Secrets())
    error = resolve(api, parse_names(["10.0.0.1"]), "fail")[0].error
    assert error and error.code == "MachineAmbiguous" and "fits 2 devices" in error.message
    assert names_of(resolve(api, parse_names(["10.0.0.1"]), "newest")) == ["pc02"]


def test_an_active_devices_address_needs_no_second_question(look: Look) -> None:
    assert names_of(look([Device("pc01", ip="10.0.0.1")], "10.0.0.1")) == ["pc01"]
    assert [entry.endpoint for entry in look.simulator.requests] == ["machines"]  # type: ignore[attr-defined]


# Many


def fleet(count: int) -> tuple[list[Device], list[str]]:
    devices = [Device(f"workstation-{number:05}.contoso.com") for number in range(count)]
    return devices, [device.name.split(".")[0].upper() for device in devices]


def test_a_large_fleet_in_few_calls(look: Look) -> None:
    devices, asked = fleet(2000)
    began = time.process_time()
    resolved = look(devices, *asked, filter_nodes=0)
    assert names_of(resolved) == [device.name for device in devices]
    requests = look.simulator.requests  # type: ignore[attr-defined]
    # In two spellings, as a whole and by their beginning: some thirty names a call.
    assert len(requests) <= 75 and {entry.status for entry in requests} == {200}
    assert time.process_time() - began < 90


@pytest.mark.parametrize("nodes", [9, 10, 50, 100])
def test_filters_that_are_too_long_for_the_service_are_halved(nodes: int, look: Look) -> None:
    devices, asked = fleet(60)
    resolved = look(devices, *asked, filter_nodes=nodes)
    assert names_of(resolved) == [device.name for device in devices]
    statuses = [entry.status for entry in look.simulator.requests]  # type: ignore[attr-defined]
    # It is not tried out again for every chain.
    assert 1 <= statuses.count(400) <= 7
    assert statuses.index(200) >= statuses.count(400)


def test_a_filter_that_cannot_be_halved_any_more(simulate: Simulate, connect: Connect) -> None:
    devices, asked = fleet(4)
    simulator = simulate(*devices)
    simulator.add_fault("machines", "status", status=400, code="ODataError", message="No", count=0)
    with pytest.raises(ServiceError, match="Failed to list machines"):
        resolve(Api(connect(simulator), Secrets()), parse_names(asked), "fail")
    assert len(simulator.requests) <= 12


def test_long_names_full_of_quotes(look: Look) -> None:
    """Quotes are doubled and then encoded: a chain of them is longer than it looks."""
    devices = [Device("'" * 200 + f"{number:03}") for number in range(40)]
    assert names_of(look(devices, *(device.name for device in devices))) == [device.name for device in devices]


def test_many_unknown_names_do_not_take_long(look: Look) -> None:
    devices, _asked = fleet(4000)
    began = time.process_time()
    resolved = look(devices, *(f"workstatoin-{number:05}" for number in range(1000)), filter_nodes=0)
    assert all(each.error for each in resolved)
    assert time.process_time() - began < 90
