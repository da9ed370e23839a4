# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.messages import IncompatibleTypes, QueryError
from simulator.odata import ACTION_PROPERTIES, MACHINE_PROPERTIES, parse_filter

ROW: dict[str, Any] = {
    "computerDnsName": "pc01.contoso.com",
    "id": "a" * 40,
    "machineTags": ["tier0", "o'brien"],
    "lastSeen": "2026-03-01T12:00:00.5000000Z",
    "healthStatus": "Active",
    "rbacGroupId": 5,
    "aadDeviceId": None,
    "lastIpAddress": "10.0.0.1",
}


def fits(text: str, **changes: Any) -> bool:
    return parse_filter(text, MACHINE_PROPERTIES)({**ROW, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "computerDnsName eq 'pc01.contoso.com'",
        "healthStatus ne 'Inactive'",
        "lastSeen gt 2026-02-28Z",
        "lastSeen ge 2026-03-01T12:00:00.5Z",
        "lastSeen lt 2026-03-01T12:00:01Z",
        "lastSeen le 2026-03-01T12:01Z",
        "rbacGroupId eq 5",
        "rbacGroupId gt 4",
        "startswith(computerDnsName,'pc01')",
        "startswith( computerDnsName , 'pc01.' )",
        "machineTags/any(tag: tag eq 'tier0')",
        "machineTags/any(t:t eq 'o''brien')",
        "healthStatus eq 'Active' and (id eq 'x' or lastIpAddress eq '10.0.0.1')",
        "id eq 'x' and id eq 'y' or healthStatus eq 'Active'",
        "aadDeviceId ne d78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d",
    ],
)
def test_what_is_understood_and_true(text: str) -> None:
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "computerDnsName eq 'PC01.contoso.com'",
        "computerDnsName eq 'pc01'",
        "startswith(computerDnsName,'PC01')",
        "machineTags/any(tag: tag eq 'tier')",
        "lastSeen gt 2026-03-01T12:00:00.5Z",
        "healthStatus eq 'active'",
        "id eq 'x' and (id eq 'y' or healthStatus eq 'Active')",
    ],
)
def test_what_is_understood_and_false(text: str) -> None:
    assert not fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "contains(computerDnsName,'pc')",
        "endswith(computerDnsName,'com')",
        "startswith(id,'a')",
        "startswith(computerDnsName,'pc') eq true",
        "tolower(computerDnsName) eq 'pc01'",
        "computerDnsName in ('a','b')",
        "not healthStatus eq 'Active'",
        "computerDnsName EQ 'a'",
        "computerDnsName eq 'a' AND id eq 'b'",
        "computerdnsname eq 'a'",
        "rbacGroupName eq 'a'",
        "firstSeen gt 2026-01-01Z",
        "lastExternalIpAddress eq '203.0.113.1'",
        "computerDnsName eq pc01",
        "computerDnsName eq 'o'brien'",
        'computerDnsName eq "pc01"',
        "computerDnsName gt 'a'",
        "aadDeviceId eq null",
        "aadDeviceId eq 'd78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d'",
        "aadDeviceId gt d78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d",
        "aadDeviceId eq d78dc223",
        "computerDnsName eq d78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d",
        "lastSeen gt d78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d",
        "lastSeen gt '2026-01-01Z'",
        "lastSeen gt 2026-01-01",
        "lastSeen gt 2026-01-01T00:00:00+00:00",
        "lastSeen gt 2026-13-01Z",
        "lastSeen gt 2026-01-01T12:00.5Z",
        "rbacGroupId eq '5'",
        "machineTags eq 'tier0'",
        "machineTags/all(tag: tag eq 'tier0')",
        "machineTags/any(tag: startswith(tag,'tier'))",
        "machineTags/any(tag: other eq 'tier0')",
        "id eq 'a' and",
        "(id eq 'a'",
        "id eq 'a')",
        "id eq 'a' id eq 'b'",
        "'a' eq id",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_filter(text, MACHINE_PROPERTIES)


GUID = "d78dc223-1f0a-4b0e-9c55-2d1f6a3b4c5d"


def test_a_guid_is_written_without_quotes_and_has_no_case() -> None:
    assert fits(f"aadDeviceId eq {GUID}", aadDeviceId=GUID)
    assert fits(f"aadDeviceId eq {GUID.upper()} or id eq 'x'", aadDeviceId=GUID)
    assert not fits(f"aadDeviceId eq {GUID}")
    with pytest.raises(IncompatibleTypes, match="'Edm.Guid' and 'Edm.String'"):
        fits(f"id eq 'x' or aadDeviceId eq '{GUID}'")


def test_names_can_be_compared_without_case() -> None:
    parse = parse_filter(
        "computerDnsName eq 'c-lab-31' and startswith(computerDnsName,'c-L')", {"computerDnsName": "folded"}
    )
    assert parse({"computerDnsName": "C-Lab-31"}) and not parse({"computerDnsName": "C-Lab-32"})


def test_each_endpoint_has_its_own_properties() -> None:
    parse_filter("machineId eq 'x' and (status eq 'Pending' or status eq 'InProgress')", ACTION_PROPERTIES)
    parse_filter("creationDateTimeUtc ge 2026-01-01Z and type eq 'Isolate' and requestor eq 'a'", ACTION_PROPERTIES)
    for text in ("computerDnsName eq 'a'", "lastUpdateDateTimeUtc gt 2026-01-01Z", "startswith(computerDnsName,'a')"):
        with pytest.raises(QueryError):
            parse_filter(text, ACTION_PROPERTIES)


def test_a_long_chain_exceeds_the_node_limit() -> None:
    def chain(length: int) -> str:
        return " or ".join(f"id eq '{number}'" for number in range(length))

    parse_filter(chain(20), MACHINE_PROPERTIES, 100)
    with pytest.raises(QueryError, match="node count limit of '100'"):
        parse_filter(chain(21), MACHINE_PROPERTIES, 100)
    parse_filter(chain(1000), MACHINE_PROPERTIES, 0)


@given(st.text(), st.text())
def test_a_quoted_literal_means_exactly_its_text(name: str, other: str) -> None:
    literal = "'" + name.replace("'", "''") + "'"
    assert fits(f"computerDnsName eq {literal}", computerDnsName=name)
    assert fits(f"startswith(computerDnsName,{literal})", computerDnsName=name + other)
    assert fits(f"machineTags/any(tag: tag eq {literal})", machineTags=[name])
    assert fits(f"computerDnsName eq {literal}", computerDnsName=other) is (name == other)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_filter(text, MACHINE_PROPERTIES)
    except QueryError:
        pass
