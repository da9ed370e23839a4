# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failure on the wire means for the request: whether it was certainly not processed, or may have been."""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    MissingLibrary,
    NetworkError,
    OptionsError,
    ReplyLost,
    TlsError,
)

NETWORK_ADVICE = (
    "Check the network, the proxy variables and the host's name, then run again: what was begun is picked up."
)
# What OpenSSL says of certificates that only strict checking refuses; Python 3.13 and newer check strictly (VERIFY_X509_STRICT).
_STRICT = re.compile(
    "missing (?:authority|subject) key identifier|not marked critical|does not include key usage|empty subject alternative name"
    "|path length|keycertsign|(?:issuer|subject) name empty|at least x509v3|subject alternative name extension",
    re.IGNORECASE,
)


def libraries() -> tuple[t.Any, t.Any]:
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


def explained(failure: Exception, host: str, timeout: float, ca_path: str | None) -> DefenderError:
    """What a failed request means: NetworkError (TlsError) where it certainly was not processed, ReplyLost where it may have been."""
    requests, _urllib3 = libraries()
    if isinstance(failure, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(failure):
            return _not_trusted(failure, host, ca_path)
        # Not only a handshake fails this way: a reply that cannot be decrypted may be one to a request carried out.
        return ReplyLost(f"TLS to {host} failed: {reason(failure)}.", advice=NETWORK_ADVICE)
    if isinstance(failure, requests.exceptions.ProxyError):
        # urllib3 before 2 says so of every connection through a proxy that breaks, also after the request was sent.
        kind = NetworkError if _before_the_proxy(failure) else ReplyLost
        return kind(
            f"The proxy on the way to {host} failed: {reason(failure)}.",
            advice="Check HTTPS_PROXY and NO_PROXY in the environment.",
        )
    if isinstance(failure, requests.exceptions.ConnectTimeout):
        return NetworkError(f"{host} did not accept a connection within {timeout:g} seconds.", advice=NETWORK_ADVICE)
    if isinstance(failure, requests.exceptions.ReadTimeout):
        return slow(host, timeout)
    if isinstance(failure, requests.exceptions.InvalidHeader):
        # Whoever says more says the bearer.
        return AuthError(
            f"The access token for {host} has characters that no token has.", advice="Get it anew, in one line."
        )
    if isinstance(failure, OSError) and not isinstance(failure, requests.exceptions.RequestException):
        # requests reports an unusable CA bundle this way.
        return OptionsError(f"{failure}", advice="Check ca_path and REQUESTS_CA_BUNDLE.")
    if _never_sent(failure):
        return NetworkError(f"{host} cannot be reached: {reason(failure)}.", advice=NETWORK_ADVICE)
    return ReplyLost(f"The reply of {host} did not arrive: {reason(failure)}.", advice=NETWORK_ADVICE)


def slow(host: str, timeout: float) -> ReplyLost:
    """The reply did not come in time, headers and body together."""
    return ReplyLost(
        f"The reply of {host} did not arrive within {timeout:g} seconds.",
        advice="Check the network and the proxy variables, or raise timeout, then run again: what was begun is picked up.",
    )


def _not_trusted(failure: BaseException, host: str, ca_path: str | None) -> TlsError:
    why = reason(failure)
    if _STRICT.search(why):
        advice = (
            "Python 3.13 and newer check certificates strictly (VERIFY_X509_STRICT), and this one of the CA or the host lacks what "
            "RFC 5280 demands: have it issued anew, a CA's with critical basicConstraints and keyUsage keyCertSign, all with both "
            "key identifiers. Until then run Ansible with Python 3.12."
        )
    elif "has expired" in why or "not yet valid" in why:
        advice = "Check this computer's clock; otherwise the certificate must be renewed."
    elif "mismatch" in why or "not valid for" in why:
        advice = "Give the host's name as its certificate has it; otherwise something on the way answers in its place."
    elif ca_path:
        advice = f"ca_path {ca_path} does not hold the CA that signed it: add that CA's certificate there."
    else:
        advice = "If a proxy inspects TLS or the host has a private CA, set ca_path to that CA's certificate."
    return TlsError(f"The certificate of {host} is not trusted: {why}.", advice=advice)


def reason(failure: BaseException) -> str:
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
    # urllib3 prefixes its own objects, in a form that changes with its version, by the name of whatever class is at work.
    words = re.split(r"(?:>|\w+\(host=.*?\)): ", str(text))[-1]
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
