# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens: every sign-in, their renewal in long runs, and what a token permits before a device is touched.

msal speaks the protocol; here is which of its doors each C(auth_source) goes through, and what its refusals mean.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import subprocess
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.session import Http
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    MissingLibrary,
    OptionsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# In the order in which auto prefers them.
SOURCES = (
    "access_token",
    "client_secret",
    "certificate",
    "federated_token",
    "username_password",
    "managed_identity",
    "azure_cli",
)

# What each sign-in needs; managed_identity and azure_cli need nothing and are therefore never chosen by auto.
_NEEDS: dict[str, tuple[str, ...]] = {
    "access_token": ("access_token",),
    "client_secret": ("tenant", "client_id", "client_secret"),
    "certificate": ("tenant", "client_id", "certificate_path"),
    "federated_token": ("tenant", "client_id", "federated_token_file"),
    "username_password": ("tenant", "client_id", "username", "password"),
    "managed_identity": (),
    "azure_cli": (),
}
_TELLTALE = {
    "access_token": "access_token",
    "client_secret": "client_secret",
    "certificate": "certificate_path",
    "federated_token": "federated_token_file",
    "username_password": "password",
}

COLLECT_PERMISSION = "Machine.CollectForensics"
READ_PERMISSIONS = ("Machine.Read.All", "Machine.ReadWrite.All")
# Permissions of a user's token have no .All (Machine.Read, Machine.ReadWrite).
_DELEGATED = {"Machine.Read.All": "Machine.Read", "Machine.ReadWrite.All": "Machine.ReadWrite"}

# Renewed when less than this is left, in seconds, or a fifth of the life of a token that lives shorter.
_RENEW_BEFORE = 300.0
# And so many seconds before its end there must be a new one.
_LAST_MOMENT = 30.0


