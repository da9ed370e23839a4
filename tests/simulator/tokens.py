# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tokens that the tenant issues, and every secret it has given out or received."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any

import jwt

from .keys import b64url, key_pair
from .settings import App, ManagedIdentity, Settings, User

SKEW = 300
# The times are compared with the simulator's own clock.
UNCHECKED: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class Tokens:
    def __init__(self, settings: Settings, login_url: str) -> None:
        self.settings = settings
        self.login_url = login_url
        self.secrets: set[str] = set()
        self._random = random.Random(f"entra {settings.seed}{settings.realm}")

    def random_secret(self, size: int = 30) -> str:
        secret = b64url(self._random.randbytes(size))
        self.secrets.add(secret)
        return secret

    def access_token(
        self,
        now: float,
        owner: App | ManagedIdentity,
        audience: str,
        *,
        user: User | None = None,
        permissions: Iterable[str] | None = None,
        lifetime: float | None = None,
        credential: str = "1",
        tenant: str = "",
    ) -> str:
        issued, tenant = int(now), tenant or self.settings.tenant
        issuer = f"https://sts.windows.net/{tenant}/"
        object_id = user.object_id if user else str(uuid.uuid5(uuid.NAMESPACE_DNS, f"principal:{owner.client_id}"))
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": issuer,
            "iat": issued - SKEW,
            "nbf": issued - SKEW,
            "exp": issued + int(self.settings.token_lifetime if lifetime is None else lifetime),
            "appid": owner.client_id,
            "app_displayname": owner.name,
            "appidacr": credential,
            "idp": issuer,
            "oid": object_id,
            "sub": object_id,
            "tid": tenant,
            "uti": b64url(self._random.randbytes(16)),
            "ver": "1.0",
        }
        granted = list(self.granted(owner, audience, user) if permissions is None else permissions)
        if user:
            claims.update({"scp": " ".join(granted), "upn": user.username, "unique_name": user.username})
        elif granted:
            claims["roles"] = granted
        return self._signed(claims)

    def granted(self, owner: App | ManagedIdentity, audience: str, user: User | None = None) -> tuple[str, ...]:
        """Permissions belong to one API; for another one the same app has none."""
        if audience != self.settings.audience:
            return ()
        if user is None:
            return owner.roles
        consented = owner.scopes if isinstance(owner, App) else ()
        return tuple(name for name in user.scopes if name in consented)

    def id_token(self, now: float, app: App, user: User) -> str:
        return self._signed(
            {
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
        )

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of a token of this tenant that is valid now; ValueError otherwise. The audience is the API's."""
        key = key_pair("tenant").key.public_key()
        try:
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options=UNCHECKED)
        except jwt.InvalidTokenError as error:
            raise ValueError("The access token is not valid") from error
        if not claims["nbf"] <= now < claims["exp"]:
            raise ValueError("The access token has expired or is not yet valid")
        if claims["tid"] != self.settings.tenant:
            raise ValueError(f"The access token is one of tenant {claims['tid']}")
        return claims

    def _signed(self, claims: dict[str, Any], purpose: str = "tenant") -> str:
        pair = key_pair(purpose)
        headers = {"x5t": pair.thumbprint, "kid": pair.thumbprint}
        token = jwt.encode(claims, pair.key, algorithm="RS256", headers=headers)
        self.secrets.add(token)
        return token

    def federated_token(self, now: float, subject: str, issuer: str, audience: str, lifetime: float) -> str:
        """A token of the issuer that federated credentials trust."""
        times = {"iat": int(now), "nbf": int(now), "exp": int(now + lifetime)}
        return self._signed({"iss": issuer, "sub": subject, "aud": audience, **times}, "federation")


def tenant_of(token: str) -> str:
    """The tenant that a token names, valid or not; "" for what is no token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return ""
    return str(claims.get("tid", ""))
