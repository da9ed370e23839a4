# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from simulator import App, Device, Simulator
from simulator.assertions import ASSERTION_TYPE
from simulator.keys import key_pair
from simulator.testing import Client, FakeClock

Start = Callable[..., Simulator]

# Microsoft advises against passwords; the flow is there all the same.
pytestmark = pytest.mark.filterwarnings("ignore:This API has been deprecated for public client flows")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """On the real clock, for msal has no other."""
    with Simulator([Device("pc01")]) as running:
        yield running


class _Session(requests.Session):
    """msal asks for the user realm on the standard port whatever the authority's is."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = simulator.ca_path
        self._netloc = urlsplit(simulator.login_url).netloc

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, urlunsplit(urlsplit(url)._replace(netloc=self._netloc)), *args, **kwargs)


def _confidential(simulator: Simulator, credential: Any, client_id: str = "", tenant: str = "") -> Any:
    return msal.ConfidentialClientApplication(
        client_id or simulator.client_id,
        client_credential=credential,
        authority=f"{simulator.login_url}/{tenant or simulator.tenant}",
        instance_discovery=False,
        http_client=_Session(simulator),
    )


def _public(simulator: Simulator, app: str = "secops-desktop") -> Any:
    return msal.PublicClientApplication(
        simulator.app(app).client_id,
        authority=f"{simulator.login_url}/{simulator.tenant}",
        instance_discovery=False,
        http_client=_Session(simulator),
    )


def _acquire(application: Any, audience: str) -> dict[str, Any]:
    result: dict[str, Any] = application.acquire_token_for_client([f"{audience}/.default"])
    return result


def _works(simulator: Simulator, result: dict[str, Any]) -> bool:
    assert "access_token" in result, result
    return Client(simulator, result["access_token"]).get("/api/machines").status_code == 200


def _number(result: dict[str, Any]) -> int:
    number: int = result["error_codes"][0]
    assert result["error_description"].startswith(f"AADSTS{number}: ")
    for word in ("Trace ID: ", "Correlation ID: ", "Timestamp: "):
        assert word in result["error_description"]
    return number


def test_secret(simulator: Simulator) -> None:
    result = _acquire(_confidential(simulator, simulator.client_secret), simulator.audience)
    assert _works(simulator, result)
    assert result["expires_in"] == 3599
    claims = jwt.decode(result["access_token"], options={"verify_signature": False})
    assert claims["aud"] == simulator.audience
    assert claims["iss"] == f"https://sts.windows.net/{simulator.tenant}/"
    assert claims["roles"] == ["Machine.CollectForensics", "Machine.Read.All"]
    assert (claims["appid"], claims["appidacr"], claims["ver"]) == (simulator.client_id, "1", "1.0")
    assert result["access_token"] in simulator.secrets and simulator.client_secret in simulator.secrets


def test_the_tenant_by_its_name(simulator: Simulator) -> None:
    application = _confidential(simulator, simulator.client_secret, tenant="contoso.onmicrosoft.com")
    assert _works(simulator, _acquire(application, simulator.audience))


def test_certificate_as_pem(simulator: Simulator) -> None:
    pem = Path(simulator.certificate_path).read_text(encoding="utf-8")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    credential = {
        "private_key": pem,
        "public_certificate": pem[pem.index("-----BEGIN CERTIFICATE") :],
    }
    result = _acquire(_confidential(simulator, credential), simulator.audience)
    assert _works(simulator, result)
    assert jwt.decode(result["access_token"], options={"verify_signature": False})["appidacr"] == "2"
    by_sha1 = {"private_key": pem, "thumbprint": certificate.fingerprint(hashes.SHA1()).hex()}
    assert _works(simulator, _acquire(_confidential(simulator, by_sha1), simulator.audience))


def test_certificate_as_pfx(simulator: Simulator) -> None:
    credential = {
        "private_key_pfx_path": simulator.certificate_pfx_path,
        "passphrase": simulator.certificate_password,
    }
    assert _works(simulator, _acquire(_confidential(simulator, credential), simulator.audience))
    assert simulator.certificate_password in simulator.secrets


def test_a_certificate_of_somebody_else(simulator: Simulator) -> None:
    pem = Path(simulator.stranger_certificate_path).read_text(encoding="utf-8")
    credential = {"private_key": pem, "public_certificate": pem[pem.index("-----BEGIN CERTIFICATE") :]}
    result = _acquire(_confidential(simulator, credential), simulator.audience)
    assert (_number(result), result["error"]) == (700027, "invalid_client")


def test_federated_token(simulator: Simulator) -> None:
    token = simulator.federated_token()
    assert _works(
        simulator, _acquire(_confidential(simulator, {"client_assertion": lambda: token}), simulator.audience)
    )
    assert token in simulator.secrets


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"subject": "system:serviceaccount:soc:other"}, 70021),
        ({"issuer": "https://token.example.com"}, 70021),
        ({"audience": "api://other"}, 70021),
        ({"lifetime": -600}, 700024),
    ],
)
def test_federated_tokens_that_do_not_match(simulator: Simulator, change: dict[str, Any], number: int) -> None:
    credential = {"client_assertion": partial(simulator.federated_token, **change)}
    assert _number(_acquire(_confidential(simulator, credential), simulator.audience)) == number


def test_a_federated_token_for_an_app_without_federation(simulator: Simulator) -> None:
    credential = {"client_assertion": simulator.federated_token}
    client_id = simulator.app("secops-reader").client_id
    assert _number(_acquire(_confidential(simulator, credential, client_id), simulator.audience)) == 70021


def test_wrong_secret_unknown_app_and_expired_secret(simulator: Simulator) -> None:
    wrong = _acquire(_confidential(simulator, "wrong"), simulator.audience)
    assert (_number(wrong), wrong["error"]) == (7000215, "invalid_client")
    unknown = _acquire(_confidential(simulator, "x", str(uuid.uuid4())), simulator.audience)
    assert (_number(unknown), unknown["error"]) == (700016, "unauthorized_client")
    app = simulator.app("secops-expired")
    expired = _acquire(_confidential(simulator, app.secret, app.client_id), simulator.audience)
    assert (_number(expired), expired["error"]) == (7000222, "invalid_client")


def test_scopes(simulator: Simulator) -> None:
    application = _confidential(simulator, simulator.client_secret)
    unknown = _acquire(application, "https://api.example.com")
    assert (_number(unknown), unknown["error"]) == (500011, "invalid_resource")
    no_default = application.acquire_token_for_client([f"{simulator.audience}/Machine.Read.All"])
    assert (_number(no_default), no_default["error"]) == (1002012, "invalid_scope")
    other = _acquire(application, "https://api.security.microsoft.com")
    assert "roles" not in jwt.decode(other["access_token"], options={"verify_signature": False})
    assert Client(simulator, other["access_token"]).get("/api/machines").status_code == 403


def test_unknown_tenant(simulator: Simulator) -> None:
    session = _Session(simulator)
    url = f"{simulator.login_url}/fabrikam.com/v2.0/.well-known/openid-configuration"
    response = session.get(url)
    assert response.status_code == 400
    assert (_number(response.json()), response.json()["error"]) == (90002, "invalid_tenant")
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        _confidential(simulator, "x", tenant="fabrikam.com")


def test_password(simulator: Simulator) -> None:
    def sign_in(username: str, password: str = "") -> dict[str, Any]:
        result: dict[str, Any] = _public(simulator).acquire_token_by_username_password(
            username, password or simulator.user(username).password, [f"{simulator.audience}/.default"]
        )
        return result

    result = sign_in("analyst@contoso.onmicrosoft.com")
    assert _works(simulator, result)
    claims = jwt.decode(result["access_token"], options={"verify_signature": False})
    assert claims["scp"] == "Machine.CollectForensics Machine.Read" and "roles" not in claims
    assert [entry.endpoint for entry in simulator.requests][:3] == ["discovery", "userrealm", "token"]
    assert _number(sign_in("analyst@contoso.onmicrosoft.com", "wrong")) == 50126
    assert _number(sign_in("nobody@contoso.onmicrosoft.com", "x")) == 50034
    assert _number(sign_in("careful@contoso.onmicrosoft.com")) == 50076


def test_a_delegated_token_is_refreshed(simulator: Simulator) -> None:
    application = _public(simulator)
    user = simulator.user("analyst@contoso.onmicrosoft.com")
    scopes = [f"{simulator.audience}/.default"]
    first = application.acquire_token_by_username_password(user.username, user.password, scopes)
    (account,) = application.get_accounts()
    second = application.acquire_token_silent(scopes, account, force_refresh=True)
    assert _works(simulator, second) and second["access_token"] != first["access_token"]


def test_a_confidential_app_is_asked_for_its_credential(simulator: Simulator) -> None:
    user = simulator.user("analyst@contoso.onmicrosoft.com")
    result = _public(simulator, "secops-collector").acquire_token_by_username_password(
        user.username, user.password, [f"{simulator.audience}/.default"]
    )
    assert (_number(result), result["error"]) == (7000218, "invalid_client")


def test_device_code(simulator: Simulator) -> None:
    application = _public(simulator)
    flow = application.initiate_device_flow([f"{simulator.audience}/.default"])
    assert flow["user_code"] in flow["message"]
    pending = application.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    assert (_number(pending), pending["error"]) == (70016, "authorization_pending")
    assert simulator.approve_device_code() == 1
    assert _works(simulator, application.acquire_token_by_device_flow(flow))


def test_device_code_approved_by_time(start: Start, clock: FakeClock) -> None:
    simulator = start(Device("pc01"), device_code_seconds=5.0)
    client_id = simulator.app("secops-desktop").client_id
    base = f"{simulator.login_url}/{simulator.tenant}/oauth2/v2.0"
    session = _Session(simulator)
    scope = f"{simulator.audience}/.default"
    code = session.post(f"{base}/devicecode", data={"client_id": client_id, "scope": scope}).json()["device_code"]

    def poll() -> dict[str, Any]:
        data = {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "client_id": client_id,
            "device_code": code,
        }
        result: dict[str, Any] = session.post(f"{base}/token", data=data).json()
        return result

    assert poll()["error"] == "authorization_pending"
    clock.advance(5)
    assert "access_token" in poll()
    assert poll()["error"] == "bad_verification_code"


# What msal would never send


def _post(simulator: Simulator, **form: str) -> dict[str, Any]:
    result: dict[str, Any] = (
        _Session(simulator).post(f"{simulator.login_url}/{simulator.tenant}/oauth2/v2.0/token", data=form).json()
    )
    return result


def _assert_with(
    simulator: Simulator, purpose: str = "app", algorithm: str = "PS256", headers: Any = None, **changes: Any
) -> dict[str, Any]:
    endpoint = f"{simulator.login_url}/{simulator.tenant}/oauth2/v2.0/token"
    now = int(time.time())
    claims = {
        "aud": endpoint,
        "iss": simulator.client_id,
        "sub": simulator.client_id,
        "jti": "1",
        "nbf": now,
        "exp": now + 600,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    named = {"x5t#S256": key_pair("app").thumbprint_sha256} if headers is None else headers
    return _post(
        simulator,
        grant_type="client_credentials",
        client_id=simulator.client_id,
        scope=f"{simulator.audience}/.default",
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=jwt.encode(claims, key_pair(purpose).key, algorithm=algorithm, headers=named),
    )


def test_assertions_in_both_styles(simulator: Simulator) -> None:
    assert "access_token" in _assert_with(simulator)
    assert "access_token" in _assert_with(simulator, algorithm="RS256", headers={"x5t": key_pair("app").thumbprint})


def test_assertions_are_really_checked(simulator: Simulator) -> None:
    now = int(time.time())
    assert _number(_assert_with(simulator, purpose="stranger")) == 700027
    assert _number(_assert_with(simulator, headers={})) == 700027
    assert _number(_assert_with(simulator, algorithm="RS512")) == 700027
    assert _number(_assert_with(simulator, aud="https://login.example.com/token")) == 700023
    assert _number(_assert_with(simulator, sub="other")) == 700021
    assert _number(_assert_with(simulator, jti=None)) == 700021
    assert _number(_assert_with(simulator, exp=now - 600)) == 700024
    assert _number(_assert_with(simulator, nbf=now + 600, exp=now + 900)) == 700024
    assert _number(_assert_with(simulator, exp=None)) == 700024


def test_malformed_requests(simulator: Simulator) -> None:
    good = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "scope": f"{simulator.audience}/.default",
    }
    assert "access_token" in _post(simulator, **good)
    for missing in ("grant_type", "client_id", "scope"):
        assert _number(_post(simulator, **{**good, missing: ""})) == 900144
    assert _number(_post(simulator, **{**good, "client_secret": ""})) == 7000218
    assert _number(_post(simulator, **{**good, "grant_type": "magic"})) == 70003
    assertion = {**good, "client_assertion": "x.y.z", "client_assertion_type": ASSERTION_TYPE}
    assert _number(_post(simulator, **assertion)) == 50027
    assert _number(_post(simulator, **{**assertion, "client_assertion_type": ""})) == 900144


def test_the_published_keys_verify_the_tokens(simulator: Simulator) -> None:
    (key,) = _Session(simulator).get(f"{simulator.login_url}/{simulator.tenant}/discovery/v2.0/keys").json()["keys"]
    token = simulator.issue_token()
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    assert jwt.decode(token, jwt.PyJWK(key).key, algorithms=["RS256"], audience=simulator.audience)


def test_apps_of_ones_own(start: Start) -> None:
    app = App("mine", roles=("Machine.Read.All",), secret="s3cret", certificate=False)
    simulator = start(Device("pc01"), apps=[app])
    assert (simulator.client_id, simulator.client_secret) == (app.client_id, "s3cret")
    assert Client(simulator).get("/api/machines").status_code == 200
    assert {"s3cret"} <= simulator.secrets


# Managed identity


def _identity(simulator: Simulator, identity: Any) -> dict[str, Any]:
    result: dict[str, Any] = msal.ManagedIdentityClient(
        identity, http_client=requests.Session()
    ).acquire_token_for_client(resource=simulator.audience)
    return result


@pytest.mark.parametrize("host", ["imds", "app_service"])
def test_managed_identity(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    if host == "imds":
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", simulator.identity_url)
    else:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{simulator.identity_url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", simulator.identity_header)
    assert _works(simulator, _identity(simulator, msal.SystemAssignedManagedIdentity()))
    assigned = msal.UserAssignedManagedIdentity(client_id=simulator.identities[1].client_id)
    assert _works(simulator, _identity(simulator, assigned))
    unknown = _identity(simulator, msal.UserAssignedManagedIdentity(client_id=str(uuid.uuid4())))
    assert "error" in unknown and "access_token" not in unknown
    if host == "app_service":
        monkeypatch.setenv("IDENTITY_HEADER", "wrong")
        assert "error" in _identity(simulator, msal.SystemAssignedManagedIdentity())


def test_managed_identity_wants_its_header_and_is_not_the_api(simulator: Simulator) -> None:
    session = requests.Session()
    session.trust_env = False
    url = f"{simulator.identity_url}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"
    assert session.get(url).status_code == 400
    assert session.get(url, headers={"Metadata": "true"}).status_code == 200
    assert session.get(f"{simulator.identity_url}/api/machines").status_code == 404
    assert Client(simulator).get("/metadata/identity/oauth2/token").status_code == 404


def test_private_files_are_private(simulator: Simulator) -> None:
    for path in (simulator.certificate_path, simulator.certificate_pfx_path):
        assert Path(path).stat().st_mode & 0o077 == 0
    key = Path(simulator.certificate_path).read_bytes()
    assert serialization.load_pem_private_key(key, None) is not None
