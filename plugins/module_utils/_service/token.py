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
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# Gets a new token and its life in seconds; the argument says whether cached ones must be passed over.
Fetch = t.Callable[[bool], tuple[str, float]]

COLLECT_PERMISSION = "Machine.CollectForensics"
READ_PERMISSIONS = ("Machine.Read.All", "Machine.ReadWrite.All")
# Permissions of a user's token have no .All (Machine.Read, Machine.ReadWrite).
_DELEGATED = {"Machine.Read.All": "Machine.Read", "Machine.ReadWrite.All": "Machine.ReadWrite"}

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
