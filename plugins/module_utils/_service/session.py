# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of the Defender API: bearer, budget, patience, and errors that say what they mean."""

from __future__ import annotations

import re
import threading
import typing as t
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Budget, Slot
from ansible_collections.secops.defender.plugins.module_utils._service.wire import (
    FIRST_PAUSE,
    RETRIES,
    Http,
    Reply,
    chunks_of,
    json_of,
    retry_after,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    NetworkError,
    ReplyLost,
    ServiceError,
    StrangeReply,
    TlsError,
    error_in,
    from_reply,
)

# A service that keeps answering 429 although each Retry-After was obeyed is used up by others; so many times, or seconds in all.
_THROTTLED = 20
_LONGEST_THROTTLED = 7200.0
# No package is longer, and no number of a header has more digits.
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass
class _Tries:
    """How often one call was sent again, and why."""

    failures: int = 0
    throttled: int = 0
    waited: float = 0.0
    renewed: bool = False


class Bearers(t.Protocol):
    """Where the token of each call comes from, and a new one if the service wants none of it."""

    def get(self) -> str:
        """The token of the next call."""

    def renew(self) -> None:
        """Get a token that is not the one refused."""


class Session:
    """Calls of the Defender API: bearer, budget, patience, and errors that say what they mean.

    log: told one line a call, free of secrets.
    """

    def __init__(
        self,
        http: Http,
        endpoints: Endpoints,
        tokens: Bearers,
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
        tries = _Tries()
        while True:
            failure, reply = self._once(method, endpoint, url, params, body, slot)
            slot = None
            if reply is not None:
                if self._again(reply, endpoint, tries):
                    continue
                answer, failure = self._answer(reply, doing, expect)
                if answer is not None:
                    return answer
            repeatable = method == "GET" or isinstance(failure, NetworkError)
            if tries.failures >= RETRIES or isinstance(failure, TlsError) or not repeatable:
                raise t.cast(DefenderError, failure)
            self.clock.sleep(self.clock.jitter(FIRST_PAUSE * 2**tries.failures))
            tries.failures += 1

    def _again(self, reply: Reply, endpoint: str, tries: _Tries) -> bool:
        """Whether it was certainly not processed, and may be once more: throttled, or with a token that has ended."""
        if reply.status_code == 401 and not tries.renewed:
            tries.renewed = True
            self._tokens.renew()
            return True
        if reply.status_code != 429 or tries.throttled >= _THROTTLED or tries.waited >= _LONGEST_THROTTLED:
            return False
        wait = retry_after(reply, self.clock)
        tries.throttled += 1
        tries.waited += wait if wait is not None else min(limit.seconds for limit in self.budget.limits(endpoint))
        self.budget.pause(endpoint, wait)
        return True

    def _answer(
        self, reply: Reply, doing: str, expect: tuple[str, type]
    ) -> tuple[dict[str, t.Any] | None, ReplyLost | None]:
        """What the reply holds, or why it is as good as none. Raises ServiceError for a refusal."""
        decoded = json_of(reply)
        status = reply.status_code
        if status >= 500:
            error = from_reply(status, decoded, doing)
            return None, ReplyLost(error.message, code=error.code, tracking_id=error.tracking_id, advice=error.advice)
        if status == 404 and not error_in(decoded).get("code"):
            # The service has an error code for what it does not know: something on the way has not.
            raise StrangeReply(
                f"Failed to {doing}: {self.endpoints.api_host} answered 404, but not as the service does.",
                status=status,
                advice=f"Check api_url, which is {self.endpoints.api_url}: it ends before /api. Otherwise something "
                "on the way (a gateway, a proxy, a portal) answers in the service's place.",
            )
        if status >= 300:
            raise from_reply(status, decoded, doing)
        if isinstance(decoded, dict) and isinstance(decoded.get(expect[0]), expect[1]):
            return decoded, None
        return None, ReplyLost(
            f"Failed to {doing}: the service's answer is not what it should be, it has no {expect[0]}.",
            advice="Run again; if it stays, something on the way (a proxy, a portal) answers in the service's place.",
        )

    def now(self) -> float:
        """Seconds since 1970 by the service's clock, as far as its replies have told it."""
        return self._http.now()

    @property
    def skew(self) -> float:
        """By how many seconds this computer's clock is ahead of the service's; 0.0: not known."""
        return self._http.skew

    def _once(
        self,
        method: str,
        endpoint: str,
        url: str,
        params: dict[str, str] | None,
        body: dict[str, str] | None,
        slot: Slot | None,
    ) -> tuple[DefenderError | None, Reply | None]:
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
            _refuse_what_is_no_package(reply)
            start, size = _extent(reply)
            yield start, size, chunks_of(reply)
        finally:
            reply.close()


def _refuse_what_is_no_package(reply: Reply) -> None:
    """Raises ServiceError."""
    status = reply.status_code
    if status not in (200, 206):
        raise ServiceError(
            f"The package link was answered with {status}.",
            status=status,
            code="LinkRefused" if status in (401, 403, 404, 410) else None,
            advice="A link lives for about a minute. Run again; if it stays, check the proxy on the way.",
        )
    encoding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    kind = reply.headers.get("Content-Type", "").lower()
    if encoding not in ("", "identity") or "html" in kind:
        what = "a web page" if "html" in kind else f"encoded as {encoding} though that was ruled out"
        raise StrangeReply(
            f"The package link was answered with {what}: something on the way has changed the download.",
            status=status,
            advice="A proxy or web filter does that, not the service: exempt the download host from it (NO_PROXY, or its rules).",
            code="DownloadAltered",
        )


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _extent(reply: Reply) -> tuple[int, int | None]:
    """Where the body begins in the package, and the package's size if the server told. Raises ReplyLost."""
    if reply.status_code == 200:
        return 0, _number(reply.headers.get("Content-Length", ""))
    unit, _space, extent = reply.headers.get("Content-Range", "").partition(" ")
    first = _number(extent.partition("-")[0])
    if unit != "bytes" or first is None:
        raise ReplyLost("The server sent a part of the package without saying which.")
    return first, _number(extent.rpartition("/")[2])
