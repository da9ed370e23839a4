# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._words.errors import ServiceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    FINAL,
    Action,
    Machine,
    iso,
    parse_time,
)

MOMENT = 1706060188  # 2024-01-24T01:36:28Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-01-24T01:36:28Z", MOMENT),
        ("2024-01-24T01:36:28", MOMENT),
        ("2024-01-24T01:36:28.7Z", MOMENT + 0.7),
        ("2024-01-24T01:36:28.7283693Z", MOMENT + 0.7283693),
        ("2024-01-24T01:36:28.728369312345Z", MOMENT + 0.728369312345),
        ("2024-01-24T01:36:28.728369", MOMENT + 0.728369),
        ("2024-01-24T03:36:28+02:00", MOMENT),
        ("2024-01-23T20:06:28.25-05:30", MOMENT + 0.25),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_times_of_the_api(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-01-24", "2024-13-24T01:36:28Z", "2024-01-24T25:00:00Z", "2024-01-24T01:36:28.Z", "0000-01-01T00:00:00Z",
     "2024-01-24T01:36:28+99:99", " 2024-01-24T01:36:28Z", None, 17, 1.5, ["2024-01-24T01:36:28Z"], b"2024-01-24T01:36:28Z"],
)  # fmt: skip
def test_what_is_no_time_is_zero(text: object) -> None:
    assert parse_time(text) == 0.0


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9998, 1, 1)),
    st.text("0123456789", max_size=12),
    st.integers(-23 * 60, 23 * 60),
)
def test_any_precision_and_offset(moment: datetime, digits: str, offset: int) -> None:
    moment = moment.replace(microsecond=0)
    zone = timezone(timedelta(minutes=offset))
    whole = moment.replace(tzinfo=zone).timestamp()
    text = moment.isoformat() + (f".{digits}" if digits else "") + moment.replace(tzinfo=zone).isoformat()[19:]
    assert parse_time(text) == pytest.approx(whole + (float(f"0.{digits}") if digits else 0.0), abs=1e-3)


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*)?(Z|[+-]\d\d:\d\d)?\Z"),
        st.none(),
        st.floats(),
    )
)
def test_nothing_raises(text: object) -> None:
    assert isinstance(parse_time(text), float)


@given(st.integers(0, 200_000_000_000))
def test_iso_and_back(seconds: int) -> None:
    text = iso(seconds)
    assert len(text) == 20 and text.endswith("Z")
    assert parse_time(text) == seconds
    assert iso(seconds + 0.9) == text


MACHINE: dict[str, Any] = {
    "id": "1E5BC9D7E413DDD7902C2932E418702B84D0CC07",
    "computerDnsName": "pc01.contoso.com",
    "aadDeviceId": "80fe8ff8-2624-418e-9591-41f0491218f9",
    "lastIpAddress": "10.1.2.3",
    "healthStatus": "Active",
    "lastSeen": "2024-01-24T01:36:28.7283693Z",
    "mergedIntoMachineId": None,
    "somethingNew": {"deep": [1]},
}


def test_machine() -> None:
    machine = Machine.from_api(MACHINE)
    assert machine.id == MACHINE["id"].lower()
    assert machine.label == "pc01.contoso.com"
    assert (machine.last_ip, machine.health_status, machine.merged_into) == ("10.1.2.3", "Active", None)


@pytest.mark.parametrize("missing", [key for key in MACHINE if key != "id"])
def test_machine_with_anything_missing_or_null(missing: str) -> None:
    without = {key: value for key, value in MACHINE.items() if key != missing}
    for entity in (without, {**without, missing: None}, {**without, missing: ""}):
        machine = Machine.from_api(entity)
        assert machine.label == (machine.id if missing == "computerDnsName" else "pc01.contoso.com")


ACTION: dict[str, Any] = {
    "@odata.context": "https://api.security.microsoft.com/api/$metadata#MachineActions/$entity",
    "id": "92452beb-0000-4000-8000-000000000000",
    "type": "CollectInvestigationPackage",
    "title": None,
    "requestor": "secops (contoso.onmicrosoft.com)",
    "requestorComment": "Alert 1",
    "status": "Pending",
    "machineId": "3D53ABC",
    "computerDnsName": "pc01",
    "creationDateTimeUtc": "2024-01-24T01:36:28.7283693Z",
    "lastUpdateDateTimeUtc": "2024-01-24T01:37:28Z",
    "errorHResult": 0,
    "commands": [],
}


def test_action() -> None:
    action = Action.from_api(ACTION)
    assert action.as_result() == {
        "id": ACTION["id"],
        "status": "Pending",
        "requestor": "secops (contoso.onmicrosoft.com)",
        "comment": "Alert 1",
        "created": ACTION["creationDateTimeUtc"],
        "updated": ACTION["lastUpdateDateTimeUtc"],
    }
    assert action.machine_id == "3d53abc"
    assert action.created_at == pytest.approx(MOMENT + 0.7283693, abs=1e-6)
    assert action.updated_at == MOMENT + 60
    assert "@odata.context" not in action.raw and action.raw["errorHResult"] == 0


@pytest.mark.parametrize("missing", [key for key in ACTION if key not in ("id", "status")])
def test_action_with_anything_missing_or_null(missing: str) -> None:
    without = {key: value for key, value in ACTION.items() if key != missing}
    for entity in (without, {**without, missing: None}):
        action = Action.from_api(entity)
        assert action.id == ACTION["id"]
        assert action.updated_at >= action.created_at


def test_action_that_was_never_updated() -> None:
    entity = {key: value for key, value in ACTION.items() if key != "lastUpdateDateTimeUtc"}
    assert Action.from_api(entity).updated_at == Action.from_api(entity).created_at > 0


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimeOut", "Cancelled"])
def test_final(status: str) -> None:
    assert status in FINAL
    assert Action.from_api({**ACTION, "status": status}).final


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Hibernating", "Canceled", "", "succeeded"])
def test_any_other_word_is_not_final(status: str) -> None:
    assert not Action.from_api({**ACTION, "status": status}).final


@pytest.mark.parametrize("entity", [None, [], "text", 5, {}, {"id": ""}, {"id": None, "status": "Pending"}])
def test_entities_without_an_id_are_refused(entity: object) -> None:
    for kind in (Machine, Action):
        with pytest.raises(ServiceError) as caught:
            kind.from_api(entity)
        assert caught.value.code == "MalformedReply"


@pytest.mark.parametrize("status", [None, 5, [], {}])
def test_actions_without_a_status_are_refused(status: object) -> None:
    with pytest.raises(ServiceError):
        Action.from_api({**ACTION, "status": status})
