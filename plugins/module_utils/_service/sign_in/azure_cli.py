# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever is signed in to the Azure CLI on this computer."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from datetime import datetime

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# Seconds that the CLI may take.
_PATIENCE = 120
# What the CLI prints is at most so long, in characters, when it is what it should be.
_LONGEST = 1 << 20


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises OptionsError if there is no Azure CLI."""
    if not shutil.which("az"):
        raise OptionsError(
            "auth_source is azure_cli, but there is no az on the PATH.",
            advice="Install the Azure CLI and sign in (az login).",
        )
    asked = ["account", "get-access-token", "--resource", where.audience, "--output", "json"]
    if settings.tenant:
        asked += ["--tenant", settings.tenant]

    def fetch(force: bool) -> tuple[str, float]:
        reply, said = _ask(asked)
        token, ends = reply.get("accessToken"), _ends(reply)
        secrets.add(token if isinstance(token, str) else None)
        if not isinstance(token, str) or ends is None:
            raise AuthError(
                f"The Azure CLI gave no token: {said.rstrip('.')}.", advice="Sign in with az login, then run again."
            )
        return token, max(60.0, ends - http.clock.wall())

    return fetch


def account() -> tuple[str, ...] | None:
    """Who is signed in: tenant, kind and name. None: nobody, or nobody can tell."""
    try:
        reply, _said = _ask(["account", "show", "--output", "json"])
    except AuthError:
        return None
    user = reply.get("user")
    facts = (reply.get("tenantId"), *(user.get(key) for key in ("type", "name"))) if isinstance(user, dict) else ()
    return tuple(map(str, facts)) if facts and all(facts) else None


def _ask(arguments: list[str]) -> tuple[dict[str, t.Any], str]:
    """The JSON object that the CLI prints (empty if it prints none), and what it complains of. Raises AuthError."""
    command = [shutil.which("az") or "az", *arguments]
    try:
        # pylint: disable-next=ansible-bad-function  # run_command belongs to modules; this runs in action plugins, too.
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise AuthError(
            f"The Azure CLI did not answer within {_PATIENCE} seconds.",
            advice="Try az account get-access-token by hand.",
        ) from None
    except OSError as failure:
        raise AuthError(
            f"The Azure CLI ({command[0]}) cannot be run: {failure.strerror or failure}.",
            advice="Install it anew, or choose another auth_source.",
        ) from None
    try:
        reply = json.loads(done.stdout) if len(done.stdout) <= _LONGEST else None
    except (ValueError, RecursionError):
        reply = None
    return reply if isinstance(reply, dict) else {}, _complaint(done.stderr.decode("utf-8", "replace"))


def _complaint(said: str) -> str:
    """The line that tells the error; warnings of all kinds may stand before it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    others = [line for line in lines if not line.startswith("WARNING")]
    return (errors or others or lines or ["it said nothing"])[0][:500]


def _ends(reply: dict[str, t.Any]) -> float | None:
    """When the token ends, in seconds since 1970: C(expires_on), or C(expiresOn) of older versions, which is local time."""
    try:
        if reply.get("expires_on") not in (None, ""):
            return float(reply["expires_on"])
        return datetime.fromisoformat(str(reply["expiresOn"])).timestamp()
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
