# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP: one session, its proxies and trust, and what a failure on the wire means for the request."""

from __future__ import annotations

import email.utils
import logging
import math
import os
import re
import ssl
import threading
import traceback
import typing as t
from collections import Counter
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Budget, Slot
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ADVICE,
    AuthError,
    DefenderError,
    MissingLibrary,
    NetworkError,
    OptionsError,
    ReplyLost,
    ServiceError,
    TlsError,
    from_reply,
)
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

try:
    import requests
    import urllib3
except ImportError:
    _MISSING: str | None = traceback.format_exc()
else:
    _MISSING = None

if t.TYPE_CHECKING:  # pragma: no cover
    from ansible_collections.secops.defender.plugins.module_utils._service.sign_in import Tokens

# How often a request that is safe to repeat is sent again, and the first pause in seconds; each later one doubles.
_RETRIES = 4
_FIRST_PAUSE = 1.0
# A service that keeps answering 429 although each Retry-After was obeyed is used up by others.
_THROTTLED = 20
_LONGEST_RETRY_AFTER = 3600.0
_CHUNK = 1 << 20


class Http:
    """requests with explicit trust and time-outs, proxies from the environment only, and no ~/.netrc.

    Raises MissingLibrary if requests is not installed, OptionsError for a C(ca_path) or a proxy's address that cannot be read.
    """

    def __init__(self, ca_path: str | None, validate_certs: bool, timeout: float, clock: Clock) -> None:
        if _MISSING:
            raise MissingLibrary(
                missing_required_lib("requests"),
                advice="Install it for the Python that runs Ansible on the control node (ansible --version shows which), or use "
                "an execution environment that has it.",
            )
        if ca_path and not os.access(ca_path, os.R_OK):
            raise OptionsError(
                f"ca_path {ca_path} cannot be read.", advice="Give a PEM file or a folder of hashed certificates."
            )
        if ca_path and os.path.isfile(ca_path):
            # Found out only with the first request, it would look like trouble on the network.
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_path)
            except OSError as failure:
                raise OptionsError(
                    f"ca_path {ca_path} holds no certificate: {_reason(failure)}.",
                    advice="Give a PEM file or a folder of hashed certificates.",
                ) from None
        self.clock = clock
        self._timeout = timeout
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
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=16)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        if not validate_certs:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def send(self, method: str, url: str, *, proxied: bool = True, **kwargs: t.Any) -> requests.Response:
        """One request, no retry, no redirect. proxied: by the proxy that the environment names, if it names one.

        Raises NetworkError (TlsError) if it certainly was not processed, ReplyLost if it may have been. Neither names the
        URL's query: it may be a package link.
        """
        host = urlsplit(url).netloc
        try:
            return self._session.request(
                method,
                url,
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies_for(host) if proxied else {},
                allow_redirects=False,
                **kwargs,
            )
        except requests.exceptions.SSLError as failure:
            if "CERTIFICATE_VERIFY_FAILED" in str(failure):
                raise TlsError(
                    f"The certificate of {host} is not trusted: {_reason(failure)}.",
                    advice="If a proxy inspects TLS or the host has a private CA, set ca_path to that CA's certificate.",
                ) from None
            # Not only a handshake fails this way: a reply that cannot be decrypted may be one to a request carried out.
            raise ReplyLost(f"TLS to {host} failed: {_reason(failure)}.", advice=_NETWORK_ADVICE) from None
        except requests.exceptions.ProxyError as failure:
            # urllib3 before 2 says so of every connection through a proxy that breaks, also after the request was sent.
            kind = NetworkError if _before_the_proxy(failure) else ReplyLost
            raise kind(
                f"The proxy on the way to {host} failed: {_reason(failure)}.",
                advice="Check HTTPS_PROXY and NO_PROXY in the environment.",
            ) from None
        except requests.exceptions.ConnectTimeout:
            raise NetworkError(
                f"{host} did not accept a connection within {self._timeout:g} seconds.", advice=_NETWORK_ADVICE
            ) from None
        except requests.exceptions.InvalidHeader:
            # Whoever says more says the bearer.
            raise AuthError(
                f"The access token for {host} has characters that no token has.", advice="Get it anew, in one line."
            ) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.LocationParseError) as failure:
            if _never_sent(failure):
                raise NetworkError(f"{host} cannot be reached: {_reason(failure)}.", advice=_NETWORK_ADVICE) from None
            raise ReplyLost(
                f"The reply of {host} did not arrive: {_reason(failure)}.", advice=_NETWORK_ADVICE
            ) from None
        except OSError as failure:
            # requests reports an unusable CA bundle this way.
            raise OptionsError(f"{failure}", advice="Check ca_path and REQUESTS_CA_BUNDLE.") from None

    def _proxies_for(self, host: str) -> dict[str, str]:
        if not self._proxies or proxy_bypass_environment(host, self._proxies):
            return {}
        return {scheme: proxy for scheme, proxy in self._proxies.items() if scheme != "no"}

    def patient(self, method: str, url: str, **kwargs: t.Any) -> requests.Response:
        """send, repeated while nobody answers or the server is in trouble; for requests that are safe to repeat."""
        for attempt in range(_RETRIES + 1):
            last = attempt == _RETRIES
            wait = None
            try:
                reply = self.send(method, url, **kwargs)
            except (NetworkError, ReplyLost) as failure:
                if last or isinstance(failure, TlsError):
                    raise
            else:
                if last or (reply.status_code != 429 and reply.status_code < 500):
                    return reply
                wait = retry_after(reply, self.clock)
            self.clock.sleep(wait if wait is not None else self.clock.jitter(_FIRST_PAUSE * 2**attempt))
        raise AssertionError("unreachable")


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
                        raise from_reply(reply.status_code, _json(reply), doing)
                    decoded = _json(reply)
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
                    error = from_reply(reply.status_code, _json(reply), doing)
                    failure = ReplyLost(
                        error.message, code=error.code, tracking_id=error.tracking_id, advice=error.advice
                    )
            never_sent = isinstance(failure, NetworkError)
            if failures >= _RETRIES or isinstance(failure, TlsError) or not (repeatable or never_sent):
                raise t.cast(DefenderError, failure)
            self.clock.sleep(self.clock.jitter(_FIRST_PAUSE * 2**failures))
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
            yield start, size, _chunks(reply)
        finally:
            reply.close()


