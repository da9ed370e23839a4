# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import builtins
import itertools
import json
import pathlib
import re
import subprocess
import threading
import time
import typing as t
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msal
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints, endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import SOURCES, Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import Wire as MsalWire
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import SIGN_IN_ADVICE
from ansible_collections.secops.defender.plugins.module_utils._service.sources import (
    choose_source,
    identity_key,
    open_device_code,
    open_tokens,
)
from ansible_collections.secops.defender.plugins.module_utils._service.token import (
    COLLECT_PERMISSION,
    READ_PERMISSIONS,
    Claims,
    Tokens,
    check_claims,
)
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http, Reply, json_of
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    MissingLibrary,
    NetworkError,
    OptionsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.service_world import (
    endpoints_of,
)
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, Simulator
from simulator.keys import b64url, key_pair, write_private
from simulator.testing import Client

# Microsoft advises against passwords; the sign-in is there all the same.
pytestmark = pytest.mark.filterwarnings("ignore:This API has been deprecated for public client flows")

Options = dict[str, Any]
REQUIRED = ((COLLECT_PERMISSION,), READ_PERMISSIONS)


@pytest.fixture
def tenant(simulate: Callable[..., Simulator], tmp_path: pathlib.Path) -> Simulator:
    """By the real clock, for msal has no other."""
    return simulate(Device("pc01"), clock=None, state_dir=tmp_path / "tenant")


@pytest.fixture
def sign_in(tenant: Simulator, clock: VirtualClock, secrets: Secrets) -> Callable[..., Tokens]:
    def do(where: Endpoints | None = None, **options: Any) -> Tokens:
        given = {"tenant": tenant.tenant, "client_id": tenant.client_id, **options}
        http = Http(tenant.ca_path, True, 10, clock)
        tokens, _why = open_tokens(Settings(**given), where or endpoints_of(tenant), http, secrets)
        return tokens

    return do


SignIn = Callable[..., Tokens]


def refusal(action: Callable[[], Any], kind: type[DefenderError] = AuthError) -> Any:
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.advice.endswith(".")
    assert caught.value.message.endswith(".") or kind is MissingLibrary
    return caught.value


def works(tenant: Simulator, token: str) -> None:
    assert Client(tenant, token).get("/api/machines").status_code == 200


def token_calls(tenant: Simulator) -> int:
    return sum(entry.endpoint == "token" for entry in tenant.requests)


# Which sign-in

FULL = {
    "access_token": {"access_token": "x"},
    "client_secret": {"tenant": "t", "client_id": "c", "client_secret": "x"},
    "certificate": {"tenant": "t", "client_id": "c", "certificate_path": "x"},
    "federated_token": {"tenant": "t", "client_id": "c", "federated_token_file": "x"},
    "username_password": {"tenant": "t", "client_id": "c", "username": "u", "password": "x"},
    "managed_identity": {},
    "azure_cli": {},
}
TELLING = ["access_token", "client_secret", "certificate_path", "federated_token_file", "password"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_named_source_is_taken_whatever_else_is_given(source: str) -> None:
    everything: dict[str, t.Any] = {name: value for options in FULL.values() for name, value in options.items()}
    assert choose_source(Settings(**everything, auth_source=source)) == (
        source,
        f"Signing in with {source}, as auth_source says.",
    )


@pytest.mark.parametrize(
    "given_options", [combination for size in range(1, 6) for combination in itertools.combinations(TELLING, size)]
)
def test_auto_takes_the_first_that_is_given(given_options: tuple[str, ...]) -> None:
    options: Options = {
        "auth_source": "auto",
        "tenant": "t",
        "client_id": "c",
        "username": "u",
        **dict.fromkeys(given_options, "x"),
    }
    source, why = choose_source(Settings(**options))
    expected = {
        "certificate_path": "certificate",
        "federated_token_file": "federated_token",
        "password": "username_password",
    }
    assert source == expected.get(given_options[0], given_options[0])
    assert f"because {given_options[0]} is given" in why
    assert ("would be possible too" in why) is (len(given_options) > 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth_source": "auto"},
        {"tenant": "t", "client_id": "c", "username": "u"},
        dict.fromkeys(TELLING, ""),
    ],
)
def test_auto_with_nothing(options: Options) -> None:
    error = refusal(lambda: choose_source(Settings(**options)), OptionsError)
    assert error.message == "No credentials are given."
    for name in ("DEFENDER_TENANT", "DEFENDER_CLIENT_SECRET", "managed_identity", "azure_cli"):
        assert name in error.advice


@pytest.mark.parametrize(
    ("source", "left_out"), [(source, option) for source, options in FULL.items() for option in options]
)
def test_what_is_missing_is_named(source: str, left_out: str) -> None:
    for empty in (None, ""):
        options = {**FULL[source], "auth_source": source, left_out: empty}
        error = refusal(lambda options=options: choose_source(Settings(**options)), OptionsError)  # type: ignore[misc]
        assert error.message.endswith(f"missing: {left_out}.") and f"DEFENDER_{left_out.upper()}" in error.advice


def test_the_proof_is_the_nearest_places() -> None:
    whole = {"tenant": "t", "client_id": "c", "username": "u"}
    proofs = {"client_secret": "s", "access_token": "x", "password": "w", "certificate_path": "p"}
    for near, far, expected in (
        ("client_secret", "access_token", "client_secret"),
        ("password", "client_secret", "username_password"),
        ("certificate_path", "client_secret", "certificate"),
    ):
        for places in (("task", "DEFENDER_X"), ("DEFENDER_X", "AZURE_X"), ("task", "AZURE_X")):
            origins = {near: places[0], far: places[1], "tenant": "AZURE_TENANT"}
            settings = Settings(**whole, **{name: proofs[name] for name in (near, far)}, origins=origins)  # type: ignore[arg-type]
            source, why = choose_source(settings)
            assert source == expected and "from farther away is passed over" in why
    # In one place the order of the ways decides, as ever.
    settings = Settings(**whole, **proofs, origins=dict.fromkeys(proofs, "task"))  # type: ignore[arg-type]
    assert choose_source(settings)[0] == "access_token"


