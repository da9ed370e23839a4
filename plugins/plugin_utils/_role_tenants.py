# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ID of a tenant that is called by one of its domains."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.tenant import tenant_of_domain
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError


def discover(tenant: str, login: t.Mapping[str, t.Any]) -> str | None:
    """Asks the login host, which tells it to everybody. None if it does not answer, or knows no such tenant."""
    try:
        http = Http(login["ca_path"], login["validate_certs"], login["timeout"], Clock())
        return tenant_of_domain(tenant, Endpoints(login["cloud"], login["login_url"], "", ""), http)
    except DefenderError:
        return None
