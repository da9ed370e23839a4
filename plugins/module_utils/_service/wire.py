# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire: one HTTP session, its proxies and trust, and an end to every call."""

from __future__ import annotations

import email.utils
import json
import logging
import os
import re
import statistics
import threading
import typing as t
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.deadline import (
    Deadline,
    LeastRate,
    Pace,
    bounded_by,
    pace_pools,
)
from ansible_collections.secops.defender.plugins.module_utils._service.wire_failures import (
    NETWORK_ADVICE,
    explained,
    libraries,
    reason,
    slow,
)
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ADVICE,
    NetworkError,
    OptionsError,
    ReplyLost,
    TlsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

# How often a request that is safe to repeat is sent again, and the first pause in seconds; each later one doubles.
RETRIES = 4
FIRST_PAUSE = 1.0
# Whoever asks for more patience than the longest documented window of the quota does not mean it, in seconds.
_LONGEST_RETRY_AFTER = 3600.0
# A sign-in waits for its host so many seconds at a time, and so many in all.
_LONGEST_PATIENCE = 300.0
_PATIENCE = 600.0
# Bytes of a body after decompression: a full page of machines takes about 20 MiB, a token a few KiB.
LIST_SIZE = 64 << 20
TOKEN_SIZE = 1 << 20
# Read so many bytes at a time: a decompressed piece is at most about a thousand times as long.
_PIECE = 16 << 10
_CHUNK = 1 << 20
# A download that is slower is none: bytes a second, over so many seconds.
_LEAST_RATE = 1024.0
_RATE_WINDOW = 60.0
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
# The skew of the clocks is judged by the last so many replies.
_SKEWS = 101
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


@dataclass
class Reply:
    """An HTTP reply. content: the body after decompression; empty where it is to be read in chunks (raw)."""

    status_code: int
    url: str
    headers: t.Mapping[str, str]
    content: bytes = b""
    raw: t.Any = None

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> t.Any:
        """Raises ValueError, RecursionError."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """As msal has it. Raises OSError."""
        if self.status_code >= 400:
            raise OSError(f"HTTP status {self.status_code}")

    def close(self) -> None:
        if self.raw is not None:
            self.raw.close()


class Http:
    """requests with explicit trust, an end to every call, proxies from the environment only, and no ~/.netrc.

    timeout: seconds for all of a call, headers and body; for a download, until its headers are there, and between its bytes.
    Raises MissingLibrary if requests is not installed, OptionsError for a C(ca_path) or a proxy's address that cannot be read.
    """

    def __init__(self, ca_path: str | None, validate_certs: bool, timeout: float, clock: Clock) -> None:
        requests, urllib3 = libraries()
        if ca_path and not os.access(ca_path, os.R_OK):
            raise OptionsError(
                f"ca_path {ca_path} cannot be read.", advice="Give a PEM file or a folder of hashed certificates."
            )
        if ca_path and os.path.isfile(ca_path):
            # Found out only with the first request, it would look like trouble on the network.
            import ssl

            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_path)
            except OSError as failure:
                raise OptionsError(
                    f"ca_path {ca_path} holds no certificate: {reason(failure)}.",
                    advice="Give a PEM file or a folder of hashed certificates.",
                ) from None
        self.clock = clock
        self._timeout = timeout
        self._ca_path = ca_path
        self._lock = threading.Lock()
        self._offsets: deque[float] = deque(maxlen=_SKEWS)
        # It logs whole URLs where a reply's headers are malformed, and a package link is a secret.
        logging.getLogger("urllib3").propagate = False
        # requests prefers its environment variables to an explicit path; here the explicit path wins.
        fallback = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._verify: bool | str = (ca_path or fallback) if validate_certs else False
        self._session = requests.Session()
        # With it requests reads ~/.netrc, whose entry for the host would replace the bearer, and on macOS asks the
        # operating system for proxies, which crashes a forked worker.
        self._session.trust_env = False
        self._session.headers["User-Agent"] = USER_AGENT
        self._proxies = _proxies()
        # What urllib3 can undo in any of its versions.
        self._session.headers["Accept-Encoding"] = "gzip, deflate"
        adapter = _adapter(requests.adapters.HTTPAdapter)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        if not validate_certs:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def send(
        self,
        method: str,
        url: str,
        *,
        proxied: bool = True,
        stream: bool = False,
        size: int = LIST_SIZE,
        **kwargs: t.Any,
    ) -> Reply:
        """One request, no retry, no redirect. proxied: by the proxy that the environment names, if it names one.

        stream: leave the body to be read in chunks. size: the longest body otherwise, in bytes.
        Raises NetworkError (TlsError) if it certainly was not processed, ReplyLost if it may have been. Neither names the
        URL's query: it may be a package link.
        """
        requests, urllib3 = libraries()
        host = urlsplit(url).netloc
        pace = Pace(Deadline(self._timeout))
        try:
            with bounded_by(pace):
                found = self._session.request(
                    method,
                    url,
                    timeout=self._timeout,
                    verify=self._verify,
                    proxies=self._proxies_for(host) if proxied else {},
                    allow_redirects=False,
                    stream=True,
                    **kwargs,
                )
        except (requests.exceptions.RequestException, urllib3.exceptions.LocationParseError, OSError) as failure:
            raise explained(failure, host, self._timeout, self._ca_path) from None
        reply = Reply(found.status_code, url, found.headers, raw=found.raw)
        if stream:
            pace.limit = LeastRate(self._timeout, _LEAST_RATE, _RATE_WINDOW)
            return reply
        if proxied:
            self._compare_clocks(reply)
        reply.content = self._body(reply, host, size)
        return reply

    def _body(self, reply: Reply, host: str, most: int) -> bytes:
        """All of it, decompressed. Raises ReplyLost."""
        import urllib3

        pieces: list[bytes] = []
        size = 0
        try:
            encoding = reply.headers.get("Content-Encoding", "").strip().lower()
            if encoding not in _ENCODINGS:
                raise ReplyLost(
                    f"The reply of {host} is encoded as {encoding}, which was not asked for.", advice=_MEDDLED
                )
            for piece in reply.raw.stream(_PIECE, decode_content=True):
                size += len(piece)
                if size > most:
                    # A failure keeps what its frame holds, while the next attempt reads as much again.
                    pieces.clear()
                    raise ReplyLost(f"The reply of {host} is longer than {most >> 20} MiB.", advice=_MEDDLED)
                pieces.append(piece)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            pieces.clear()
            raise slow(host, self._timeout) from None
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise ReplyLost(f"The reply of {host} did not arrive: {reason(failure)}.", advice=NETWORK_ADVICE) from None
        finally:
            # Where all was read, the connection has been given back already.
            reply.close()
        return b"".join(pieces)

    @property
    def skew(self) -> float:
        """By how many seconds this computer's clock is ahead of the service's, as its replies' C(Date) tells; 0.0: not known."""
        with self._lock:
            known = bool(self._offsets)
        return self.clock.wall() - self.now() if known else 0.0

    @property
    def knows_time(self) -> bool:
        """Whether any reply has told the service's time."""
        with self._lock:
            return bool(self._offsets)

    def now(self) -> float:
        """Seconds since 1970 by the service's clock, as far as it is known: no step of this computer's clock moves it."""
        with self._lock:
            if self._offsets:
                return self.clock.monotonic() + statistics.median(self._offsets)
        return self.clock.wall()

    def _compare_clocks(self, reply: Reply) -> None:
        try:
            told = email.utils.parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        with self._lock:
            # It is cut to whole seconds.
            self._offsets.append(told + 0.5 - self.clock.monotonic())

    def _proxies_for(self, host: str) -> dict[str, str]:
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        if not self._proxies or proxy_bypass_environment(host, self._proxies):
            return {}
        return {scheme: proxy for scheme, proxy in self._proxies.items() if scheme != "no"}

    def patient(self, method: str, url: str, *, size: int = TOKEN_SIZE, **kwargs: t.Any) -> Reply:
        """send, repeated while nobody answers or the server is in trouble; for requests that are safe to repeat.

        A server that asks for patience gets five minutes at a time, and ten in all.
        """
        waited = 0.0
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES or waited >= _PATIENCE
            wait = None
            try:
                reply = self.send(method, url, size=size, **kwargs)
            except (NetworkError, ReplyLost) as failure:
                if last or isinstance(failure, TlsError):
                    raise
            else:
                if last or (reply.status_code != 429 and reply.status_code < 500):
                    return reply
                wait = retry_after(reply, self.clock)
            pause = min(wait, _LONGEST_PATIENCE) if wait is not None else self.clock.jitter(FIRST_PAUSE * 2**attempt)
            waited += pause
            self.clock.sleep(pause)
        raise AssertionError("unreachable")


