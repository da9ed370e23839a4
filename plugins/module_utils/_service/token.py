# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens: what one says of itself, what it permits before a device is touched, and its renewal in long runs."""

from __future__ import annotations

import base64
import json
import threading
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, DefenderError
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import COLLECTION, RELEASE
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# Gets a new token and its life in seconds; the argument says whether cached ones must be passed over.
Fetch = t.Callable[[bool], tuple[str, float]]

COLLECT_PERMISSION = COLLECTION.permission
ISOLATE_PERMISSION = RELEASE.permission
READ_PERMISSIONS = ("Machine.Read.All", "Machine.ReadWrite.All")
ALERT_PERMISSIONS = ("Alert.Read.All", "Alert.ReadWrite.All")
# Permissions of a user's token have no .All (Machine.Read, Machine.ReadWrite).
_DELEGATED = {name: name.removesuffix(".All") for name in (*READ_PERMISSIONS, *ALERT_PERMISSIONS)}

# Renewed when less than this is left, in seconds, or a fifth of the life of a token that lives shorter.
_RENEW_BEFORE = 300.0
# And so many seconds before its end there must be a new one.
_LAST_MOMENT = 30.0


@dataclass(frozen=True)
class Claims:
    """What a token says of itself, read without checking its signature: that is the service's to do. None: not readable."""

    audience: str | None
    permissions: tuple[str, ...] | None
    delegated: bool
    tenant: str | None
    app_id: str | None
    expires: float | None
    # Whoever it was given to: a user's or an app's object ID.
    subject: str | None = None

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
            tenant=_text(decoded.get("tid")),
            app_id=_text(decoded.get("appid")) or _text(decoded.get("azp")),
            expires=expires,
            subject=_text(decoded.get("oid")) or _text(decoded.get("sub")),
        )

    @property
    def readable(self) -> bool:
        """Whether it is of the form that Entra ID gives out; what cannot be read is left to the service to judge."""
        return self.permissions is not None

    def permits(self, permission: str) -> bool:
        """Whether it has a permission, by its application name or, in a user's token, by its delegated one.

        Wherever the API wants to read, writing will do.
        """
        choice = {permission, _DELEGATED.get(permission, permission)}
        if permission in ("Machine.Read.All", "Machine.Read"):
            choice.add("Machine.ReadWrite" if self.delegated else "Machine.ReadWrite.All")
        return bool(choice.intersection(self.permissions or ()))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class Tokens:
    """The current token, renewed before it ends. Safe for threads.

    renewable: whether fetch can get another one.
    """

    def __init__(self, fetch: Fetch, clock: Clock, secrets: Secrets, renewable: bool = True):
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


def check_claims(
    claims: Claims,
    where: Endpoints,
    required: t.Sequence[tuple[str, ...]],
    now: float,
    work: float,
    *,
    strict: bool = False,
) -> None:
    """Whether a token opens the API for the work ahead; each of C(required) is a choice of permissions.

    now: by the service's clock. strict: a token of which audience and permissions cannot be told is refused, too.
    work: seconds that a token which cannot be renewed must still live; 0 for one that can. Raises AuthError.
    """
    if strict:
        _check_what_it_says(claims, where)
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
    if strict:
        _check_that_it_permits_anything(claims)
    _check_permissions(claims, required)


def _check_permissions(claims: Claims, required: t.Sequence[tuple[str, ...]]) -> None:
    """Raises AuthError where none of a choice of permissions is there; of a token that cannot be read nothing is known."""
    if claims.permissions is None:
        return
    held = set(claims.permissions)
    for choice in required:
        names = [_DELEGATED.get(name, name) for name in choice] if claims.delegated else list(choice)
        if not held.intersection(names):
            kind = "delegated" if claims.delegated else "application"
            role = (RELEASE if ISOLATE_PERMISSION in choice else COLLECTION).role
            extra = (
                f" The user also needs the Defender role {role} and access to the device's group."
                if claims.delegated
                else ""
            )
            raise AuthError(
                f"The token lacks the {kind} permission {' or '.join(names)}; it has "
                f"{', '.join(sorted(held)) if held else 'none'}.",
                advice=f"Add {names[0]} of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent "
                "(to a managed identity: assign the app role). "
                "Starting a collection needs Machine.CollectForensics, isolating and releasing Machine.Isolate; finding devices, following "
                "actions and getting package links need Machine.Read.All or Machine.ReadWrite.All; reading alerts needs Alert.Read.All."
                + extra,
                code="MissingPermission",
            )


def _check_that_it_permits_anything(claims: Claims) -> None:
    """Raises AuthError for a token without any role or scope."""
    if not claims.permissions:
        raise AuthError(
            "The token permits nothing: it carries no role and no scope.",
            advice="Add permissions of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent, and get a "
            "new token.",
            code="MissingPermission",
        )


def _check_what_it_says(claims: Claims, where: Endpoints) -> None:
    """Raises AuthError for a token of which nothing can be said: it opens the Defender API for nobody."""
    if not claims.readable:
        raise AuthError(
            "The access token cannot be read: it is not of the form that Entra ID gives out for the Defender API.",
            advice="Check that the whole token was given, and nothing else.",
            code="TokenUnreadable",
        )
    if claims.audience is None:
        raise AuthError(
            "The token names no audience, so it is not one for the Defender API.",
            advice=f"Get one for the scope {where.audience}/.default.",
            code="WrongAudience",
        )
