# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entra ID: discovery and the v2 token endpoint."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jwt

from .entra_errors import EntraError
from .keys import b64url, key_pair
from .messages import Call, Handler, Reply, json_reply
from .settings import App, ManagedIdentity, Settings, User
from .timestamps import iso

THREAT_PROTECTION = "https://api.security.microsoft.com"
GRAPH = "https://graph.microsoft.com"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_SKEW = 300
_DEVICE_CODE_LIFETIME = 900


@dataclass
class _DeviceCode:
    client_id: str
    scope: str
    created: float
    user: User | None = None


class Entra:
    def __init__(
        self, settings: Settings, apps: list[App], users: list[User], identities: list[ManagedIdentity], login_url: str
    ) -> None:
        self.settings = settings
        self.apps = {app.client_id: app for app in apps}
        self.users = {user.username.lower(): user for user in users}
        self.identities = identities
        self.login_url = login_url
        self.federation_issuer = f"{login_url}/federation"
        self.secrets: set[str] = set()
        self._random = random.Random(f"entra {settings.seed}")
        self._device_codes: dict[str, _DeviceCode] = {}
        self._refresh_tokens: dict[str, tuple[str, User]] = {}
        for app in apps:
            app.secret = app.secret or self.random_secret()
            self.secrets.add(app.secret)
        for user in users:
            user.password = user.password or self.random_secret()
            self.secrets.add(user.password)

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        tenant = r"/([^/]+)"
        return [
            ("GET", rf"{tenant}/v2\.0/\.well-known/openid-configuration", "discovery", self._discovery),
            ("GET", rf"{tenant}/discovery/v2\.0/keys", "keys", self._keys),
            ("POST", rf"{tenant}/oauth2/v2\.0/token", "token", self._token),
            ("POST", rf"{tenant}/oauth2/v2\.0/devicecode", "devicecode", self._devicecode),
            ("GET", r"/common/userrealm/([^/]+)", "userrealm", self._userrealm),
        ]

    # Tokens

    def issue(
        self,
        now: float,
        *,
        audience: str,
        lifetime: float,
        app: App | ManagedIdentity,
        user: User | None = None,
        permissions: Iterable[str] = (),
        credential: str = "1",
    ) -> str:
        object_id = user.object_id if user else str(uuid.uuid5(uuid.NAMESPACE_DNS, f"principal:{app.client_id}"))
        issued = int(now)
        issuer = f"https://sts.windows.net/{self.settings.tenant}/"
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": issuer,
            "iat": issued - _SKEW,
            "nbf": issued - _SKEW,
            "exp": issued + int(lifetime),
            "appid": app.client_id,
            "app_displayname": app.name,
            "appidacr": credential,
            "idp": issuer,
            "oid": object_id,
            "sub": object_id,
            "tid": self.settings.tenant,
            "uti": b64url(self._random.randbytes(16)),
            "ver": "1.0",
        }
        granted = list(permissions)
        if user:
            claims.update({"scp": " ".join(granted), "upn": user.username, "unique_name": user.username})
        elif granted:
            claims["roles"] = granted
        pair = key_pair("tenant")
        headers = {"x5t": pair.thumbprint, "kid": pair.thumbprint}
        token = jwt.encode(claims, pair.key, algorithm="RS256", headers=headers)
        self.secrets.add(token)
        return token

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of a token of this tenant that is valid now; ValueError otherwise. The audience is the API's concern."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key_pair("tenant").key.public_key(), algorithms=["RS256"], options=_UNCHECKED
            )
        except jwt.InvalidTokenError as error:
            raise ValueError("The access token is not valid") from error
        if not claims["nbf"] <= now < claims["exp"]:
            raise ValueError("The access token has expired or is not yet valid")
        return claims

    def granted(self, app: App | ManagedIdentity, resource: str) -> tuple[str, ...]:
        """Roles belong to one API; for another one the same app has none."""
        return app.roles if resource == self.settings.audience else ()

    def federated_token(self, now: float, subject: str, issuer: str, audience: str, lifetime: float) -> str:
        claims = {
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + lifetime),
        }
        pair = key_pair("federation")
        token = jwt.encode(claims, pair.key, algorithm="RS256", headers={"kid": pair.thumbprint})
        self.secrets.add(token)
        return token

    # Endpoints

    def _discovery(self, call: Call) -> Reply:
        return self._answer(call, self._configuration)

    def _configuration(self, call: Call) -> Reply:
        self._check_tenant(call)
        base = f"{self.login_url}/{self.settings.tenant}"
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
        domain = call.parts[0].rpartition("@")[2]
        return json_reply(
            200,
            {
                "ver": "1.0",
                "account_type": "Managed",
                "domain_name": domain,
                "cloud_instance_name": "microsoftonline.com",
                "cloud_audience_urn": "urn:federation:MicrosoftOnline",
            },
        )

    def _token(self, call: Call) -> Reply:
        return self._answer(call, self._grant)

    def _devicecode(self, call: Call) -> Reply:
        return self._answer(call, self._new_device_code)

    def _answer(self, call: Call, work: Callable[[Call], Reply]) -> Reply:
        try:
            return work(call)
        except EntraError as error:
            return error.reply(iso(call.now)[:19].replace("T", " ") + "Z", self.login_url)

    # Grants

    def _grant(self, call: Call) -> Reply:
        self._check_tenant(call)
        form = _form(call)
        for name in ("client_secret", "client_assertion", "password", "refresh_token"):
            if form.get(name):
                self.secrets.add(form[name])
        grant = _required(form, "grant_type")
        grants = {
            "client_credentials": self._client_credentials,
            "password": self._password_grant,
            "refresh_token": self._refresh,
            _DEVICE_CODE: self._device_code_grant,
            "device_code": self._device_code_grant,
        }
        if grant not in grants:
            raise EntraError(70003, "unsupported_grant_type", f"The app requested an unsupported grant type '{grant}'.")
        app = self._app(form)
        call.entry.client_id = app.client_id
        return grants[grant](call, form, app)

    def _client_credentials(self, call: Call, form: Mapping[str, str], app: App) -> Reply:
        credential = self._authenticate(call, form, app)
        scope = _required(form, "scope")
        if not scope.endswith("/.default") or " " in scope:
            raise EntraError(
                1002012,
                "invalid_scope",
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
                "/.default suffixed to the resource identifier (application ID URI).",
            )
        resource = self._resource(scope)
        token = self.issue(
            call.now,
            audience=resource,
            lifetime=self.settings.token_lifetime,
            app=app,
            permissions=self.granted(app, resource),
            credential=credential,
        )
        lifetime = self.settings.token_lifetime
        body = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return json_reply(200, body, _NO_STORE)

    def _password_grant(self, call: Call, form: Mapping[str, str], app: App) -> Reply:
        self._public_or_authenticated(call, form, app)
        user = self.users.get(_required(form, "username").lower())
        if user is None:
            raise EntraError(
                50034,
                "invalid_grant",
                f"The user account {form['username']} does not exist in the {self.settings.tenant_name} directory. "
                "To sign into this application, the account must be added to the directory.",
            )
        if user.password != _required(form, "password"):
            raise EntraError(
                50126, "invalid_grant", "Error validating credentials due to invalid username or password."
            )
        if user.needs_mfa:
            raise EntraError(
                50076,
                "invalid_grant",
                "Due to a configuration change made by your administrator, or because you moved to a new location, you "
                "must use multi-factor authentication to access 'fc780465-2017-40d4-a0c5-307022471b92'.",
                suberror="basic_action",
            )
        return self._delegated(call, app, user, _required(form, "scope"))

    def _refresh(self, call: Call, form: Mapping[str, str], app: App) -> Reply:
        self._public_or_authenticated(call, form, app)
        client_id, user = self._refresh_tokens.get(_required(form, "refresh_token"), ("", None))
        if user is None or client_id != app.client_id:
            raise EntraError(9002313, "invalid_grant", "Invalid request. Request is malformed or invalid.")
        return self._delegated(call, app, user, _required(form, "scope"))

    def _delegated(self, call: Call, app: App, user: User, scope: str) -> Reply:
        asked = [part for part in scope.split() if part not in ("openid", "profile", "email", "offline_access")]
        if not asked:
            raise EntraError(
                70011, "invalid_scope", f"The provided value for the input parameter 'scope' is not valid: {scope}"
            )
        resource = self._resource(asked[0])
        allowed = [name for name in user.scopes if name in app.scopes] if resource == self.settings.audience else []
        lifetime = self.settings.token_lifetime
        token = self.issue(
            call.now, audience=resource, lifetime=lifetime, app=app, user=user, permissions=allowed, credential="0"
        )
        refresh = b64url(self._random.randbytes(60))
        self._refresh_tokens[refresh] = (app.client_id, user)
        self.secrets.add(refresh)
        client_info = {"uid": user.object_id, "utid": self.settings.tenant}
        body = {
            "token_type": "Bearer",
            "scope": " ".join(f"{resource}/{name}" for name in allowed),
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
            "refresh_token": refresh,
            "id_token": self._id_token(call.now, app, user),
            "client_info": b64url(json.dumps(client_info).encode()),
        }
        return json_reply(200, body, _NO_STORE)

    def _id_token(self, now: float, app: App, user: User) -> str:
        claims = {
            "aud": app.client_id,
            "iss": f"{self.login_url}/{self.settings.tenant}/v2.0",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + 3600,
            "name": user.username,
            "preferred_username": user.username,
            "oid": user.object_id,
            "sub": user.object_id,
            "tid": self.settings.tenant,
            "ver": "2.0",
        }
        token = jwt.encode(claims, key_pair("tenant").key, algorithm="RS256")
        self.secrets.add(token)
        return token

    # Device code

    def _new_device_code(self, call: Call) -> Reply:
        self._check_tenant(call)
        form = _form(call)
        app = self._app(form)
        if not app.public:
            raise _needs_credential()
        code = b64url(self._random.randbytes(48))
        self._device_codes[code] = _DeviceCode(app.client_id, _required(form, "scope"), call.now)
        self.secrets.add(code)
        user_code = "".join(self._random.choices("BCDFGHJKLMNPQRSTVWXZ23456789", k=9))
        url = "https://microsoft.com/devicelogin"
        message = (
            f"To sign in, use a web browser to open the page {url} and enter the code {user_code} to authenticate."
        )
        body = {
            "user_code": user_code,
            "device_code": code,
            "verification_uri": url,
            "expires_in": _DEVICE_CODE_LIFETIME,
            "interval": 1,
            "message": message,
        }
        return json_reply(200, body, _NO_STORE)

    def approve_device_code(self, username: str = "") -> int:
        """Signs a user in for every code that waits; how many those were."""
        user = self.users[username.lower()] if username else next(iter(self.users.values()))
        waiting = [code for code in self._device_codes.values() if code.user is None]
        for code in waiting:
            code.user = user
        return len(waiting)

    def _device_code_grant(self, call: Call, form: Mapping[str, str], app: App) -> Reply:
        text = _required(form, "device_code")
        code = self._device_codes.get(text)
        if code is None or code.client_id != app.client_id:
            raise EntraError(70019, "bad_verification_code", "Verification code is not valid.")
        if call.now > code.created + _DEVICE_CODE_LIFETIME:
            raise EntraError(70020, "expired_token", "The device code has expired.")
        automatic = self.settings.device_code_seconds
        if code.user is None and automatic is not None and call.now >= code.created + automatic:
            code.user = next(iter(self.users.values()))
        if code.user is None:
            raise EntraError(
                70016,
                "authorization_pending",
                "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            )
        del self._device_codes[text]
        return self._delegated(call, app, code.user, code.scope)

    # Checks

    def _check_tenant(self, call: Call) -> None:
        tenant = call.parts[0].lower()
        if tenant not in (self.settings.tenant, self.settings.tenant_name, "organizations"):
            raise EntraError(
                90002,
                "invalid_tenant",
                f"Tenant '{call.parts[0]}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant.",
            )

    def _app(self, form: Mapping[str, str]) -> App:
        client_id = _required(form, "client_id")
        app = self.apps.get(client_id.lower())
        if app is None:
            raise EntraError(
                700016,
                "unauthorized_client",
                f"Application with identifier '{client_id}' was not found in the directory '{self.settings.tenant_name}'. "
                "This can happen if the application has not been installed by the administrator of the tenant or consented "
                "to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
            )
        return app

    def _resource(self, scope: str) -> str:
        resource, _, _ = scope.rpartition("/")
        if resource not in (self.settings.audience, THREAT_PROTECTION, GRAPH):
            raise EntraError(
                500011,
                "invalid_resource",
                f"The resource principal named {resource} was not found in the tenant named {self.settings.tenant_name}. "
                "This can happen if the application has not been installed by the administrator of the tenant or consented "
                "to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
            )
        return resource

    def _public_or_authenticated(self, call: Call, form: Mapping[str, str], app: App) -> None:
        if not app.public:
            self._authenticate(call, form, app)

    def _authenticate(self, call: Call, form: Mapping[str, str], app: App) -> str:
        """The appidacr claim: 1 for a secret, 2 for an assertion."""
        if form.get("client_assertion"):
            self._check_assertion(call, form, app)
            return "2"
        secret = form.get("client_secret")
        if not secret:
            raise _needs_credential()
        if secret != app.secret:
            raise EntraError(
                7000215,
                "invalid_client",
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
                f"the client secret ID, for a secret added to app '{app.client_id}'.",
                status=401,
            )
        if app.secret_expired:
            raise EntraError(
                7000222,
                "invalid_client",
                f"The provided client secret keys for app '{app.client_id}' are expired. Visit the Azure portal to create "
                "new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "
                "security: https://aka.ms/certCreds.",
                status=401,
            )
        return "1"

    def _check_assertion(self, call: Call, form: Mapping[str, str], app: App) -> None:
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            raise EntraError(
                900144, "invalid_request", "The request body must contain the parameter: 'client_assertion_type'."
            )
        assertion = form["client_assertion"]
        try:
            header = jwt.get_unverified_header(assertion)
            claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise EntraError(50027, "invalid_request", "JWT token is invalid or malformed.") from error
        if claims.get("iss") == app.client_id:
            self._check_certificate_assertion(call, assertion, header, claims, app)
        else:
            self._check_federated_assertion(call, assertion, claims, app)

    def _check_certificate_assertion(
        self, call: Call, assertion: str, header: Mapping[str, Any], claims: Mapping[str, Any], app: App
    ) -> None:
        pair = key_pair("app")
        named = (header.get("x5t"), header.get("x5t#S256"))
        known = app.certificate and (named[0] == pair.thumbprint or named[1] == pair.thumbprint_sha256)
        if not known or header.get("alg") not in ("RS256", "PS256"):
            raise EntraError(
                700027,
                "invalid_client",
                "The certificate with identifier used to sign the client assertion is not registered on application. "
                f"[Reason - The key was not found., Thumbprint of key used by client: '{_hex(named[0] or named[1])}'].",
                status=401,
            )
        if not _signed_by("app", assertion):
            raise EntraError(
                700027,
                "invalid_client",
                "Client assertion failed signature validation. [Reason - The provided signature value did not match the "
                "expected signature value.]",
                status=401,
            )
        endpoints = [
            f"{self.login_url}/{name}/oauth2/v2.0/token" for name in (self.settings.tenant, self.settings.tenant_name)
        ]
        if claims.get("aud") not in endpoints:
            raise EntraError(
                700023,
                "invalid_client",
                f"Client assertion audience claim does not match Realm issuer. Assertion audience: '{claims.get('aud')}'.",
                status=401,
            )
        if claims.get("sub") != app.client_id or not claims.get("jti"):
            raise EntraError(
                700021, "invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter.",
                status=401,
            )  # fmt: skip
        _check_times(claims, call.now)

    def _check_federated_assertion(self, call: Call, assertion: str, claims: Mapping[str, Any], app: App) -> None:
        presented = (claims.get("iss"), claims.get("sub"), claims.get("aud"))
        if not app.federated_subject or presented != (self.federation_issuer, app.federated_subject, EXCHANGE_AUDIENCE):
            raise EntraError(
                70021,
                "invalid_request",
                f"No matching federated identity record found for presented assertion. Assertion Issuer: '{presented[0]}'. "
                f"Assertion Subject: '{presented[1]}'. Assertion Audience: '{presented[2]}'.",
            )
        if not _signed_by("federation", assertion):
            raise EntraError(50013, "invalid_client", "Assertion failed signature validation.", status=401)
        _check_times(claims, call.now)

    def random_secret(self) -> str:
        return "Sim8Q~" + b64url(self._random.randbytes(25))


_NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
# The times are compared with the simulator's own clock.
_UNCHECKED: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))


def _required(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise EntraError(900144, "invalid_request", f"The request body must contain the following parameter: '{name}'.")
    return form[name]


def _needs_credential() -> EntraError:
    return EntraError(
        7000218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        status=401,
    )


def _signed_by(purpose: str, assertion: str) -> bool:
    try:
        jwt.decode(assertion, key_pair(purpose).key.public_key(), algorithms=["RS256", "PS256"], options=_UNCHECKED)
    except jwt.InvalidTokenError:
        return False
    return True


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expiry, start = claims.get("exp"), claims.get("nbf", 0)
    valid = isinstance(expiry, (int, float)) and isinstance(start, (int, float))
    if not valid or not start - _SKEW <= now < expiry + _SKEW:
        raise EntraError(
            700024,
            "invalid_client",
            f"Client assertion is not within its valid time range. Current time: {iso(now)}, assertion valid from {start} "
            f"to {expiry}.",
            status=401,
        )


def _hex(thumbprint: Any) -> str:
    text = str(thumbprint or "")
    if not re.fullmatch(r"[\w-]+", text):
        return hashlib.sha1(text.encode()).hexdigest().upper()
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex().upper()
