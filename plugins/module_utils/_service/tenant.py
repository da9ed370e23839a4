# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a token is of the tenant that was asked for: a managed identity, a CLI and a given token have the one that they have."""

from __future__ import annotations

import re
from urllib.parse import quote

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http, json_of
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# The login host's words for whichever tenant the user is of.
_ANY = ("common", "organizations", "consumers")


def check_tenant(claims: Claims, asked: str | None, where: Endpoints, http: Http) -> None:
    """Raises AuthError (C(WrongTenant)) that names both; NetworkError, ReplyLost if a domain name cannot be looked up."""
    if not asked or not claims.tenant or asked.strip().lower() in _ANY:
        return
    wanted = asked.strip().lower()
    if not _GUID.fullmatch(wanted):
        wanted = tenant_of_domain(wanted, where, http)
    if wanted != claims.tenant.lower():
        also = "" if wanted == asked.strip().lower() else f" ({wanted})"
        raise AuthError(
            f"The token is of the tenant {claims.tenant}, but the tenant {asked.strip()}{also} was asked for.",
            advice="Sign in to that tenant, or give the tenant that is meant: devices, actions and evidence belong to one tenant. "
            "A managed identity and the Azure CLI have the tenant they are of.",
            code="WrongTenant",
        )


def tenant_of_domain(domain: str, where: Endpoints, http: Http) -> str:
    """The ID of the tenant that has a domain (OpenID Connect discovery: the issuer holds it). Raises AuthError."""
    url = f"{where.login_url}/{quote(domain, safe='')}/v2.0/.well-known/openid-configuration"
    reply = http.patient("GET", url)
    decoded = json_of(reply)
    issuer = decoded.get("issuer") if isinstance(decoded, dict) and reply.status_code == 200 else None
    match = _GUID.search(issuer) if isinstance(issuer, str) else None
    if not match:
        raise AuthError(
            f"Which tenant {domain} is, the login host did not tell (it answered {reply.status_code}), so the token cannot be held "
            "against it.",
            advice="Check tenant and cloud, or give the tenant's ID.",
            code="WrongTenant",
        )
    return match[0].lower()
