# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app without a credential of its own, by which a user signs in."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import Wire


def open_app(msal: t.Any, settings: Settings, where: Endpoints, wire: Wire) -> t.Any:
    """Asks the login host for its addresses. Raises what msal raises."""
    return msal.PublicClientApplication(
        settings.client_id,
        authority=f"{where.login_url}/{settings.tenant}",
        http_client=wire,
        instance_discovery=False,
    )
