# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app with a credential of its own, whatever that is: secret, certificate or federated token."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import (
    Wire,
    failures,
    import_msal,
)
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import accepted
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def fetch_for(settings: Settings, where: Endpoints, http: Http, secrets: Secrets, credential: t.Any) -> Fetch:
    """credential: as msal takes it. No network yet. Raises MissingLibrary."""
    msal = import_msal()
    wire = Wire(http, secrets, where.login_url)
    app: list[t.Any] = []

    def fetch(force: bool) -> tuple[str, float]:
        try:
            if not app:
                app.append(
                    msal.ConfidentialClientApplication(
                        settings.client_id,
                        authority=f"{where.login_url}/{settings.tenant}",
                        client_credential=credential,
                        http_client=wire,
                        # It would ask the public cloud about a login host that the user has named himself.
                        instance_discovery=False,
                    )
                )
            if force:
                app[0].remove_tokens_for_client()
            reply = app[0].acquire_token_for_client(scopes=[f"{where.audience}/.default"])
        except failures() as failure:
            reply = wire.refusal or {"error_description": str(failure)}
        return accepted(reply, f"app {settings.client_id} in tenant {settings.tenant}")

    return fetch
