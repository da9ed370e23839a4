# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests

from simulator import Device, ManagedIdentity, Simulator
from simulator.testing import Client, error_of

Start = Callable[..., Simulator]

FABRIKAM = "11111111-2222-4333-8444-555555555555"


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _discovery(simulator: Simulator, name: str) -> requests.Response:
    return requests.get(
        f"{simulator.login_url}/{name}/v2.0/.well-known/openid-configuration", verify=simulator.ca_path, timeout=5
    )


def _sign_in(simulator: Simulator, name: str) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "scope": f"{simulator.audience}/.default",
    }
    url = f"{simulator.login_url}/{name}/oauth2/v2.0/token"
    return requests.post(url, form, verify=simulator.ca_path, timeout=5)


@pytest.mark.parametrize(
    ("name", "tenant"),
    [
        ("contoso.onmicrosoft.com", "7f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"),
        ("Contoso.com", "7f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"),
        ("fabrikam.com", FABRIKAM),
        (FABRIKAM, FABRIKAM),
    ],
)
def test_a_domain_name_leads_to_the_tenant_id(start: Start, name: str, tenant: str) -> None:
    simulator = start(domains=("contoso.com",), foreign_tenants={"fabrikam.com": FABRIKAM})
    facts = _discovery(simulator, name).json()
    assert facts["issuer"] == f"{simulator.login_url}/{tenant}/v2.0"
    assert facts["token_endpoint"] == f"{simulator.login_url}/{tenant}/oauth2/v2.0/token"


def test_an_unknown_domain_is_no_tenant(start: Start) -> None:
    simulator = start(foreign_tenants={"fabrikam.com": FABRIKAM})
    assert _discovery(simulator, "tailspin.com").json()["error_codes"] == [90002]
    assert _discovery(simulator, "contoso.com").json()["error_codes"] == [90002]


def test_an_app_is_unknown_in_a_foreign_tenant(start: Start) -> None:
    simulator = start(domains=("contoso.com",), foreign_tenants={"fabrikam.com": FABRIKAM})
    assert _sign_in(simulator, "fabrikam.com").json()["error_codes"] == [700016]
    assert _claims(_sign_in(simulator, "contoso.com").json()["access_token"])["tid"] == simulator.tenant


def test_a_managed_identity_has_the_tenant_that_it_has(start: Start) -> None:
    devices = [Device("pc01")]
    simulator = start(*devices, identities=[ManagedIdentity("runner", tenant=FABRIKAM)])
    query = {"api-version": "2018-02-01", "resource": simulator.audience}
    reply = requests.get(
        f"{simulator.identity_url}/metadata/identity/oauth2/token", query, headers={"Metadata": "true"}, timeout=5
    )
    token = reply.json()["access_token"]
    assert _claims(token)["tid"] == FABRIKAM
    assert error_of(Client(simulator, token).get("/api/machines")) == (401, "Unauthorized")


def test_a_token_of_another_tenant_can_be_made(start: Start) -> None:
    claims = _claims(start().issue_token(tenant=FABRIKAM))
    assert (claims["tid"], claims["iss"]) == (FABRIKAM, f"https://sts.windows.net/{FABRIKAM}/")


def test_two_tenants_share_names_and_nothing_else(start: Start) -> None:
    first = start(Device("pc01"))
    second = start(Device("pc01"), tenant=FABRIKAM, tenant_name="fabrikam.onmicrosoft.com")
    here, there = first.device("pc01"), second.device("pc01")
    assert here.id != there.id and here.aad_device_id != there.aad_device_id and here.ip != there.ip
    assert first.client_id == second.client_id and first.client_secret != second.client_secret
    actions = [Client(one).collect(one.device("pc01")).json()["id"] for one in (first, second)]
    assert actions[0] != actions[1]
    assert error_of(Client(second, first.issue_token()).get("/api/machines")) == (401, "Unauthorized")
    assert [entry.endpoint for entry in first.requests] == ["collect"]
    assert not first.secrets & second.secrets


def test_two_tenants_can_share_the_addresses(start: Start) -> None:
    first = start(Device("pc01"))
    second = start(Device("pc01"), front=first, tenant=FABRIKAM, tenant_name="fabrikam.com")
    assert first.api_url == second.api_url and first.control_url != second.control_url
    assert _claims(_sign_in(second, "fabrikam.com").json()["access_token"])["tid"] == FABRIKAM
    assert _sign_in(first, "fabrikam.com").json()["error_codes"] == [7000215]
    for one in (first, second):
        client = Client(one)
        assert [row["id"] for row in client.get("/api/machines").json()["value"]] == [one.device("pc01").id]
        assert client.collect(one.device("pc01")).status_code == 201
        assert set(one.accepted_starts()) == {one.device("pc01").id}
        assert {entry.client_id for entry in one.requests if entry.endpoint == "collect"} == {one.client_id}
    assert error_of(Client(first).get(f"/api/machines/{second.device('pc01').id}")) == (404, "ResourceNotFound")
    assert [len([entry for entry in one.requests if entry.endpoint == "token"]) for one in (first, second)] == [0, 2]


def test_a_link_leads_to_its_tenant(start: Start) -> None:
    first = start(Device("pc01"))
    second = start(Device("pc02", "recent"), front=first, tenant=FABRIKAM)
    client = Client(second)
    assert client.download(client.link(second.actions[0]["id"])).status_code == 200
    assert [entry.endpoint for entry in second.requests] == ["package_link", "download"]
    assert first.requests == []
    log = requests.get(f"{second.control_url}/_simulator/requests", verify=first.ca_path, timeout=5).json()
    assert [entry["endpoint"] for entry in log] == ["package_link", "download"]


def test_two_tenants_of_one_id_cannot_share(start: Start) -> None:
    with pytest.raises(ValueError, match="two tenants"):
        start(front=start())
