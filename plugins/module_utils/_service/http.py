# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire: one HTTP session, its proxies and trust, and what a failure on the way means for the request."""

from __future__ import annotations

import email.utils
import logging
import math
import os
import re
import typing as t
from urllib.parse import urlsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ADVICE,
    AuthError,
    DefenderError,
    MissingLibrary,
    NetworkError,
    OptionsError,
    ReplyLost,
    TlsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

if t.TYPE_CHECKING:  # pragma: no cover
    import requests

# How often a request that is safe to repeat is sent again, and the first pause in seconds; each later one doubles.
RETRIES = 4
FIRST_PAUSE = 1.0
_LONGEST_RETRY_AFTER = 3600.0
_CHUNK = 1 << 20

_NETWORK_ADVICE = (
    "Check the network, the proxy variables and the host's name, then run again: what was begun is picked up."
)


class Http:
    """requests with explicit trust and time-outs, proxies from the environment only, and no ~/.netrc.

    Raises MissingLibrary if requests is not installed, OptionsError for a C(ca_path) or a proxy's address that cannot be read.
    """

    def __init__(self, ca_path: str | None, validate_certs: bool, timeout: float, clock: Clock) -> None:
        requests, urllib3 = _libraries()
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
        requests, urllib3 = _libraries()
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
        except (requests.exceptions.RequestException, urllib3.exceptions.LocationParseError, OSError) as failure:
            raise _explained(failure, host, self._timeout) from None

    def _proxies_for(self, host: str) -> dict[str, str]:
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        if not self._proxies or proxy_bypass_environment(host, self._proxies):
            return {}
        return {scheme: proxy for scheme, proxy in self._proxies.items() if scheme != "no"}

    def patient(self, method: str, url: str, **kwargs: t.Any) -> requests.Response:
        """send, repeated while nobody answers or the server is in trouble; for requests that are safe to repeat."""
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
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
            self.clock.sleep(wait if wait is not None else self.clock.jitter(FIRST_PAUSE * 2**attempt))
        raise AssertionError("unreachable")


def _libraries() -> tuple[t.Any, t.Any]:
    """requests and urllib3. Late, like everything that loads ssl: whoever only reads an argument spec needs none of it.

    Raises MissingLibrary.
    """
    try:
        import requests
        import urllib3
    except ImportError:
        raise MissingLibrary(
            missing_required_lib("requests"),
            advice="Install it for the Python that runs Ansible on the control node (ansible --version shows which), or use "
            "an execution environment that has it.",
        ) from None
    return requests, urllib3


def _proxies() -> dict[str, str]:
    """The environment's proxies. Raises OptionsError for one whose address cannot be read, without its password."""
    from urllib.request import getproxies_environment

    requests, urllib3 = _libraries()
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


def _explained(failure: Exception, host: str, timeout: float) -> DefenderError:
    """What a failed request means: NetworkError (TlsError) where it certainly was not processed, ReplyLost where it may have been."""
    requests, _urllib3 = _libraries()
    if isinstance(failure, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(failure):
            return TlsError(
                f"The certificate of {host} is not trusted: {_reason(failure)}.",
                advice="If a proxy inspects TLS or the host has a private CA, set ca_path to that CA's certificate.",
            )
        # Not only a handshake fails this way: a reply that cannot be decrypted may be one to a request carried out.
        return ReplyLost(f"TLS to {host} failed: {_reason(failure)}.", advice=_NETWORK_ADVICE)
    if isinstance(failure, requests.exceptions.ProxyError):
        # urllib3 before 2 says so of every connection through a proxy that breaks, also after the request was sent.
        kind = NetworkError if _before_the_proxy(failure) else ReplyLost
        return kind(
            f"The proxy on the way to {host} failed: {_reason(failure)}.",
            advice="Check HTTPS_PROXY and NO_PROXY in the environment.",
        )
    if isinstance(failure, requests.exceptions.ConnectTimeout):
        return NetworkError(f"{host} did not accept a connection within {timeout:g} seconds.", advice=_NETWORK_ADVICE)
    if isinstance(failure, requests.exceptions.InvalidHeader):
        # Whoever says more says the bearer.
        return AuthError(
            f"The access token for {host} has characters that no token has.", advice="Get it anew, in one line."
        )
    if isinstance(failure, OSError) and not isinstance(failure, requests.exceptions.RequestException):
        # requests reports an unusable CA bundle this way.
        return OptionsError(f"{failure}", advice="Check ca_path and REQUESTS_CA_BUNDLE.")
    if _never_sent(failure):
        return NetworkError(f"{host} cannot be reached: {_reason(failure)}.", advice=_NETWORK_ADVICE)
    return ReplyLost(f"The reply of {host} did not arrive: {_reason(failure)}.", advice=_NETWORK_ADVICE)


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
    import urllib3

    # urllib3 2 says ProxyError of nothing else.
    if hasattr(urllib3, "BaseHTTPResponse"):
        return True
    inner = next((arg for arg in failure.args if isinstance(arg, BaseException)), None)
    reason = getattr(inner, "reason", inner)
    cause = next((arg for arg in getattr(reason, "args", ()) if isinstance(arg, BaseException)), None)
    return isinstance(cause, urllib3.exceptions.NewConnectionError) or "Tunnel connection failed" in str(cause)


def _never_sent(failure: BaseException) -> bool:
    import urllib3

    # What requests finds wrong with its arguments, such as the URL of a proxy, is a ValueError, too.
    if isinstance(failure, ValueError):
        return True
    inner = next((arg for arg in failure.args if isinstance(arg, BaseException)), None)
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError))


def json_of(reply: requests.Response) -> object:
    """The decoded JSON of a reply; None for what is none."""
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


def chunks_of(reply: requests.Response) -> t.Iterator[bytes]:
    """The bytes of a reply as they come. Raises ReplyLost."""
    import urllib3

    try:
        while chunk := reply.raw.read(_CHUNK):
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        raise ReplyLost(f"The download broke off: {_reason(failure)}.", advice=ADVICE["InternalServerError"]) from None