@pytest.mark.parametrize(("username", "secret"), [("task", "DEFENDER_X"), ("DEFENDER_USERNAME", "AZURE_SECRET")])
def test_a_user_without_a_password_is_not_passed_over_for_the_app(username: str, secret: str) -> None:
    whole = {"tenant": "t", "client_id": "c", "username": "u", "client_secret": "s"}
    origins = {"username": username, "client_secret": secret}
    error = refusal(lambda: choose_source(Settings(**whole, origins=origins)), OptionsError)  # type: ignore[arg-type]
    assert error.message.startswith("username is u, but no password is given as near; signing in with client_secret")
    named = {**origins, "auth_source": "task"}
    settings = Settings(**whole, auth_source="client_secret", origins=named)  # type: ignore[arg-type]
    assert choose_source(settings)[0] == "client_secret"


@pytest.mark.parametrize(
    ("username", "proofs", "expected"),
    [
        # A user who is named nearer than any proof is meant; one from as far away, or farther, is one way of several.
        ("task", "DEFENDER_X", "username_password"),
        ("DEFENDER_USERNAME", "DEFENDER_X", "client_secret"),
        ("AZURE_X", "task", "client_secret"),
    ],
)
def test_a_user_who_is_named_nearer_than_the_proofs(username: str, proofs: str, expected: str) -> None:
    whole = {"tenant": "t", "client_id": "c", "username": "u", "client_secret": "s", "password": "w"}
    origins = {"username": username, "client_secret": proofs, "password": proofs}
    assert choose_source(Settings(**whole, origins=origins))[0] == expected  # type: ignore[arg-type]


def test_auth_source_from_farther_away_does_not_overrule_a_proof() -> None:
    whole = {"tenant": "t", "client_id": "c", "client_secret": "s"}
    origins = {"client_secret": "task", "auth_source": "DEFENDER_AUTH_SOURCE"}
    source, why = choose_source(Settings(**whole, auth_source="azure_cli", origins=origins))  # type: ignore[arg-type]
    assert source == "client_secret" and "auth_source azure_cli comes from farther away" in why
    origins = {"client_secret": "DEFENDER_CLIENT_SECRET", "auth_source": "DEFENDER_AUTH_SOURCE"}
    assert choose_source(Settings(**whole, auth_source="azure_cli", origins=origins))[0] == "azure_cli"  # type: ignore[arg-type]
    origins = {"client_secret": "AZURE_SECRET", "auth_source": "task"}
    assert choose_source(Settings(**whole, auth_source="managed_identity", origins=origins))[0] == "managed_identity"  # type: ignore[arg-type]


# Who it would be, for what is kept between runs


def test_identities_differ_by_who_signs_in(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = {"tenant": "T", "client_id": "c", "client_secret": "word-1"}
    user = {"tenant": "t", "client_id": "c", "username": "u", "password": "word-2"}
    tokens = [jwt_of(tid="t", appid="c", oid=who, scp="x") for who in ("a", "b")]
    az(tmp_path / "bin", monkeypatch, 'echo \'{"tenantId": "t", "user": {"name": "me@x", "type": "user"}}\'')
    keys = [
        identity_key(settings)
        for settings in (
            Settings(**app),  # type: ignore[arg-type]
            Settings(**{**app, "tenant": "other"}),  # type: ignore[arg-type]
            Settings(**{**app, "client_id": "d"}),  # type: ignore[arg-type]
            Settings(**app, region="eu"),  # type: ignore[arg-type]
            Settings(**user),  # type: ignore[arg-type]
            Settings(**{**user, "username": "v"}),  # type: ignore[arg-type]
            *(Settings(access_token=token) for token in tokens),
            Settings(auth_source="managed_identity", client_id="c"),
            Settings(auth_source="azure_cli"),
        )
    ]
    assert None not in keys and len(set(keys)) == len(keys)
    assert identity_key(Settings(**{**app, "client_secret": "word-3"})) == keys[0]  # type: ignore[arg-type]
    assert not any("word-" in str(key) or token in str(key) for key in keys for token in tokens)
    az(tmp_path / "bin", monkeypatch, 'echo \'{"tenantId": "t", "user": {"name": "you@x", "type": "user"}}\'')
    assert identity_key(Settings(auth_source="azure_cli")) not in keys


def test_nobody_knows_who_it_would_be(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity_key(Settings(auth_source="managed_identity")) is None
    for token in ("opaque", jwt_of(tid="t"), jwt_of(tid="t", appid="c", scp="x")):
        assert identity_key(Settings(access_token=token)) is None
    for script in ("exit 1", "echo '{}'", 'echo \'{"tenantId": "t", "user": null}\''):
        az(tmp_path / "bin", monkeypatch, script)
        assert identity_key(Settings(auth_source="azure_cli")) is None


# Claims


def jwt_of(**claims: Any) -> str:
    return f"e30.{b64url(json.dumps(claims).encode())}.signature"


def test_claims_of_an_application() -> None:
    claims = Claims.of(jwt_of(aud="https://x", roles=["A", "B"], tid="t", appid="c", exp=17))
    assert claims == Claims("https://x", ("A", "B"), False, "t", "c", 17.0)


def test_claims_of_a_user() -> None:
    claims = Claims.of(jwt_of(aud="https://x", scp="A B", tid="t", azp="c", exp=17.5))
    assert claims == Claims("https://x", ("A", "B"), True, "t", "c", 17.5)
    assert Claims.of(jwt_of(scp="")).permissions == ()


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c", "a.!!!.c", "a..c", "ä.ö.ü", f"a.{b64url(b'[1]')}.c", f"a.{b64url(b'5')}.c"]
)
def test_tokens_that_cannot_be_read(token: str) -> None:
    assert Claims.of(token) == Claims(None, None, False, None, None, None)


_JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=5), max_size=3)
)


@given(st.dictionaries(st.sampled_from(["aud", "roles", "scp", "tid", "appid", "azp", "exp"]), _JSON))
def test_claims_of_any_kind(claims: dict[str, Any]) -> None:
    read = Claims.of(jwt_of(**claims))
    assert read.permissions is not None and all(isinstance(each, str) for each in read.permissions)
    assert read.audience is None or isinstance(read.audience, str)
    assert read.expires is None or iso(read.expires)


@pytest.mark.parametrize("expires", ["1e999", "1" + "0" * 400, "-1e17", "99999999999999", '"soon"', "null", "[1]"])
def test_a_token_that_ends_at_no_time_is_taken_as_one_without_an_end(expires: str) -> None:
    payload = b64url(b'{"exp": ' + expires.encode() + b"}")
    assert Claims.of(f"a.{payload}.c").expires is None