def choose_source(options: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """Which sign-in to use, and a sentence that says why.

    Raises OptionsError if nothing is given, or if what the chosen one needs is missing.
    """
    source = options.get("auth_source") or "auto"
    given = [name for name, option in _TELLTALE.items() if options.get(option)]
    if source == "auto":
        if not given:
            raise OptionsError(
                "No credentials are given.",
                advice="Give tenant, client_id and client_secret (or certificate_path, or another sign-in), as options or in "
                "the environment (DEFENDER_TENANT, DEFENDER_CLIENT_ID, DEFENDER_CLIENT_SECRET); managed_identity and "
                "azure_cli must be named in auth_source.",
            )
        source = given[0]
        why = f"Signing in with {source}, because {_TELLTALE[source]} is given"
        why += f"; {' and '.join(given[1:])} would be possible too, set auth_source to choose." if given[1:] else "."
    else:
        why = f"Signing in with {source}, as auth_source says."
    missing = [option for option in _NEEDS[source] if not options.get(option)]
    if missing:
        raise OptionsError(
            f"Signing in with {source} needs {', '.join(_NEEDS[source])}; missing: {', '.join(missing)}.",
            advice="Give them as options or in the environment ("
            + ", ".join(f"DEFENDER_{name.upper()}" for name in missing)
            + ").",
        )
    return source, why


@dataclass(frozen=True)
class Claims:
    """What a token says of itself, read without checking its signature: that is the service's to do. None: not readable."""

    audience: str | None
    permissions: tuple[str, ...] | None
    delegated: bool
    tenant: str | None
    app_id: str | None
    expires: float | None

    @classmethod
    def of(cls, token: str) -> Claims:
        try:
            payload = token.split(".")[1]
            decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if not isinstance(decoded, dict):
                raise ValueError("no object")
        except (ValueError, IndexError, RecursionError):
            return cls(None, None, False, None, None, None)
        roles, scopes = decoded.get("roles"), decoded.get("scp")
        permissions = (
            tuple(scopes.split())
            if isinstance(scopes, str)
            else tuple(map(str, roles if isinstance(roles, list) else ()))
        )
        try:
            expires = float(decoded["exp"])
            iso(expires)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            expires = None
        return cls(
            audience=decoded["aud"] if isinstance(decoded.get("aud"), str) else None,
            permissions=permissions,
            delegated=isinstance(scopes, str),
            tenant=decoded.get("tid"),
            app_id=decoded.get("appid") or decoded.get("azp"),
            expires=expires,
        )

    def permits(self, permission: str) -> bool:
        """Whether it has a permission, by its application name or, in a user's token, by its delegated one.

        Wherever the API wants to read, writing will do.
        """
        choice = {permission, _DELEGATED.get(permission, permission)}
        if permission in ("Machine.Read.All", "Machine.Read"):
            choice.add("Machine.ReadWrite" if self.delegated else "Machine.ReadWrite.All")
        return bool(choice.intersection(self.permissions or ()))


class Tokens:
    """The current token, renewed before it ends. Safe for threads.

    fetch: gets a new one and its life in seconds; its argument says whether cached ones must be passed over.
    """

    def __init__(
        self, fetch: t.Callable[[bool], tuple[str, float]], clock: Clock, secrets: Secrets, renewable: bool = True
    ):
        self._fetch = fetch
        self._clock = clock
        self._secrets = secrets
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self.renewable = renewable

    def get(self) -> str:
        """Raises AuthError, NetworkError."""
        with self._lock:
            now = self._clock.monotonic()
            if not self._token or (self.renewable and now >= self._renew_at):
                try:
                    self._take(force=False)
                except DefenderError:
                    # The login host may be in trouble for a while; the old one is still good.
                    if now >= self._ends_at - _LAST_MOMENT:
                        raise
                    self._renew_at = now + _LAST_MOMENT
            return self._token

    def renew(self) -> None:
        """The service refused the current one (401). Raises AuthError if there can be no other."""
        with self._lock:
            if not self.renewable:
                raise AuthError(
                    "The service refused the access token that was given: it has expired or is not valid.",
                    advice="Get a new one, or give an app's credentials so that tokens are renewed.",
                    code="Unauthorized",
                )
            self._take(force=True)

    def claims(self) -> Claims:
        return Claims.of(self.get())

    def _take(self, force: bool) -> None:
        token, life = self._fetch(force)
        self._secrets.add(token)
        self._token = token
        self._ends_at = self._clock.monotonic() + life
        self._renew_at = self._ends_at - min(_RENEW_BEFORE, life / 5)


def open_tokens(options: t.Mapping[str, t.Any], where: Endpoints, http: Http, secrets: Secrets) -> tuple[Tokens, str]:
    """The sign-in that the options ask for, and the sentence that says which. No network yet.

    Raises OptionsError (also for a certificate or token file that cannot be read), MissingLibrary.
    """
    source, why = choose_source(options)
    if source == "access_token":
        token = "".join(str(options["access_token"]).split())
        secrets.add(token)
        if not token.isascii() or not token.isprintable():
            raise OptionsError(
                "access_token has characters that no token has.", advice="Give it as it was issued, in one line."
            )
        return Tokens(lambda force: (token, float("inf")), http.clock, secrets, renewable=False), why
    fetch = _SIGN_INS[source](options, where, http)
    return Tokens(fetch, http.clock, secrets), why


def open_device_code(
    options: t.Mapping[str, t.Any],
    where: Endpoints,
    http: Http,
    secrets: Secrets,
    show: t.Callable[[str], None],
) -> tuple[Tokens, str]:
    """A sign-in of a user on another device, who is shown an address and a code. No network yet.

    Raises OptionsError, MissingLibrary.
    """
    missing = [option for option in ("tenant", "client_id") if not options.get(option)]
    if missing:
        raise OptionsError(
            f"Signing in by device code needs tenant and client_id; missing: {', '.join(missing)}.",
            advice="Give them as options or in the environment ("
            + ", ".join(f"DEFENDER_{name.upper()}" for name in missing)
            + ").",
        )
    fetch = _device_code(options, where, http, secrets, show)
    return Tokens(fetch, http.clock, secrets), "Signing in by device code, as device_code says."


def check_claims(
    claims: Claims, where: Endpoints, required: t.Sequence[tuple[str, ...]], now: float, work: float
) -> None:
    """Whether a token opens the API for the work ahead; each of C(required) is a choice of permissions.

    work: seconds that a token which cannot be renewed must still live; 0 for one that can. Raises AuthError.
    """
    if claims.audience is not None and not where.accepts_audience(claims.audience):
        raise AuthError(
            f"The token is for the audience {claims.audience}, not for {where.audience}: the service would answer 403.",
            advice=f"Ask for the scope {where.audience}/.default.",
            code="WrongAudience",
        )
    if claims.expires is not None and claims.expires <= now:
        raise AuthError(
            f"The token has expired at {iso(claims.expires)}.",
            advice="Get a new one, and check this computer's clock.",
            code="TokenExpired",
        )
    if claims.expires is not None and work and claims.expires < now + work:
        raise AuthError(
            f"The access token ends at {iso(claims.expires)}, but the work ahead takes until {iso(now + work)} at the soonest.",
            advice="Give an app's credentials, so that tokens are renewed, or split the work.",
            code="TokenTooShort",
        )
    if claims.permissions is None:
        return
    held = set(claims.permissions)
    for choice in required:
        names = [_DELEGATED.get(name, name) for name in choice] if claims.delegated else list(choice)
        if not held.intersection(names):
            kind = "delegated" if claims.delegated else "application"
            extra = (
                " The user also needs the Defender role Alerts Investigation and access to the device's group."
                if claims.delegated
                else ""
            )
            raise AuthError(
                f"The token lacks the {kind} permission {' or '.join(names)}; it has "
                f"{', '.join(sorted(held)) if held else 'none'}.",
                advice=f"Add {names[0]} of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent "
                "(to a managed identity: assign the app role). "
                "Starting a collection needs Machine.CollectForensics; finding devices, following actions and getting "
                "package links need Machine.Read.All or Machine.ReadWrite.All." + extra,
                code="MissingPermission",
            )


def _import_msal() -> t.Any:
    # Imported late: it is slow to load, and a given access token does without it.
    try:
        import msal
    except ImportError:
        raise MissingLibrary(
            missing_required_lib("msal"),
            advice="Install it for the Python that runs Ansible on the control node (ansible --version shows which).",
        ) from None
    # It logs replies that it cannot read, whole, with the token that may be in them.
    logger = logging.getLogger("msal")
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    return msal


def _failures(msal: t.Any) -> tuple[type[Exception], ...]:
    """What msal raises for an answer that it cannot use; errors of its own for a status of 500 and above."""
    # And PyJWT for a key of the wrong kind, and the system for Azure Arc's key file, which only some users may read.
    import jwt

    return ValueError, KeyError, TypeError, OSError, jwt.PyJWTError, msal.exceptions.MsalError


class _Wire:
    """What msal sends with: our session, its patience, and the last refusal, which msal itself does not always show."""

    def __init__(self, http: Http, login_url: str = "", proxied: bool = True) -> None:
        self._http = http
        self._proxied = proxied
        self._login = urlsplit(login_url)
        self.refusal: dict[str, t.Any] = {}

    def get(self, url: str, params: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> t.Any:
        parts = urlsplit(url)
        if self._login.port and parts.netloc == self._login.hostname:
            # msal asks for a user's realm on the standard port, whatever port the login host is on.
            url = urlunsplit(parts._replace(netloc=self._login.netloc))
        return self._keep(self._http.patient("GET", url, proxied=self._proxied, params=params, headers=headers))

    def post(self, url: str, params: t.Any = None, data: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> t.Any:
        return self._keep(
            self._http.patient("POST", url, proxied=self._proxied, params=params, data=data, headers=headers)
        )

    def close(self) -> None:
        pass

    def _keep(self, reply: t.Any) -> t.Any:
        try:
            decoded = reply.json()
        except ValueError:
            decoded = None
        if reply.status_code >= 400:
            self.refusal = (
                decoded if isinstance(decoded, dict) else {"error_description": f"HTTP status {reply.status_code}"}
            )
        elif not isinstance(decoded, dict):
            # msal would stumble over it.
            raise AuthError(
                f"{urlsplit(reply.url).netloc} answers, but not as a login host does.",
                advice="Check login_url; something on the way (a proxy, a portal) may answer in its place.",
            )
        return reply


_Fetch = t.Callable[[bool], tuple[str, float]]


def _confidential(options: t.Mapping[str, t.Any], where: Endpoints, http: Http, credential: t.Any) -> _Fetch:
    msal = _import_msal()
    wire = _Wire(http, where.login_url)
    app: list[t.Any] = []
    who = f"app {options['client_id']} in tenant {options['tenant']}"

    def fetch(force: bool) -> tuple[str, float]:
        try:
            if not app:
                app.append(
                    msal.ConfidentialClientApplication(
                        options["client_id"],
                        authority=f"{where.login_url}/{options['tenant']}",
                        client_credential=credential,
                        http_client=wire,
                        # It would ask the public cloud about a login host that the user has named himself.
                        instance_discovery=False,
                    )
                )
            if force:
                app[0].remove_tokens_for_client()
            reply = app[0].acquire_token_for_client(scopes=[f"{where.audience}/.default"])
        except _failures(msal) as failure:
            reply = wire.refusal or {"error_description": str(failure)}
        return _accepted(reply, who)

    return fetch


def _client_secret(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    return _confidential(options, where, http, options["client_secret"])


def _certificate(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    path, password = str(options["certificate_path"]), options.get("certificate_password")
    content = _read("certificate_path", path)
    _import_msal()
    # msal needs it to sign, so it is there.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
    from cryptography.x509 import load_pem_x509_certificate

    secret = password.encode() if password else None
    try:
        if b"-----BEGIN" not in content:
            key, certificate, _others = pkcs12.load_key_and_certificates(content, secret)
            if key is None or certificate is None:
                raise ValueError("one of the two is missing")
            return _confidential(options, where, http, {"private_key_pfx_path": path, "passphrase": password})
        load_pem_private_key(content, secret)
        load_pem_x509_certificate(content)
    except (ValueError, TypeError) as failure:
        raise OptionsError(
            f"certificate_path {path} holds no usable certificate and key: {str(failure).split(chr(10), 1)[0].rstrip('.')}.",
            advice="Give a PEM file with private key and certificate, or a PFX file, and certificate_password if it is encrypted.",
        ) from None
    text = content.decode("ascii", "replace")
    credential = {"private_key": text, "public_certificate": text, "passphrase": password}
    return _confidential(options, where, http, {key: value for key, value in credential.items() if value})


def _federated_token(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    path = str(options["federated_token_file"])

    # Read again at each renewal: whoever writes the file replaces its token long before this run ends.
    def assertion() -> str:
        return _read("federated_token_file", path).decode("ascii", "replace").strip()

    assertion()
    return _confidential(options, where, http, {"client_assertion": assertion})


def _username_password(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    msal = _import_msal()
    wire = _Wire(http, where.login_url)

    def fetch(force: bool) -> tuple[str, float]:
        try:
            app = msal.PublicClientApplication(
                options["client_id"],
                authority=f"{where.login_url}/{options['tenant']}",
                http_client=wire,
                instance_discovery=False,
            )
            reply = app.acquire_token_by_username_password(
                options["username"], options["password"], scopes=[f"{where.audience}/.default"]
            )
        except _failures(msal) as failure:
            reply = wire.refusal or {"error_description": str(failure)}
        return _accepted(reply, f"user {options['username']} in tenant {options['tenant']}")

    return fetch


def _device_code(
    options: t.Mapping[str, t.Any], where: Endpoints, http: Http, secrets: Secrets, show: t.Callable[[str], None]
) -> _Fetch:
    msal = _import_msal()
    wire = _Wire(http, where.login_url)
    who = f"a user by device code in tenant {options['tenant']}"

    def fetch(force: bool) -> tuple[str, float]:
        try:
            app = msal.PublicClientApplication(
                options["client_id"],
                authority=f"{where.login_url}/{options['tenant']}",
                http_client=wire,
                instance_discovery=False,
            )
            flow = app.initiate_device_flow(scopes=[f"{where.audience}/.default"])
            if not flow.get("user_code"):
                return _accepted(flow, who)
            # Whoever has it gets the token that the user signs in for.
            secrets.add(flow["device_code"])
            life = float(flow["expires_in"])
            show(
                f"To sign in, open {flow['verification_uri']} and enter the code {flow['user_code']}; "
                f"it is good for {life / 60:.0f} minutes."
            )
            return _accepted(_poll(app, flow, http.clock, life), who)
        except _failures(msal) as failure:
            return _accepted(wire.refusal or {"error_description": str(failure)}, who)

    return fetch


def _poll(app: t.Any, flow: dict[str, t.Any], clock: Clock, life: float) -> t.Any:
    """Ask at the pace that the service wants whether the user has signed in."""
    ends = clock.monotonic() + life
    while clock.monotonic() < ends:
        clock.sleep(float(flow["interval"]))
        reply = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
        if reply.get("error") not in ("authorization_pending", "slow_down"):
            return reply
    raise AuthError(
        f"Nobody has signed in with the code within {life / 60:.0f} minutes.",
        advice="Run again, and enter the new code in time.",
        code="DeviceCodeExpired",
    )


_IDENTITY_ADVICE = (
    "Check that Ansible runs where the identity is, that it is assigned to this computer, and client_id, which only a "
    "user-assigned identity needs."
)


def _managed_identity(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    msal = _import_msal()
    client_id = options.get("client_id")
    who = f"the managed identity {client_id}" if client_id else "this computer's managed identity"
    identity = (
        msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
    )
    clients: list[t.Any] = []

    def fetch(force: bool) -> tuple[str, float]:
        try:
            # There is no way past a client's cache: a new client has an empty one. No proxy can reach this computer's own
            # address for identities.
            if force or not clients:
                clients[:] = [msal.ManagedIdentityClient(identity, http_client=_Wire(http, proxied=False))]
            reply = clients[0].acquire_token_for_client(resource=where.audience)
        except _failures(msal) as failure:
            reply = {"error_description": str(failure)}
        return _accepted(reply, who, _IDENTITY_ADVICE)

    return fetch


def _azure_cli(options: t.Mapping[str, t.Any], where: Endpoints, http: Http) -> _Fetch:
    program = shutil.which("az")
    if not program:
        raise OptionsError(
            "auth_source is azure_cli, but there is no az on the PATH.",
            advice="Install the Azure CLI and sign in (az login).",
        )
    command = [program, "account", "get-access-token", "--resource", where.audience, "--output", "json"]
    if options.get("tenant"):
        command += ["--tenant", options["tenant"]]

    def fetch(force: bool) -> tuple[str, float]:
        try:
            # pylint: disable-next=ansible-bad-function  # run_command belongs to modules; this runs in action plugins, too.
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            raise AuthError(
                "The Azure CLI did not answer within 120 seconds.", advice="Try az account get-access-token by hand."
            ) from None
        try:
            reply = json.loads(done.stdout)
            return str(reply["accessToken"]), max(60.0, float(reply["expires_on"]) - http.clock.wall())
        except (ValueError, KeyError, TypeError):
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise AuthError(
                f"The Azure CLI gave no token: {said.rstrip('.')}.", advice="Sign in with az login, then run again."
            ) from None

    return fetch


_SIGN_INS: dict[str, t.Callable[[t.Mapping[str, t.Any], Endpoints, Http], _Fetch]] = {
    "client_secret": _client_secret,
    "certificate": _certificate,
    "federated_token": _federated_token,
    "username_password": _username_password,
    "managed_identity": _managed_identity,
    "azure_cli": _azure_cli,
}


def _read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as failure:
        raise OptionsError(
            f"{option} {path} cannot be read: {failure.strerror}.",
            advice=f"Check the path and its permissions for the user {os.environ.get('USER') or os.getuid()}.",
        ) from None


# Microsoft identity platform error codes (AADSTS) that this work meets, and what to do.
SIGN_IN_ADVICE: dict[str, str] = {
    "AADSTS7000215": "Check client_secret: give the secret's value, not its ID.",
    "AADSTS7000222": "The client secret has expired: make a new one under Certificates & secrets.",
    "AADSTS700016": "Check client_id and tenant: the app is not in this tenant.",
    "AADSTS90002": "Check tenant: no such tenant in this cloud.",
    "AADSTS900023": "Check tenant: give the tenant's ID or one of its domains.",
    "AADSTS700027": "Upload this certificate to the app registration (Certificates & secrets), or give the one that is there.",
    "AADSTS500011": "Check audience and cloud: the tenant does not know this API. It appears with the first Defender for Endpoint licence.",
    "AADSTS70021": "Check the app's federated credential: issuer, subject and audience must match the token file's.",
    "AADSTS700211": "Check the app's federated credential: its issuer is not that of the token file.",
    "AADSTS700212": "Check the app's federated credential: its audience is not that of the token file (api://AzureADTokenExchange).",
    "AADSTS700213": "Check the app's federated credential: its subject is not that of the token file.",
    "AADSTS50027": "Check federated_token_file: what is in it is no token that Entra ID understands.",
    "AADSTS50013": "Check federated_token_file and the keys of its issuer: the signature is not valid, or the token has expired.",
    "AADSTS700024": "Check this computer's clock: the assertion is outside its time range.",
    "AADSTS50034": "Check username and tenant: there is no such user in this tenant.",
    "AADSTS50126": "Check username and password.",
    "AADSTS50053": "The account is locked after wrong passwords: wait, or have it unlocked.",
    "AADSTS50055": "The password has expired: the user must change it in a browser first.",
    "AADSTS50057": "The user's account is disabled.",
    "AADSTS50076": "This user must use a second factor, which a playbook cannot: use an app (client secret, certificate, managed identity).",
    "AADSTS50079": "This user must set up a second factor, which a playbook cannot use: use an app (client secret, certificate, managed identity).",
    "AADSTS53003": "A Conditional Access policy blocks this sign-in: allow this app from this address, or sign in from elsewhere.",
    "AADSTS7000112": "The app is disabled in the tenant: enable it under Enterprise applications.",
    "AADSTS65001": "Grant admin consent to the app's permissions.",
    "AADSTS70018": "Enter the code as it was shown.",
    "AADSTS70020": "Run again, and enter the new code in time.",
    "AADSTS7000218": "Allow public client flows in the app registration (Authentication), or use an app secret.",
}


def _accepted(
    reply: t.Any,
    who: str,
    otherwise: str = "Check tenant, client_id and the credential, and that cloud is the tenant's.",
) -> tuple[str, float]:
    """The token and its life in seconds from a token endpoint's reply; raises AuthError for a refusal.

    otherwise: the advice for a refusal that has none of its own.
    """
    if isinstance(reply, dict) and isinstance(reply.get("access_token"), str):
        return reply["access_token"], float(reply.get("expires_in") or 3599)
    reply = reply if isinstance(reply, dict) else {}
    said = str(reply.get("error_description") or reply.get("error") or "no reason was given")
    # The lines after the first repeat trace ID, correlation ID and time.
    sentence = said.splitlines()[0].split(" Trace ID:", 1)[0].strip().rstrip(".")
    code = sentence.split(":", 1)[0] if sentence.startswith("AADSTS") else "AuthenticationFailed"
    raise AuthError(
        f"Failed to sign in as {who}: {sentence}.",
        advice=SIGN_IN_ADVICE.get(code, otherwise),
        code=code,
        tracking_id=reply.get("trace_id") or reply.get("correlation_id"),
    )
