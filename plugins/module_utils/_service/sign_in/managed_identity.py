# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The identity that Azure gives to the computer where Ansible runs."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.http import Http
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import (
    Wire,
    failures,
    import_msal,
)
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import accepted
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

_ADVICE = (
    "Check that Ansible runs where the identity is, that it is assigned to this computer, and client_id, which only a "
    "user-assigned identity needs."
)


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises MissingLibrary."""
    msal = import_msal()
    client_id = settings.client_id
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
                clients[:] = [msal.ManagedIdentityClient(identity, http_client=Wire(http, proxied=False))]
            reply = clients[0].acquire_token_for_client(resource=where.audience)
        except failures(msal) as failure:
            reply = {"error_description": str(failure)}
        return accepted(reply, who, _ADVICE)

    return fetch
