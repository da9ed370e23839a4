# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service.connection import COLLECT_AND_READ, Connection
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    NetworkError,
    OptionsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, Simulator

Simulate = Callable[..., Simulator]
OTHER = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def connect_to(clock: VirtualClock, tmp_path: pathlib.Path) -> Callable[..., Connection]:
    def connect(simulator: Simulator, **given: Any) -> Connection:
        whole = {
            "login_url": simulator.login_url,
            "api_url": simulator.api_url,
            "audience": simulator.audience,
            "ca_path": simulator.ca_path,
            "quota_dir": str(tmp_path / "quota"),
            "timeout": 10.0,
            **given,
        }
        return Connection(Settings(**whole), Teller(), Secrets(), clock)

    return connect


ConnectTo = Callable[..., Connection]


def by_secret(simulator: Simulator) -> dict[str, Any]:
    return {"client_id": simulator.client_id, "client_secret": simulator.client_secret}


@pytest.mark.parametrize("asked", ["id", "ID", "domain", "DOMAIN", None])
def test_the_tenant_of_the_token_is_known(asked: str | None, simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"), clock=None)
    names = {"id": simulator.tenant, "ID": simulator.tenant.upper(), "domain": "contoso.onmicrosoft.com"}
    names["DOMAIN"] = names["domain"].title()
    tenant = names.get(asked or "")
    for given in ({"access_token": simulator.issue_token()}, by_secret(simulator)):
        if not tenant and "client_secret" in given:
            continue
        connection = connect_to(simulator, tenant=tenant, **given)
        assert connection.tenant is None
        assert connection.sign_in(COLLECT_AND_READ).machines()
        assert connection.tenant == simulator.tenant


def wrong(connection: Connection) -> AuthError:
    with pytest.raises(AuthError) as caught:
        connection.sign_in(COLLECT_AND_READ)
    assert caught.value.advice.endswith(".")
    return caught.value


@pytest.mark.parametrize("way", ["access_token", "managed_identity", "azure_cli"])
@pytest.mark.parametrize("asked", [OTHER, "fabrikam.com"])
def test_a_token_of_another_tenant_is_refused(
    asked: str,
    way: str,
    simulate: Simulate,
    connect_to: ConnectTo,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    simulator = simulate(Device("pc01"), clock=None, foreign_tenants={"fabrikam.com": OTHER})
    given: dict[str, Any] = {"auth_source": way}
    if way == "access_token":
        given["access_token"] = simulator.issue_token()
    elif way == "managed_identity":
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{simulator.identity_url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", simulator.identity_header)
    else:
        program = tmp_path / "az"
        program.write_text(
            f'#!/bin/sh\necho \'{{"accessToken": "{simulator.issue_token()}", "expires_on": 9999999999}}\'\n'
        )
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    error = wrong(connect_to(simulator, tenant=asked, **given))
    assert error.code == "WrongTenant"
    assert simulator.tenant in error.message and asked in error.message and OTHER in error.message
    assert not any(entry.endpoint == "machines" for entry in simulator.requests)


def test_a_domain_that_nobody_knows_is_no_excuse(simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"), clock=None)
    error = wrong(connect_to(simulator, tenant="nowhere.example", access_token=simulator.issue_token()))
    assert error.code == "WrongTenant" and "nowhere.example" in error.message and "the tenant's ID" in error.advice


def test_a_login_host_that_is_not_reached(simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"))
    token = simulator.issue_token()
    connection = connect_to(simulator, tenant="contoso.com", access_token=token, login_url="https://127.0.0.1:1")
    with pytest.raises(NetworkError):
        connection.sign_in(COLLECT_AND_READ)
    # The ID needs nobody.
    connection = connect_to(simulator, tenant=simulator.tenant, access_token=token, login_url="https://127.0.0.1:1")
    assert connection.sign_in(COLLECT_AND_READ).machines()


@pytest.mark.parametrize("any_tenant", ["common", "organizations", None])
def test_whichever_tenant_it_is(any_tenant: str | None, simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"), clock=None)
    connect_to(simulator, tenant=any_tenant, access_token=simulator.issue_token()).sign_in(COLLECT_AND_READ)


def test_a_token_that_cannot_be_read_has_no_tenant_to_compare(simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"), clock=None)
    connection = connect_to(simulator, tenant=OTHER, access_token="opaque-token")
    connection.sign_in(COLLECT_AND_READ)
    assert connection.tenant == OTHER


@pytest.mark.parametrize("ahead", [5 * 86_400.0, -5 * 86_400.0])
def test_a_clock_that_is_wrong_does_not_end_a_token(ahead: float, simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"), clock_skew=-ahead)
    connection = connect_to(simulator, access_token=simulator.issue_token())
    api = connection.sign_in(COLLECT_AND_READ)
    api.machines()
    assert abs(api.session.skew - ahead) < 3
    connection.check_lifetime(60.0)
    with pytest.raises(AuthError) as caught:
        connection.check_lifetime(100_000.0)
    assert caught.value.code == "TokenTooShort"


def test_a_token_that_has_ended_has_ended(simulate: Simulate, connect_to: ConnectTo, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    token = simulator.issue_token()
    clock.now += 7200
    assert wrong(connect_to(simulator, access_token=token)).code == "TokenExpired"


def test_contradictions_are_refused_before_anything_is_sent(simulate: Simulate, connect_to: ConnectTo) -> None:
    simulator = simulate(Device("pc01"))
    origins = {"region": "task", "api_url": "DEFENDER_API_URL"}
    with pytest.raises(OptionsError, match="DEFENDER_API_URL") as caught:
        connect_to(simulator, region="uk", origins=origins, access_token="x")
    assert isinstance(caught.value, DefenderError) and not simulator.requests
