# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user who signs in elsewhere, in a browser, with a code that is shown here."""

from __future__ import annotations

import typing as t

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
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets, show: t.Callable[[str], None]) -> Fetch:
    """show: told the address and the code. Raises MissingLibrary."""
    msal = import_msal()
    wire = Wire(http, secrets, where.login_url)
    who = f"a user by device code in tenant {settings.tenant}"

    def fetch(force: bool) -> tuple[str, float]:
        try:
            app = open_app(msal, settings, where, wire)
            flow = app.initiate_device_flow(scopes=[f"{where.audience}/.default"])
            if not flow.get("user_code"):
                return accepted(flow, who)
            # Whoever has it gets the token that the user signs in for.
            secrets.add(flow["device_code"])
            life = float(flow["expires_in"])
            show(
                f"To sign in, open {flow['verification_uri']} and enter the code {flow['user_code']}; "
                f"it is good for {life / 60:.0f} minutes."
            )
            return accepted(_poll(app, flow, http.clock, life), who)
        except failures() as failure:
            return accepted(wire.refusal or {"error_description": str(failure)}, who)

    return fetch


def _poll(app: t.Any, flow: dict[str, t.Any], clock: Clock, life: float) -> t.Any:
    """Ask at the pace that the service wants whether the user has signed in."""
    ends = clock.monotonic() + life
    while clock.monotonic() < ends:
        clock.sleep(float(flow["interval"]))
        reply = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
        if reply.get("error") not in ("authorization_pending", "slow_down"):
            return reply
    raise AuthError(
        f"Nobody has signed in with the code within {life / 60:.0f} minutes.",
        advice="Run again, and enter the new code in time.",
        code="DeviceCodeExpired",
    )
