# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever is signed in to the Azure CLI on this computer."""

from __future__ import annotations

import json
import shutil
import subprocess

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.http import Http
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises OptionsError if there is no Azure CLI."""
    program = shutil.which("az")
    if not program:
        raise OptionsError(
            "auth_source is azure_cli, but there is no az on the PATH.",
            advice="Install the Azure CLI and sign in (az login).",
        )
    command = [program, "account", "get-access-token", "--resource", where.audience, "--output", "json"]
    if settings.tenant:
        command += ["--tenant", settings.tenant]

    def fetch(force: bool) -> tuple[str, float]:
        try:
            # pylint: disable-next=ansible-bad-function  # run_command belongs to modules; this runs in action plugins, too.
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            raise AuthError(
                "The Azure CLI did not answer within 120 seconds.", advice="Try az account get-access-token by hand."
            ) from None
        try:
            reply = json.loads(done.stdout)
            return str(reply["accessToken"]), max(60.0, float(reply["expires_on"]) - http.clock.wall())
        except (ValueError, KeyError, TypeError):
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise AuthError(
                f"The Azure CLI gave no token: {said.rstrip('.')}.", advice="Sign in with az login, then run again."
            ) from None

    return fetch