@given(st.text(max_size=40))
def test_texts_of_any_kind(text: str) -> None:
    Claims.of(text)
    Claims.of(f"a.{text}.c")


PUBLIC = "https://api.securitycenter.microsoft.com"
GOOD: dict[str, Any] = {"aud": PUBLIC, "roles": ["Machine.CollectForensics", "Machine.Read.All"], "exp": 10_000}
USER: dict[str, Any] = {"aud": PUBLIC, "scp": "Machine.CollectForensics Machine.Read", "exp": 10_000}


@pytest.mark.parametrize(
    "claims",
    [GOOD, USER, {**GOOD, "aud": PUBLIC + "/"}, {**GOOD, "aud": "fc780465-2017-40d4-a0c5-307022471b92"},
     {**GOOD, "roles": ["Machine.CollectForensics", "Machine.ReadWrite.All", "Other"]},
     {**USER, "scp": "Machine.ReadWrite Machine.CollectForensics"}, {"roles": GOOD["roles"]}],
)  # fmt: skip
def test_tokens_that_will_do(claims: Options) -> None:
    check_claims(
        Claims.of(jwt_of(**claims)), endpoints(), REQUIRED, now=1000.0, work=9000.0 if "exp" in claims else 1e9
    )


@pytest.mark.parametrize(
    ("token", "code"),
    [("opaque", "TokenUnreadable"), (jwt_of(roles=["A"]), "WrongAudience"), (jwt_of(aud=PUBLIC), "MissingPermission"),
     (jwt_of(aud=PUBLIC, scp=""), "MissingPermission")],
)  # fmt: skip
def test_a_token_of_which_nothing_can_be_said_is_refused_where_that_is_the_question(token: str, code: str) -> None:
    check_claims(Claims.of(token), endpoints(), (), now=1000.0, work=0.0)
    error = refusal(lambda: check_claims(Claims.of(token), endpoints(), (), now=1000.0, work=0.0, strict=True))
    assert error.code == code and Claims.of(token).readable is (code != "TokenUnreadable")
    check_claims(Claims.of(jwt_of(**GOOD)), endpoints(), REQUIRED, now=1000.0, work=0.0, strict=True)


def test_an_opaque_token_is_left_to_the_service() -> None:
    check_claims(Claims.of("opaque"), endpoints(), REQUIRED, now=1000.0, work=1e9)


@pytest.mark.parametrize(
    ("claims", "work", "code", "message", "advice"),
    [
        ({**GOOD, "aud": "https://api.security.microsoft.com"}, 0.0, "WrongAudience",
         f"The token is for the audience https://api.security.microsoft.com, not for {PUBLIC}: the service would answer 403.",
         f"Ask for the scope {PUBLIC}/.default."),
        ({**GOOD, "aud": "00000003-0000-0000-c000-000000000000"}, 0.0, "WrongAudience", "00000003-0000-0000-c000-000000000000", "scope"),
        ({**GOOD, "exp": 999}, 0.0, "TokenExpired", "The token has expired at 1970-01-01T00:16:39Z.", "clock"),
        ({**GOOD, "exp": 1000}, 0.0, "TokenExpired", "The token has expired", "clock"),
        (GOOD, 9001.0, "TokenTooShort",
         "The access token ends at 1970-01-01T02:46:40Z, but the work ahead takes until 1970-01-01T02:46:41Z at the soonest.", "app's credentials"),
        ({**GOOD, "roles": ["Machine.Read.All"]}, 0.0, "MissingPermission",
         "The token lacks the application permission Machine.CollectForensics; it has Machine.Read.All.",
         "Add Machine.CollectForensics of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent"),
        ({**GOOD, "roles": ["Machine.CollectForensics"]}, 0.0, "MissingPermission",
         "lacks the application permission Machine.Read.All or Machine.ReadWrite.All; it has Machine.CollectForensics.", "Add Machine.Read.All of"),
        ({"aud": PUBLIC}, 0.0, "MissingPermission", "it has none.", "admin consent"),
        # A user's permission is no application's, nor the other way round.
        ({**GOOD, "roles": ["Machine.CollectForensics", "Machine.Read"]}, 0.0, "MissingPermission", "Machine.Read.All or", "Add"),
        ({**USER, "scp": "Machine.CollectForensics Machine.Read.All"}, 0.0, "MissingPermission",
         "lacks the delegated permission Machine.Read or Machine.ReadWrite; it has Machine.CollectForensics, Machine.Read.All.",
         "role Alerts Investigation"),
        ({**USER, "scp": ""}, 0.0, "MissingPermission", "lacks the delegated permission Machine.CollectForensics; it has none.", "device's group"),
    ],
)  # fmt: skip
def test_tokens_that_will_not_do(claims: Options, work: float, code: str, message: str, advice: str) -> None:
    error = refusal(lambda: check_claims(Claims.of(jwt_of(**claims)), endpoints(), REQUIRED, 1000.0, work))
    assert error.code == code
    assert message in error.message and advice in error.advice


@pytest.mark.parametrize(
    ("claims", "permission", "permitted"),
    [(GOOD, "Machine.Read.All", True), (GOOD, "Machine.ReadWrite.All", False), (GOOD, "Machine.CollectForensics", True),
     ({"roles": ["Machine.ReadWrite.All"]}, "Machine.Read.All", True), (USER, "Machine.Read.All", True), (USER, "Machine.Read", True),
     ({"scp": "Machine.ReadWrite"}, "Machine.Read.All", True), (USER, "Machine.ReadWrite.All", False), ({}, "Machine.Read.All", False)],
)  # fmt: skip
def test_permits(claims: Options, permission: str, permitted: bool) -> None:
    assert Claims.of(jwt_of(**claims)).permits(permission) is permitted
    assert not Claims.of("opaque").permits(permission)


# Renewal


class Source:
    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.asked: list[bool] = []

    def __call__(self, force: bool) -> tuple[str, float]:
        self.asked.append(force)
        return f"token-{len(self.asked)}", self.life


