# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ID of a tenant that is called by one of its domains."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import CLOUDS
from ansible_collections.secops.defender.plugins.module_utils._service.http import Http, json_of
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError

_ID = re.compile(r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/", re.IGNORECASE)


def discover(tenant: str, login: t.Mapping[str, t.Any]) -> str | None:
    """Asks the login host, which tells it to everybody. None if it does not answer, or knows no such tenant."""
    base = str(login.get("login_url") or CLOUDS[login.get("cloud") or "public"].login_url).rstrip("/")
    try:
        http = Http(login.get("ca_path"), login.get("validate_certs", True), login.get("timeout") or 60.0, Clock())
        reply = http.send("GET", f"{base}/{quote(tenant, safe='')}/v2.0/.well-known/openid-configuration")
        document = json_of(reply)
    except (DefenderError, ValueError):
        return None
    issuer = document.get("issuer") if isinstance(document, dict) else None
    found = _ID.search(f"{issuer}/")
    return found[1].lower() if found else None