_NETWORK_ADVICE = (
    "Check the network, the proxy variables and the host's name, then run again: what was begun is picked up."
)


def _proxies() -> dict[str, str]:
    """The environment's proxies. Raises OptionsError for one whose address cannot be read, without its password."""
    proxies = getproxies_environment()
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


def _reason(failure: BaseException) -> str:
    """The innermost cause in words, without the URL that requests puts around it."""
    inner: t.Any = failure
    while True:
        deeper = getattr(inner, "reason", None) or next(
            (arg for arg in inner.args if isinstance(arg, BaseException)), None
        )
        if not isinstance(deeper, BaseException):
            break
        inner = deeper
    text = getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or str(inner)
    # urllib3 prefixes its own objects, in a form that changes with its version.
    words = re.split(r"(?:>|HTTPS?Connection(?:Pool)?\(host=.*?\)): ", str(text))[-1]
    return words.split("(_ssl.c", 1)[0].strip(" .") or type(inner).__name__


def _before_the_proxy(failure: BaseException) -> bool:
    # urllib3 2 says ProxyError of nothing else.
    if hasattr(urllib3, "BaseHTTPResponse"):
        return True
    inner = next((arg for arg in failure.args if isinstance(arg, BaseException)), None)
    reason = getattr(inner, "reason", inner)
    cause = next((arg for arg in getattr(reason, "args", ()) if isinstance(arg, BaseException)), None)
    return isinstance(cause, urllib3.exceptions.NewConnectionError) or "Tunnel connection failed" in str(cause)


def _never_sent(failure: BaseException) -> bool:
    # What requests finds wrong with its arguments, such as the URL of a proxy, is a ValueError, too.
    if isinstance(failure, ValueError):
        return True
    inner = next((arg for arg in failure.args if isinstance(arg, BaseException)), None)
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError))


def _json(reply: requests.Response) -> object:
    try:
        decoded = reply.json()
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


def retry_after(reply: requests.Response, clock: Clock) -> float | None:
    """Seconds to wait, from C(Retry-After): delta-seconds (Common REST API error codes) or an HTTP date; None: not told."""
    text = reply.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - clock.wall()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER) if not math.isnan(seconds) else None


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


def _chunks(reply: requests.Response) -> t.Iterator[bytes]:
    try:
        while chunk := reply.raw.read(_CHUNK):
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        raise ReplyLost(f"The download broke off: {_reason(failure)}.", advice=ADVICE["InternalServerError"]) from None