@pytest.mark.parametrize(
    ("life", "before"), [(3600.0, 300.0), (86_400.0, 300.0), (1500.0, 300.0), (60.0, 12.0), (5.0, 1.0)]
)
def test_a_token_is_renewed_before_it_ends(life: float, before: float, clock: VirtualClock, secrets: Secrets) -> None:
    source = Source(life)
    tokens = Tokens(source, clock, secrets)
    assert tokens.get() == tokens.get() == "token-1"
    clock.now += life - before - 0.25
    assert tokens.get() == "token-1"
    clock.now += 0.25
    assert tokens.get() == tokens.get() == "token-2"
    assert source.asked == [False, False]
    # Each becomes a secret when it comes.
    assert secrets.scrub("token-1 token-2") == "******** ********"


def test_a_refused_token_is_renewed_at_once(clock: VirtualClock, secrets: Secrets) -> None:
    source = Source()
    tokens = Tokens(source, clock, secrets)
    tokens.get()
    tokens.renew()
    assert source.asked == [False, True] and tokens.get() == "token-2"


def test_a_token_from_elsewhere_is_never_renewed(clock: VirtualClock, secrets: Secrets) -> None:
    http = Http(None, True, 5, clock)
    tokens, why = open_tokens(Settings(access_token=" given-token\n"), endpoints(), http, secrets)
    assert "access_token" in why and not tokens.renewable
    clock.now += 1e9
    assert tokens.get() == "given-token"
    error = refusal(tokens.renew)
    assert error.code == "Unauthorized" and "given" not in secrets.scrub("given-token")


def test_threads_renew_once(clock: VirtualClock, secrets: Secrets) -> None:
    source = Source()
    tokens = Tokens(source, clock, secrets)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(tokens.get())) for _each in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["token-1"] * 20


def test_a_failure_to_renew_is_told_and_may_pass(clock: VirtualClock, secrets: Secrets) -> None:
    lives = iter([3600.0])

    def fetch(force: bool) -> tuple[str, float]:
        for life in lives:
            return "first", life
        raise NetworkError("Not reached.")

    tokens = Tokens(fetch, clock, secrets)
    assert tokens.get() == "first"
    clock.now += 3600
    with pytest.raises(NetworkError):
        tokens.get()
    lives = iter([3600.0])
    assert tokens.get() == "first"


# An app with a secret


def test_client_secret(tenant: Simulator, sign_in: SignIn, clock: VirtualClock) -> None:
    tokens = sign_in(client_secret=tenant.client_secret)
    assert not tenant.requests
    works(tenant, tokens.get())
    tokens.get()
    assert token_calls(tenant) == 1
    claims = tokens.claims()
    assert (claims.tenant, claims.app_id) == (tenant.tenant, tenant.client_id)
    check_claims(claims, endpoints_of(tenant), REQUIRED, tenant.clock(), 0.0)


def test_a_domain_names_the_tenant_too(tenant: Simulator, sign_in: SignIn) -> None:
    works(tenant, sign_in(client_secret=tenant.client_secret, tenant="contoso.onmicrosoft.com").get())


def test_after_401_the_cache_is_passed_over(tenant: Simulator, sign_in: SignIn) -> None:
    tokens = sign_in(client_secret=tenant.client_secret)
    first = tokens.get()
    tokens.renew()
    assert token_calls(tenant) == 2
    assert tokens.get() != first
    works(tenant, tokens.get())


def test_short_lived_tokens_are_renewed(
    simulate: Callable[..., Simulator], clock: VirtualClock, secrets: Secrets
) -> None:
    tenant = simulate(Device("pc01"), clock=None, token_lifetime=200)
    options: dict[str, t.Any] = {
        "tenant": tenant.tenant,
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    http = Http(tenant.ca_path, True, 10, clock)
    tokens, _why = open_tokens(Settings(**options), endpoints_of(tenant), http, secrets)
    first = tokens.get()
    clock.now += 159
    assert tokens.get() == first
    clock.now += 1
    assert tokens.get() != first and token_calls(tenant) == 2


def mistake(code: str, **options: Any) -> Any:
    return pytest.param(options, code, id=code)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        mistake("AADSTS7000215", client_secret="the-secret's-id"),
        mistake("AADSTS700016", client_id="00000000-0000-4000-8000-000000000000"),
        mistake("AADSTS90002", tenant="00000000-0000-4000-8000-000000000000"),
        mistake("AADSTS7000222", app="secops-expired"),
        mistake("AADSTS500011", audience="https://api.nowhere.example"),
    ],
)
def test_mistakes_with_a_secret(options: Options, code: str, tenant: Simulator, sign_in: SignIn) -> None:
    given: Options = {"client_secret": tenant.client_secret}
    where = endpoints_of(tenant)
    if app := options.pop("app", None):
        given.update(client_id=tenant.app(app).client_id, client_secret=tenant.app(app).secret)
    if audience := options.pop("audience", None):
        where = Endpoints(where.cloud, where.login_url, where.api_url, audience)
    given.update(options)
    error = refusal(sign_in(where, **given).get)
    assert error.code == code and error.advice == SIGN_IN_ADVICE[code]
    who = f"app {given.get('client_id', tenant.client_id)} in tenant {given.get('tenant', tenant.tenant)}"
    assert error.message.startswith(f"Failed to sign in as {who}: {code}: ")
    # One sentence of Entra's, its tracking ID on its own.
    assert "Trace ID" not in error.message and "Timestamp" not in error.message
    assert re.fullmatch(r"[0-9a-f-]{36}", error.tracking_id or "")
    for secret in tenant.secrets:
        assert secret not in str(error)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_a_discovery_that_lacks_something(name: str, tenant: Simulator, sign_in: SignIn) -> None:
    tenant.add_fault("discovery", "without", names=[name], count=0)
    error = refusal(sign_in(client_secret=tenant.client_secret).get)
    assert "answers, but not as a login host does" in error.message and "login_url" in error.advice


@pytest.mark.parametrize("endpoint", ["discovery", "token"])
def test_a_login_host_that_nests_without_end(endpoint: str, tenant: Simulator, sign_in: SignIn) -> None:
    for status in (200, 400):
        tenant.add_fault(endpoint, "deep", status=status)
        refusal(sign_in(client_secret=tenant.client_secret).get, DefenderError)


