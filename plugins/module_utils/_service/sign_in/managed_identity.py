# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The identity that Azure gives to the computer where Ansible runs."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import (
    Wire,
    failures,
    import_msal,
)
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import accepted
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import (
    RETRIES,
    Http,
    Reply,
    json_of,
    retry_after,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import NetworkError, ReplyLost, TlsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

_ADVICE = (
    "Check that Ansible runs where the identity is, that it is assigned to this computer, and client_id, which only a "
    "user-assigned identity needs."
)
# How to use managed identities on a virtual machine, Retry guidance: 404 and 410 mean that the endpoint is being updated, and
# 410 is over within 70 seconds.
_UPDATING = (404, 410)
_LONGEST_UPDATE = 70.0
_LONGEST_PAUSE = 60.0
# So much of an answer that nobody understands is shown. Characters.
_SHOWN = 300


class _LocalWire(Wire):
    """To this computer's own address for identities, which no proxy can reach. answer: its last one."""

    answer: Reply | None = None

    def _ask(self, url: str, params: t.Any, headers: t.Any) -> Reply:
        clock = self._http.clock
        began = clock.monotonic()
        attempt = 0
        while True:
            wait: float | None = None
            try:
                reply = self._http.send("GET", url, proxied=False, params=params, headers=headers)
            except (NetworkError, ReplyLost) as failure:
                if attempt >= RETRIES or isinstance(failure, TlsError):
                    raise
            else:
                updating = reply.status_code == 410 and clock.monotonic() - began < _LONGEST_UPDATE
                again = reply.status_code in (*_UPDATING, 429) or reply.status_code >= 500
                if not updating and (not again or attempt >= RETRIES):
                    self.answer = reply
                    return reply
                wait = retry_after(reply, clock)
            pause = wait if wait is not None else clock.jitter(2.0 ** min(attempt, 4))
            clock.sleep(min(pause, _LONGEST_PAUSE))
            attempt += 1


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises MissingLibrary."""
    msal = import_msal("1.29.0", "Signing in with a managed identity")
    client_id = settings.client_id
    who = f"the managed identity {client_id}" if client_id else "this computer's managed identity"
    identity = (
        msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
    )
    clients: list[t.Any] = []
    wire = _LocalWire(http, secrets)

    def fetch(force: bool) -> tuple[str, float]:
        try:
            # There is no way past a client's cache: a new client has an empty one.
            if force or not clients:
                clients[:] = [msal.ManagedIdentityClient(identity, http_client=wire)]
            reply = clients[0].acquire_token_for_client(resource=where.audience)
        except failures() as failure:
            reply = wire.refusal or {"error_description": str(failure)}
        return accepted(_understood(reply, wire.answer, secrets), who, _ADVICE)

    return fetch


def _understood(reply: t.Any, answer: Reply | None, secrets: Secrets) -> t.Any:
    """What msal made of an answer; where that is nothing ("None, None" of App Service's), what was received."""
    body = json_of(answer) if answer else None
    if answer is None or not isinstance(body, dict) or not body or _has_token(reply) or _has_reason(body):
        return reply
    host = urlsplit(answer.url).netloc
    if answer.status_code < 400:
        # Not what is in them: one may be a token.
        said = f"with {', '.join(map(str, body))[:_SHOWN]}, of which no token can be made"
    else:
        # Scrubbed first: of a secret that is cut in two, neither half would be known.
        said = secrets.scrub(" ".join(answer.text.split()))[:_SHOWN]
    return {"error_description": f"{host} answered {answer.status_code}: {said}"}


def _has_token(reply: t.Any) -> bool:
    return isinstance(reply, dict) and isinstance(reply.get("access_token"), str)


def _has_reason(body: dict[str, t.Any]) -> bool:
    """As IMDS gives it, or App Service."""
    return isinstance(body.get("error_description"), str) or (
        body.get("statusCode") is not None and isinstance(body.get("message"), str)
    )
