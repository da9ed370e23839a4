# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks.access_token import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.settings import App

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
    result = office(TASK, **given)
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
    # By the service's clock, which tells whole seconds.
    assert abs(parse_time(result["expires"]) - (clock.wall() + result["expires_in"])) <= 2
    assert 3500 < result["expires_in"] < 3700
    assert result["msg"] == (
        f"The token is good until {result['expires']} and permits Machine.CollectForensics, Machine.Read.All."
    )
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
    for required in ([], ["Machine.Read.All"]):
        result = token(office, app="secops-nothing", required_permissions=required)
        assert result["failed"] and result["error"]["code"] == "MissingPermission"
        assert (result["permissions"], result["audience"]) == ([], "https://api.securitycenter.microsoft.com")
        assert result["msg"].startswith(
            "The token permits nothing: it carries no role and no scope. Add permissions of"
        )


def test_the_wrong_audience_and_an_expired_token(office: Tenant) -> None:
    stranger = office.simulator.issue_token(audience="https://graph.microsoft.com")
    assert token(office, access_token=stranger)["error"]["code"] == "WrongAudience"
    assert token(office, access_token=office.simulator.issue_token(lifetime=-10))["error"]["code"] == "TokenExpired"


def test_a_token_that_cannot_be_read(office: Tenant) -> None:
    for garbage in ("opaque-token-of-some-sort", "a.b.c", "e30.e30.e30"):
        result = token(office, access_token=garbage, return_token=True)
        assert result["failed"] and result["error"]["code"] in ("TokenUnreadable", "WrongAudience", "MissingPermission")
        assert (result["permissions"], result["expires"]) == ([], None)
        assert "access_token" not in result and garbage not in result["msg"]


def unsigned(**claims: t.Any) -> str:
    """A token that says what is given; nobody here checks its signature."""
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 2_000_000_000, **claims}).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("claims", "code", "said"),
    [
        ({"roles": ["Machine.Read.All"]}, "WrongAudience", "The token names no audience"),
        ({"aud": "https://api.securitycenter.microsoft.com"}, "MissingPermission", "The token permits nothing"),
        ({"aud": "https://api.securitycenter.microsoft.com", "roles": []}, "MissingPermission", "permits nothing"),
        ({"aud": "https://api.securitycenter.microsoft.com", "scp": ""}, "MissingPermission", "permits nothing"),
        ({"aud": "https://graph.microsoft.com", "roles": []}, "WrongAudience", "https://graph.microsoft.com"),
    ],
)
def test_a_token_that_opens_nothing_is_a_failure(
    office: Tenant, claims: dict[str, t.Any], code: str, said: str
) -> None:
    result = token(office, access_token=unsigned(**claims))
    assert result["failed"] and result["error"]["code"] == code and said in result["msg"]


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


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_that_requires_nothing_is_said(office: Tenant, blank: str | None) -> None:
    result = token(office, required_permissions=blank)
    assert not result["failed"]
    assert office.teller.told("warn") == [
        "required_permissions is blank, so no permission is required. Leave required_permissions out if that is meant."
    ]