def test_all_that_a_login_host_gives_is_a_secret(
    tenant: Simulator, sign_in: SignIn, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    whole = MsalWire._kept

    def kept(wire: Any, reply: Any) -> Any:
        decoded: Any = json_of(reply)
        given.extend(decoded[name] for name in ("access_token", "refresh_token") if name in (decoded or {}))
        return whole(wire, reply)

    monkeypatch.setattr(MsalWire, "_kept", kept)
    sign_in(**user_options(tenant)).get()
    assert len(given) == 2
    assert [secrets.scrub(f"see {each}") for each in given] == ["see ********"] * 2


def test_a_federated_token_is_a_secret_before_it_is_sent(
    tenant: Simulator, sign_in: SignIn, secrets: Secrets, tmp_path: pathlib.Path
) -> None:
    token = tenant.federated_token()
    tenant.add_fault("discovery", "status", count=0, status=400, code="BadRequest")
    path = write_private(tmp_path / "token", token.encode())
    refusal(sign_in(federated_token_file=str(path)).get)
    assert secrets.scrub(f"see {token}") == "see ********"


@pytest.mark.parametrize("encoding", ["raw", "json", "base64", "percent", "percent_lower", "html", "html_numbers"])
@pytest.mark.parametrize("way", ["client_secret", "certificate", "federated_token", "password"])
def test_what_proves_somebody_is_a_secret_however_it_is_echoed(
    way: str, encoding: str, tenant: Simulator, sign_in: SignIn, secrets: Secrets, tmp_path: pathlib.Path
) -> None:
    token = write_private(tmp_path / "token", tenant.federated_token().encode())
    ways: dict[str, Options] = {
        "client_secret": {"client_secret": tenant.client_secret},
        "certificate": {
            "certificate_path": tenant.certificate_pfx_path,
            "certificate_password": tenant.certificate_password,
        },
        "federated_token": {"federated_token_file": str(token)},
        "password": user_options(tenant),
    }
    secrets.add(*Settings(**ways[way]).secrets())
    tenant.add_fault("token", "echo", encoding=encoding, count=0)
    error = refusal(sign_in(**ways[way]).get)
    echoed = secrets.scrub(str(error))
    assert "********" in echoed
    for secret in (*Settings(**ways[way]).secrets(), token.read_text()):
        assert secret not in echoed
    assert not re.search(r"eyJ[\w-]{20,}", echoed)


@pytest.mark.parametrize("endpoint", ["discovery", "token"])
@pytest.mark.parametrize(
    ("kind", "args"),
    [("status", {"status": 503}), ("status", {"status": 429, "retry_after": 3}), ("reset", {}), ("truncate", {})],
)
def test_trouble_of_the_login_host_is_waited_out(
    endpoint: str, kind: str, args: Options, tenant: Simulator, sign_in: SignIn, clock: VirtualClock
) -> None:
    tenant.add_fault(endpoint, kind, count=2, **args)
    works(tenant, sign_in(client_secret=tenant.client_secret).get())
    assert len(clock.slept) == 2


@pytest.mark.parametrize("endpoint", ["discovery", "token"])
@pytest.mark.parametrize(
    ("kind", "args"),
    [("status", {"status": 503}), ("status", {"status": 429}), ("status", {"status": 404}), ("status", {"status": 302}), ("reset", {}),
     ("garbage", {}), ("wrong_shape", {}), ("wrong_shape", {"body": {}}), ("wrong_shape", {"body": {"access_token": 5}}),
     ("wrong_shape", {"body": {"error": ["odd"], "error_description": {"odd": 1}}})],
)  # fmt: skip
def test_lasting_trouble_of_the_login_host(
    endpoint: str, kind: str, args: Options, tenant: Simulator, sign_in: SignIn
) -> None:
    tenant.add_fault(endpoint, kind, count=0, **args)
    error = refusal(sign_in(client_secret=tenant.client_secret).get, DefenderError)
    assert tenant.client_secret not in str(error)


def test_a_login_host_that_is_not_reached(tenant: Simulator, sign_in: SignIn) -> None:
    tokens = sign_in(client_secret=tenant.client_secret)
    tenant.stop()
    assert "cannot be reached" in refusal(tokens.get, NetworkError).message


# An app with a certificate


def pem_parts(password: str = "", form: Any = serialization.PrivateFormat.PKCS8) -> tuple[bytes, bytes]:
    pair = key_pair("app")
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return (
        pair.key.private_bytes(serialization.Encoding.PEM, form, encryption),
        pair.certificate.public_bytes(serialization.Encoding.PEM),
    )


@pytest.mark.parametrize("order", ["key first", "certificate first"])
@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("password", ["", "word"])
def test_certificate_pem(
    order: str, form: Any, password: str, tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path
) -> None:
    key, certificate = pem_parts(password, form)
    content = key + certificate if order == "key first" else b"Bag Attributes\n" + certificate + b"\n# the key\n" + key
    path = write_private(tmp_path / "app.pem", content)
    tokens = sign_in(certificate_path=str(path), certificate_password=password or None)
    works(tenant, tokens.get())
    tokens.renew()
    works(tenant, tokens.get())


def test_certificate_pfx(tenant: Simulator, sign_in: SignIn) -> None:
    tokens = sign_in(certificate_path=tenant.certificate_pfx_path, certificate_password=tenant.certificate_password)
    works(tenant, tokens.get())


def test_certificate_that_is_not_registered(tenant: Simulator, sign_in: SignIn) -> None:
    error = refusal(sign_in(certificate_path=tenant.stranger_certificate_path).get)
    assert error.code == "AADSTS700027" and "Upload this certificate" in error.advice


@pytest.mark.parametrize(
    "content",
    [
        "key only",
        "certificate only",
        "text",
        "der",
        "empty",
        "encrypted",
        "wrong word",
        "word for none",
        "pfx",
        "pfx wrong",
        "pfx bare",
    ],
)
def test_certificates_that_cannot_be_used(
    content: str, tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path
) -> None:
    key, certificate = pem_parts()
    locked, _certificate = pem_parts("word")
    pfx = pathlib.Path(tenant.certificate_pfx_path).read_bytes()
    bare = serialization.pkcs12.serialize_key_and_certificates(
        b"x", None, key_pair("app").certificate, None, serialization.NoEncryption()
    )
    contents = {"key only": key, "certificate only": certificate, "text": b"-----BEGIN nothing", "der": key_pair("app").der,
                "empty": b"", "encrypted": locked + certificate, "wrong word": locked + certificate,
                "word for none": key + certificate, "pfx": pfx, "pfx wrong": pfx, "pfx bare": bare}  # fmt: skip
    password = "another word" if content in ("wrong word", "word for none", "pfx wrong") else None
    path = write_private(tmp_path / "app.pem", contents[content])
    error = refusal(lambda: sign_in(certificate_path=str(path), certificate_password=password), OptionsError)
    assert error.message.startswith(f"certificate_path {path} holds no usable certificate and key: ")
    assert "certificate_password" in error.advice and "another word" not in str(error)
    assert not tenant.requests


def test_a_key_that_entra_id_does_not_take(sign_in: SignIn, tmp_path: pathlib.Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _key, certificate = pem_parts()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = write_private(tmp_path / "app.pem", pem + certificate)
    error = refusal(lambda: sign_in(certificate_path=str(path)), OptionsError)
    assert error.message == f"certificate_path {path} holds an EC key, but Entra ID takes RSA keys only."
    assert "rsa:3072" in error.advice


@pytest.mark.parametrize("version", ["1.28.0", "1.20.0b1", "0.4"])
def test_an_old_msal_is_named(
    version: str, tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian 12 and Ubuntu 24.04 have it: no msal.exceptions beside it, no managed identities, no SHA-256."""
    monkeypatch.setattr(msal, "__version__", version)
    monkeypatch.delattr(msal, "exceptions")
    monkeypatch.delattr(msal, "ManagedIdentityClient")
    path = write_private(tmp_path / "app.pem", b"".join(pem_parts()))
    for options, least in (
        ({"certificate_path": str(path)}, "1.35.0"),
        ({"auth_source": "managed_identity"}, "1.29.0"),
    ):
        error = refusal(lambda options=options: sign_in(**options), MissingLibrary)  # type: ignore[misc]
        assert f"needs the Python package msal {least} or newer, but {version} is installed" in error.message
    # A secret does with any.
    works(tenant, sign_in(client_secret=tenant.client_secret).get())
    assert refusal(sign_in(client_secret="wrong").get).code == "AADSTS7000215"


def test_certificate_that_is_not_there(sign_in: SignIn, tmp_path: pathlib.Path) -> None:
    for path in (tmp_path / "nowhere.pem", tmp_path):
        error = refusal(lambda path=path: sign_in(certificate_path=str(path)), OptionsError)  # type: ignore[misc]
        assert error.message.startswith(f"certificate_path {path} cannot be read: ")


# Workload identity federation


def test_federated_token_is_read_again(tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "token"
    path.write_text(tenant.federated_token() + "\n")
    tokens = sign_in(federated_token_file=str(path))
    works(tenant, tokens.get())
    # The one that was there is no longer good; a new one was written meanwhile.
    path.write_text(tenant.federated_token(subject="somebody else"))
    error = refusal(tokens.renew)
    assert error.code == "AADSTS70021" and "federated credential" in error.advice and "somebody else" in error.message
    path.write_text(tenant.federated_token())
    tokens.renew()
    works(tenant, tokens.get())


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"audience": "https://wrong"}, "AADSTS70021"),
        ({"issuer": "https://wrong"}, "AADSTS70021"),
        ({"lifetime": -4000}, "AADSTS700024"),
    ],
)
def test_mistakes_with_a_federated_token(
    made: Options, code: str, tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "token"
    path.write_text(tenant.federated_token(**made))
    error = refusal(sign_in(federated_token_file=str(path)).get)
    assert error.code == code and error.advice == SIGN_IN_ADVICE[code]


def test_federated_token_that_is_not_there(sign_in: SignIn, tmp_path: pathlib.Path, tenant: Simulator) -> None:
    path = tmp_path / "token"
    assert "federated_token_file" in refusal(lambda: sign_in(federated_token_file=str(path)), OptionsError).message
    path.write_text(tenant.federated_token())
    tokens = sign_in(federated_token_file=str(path))
    path.unlink()
    assert "cannot be read" in refusal(tokens.get, OptionsError).message


# Users


def user_options(tenant: Simulator, name: str = "analyst", **options: Any) -> Options:
    username = f"{name}@contoso.onmicrosoft.com"
    known = [user for user in tenant.users if user.username == username]
    return {
        "client_id": tenant.app("secops-desktop").client_id,
        "username": username,
        "password": known[0].password if known else "unknown",
        **options,
    }


def test_username_and_password(tenant: Simulator, sign_in: SignIn) -> None:
    tokens = sign_in(**user_options(tenant))
    works(tenant, tokens.get())
    claims = tokens.claims()
    assert claims.delegated
    check_claims(claims, endpoints_of(tenant), REQUIRED, tenant.clock(), 0.0)
    first = tokens.get()
    tokens.renew()
    assert tokens.get() != first


def test_mistakes_with_a_password(tenant: Simulator, sign_in: SignIn) -> None:
    for options, code in (
        (user_options(tenant, password="wrong-word"), "AADSTS50126"),
        (user_options(tenant, "careful"), "AADSTS50076"),
        (user_options(tenant, client_id=tenant.client_id), "AADSTS7000218"),
    ):
        error = refusal(sign_in(**options).get)
        assert error.code == code and error.advice == SIGN_IN_ADVICE[code]
        assert error.message.startswith(f"Failed to sign in as user {options['username']} in tenant {tenant.tenant}: ")
        assert "wrong-word" not in str(error)
    assert refusal(sign_in(**user_options(tenant, "nobody")).get).code == "AADSTS50034"
    reader = sign_in(**user_options(tenant, "reader"))
    error = refusal(lambda: check_claims(reader.claims(), endpoints_of(tenant), REQUIRED, tenant.clock(), 0.0))
    assert "lacks the delegated permission Machine.CollectForensics; it has Machine.Read." in error.message


class ApprovingClock(VirtualClock):
    """Somebody enters the code while the task waits."""

    approve: Callable[[], Any] | None = None
    seen: Callable[[], Any] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.seen()
        if self.approve and len(self.slept) >= 3:
            self.approve()


@pytest.mark.parametrize("comes", [True, False])
def test_device_code(comes: bool, tenant: Simulator, secrets: Secrets) -> None:
    clock = ApprovingClock()
    clock.approve = tenant.approve_device_code if comes else None
    shown: list[str] = []
    issued: set[str] = set()
    clock.seen = lambda: issued.update(tenant.entra._device_codes)
    options: dict[str, t.Any] = {"tenant": tenant.tenant, "client_id": tenant.app("secops-desktop").client_id}
    http = Http(tenant.ca_path, True, 10, clock)
    tokens, why = open_device_code(Settings(**options), endpoints_of(tenant), http, secrets, shown.append)
    assert "device code" in why and not tenant.requests
    if comes:
        works(tenant, tokens.get())
        assert len(clock.slept) == 3
    else:
        assert refusal(tokens.get).code == "DeviceCodeExpired"
        assert clock.now >= 1000.0 + 900.0
    assert len(shown) == 1 and "https://microsoft.com/devicelogin" in shown[0] and "15 minutes" in shown[0]
    assert secrets.scrub(shown[0]) == shown[0]
    # The code behind the code opens the token.
    assert issued and all(secrets.scrub(f"x {code}") == "x ********" for code in issued)


def test_mistakes_with_a_device_code(tenant: Simulator, secrets: Secrets, clock: VirtualClock) -> None:
    http = Http(tenant.ca_path, True, 10, clock)
    where = endpoints_of(tenant)
    error = refusal(lambda: open_device_code(Settings(tenant="t"), where, http, secrets, print), OptionsError)
    assert "missing: client_id" in error.message
    options: dict[str, t.Any] = {"tenant": tenant.tenant, "client_id": tenant.client_id}
    error = refusal(open_device_code(Settings(**options), where, http, secrets, pytest.fail)[0].get)
    assert error.code == "AADSTS7000218" and error.advice == SIGN_IN_ADVICE["AADSTS7000218"]


# Managed identity


@pytest.fixture(params=["app service", "imds"])
def identity(request: pytest.FixtureRequest, tenant: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "imds":
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", tenant.identity_url)
    else:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{tenant.identity_url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", tenant.identity_header)
    return str(request.param)


@pytest.mark.parametrize("name", ["runner", "runner-assigned"])
def test_managed_identity(name: str, identity: str, tenant: Simulator, sign_in: SignIn) -> None:
    chosen = next(each for each in tenant.identities if each.name == name)
    client_id = None if chosen.system_assigned else chosen.client_id
    tokens = sign_in(auth_source="managed_identity", tenant=None, client_id=client_id)
    works(tenant, tokens.get())
    assert tokens.claims().app_id == chosen.client_id


def test_a_managed_identity_is_not_asked_for_through_a_proxy(
    identity: str, tenant: Simulator, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert sign_in(auth_source="managed_identity", client_id=None).get()


def test_after_401_the_cache_of_a_managed_identity_is_passed_over(
    identity: str, tenant: Simulator, sign_in: SignIn
) -> None:
    tokens = sign_in(auth_source="managed_identity", client_id=None)
    first = tokens.get()
    tokens.renew()
    assert tokens.get() != first
    works(tenant, tokens.get())


def test_mistakes_with_a_managed_identity(
    identity: str, tenant: Simulator, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_id = "00000000-0000-4000-8000-000000000000"
    error = refusal(sign_in(auth_source="managed_identity", client_id=client_id).get)
    assert error.message.startswith(f"Failed to sign in as the managed identity {client_id}: ")
    tenant.add_fault("managed_identity", "status", status=500, count=0)
    error = refusal(sign_in(auth_source="managed_identity", client_id=None).get, DefenderError)
    assert "this computer's managed identity" in error.message
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    error = refusal(sign_in(auth_source="managed_identity", client_id=None).get, NetworkError)
    assert "127.0.0.1:1" in error.message


def test_a_managed_identity_that_is_not_ready_is_waited_for(
    identity: str, tenant: Simulator, sign_in: SignIn, clock: VirtualClock
) -> None:
    for status in (404, 410, 429, 500):
        tenant.add_fault("managed_identity", "gateway", status=status, form="empty", count=2)
        works(tenant, sign_in(auth_source="managed_identity", client_id=None, tenant=None).get())
        assert clock.slept == [1.0, 2.0]
        clock.slept.clear()


@pytest.mark.parametrize(("status", "least"), [(404, 15.0), (410, 70.0)])
def test_a_managed_identity_that_never_is(
    status: int, least: float, identity: str, tenant: Simulator, sign_in: SignIn, clock: VirtualClock
) -> None:
    tenant.add_fault("managed_identity", "gateway", status=status, form="empty", count=0)
    error = refusal(sign_in(auth_source="managed_identity", client_id=None).get)
    assert f"answered {status} and gave no reason." in error.message and "Expecting value" not in error.message
    assert least <= sum(clock.slept) < least + 20


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            {"error": {"code": "NotFound", "message": "No identity"}},
            '{"error": {"code": "NotFound", "message": "No identity"}}',
        ),
        (
            403,
            {"ExceptionMessage": "Out of\nluck", "header": "{header}"},
            '{"ExceptionMessage": "Out of\\nluck", "header": "',
        ),
        (200, {"accessToken": "hush", "expiresOn": 1}, "accessToken, expiresOn, of which no token can be made"),
        (200, {"access_token": "hush", "expires_on": "soon", "expires_in": "soon"}, "of which no token can be made"),
    ],
)
def test_what_a_managed_identity_answers_that_msal_does_not_know(
    status: int,
    body: dict[str, t.Any],
    said: str,
    identity: str,
    tenant: Simulator,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """msal says "None, None" of what App Service sends in another form than the documented one."""
    content = json.dumps(body).replace("{header}", tenant.identity_header).encode()
    monkeypatch.setattr(
        Http, "send", lambda *args, **more: Reply(status, f"{tenant.identity_url}/msi/token", {}, content)
    )
    error = refusal(sign_in(auth_source="managed_identity", client_id=None).get)
    assert f"{tenant.identity_url.partition('//')[2]} answered {status}: " in error.message and said in error.message
    assert "None" not in error.message and "hush" not in error.message
    assert identity == "imds" or tenant.identity_header not in error.message


# The Azure CLI


def az(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    program = folder / "az"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/asked"\n{script}\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "asked"


def test_azure_cli(
    tenant: Simulator, sign_in: SignIn, clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = tmp_path / "reply"
    reply.write_text(
        json.dumps({"accessToken": tenant.issue_token(), "expires_on": clock.wall() + 1000, "tokenType": "Bearer"})
    )
    asked = az(tmp_path / "bin", monkeypatch, f"cat {reply}")
    tokens = sign_in(auth_source="azure_cli", client_id=None)
    works(tenant, tokens.get())
    arguments = f"account get-access-token --resource {tenant.audience} --output json --tenant {tenant.tenant}\n"
    assert asked.read_text() == arguments
    clock.now += 799
    tokens.get()
    assert asked.read_text() == arguments
    clock.now += 1
    tokens.get()
    tokens.renew()
    assert asked.read_text() == arguments * 3


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo \"ERROR: Please run 'az login' to setup account.\" >&2; echo more >&2; exit 1",
            "ERROR: Please run 'az login' to setup account.",
        ),
        (
            "echo 'WARNING: a new version' >&2; echo 'ERROR: AADSTS700082: expired.' >&2",
            "ERROR: AADSTS700082: expired.",
        ),
        ("echo 'WARNING: a new version' >&2; echo 'Traceback' >&2", "Traceback."),
        ("exit 1", "it said nothing."),
        ("echo nonsense", "it said nothing."),
        ("echo '[]'", "it said nothing."),
        ("echo '{}'", "it said nothing."),
        ("echo '{\"accessToken\": \"secret-token\"}'; echo 'WARNING: old' >&2", "WARNING: old."),
        ('echo \'{"accessToken": "secret-token", "expiresOn": "soon"}\'', "it said nothing."),
        # No UTF-8, and deeper than anybody reads.
        ("printf '\\377\\376'; printf '\\377 caf\\351' >&2", "\ufffd caf\ufffd."),
        ("head -c 200000 /dev/zero | tr '\\0' '['", "it said nothing."),
    ],
)
def test_mistakes_with_the_azure_cli(
    script: str, said: str, sign_in: SignIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    az(tmp_path / "bin", monkeypatch, script)
    error = refusal(sign_in(auth_source="azure_cli").get)
    assert error.message == f"The Azure CLI gave no token: {said}"
    assert "az login" in error.advice and "secret-token" not in str(error)


def test_an_azure_cli_that_tells_the_end_in_local_time(
    tenant: Simulator, sign_in: SignIn, tmp_path: pathlib.Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        ends = datetime.fromtimestamp(clock.wall() + 1000).strftime("%Y-%m-%d %H:%M:%S.%f")
        reply = tmp_path / "reply"
        reply.write_text(json.dumps({"accessToken": tenant.issue_token(), "expiresOn": ends}))
        asked = az(tmp_path / "bin", monkeypatch, f"cat {reply}")
        tokens = sign_in(auth_source="azure_cli", client_id=None)
        works(tenant, tokens.get())
        clock.now += 799
        tokens.get()
        assert len(asked.read_text().splitlines()) == 1
        clock.now += 2
        tokens.get()
        assert len(asked.read_text().splitlines()) == 2
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_an_azure_cli_that_is_no_program(
    sign_in: SignIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "az"
    program.write_bytes(b"\x7fELF and nothing more")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal(sign_in(auth_source="azure_cli").get)
    assert error.message == f"The Azure CLI ({program}) cannot be run: Exec format error."


def test_no_azure_cli(sign_in: SignIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no az on the PATH" in refusal(lambda: sign_in(auth_source="azure_cli"), OptionsError).message


def test_an_azure_cli_that_hangs(sign_in: SignIn, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    az(tmp_path / "bin", monkeypatch, "exit 0")

    def hang(command: list[str], **options: Any) -> Any:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    tokens = sign_in(auth_source="azure_cli")
    monkeypatch.setattr(subprocess, "run", hang)
    assert "120 seconds" in refusal(tokens.get).message


# The rest


def test_msal_is_needed_but_for_a_given_token(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, tenant: Simulator
) -> None:
    load = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "msal":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert "msal" in refusal(lambda: sign_in(client_secret="x"), MissingLibrary).message
    works(tenant, sign_in(access_token=tenant.issue_token()).get())


def test_no_secret_is_said_by_a_reason_for_the_choice(tenant: Simulator, secrets: Secrets, clock: VirtualClock) -> None:
    http = Http(tenant.ca_path, True, 10, clock)
    options: dict[str, t.Any] = {
        "tenant": tenant.tenant,
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "password": "w-o-r-d",
    }
    _tokens, why = open_tokens(Settings(**options), endpoints_of(tenant), http, secrets)
    assert tenant.client_secret not in why and "w-o-r-d" not in why


def test_every_advice_is_a_sentence() -> None:
    for code, advice in SIGN_IN_ADVICE.items():
        assert re.fullmatch(r"AADSTS\d+", code) and advice.endswith(".")


def test_base64_of_any_length() -> None:
    for size in range(20):
        claims = Claims.of(jwt_of(tid="x" * size))
        assert claims.tenant == ("x" * size or None) or (size == 0 and claims.tenant == "")
        assert base64.urlsafe_b64decode(b64url(b"x" * size) + "===")[:size] == b"x" * size


def test_an_access_token_is_taken_without_its_line_breaks(clock: Any) -> None:
    secrets = Secrets()
    tokens, _why = open_tokens(
        Settings(access_token="a.b\n c\n"),
        endpoints(),
        Http(None, True, 5.0, clock),
        secrets,
    )
    assert tokens.get() == "a.bc"


@pytest.mark.parametrize("token", ["a.b…", "a.b\x00c"])
def test_an_access_token_that_is_none_is_refused_untold(clock: Any, token: str) -> None:
    with pytest.raises(OptionsError) as caught:
        open_tokens(
            Settings(access_token=token),
            endpoints(),
            Http(None, True, 5.0, clock),
            Secrets(),
        )
    assert "a.b" not in str(caught.value)


def test_a_login_host_in_trouble_is_asked_again_while_the_token_lives(clock: Any) -> None:
    replies: list[Any] = [("one", 1000.0), NetworkError("Gone."), NetworkError("Gone."), ("two", 1000.0)]

    def fetch(force: bool) -> tuple[str, float]:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    tokens = Tokens(fetch, clock, Secrets())
    assert tokens.get() == "one"
    clock.sleep(801.0)
    assert tokens.get() == "one" and tokens.get() == "one" and len(replies) == 2
    clock.sleep(175.0)
    with pytest.raises(NetworkError):
        tokens.get()
    assert tokens.get() == "two"