_MEDDLED = "Run again; if it stays, something on the way (a proxy, a portal) answers in the service's place."


def _adapter(base: t.Any) -> t.Any:
    class PacedAdapter(base):
        def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            pace_pools(self.poolmanager)

        def proxy_manager_for(self, proxy: str, **kwargs: t.Any) -> t.Any:
            known = proxy in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **kwargs)
            return manager if known else pace_pools(manager)

    return PacedAdapter(pool_maxsize=16)


def _proxies() -> dict[str, str]:
    """The environment's proxies. Raises OptionsError for one whose address cannot be read, without its password."""
    from urllib.request import getproxies_environment

    requests, urllib3 = libraries()
    proxies: dict[str, str] = getproxies_environment()
    for scheme in ("http", "https", "all"):
        if scheme not in proxies:
            continue
        try:
            usable = bool(urllib3.util.parse_url(requests.utils.prepend_scheme_if_needed(proxies[scheme], "http")).host)
        except (ValueError, TypeError):
            usable = False
        if not usable:
            raise OptionsError(
                f"{scheme.upper()}_PROXY in the environment is not the address of a proxy.",
                advice="Give http://host:port or http://user:password@host:port; write a / or @ in the password as %2F or %40.",
            )
    return proxies


def json_of(reply: Reply) -> object:
    """The decoded JSON of a reply; None for what is none."""
    try:
        decoded = json.loads(reply.content)
    except (ValueError, RecursionError):
        return None
    # JSON can hold half a character of two, which no file and no terminal takes.
    return _whole(decoded) if _HALF_ESCAPED.search(reply.content) else decoded


_HALF_ESCAPED, _HALF = re.compile(rb"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")


def _whole(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return value


def retry_after(reply: t.Any, clock: Clock) -> float | None:
    """Seconds to wait, from C(Retry-After): delta-seconds (Common REST API error codes) or an HTTP date; None: not told.

    An hour at the most.
    """
    text = reply.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - clock.wall()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)


def chunks_of(reply: Reply) -> t.Iterator[bytes]:
    """The bytes of a reply as they come. Raises ReplyLost."""
    import urllib3

    try:
        while chunk := reply.raw.read(_CHUNK):
            yield chunk
    except urllib3.exceptions.ReadTimeoutError:
        raise ReplyLost(
            "The download broke off: it stalled, or came at less than 1 KiB a second.", advice=NETWORK_ADVICE
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        raise ReplyLost(f"The download broke off: {reason(failure)}.", advice=ADVICE["InternalServerError"]) from None
