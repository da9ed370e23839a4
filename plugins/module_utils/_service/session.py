# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of the Defender API: bearer, budget, patience, and errors that say what they mean."""

from __future__ import annotations

import threading
import typing as t
from collections import Counter
from contextlib import contextmanager
from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.http import (
    FIRST_PAUSE,
    RETRIES,
    Http,
    chunks_of,
    json_of,
    retry_after,
)
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Budget, Slot
from ansible_collections.secops.defender.plugins.module_utils._service.token import Tokens
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    NetworkError,
    ReplyLost,
    ServiceError,
    TlsError,
    from_reply,
)

if t.TYPE_CHECKING:  # pragma: no cover
    import requests

# A service that keeps answering 429 although each Retry-After was obeyed is used up by others.
_THROTTLED = 20


class Session:
    """Calls of the Defender API: bearer, budget, patience, and errors that say what they mean.

    log: told one line a call, free of secrets.
    """

    def __init__(
        self,
        http: Http,
        endpoints: Endpoints,
        tokens: Tokens,
        budget: Budget,
        log: t.Callable[[str], None] = lambda text: None,
    ) -> None:
        self.endpoints = endpoints
        self.budget = budget
        self.clock = http.clock
        self.api_calls = 0
        self.calls_by_endpoint: Counter[str] = Counter()
        self._http = http
        self._tokens = tokens
        self._log = log
        self._lock = threading.Lock()

    def call(
        self,
        method: str,
        endpoint: str,
        path: str,
        doing: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, str] | None = None,
        slot: Slot | None = None,
        expect: tuple[str, type] = ("id", str),
    ) -> dict[str, t.Any]:
        """The JSON object that the service answers.

        endpoint: the class whose budget the call uses. path: below the API's base URL, or a whole URL on the same host.
        doing: for messages, such as "list machine actions". slot: leave taken before; otherwise it is waited for.
        expect: a key that the answer must have, and its value's type.

        A GET is repeated on lost replies, 5xx and damaged JSON. A POST is repeated only where it certainly was not
        processed (never sent, 401, 429). Raises ReplyLost for a POST whose outcome is unknown, NetworkError, AuthError,
        ServiceError (NotFound, AlreadyRunning).
        """
        url = path if "://" in path else self.endpoints.api_url + path
        repeatable = method == "GET"
        failures = throttled = 0
        renewed = False
        while True:
            failure, reply = self._once(method, endpoint, url, params, body, slot)
            slot = None
            if reply is not None:
                if reply.status_code == 429 and throttled < _THROTTLED:
                    throttled += 1
                    self.budget.pause(endpoint, retry_after(reply, self.clock))
                    continue
                if reply.status_code == 401 and not renewed:
                    renewed = True
                    self._tokens.renew()
                    continue
                # The service has no pages: something on the way has.
                strange = reply.status_code == 404 and "html" in reply.headers.get("Content-Type", "").lower()
                if reply.status_code < 500 and not strange:
                    if reply.status_code >= 300:
                        raise from_reply(reply.status_code, json_of(reply), doing)
                    decoded = json_of(reply)
                    if isinstance(decoded, dict) and isinstance(decoded.get(expect[0]), expect[1]):
                        return decoded
                    failure = ReplyLost(
                        f"Failed to {doing}: the service's answer is not what it should be, it has no {expect[0]}.",
                        advice="Run again; if it stays, something on the way (a proxy, a portal) answers in the service's place.",
                    )
                elif strange:
                    failure = ReplyLost(
                        f"Failed to {doing}: the 404 that came is not the service's.",
                        advice="Check api_url; something on the way (a proxy, a portal) may answer in the service's place.",
                    )
                else:
                    error = from_reply(reply.status_code, json_of(reply), doing)
                    failure = ReplyLost(
                        error.message, code=error.code, tracking_id=error.tracking_id, advice=error.advice
                    )
            never_sent = isinstance(failure, NetworkError)
            if failures >= RETRIES or isinstance(failure, TlsError) or not (repeatable or never_sent):
                raise t.cast(DefenderError, failure)
            self.clock.sleep(self.clock.jitter(FIRST_PAUSE * 2**failures))
            failures += 1

    def _once(
        self,
        method: str,
        endpoint: str,
        url: str,
        params: dict[str, str] | None,
        body: dict[str, str] | None,
        slot: Slot | None,
    ) -> tuple[DefenderError | None, requests.Response | None]:
        bearer = self._tokens.get()
        slot = slot or self.budget.acquire(endpoint)
        began = self.clock.monotonic()
        outcome = "no reply"
        try:
            reply = self._http.send(
                method,
                url,
                params=params,
                json=body,
                headers={"Authorization": f"Bearer {bearer}", "Accept": "application/json"},
            )
            outcome = str(reply.status_code)
            return None, reply
        except (NetworkError, ReplyLost) as failure:
            outcome = failure.message
            return failure, None
        finally:
            self.budget.done(slot)
            with self._lock:
                self.api_calls += 1
                self.calls_by_endpoint[endpoint] += 1
            self._log(
                f"{method} {urlsplit(url).path} {params or ''}: {outcome} ({self.clock.monotonic() - began:.2f} s)"
            )

    @contextmanager
    def stream(self, link: str, offset: int) -> t.Iterator[tuple[int, int | None, t.Iterator[bytes]]]:
        """A package, from a byte offset where the server can: the offset it begins at, the whole size if told, the bytes.

        The link carries its own credential: no bearer goes with it. Raises NetworkError, ReplyLost (also while the bytes
        are read), ServiceError for a refusal (403: the link has expired).
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        reply = self._http.send("GET", link, headers=headers, stream=True)
        try:
            if reply.status_code == 416:
                # Nothing lies beyond the offset: either all of it is here already, or what is here is no part of it.
                whole = reply.headers.get("Content-Range", "").rpartition("/")[2]
                if whole == str(offset):
                    yield offset, offset, iter(())
                    return
                reply.close()
                reply = self._http.send("GET", link, headers={"Accept-Encoding": "identity"}, stream=True)
            if reply.status_code not in (200, 206):
                code = "LinkRefused" if reply.status_code in (401, 403, 404, 410) else None
                raise ServiceError(
                    f"The package link was answered with {reply.status_code}.",
                    status=reply.status_code,
                    code=code,
                    advice="A link lives for about a minute. Run again; if it stays, check the proxy on the way.",
                )
            start, size = _extent(reply)
            yield start, size, chunks_of(reply)
        finally:
            reply.close()


def _extent(reply: requests.Response) -> tuple[int, int | None]:
    """Where the body begins in the package, and the package's size if the server told."""
    length = reply.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if reply.status_code == 200:
        return 0, size
    unit, _space, extent = reply.headers.get("Content-Range", "").partition(" ")
    first = extent.partition("-")[0]
    whole = extent.rpartition("/")[2]
    if unit != "bytes" or not first.isdigit():
        raise ReplyLost("The server sent a part of the package without saying which.")
    return int(first), int(whole) if whole.isdigit() else None
