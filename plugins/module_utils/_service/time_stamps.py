# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a time-stamping authority: RFC 3161, 3.4, over HTTP. What is sent and what comes is opaque here."""

from __future__ import annotations

from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._service.wire_failures import NETWORK_ADVICE
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    NetworkError,
    OptionsError,
    ServiceError,
)

# Seconds for the whole answer, and bytes of the longest: a stamp with its certificates takes a few KiB.
_PATIENCE = 30.0
_LONGEST = 1 << 20
_ADVICE = "Check tsa_url, and whether the authority is at work. The next run seals what is unsealed."


def check_url(url: str) -> str:
    """Raises OptionsError for what is no address of an authority; shows no password."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise OptionsError(
            "tsa_url is not an address that begins with http:// or https://.",
            advice="Give the time-stamping authority's, such as http://timestamp.contoso.com/tsa. Nothing was started.",
        )
    if parts.username is not None or parts.password is not None:
        raise OptionsError(
            "tsa_url holds a user name or a password, which would stand in the custody log.",
            advice="Use an authority that asks for none. Nothing was started.",
        )
    return url.strip()


def ask(url: str, question: bytes, clock: Clock) -> bytes:
    """The authority's answer to a question. Follows no redirect, and asks once.

    Raises NetworkError, ReplyLost, ServiceError, MissingLibrary.
    """
    host = urlsplit(url).netloc
    http = Http(None, True, _PATIENCE, clock)
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    try:
        reply = http.send("POST", url, size=_LONGEST, data=question, headers=headers)
    except NetworkError as failure:
        # Whoever seals reads of a host, and has to know that it is the authority's.
        failure.message = f"No time stamp was got: {failure.message}"
        if failure.advice == NETWORK_ADVICE:
            failure.advice = _ADVICE
        raise
    if reply.status_code != 200:
        raise ServiceError(
            f"The time-stamping authority {host} answered with the HTTP status {reply.status_code}.",
            status=reply.status_code,
            advice=_ADVICE,
            code="TsaRefused",
        )
    return reply.content
