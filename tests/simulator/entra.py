# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entra ID: discovery and the v2 token endpoint."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from .assertions import ASSERTION_TYPE, check_assertion
from .entra_errors import EntraError
from .keys import b64url, key_pair
from .messages import Call, Handler, Reply, json_reply
from .settings import App, Settings, User
from .tokens import Tokens

THREAT_PROTECTION = "https://api.security.microsoft.com"
GRAPH = "https://graph.microsoft.com"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_DEVICE_CODE_LIFETIME = 900
_NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}

Form = Mapping[str, str]


@dataclass
class _DeviceCode:
    client_id: str
    scope: str
    created: float
    user: User | None = None


class Entra:
    def __init__(self, settings: Settings, tokens: Tokens, apps: list[App], users: list[User]) -> None:
        self._settings, self._tokens = settings, tokens
        self._login_url = tokens.login_url
        self._apps = {app.client_id: app for app in apps}
        self._users = {user.username.lower(): user for user in users}
        self._random = random.Random(f"device codes {settings.seed}{settings.realm}")
        self._device_codes: dict[str, _DeviceCode] = {}
        self._refresh_tokens: dict[str, tuple[str, User]] = {}
        self.federation_issuer = f"{self._login_url}/federation"
        for app in apps:
            app.secret = app.secret or tokens.random_secret()
            tokens.secrets.add(app.secret)
        for user in users:
            user.password = user.password or tokens.random_secret()
            tokens.secrets.add(user.password)

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        tenant = r"/([^/]+)"
        return [
            (
                "GET",
                rf"{tenant}/v2\.0/\.well-known/openid-configuration",
                "discovery",
                self._answering(self._discovery),
            ),
            ("GET", rf"{tenant}/discovery/v2\.0/keys", "keys", self._answering(self._keys)),
            ("POST", rf"{tenant}/oauth2/v2\.0/token", "token", self._answering(self._token)),
            ("POST", rf"{tenant}/oauth2/v2\.0/devicecode", "devicecode", self._answering(self._devicecode)),
            ("GET", r"/common/userrealm/([^/]+)", "userrealm", self._userrealm),
        ]

    def _answering(self, work: Callable[[Call], Reply]) -> Handler:
        def handler(call: Call) -> Reply:
            try:
                if call.parts[0].lower() not in self._settings.tenant_ids:
                    raise EntraError(90002, tenant=call.parts[0])
                return work(call)
            except EntraError as error:
                return error.reply(call.now, self._login_url)

        return handler

    def _tenant_of(self, call: Call) -> str:
        return self._settings.tenant_ids[call.parts[0].lower()]

    # Discovery

    def _discovery(self, call: Call) -> Reply:
        base = f"{self._login_url}/{self._tenant_of(call)}"
        return json_reply(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{base}/v2.0",
                "request_uri_parameter_supported": False,
                "userinfo_endpoint": f"{GRAPH}/oidc/userinfo",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "http_logout_supported": True,
                "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
                "tenant_region_scope": "EU",
            },
        )

    def _keys(self, call: Call) -> Reply:
        pair = key_pair("tenant")
        numbers = pair.key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "kid": pair.thumbprint,
            "x5t": pair.thumbprint,
            "n": b64url(numbers.n.to_bytes(256, "big")),
            "e": b64url(numbers.e.to_bytes(3, "big")),
            "x5c": [base64.b64encode(pair.der).decode()],
        }
        return json_reply(200, {"keys": [key]})

    def _userrealm(self, call: Call) -> Reply:
        return json_reply(
            200,
            {
                "ver": "1.0",
                "account_type": "Managed",
                "domain_name": call.parts[0].rpartition("@")[2],
                "cloud_instance_name": "microsoftonline.com",
                "cloud_audience_urn": "urn:federation:MicrosoftOnline",
            },
        )

    # Grants

    def _token(self, call: Call) -> Reply:
        form = _form(call)
        for name in ("client_secret", "client_assertion", "password", "refresh_token"):
            if form.get(name):
                self._tokens.secrets.add(form[name])
        grant = _required(form, "grant_type")
        grants = {
            "client_credentials": self._client_credentials,
            "password": self._password,
            "refresh_token": self._refresh,
            _DEVICE_CODE: self._device_code,
            "device_code": self._device_code,
        }
        if grant not in grants:
            raise EntraError(70003, grant=grant)
        app = self._app(call, form)
        call.entry.client_id = app.client_id
        return grants[grant](call, form, app)

    def _client_credentials(self, call: Call, form: Form, app: App) -> Reply:
        credential = self._authenticate(call, form, app)
        scope = _required(form, "scope")
        if not scope.endswith("/.default") or " " in scope:
            raise EntraError(1002012, scope=scope)
        token = self._tokens.access_token(call.now, app, self._resource(scope), credential=credential)
        lifetime = self._settings.token_lifetime
        body = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return json_reply(200, body, _NO_STORE)

    def _password(self, call: Call, form: Form, app: App) -> Reply:
        self._public_or_authenticated(call, form, app)
        username = _required(form, "username")
        user = self._users.get(username.lower())
        if user is None:
            raise EntraError(50034, user=username, tenant=self._settings.tenant_name)
        if user.password != _required(form, "password"):
            raise EntraError(50126)
        if user.needs_mfa:
            raise EntraError(50076)
        return self._delegated(call, app, user, _required(form, "scope"))

    def _refresh(self, call: Call, form: Form, app: App) -> Reply:
        self._public_or_authenticated(call, form, app)
        client_id, user = self._refresh_tokens.get(_required(form, "refresh_token"), ("", None))
        if user is None or client_id != app.client_id:
            raise EntraError(9002313)
        return self._delegated(call, app, user, _required(form, "scope"))

    def _delegated(self, call: Call, app: App, user: User, scope: str) -> Reply:
        asked = [part for part in scope.split() if part not in ("openid", "profile", "email", "offline_access")]
        if not asked:
            raise EntraError(70011, scope=scope)
        resource = self._resource(asked[0])
        lifetime = self._settings.token_lifetime
        refresh_token = self._tokens.random_secret(60)
        self._refresh_tokens[refresh_token] = (app.client_id, user)
        client_info = {"uid": user.object_id, "utid": self._settings.tenant}
        granted = self._tokens.granted(app, resource, user)
        body = {
            "token_type": "Bearer",
            "scope": " ".join(f"{resource}/{name}" for name in granted),
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self._tokens.access_token(call.now, app, resource, user=user, credential="0"),
            "refresh_token": refresh_token,
            "id_token": self._tokens.id_token(call.now, app, user),
            "client_info": b64url(json.dumps(client_info).encode()),
        }
        return json_reply(200, body, _NO_STORE)

    # Device code

    def _devicecode(self, call: Call) -> Reply:
        form = _form(call)
        app = self._app(call, form)
        if not app.public:
            raise EntraError(7000218)
        code = self._tokens.random_secret(48)
        self._device_codes[code] = _DeviceCode(app.client_id, _required(form, "scope"), call.now)
        user_code = "".join(self._random.choices("BCDFGHJKLMNPQRSTVWXZ23456789", k=9))
        url = "https://microsoft.com/devicelogin"
        body = {
            "user_code": user_code,
            "device_code": code,
            "verification_uri": url,
            "expires_in": _DEVICE_CODE_LIFETIME,
            "interval": 1,
            "message": f"To sign in, use a web browser to open the page {url} and enter the code {user_code} to "
            "authenticate.",
        }
        return json_reply(200, body, _NO_STORE)

    def approve_device_code(self, username: str = "") -> int:
        """Signs a user in for every code that waits; how many those were."""
        user = self._users[username.lower()] if username else self._first_user()
        waiting = [code for code in self._device_codes.values() if code.user is None]
        for code in waiting:
            code.user = user
        return len(waiting)

    def _first_user(self) -> User:
        return next(iter(self._users.values()))

    def _device_code(self, call: Call, form: Form, app: App) -> Reply:
        text = _required(form, "device_code")
        code = self._device_codes.get(text)
        if code is None or code.client_id != app.client_id:
            raise EntraError(70019)
        if call.now > code.created + _DEVICE_CODE_LIFETIME:
            raise EntraError(70020)
        automatic = self._settings.device_code_seconds
        if code.user is None and automatic is not None and call.now >= code.created + automatic:
            code.user = self._first_user()
        if code.user is None:
            raise EntraError(70016)
        del self._device_codes[text]
        return self._delegated(call, app, code.user, code.scope)

    # Checks

    def _app(self, call: Call, form: Form) -> App:
        """In a tenant that is only known by name, nobody has consented to anything."""
        client_id = _required(form, "client_id")
        app = self._apps.get(client_id.lower())
        if app is None or self._tenant_of(call) != self._settings.tenant:
            raise EntraError(700016, app=client_id, tenant=call.parts[0])
        return app

    def _resource(self, scope: str) -> str:
        resource = scope.rpartition("/")[0]
        if resource not in (self._settings.audience, THREAT_PROTECTION, GRAPH):
            raise EntraError(500011, resource=resource, tenant=self._settings.tenant_name)
        return resource

    def _public_or_authenticated(self, call: Call, form: Form, app: App) -> None:
        if not app.public:
            self._authenticate(call, form, app)

    def _authenticate(self, call: Call, form: Form, app: App) -> str:
        """The appidacr claim: 1 for a secret, 2 for an assertion."""
        assertion, secret = form.get("client_assertion"), form.get("client_secret")
        if assertion:
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise EntraError(900144, parameter="client_assertion_type")
            names = (self._settings.tenant, self._settings.tenant_name, *self._settings.domains)
            endpoints = tuple(f"{self._login_url}/{name}/oauth2/v2.0/token" for name in names)
            check_assertion(assertion, app, endpoints, self.federation_issuer, call.now)
            return "2"
        if not secret:
            raise EntraError(7000218)
        if secret != app.secret:
            raise EntraError(7000215, app=app.client_id)
        if app.secret_expired:
            raise EntraError(7000222, app=app.client_id)
        return "1"


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))


def _required(form: Form, name: str) -> str:
    if not form.get(name):
        raise EntraError(900144, parameter=name)
    return form[name]
