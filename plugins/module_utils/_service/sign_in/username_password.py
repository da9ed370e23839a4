# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user by name and password (resource owner password credentials), which cannot use a second factor."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import (
    Wire,
    failures,
    import_msal,
)
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.public_app import open_app
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import accepted
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises MissingLibrary."""
    msal = import_msal()
    wire = Wire(http, secrets, where.login_url)

    def fetch(force: bool) -> tuple[str, float]:
        try:
            reply = open_app(msal, settings, where, wire).acquire_token_by_username_password(
                settings.username, settings.password, scopes=[f"{where.audience}/.default"]
            )
        except failures() as failure:
            reply = wire.refusal or {"error_description": str(failure)}
        return accepted(reply, f"user {settings.username} in tenant {settings.tenant}")

    return fetch
