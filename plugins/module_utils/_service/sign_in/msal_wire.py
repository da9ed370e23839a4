# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""msal speaks the protocol: here is what it sends with, and what it raises."""

from __future__ import annotations

import logging
import re
import typing as t
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http, Reply, json_of
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, MissingLibrary
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# What goes out and what comes back as proof of somebody; whoever echoes one in an error gives it away.
_SENT = ("client_secret", "client_assertion", "assertion", "password", "refresh_token", "device_code", "code")
_SENT_IN_HEADERS = ("authorization", "x-identity-header", "secret")
_RECEIVED = ("access_token", "refresh_token", "id_token", "device_code")
_OPENID = "/.well-known/openid-configuration"
_NUMBERS = re.compile(r"\d+")


def import_msal(least: str = "", what: str = "") -> t.Any:
    """least: the oldest version that can do what is asked for. Raises MissingLibrary."""
    # Imported late: it is slow to load, and a given access token does without it.
    try:
        import msal
    except ImportError:
        raise MissingLibrary(
            missing_required_lib("msal"),
            advice="Install it for the Python that runs Ansible on the control node (ansible --version shows which).",
        ) from None
    version = getattr(msal, "__version__", "0")
    if least and _parts(version) < _parts(least):
        raise MissingLibrary(
            f"{what} needs the Python package msal {least} or newer, but {version} is installed.",
            advice=f"Install it for the Python that runs Ansible on the control node: pip install 'msal>={least}'. "
            "An execution environment of this collection has it.",
        )
    # It logs replies that it cannot read, whole, with the token that may be in them.
    logger = logging.getLogger("msal")
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    return msal


def _parts(version: str) -> list[int]:
    return [int(each[:9]) for each in _NUMBERS.findall(version)[:3]]


def failures() -> tuple[type[Exception], ...]:
    """What msal raises for an answer that it cannot use; errors of its own for a status of 500 and above."""
    # And PyJWT for a key of the wrong kind, and the system for Azure Arc's key file, which only some users may read.
    import jwt

    common = (ValueError, KeyError, TypeError, OSError, RuntimeError, jwt.PyJWTError)
    try:
        from msal.exceptions import MsalError
    except ImportError:
        return common
    return (*common, MsalError)


class Wire:
    """What msal sends with: our session, its patience, and the last refusal, which msal itself does not always show.

    Every proof that goes out or comes back becomes a secret here.
    """

    def __init__(self, http: Http, secrets: Secrets, login_url: str = "") -> None:
        self._http = http
        self._secrets = secrets
        self._login = urlsplit(login_url)
        self.refusal: dict[str, t.Any] = {}

    def get(self, url: str, params: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> Reply:
        parts = urlsplit(url)
        if self._login.port and parts.netloc == self._login.hostname:
            # msal asks for a user's realm on the standard port, whatever port the login host is on.
            url = urlunsplit(parts._replace(netloc=self._login.netloc))
        self._know(headers, _SENT_IN_HEADERS)
        return self._kept(self._ask(url, params, headers))

    def post(self, url: str, params: t.Any = None, data: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> Reply:
        self._know(headers, _SENT_IN_HEADERS)
        self._know(data, _SENT)
        return self._kept(self._http.patient("POST", url, params=params, data=data, headers=headers))

    def close(self) -> None:
        pass

    def _ask(self, url: str, params: t.Any, headers: t.Any) -> Reply:
        return self._http.patient("GET", url, params=params, headers=headers)

    def _know(self, values: object, names: tuple[str, ...]) -> None:
        for name, value in values.items() if isinstance(values, dict) else ():
            if str(name).lower() in names and isinstance(value, (str, bytes)):
                text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
                self._secrets.add(text)
                if names is _SENT_IN_HEADERS:
                    # What follows the scheme's name.
                    self._secrets.add(text.partition(" ")[2])

    def _kept(self, reply: Reply) -> Reply:
        decoded = json_of(reply)
        self._know(decoded, _RECEIVED)
        if reply.status_code >= 400:
            self.refusal = (
                decoded
                if isinstance(decoded, dict) and decoded
                else {
                    "error_description": f"{urlsplit(reply.url).netloc} answered {reply.status_code} and gave no reason"
                }
            )
        elif not isinstance(decoded, dict) or not _complete(urlsplit(reply.url).path, decoded):
            # msal would stumble over it.
            raise AuthError(
                f"{urlsplit(reply.url).netloc} answers, but not as a login host does.",
                advice="Check login_url; something on the way (a proxy, a portal) may answer in its place.",
            )
        return reply


def _complete(path: str, decoded: dict[str, t.Any]) -> bool:
    wanted = ("authorization_endpoint", "token_endpoint") if path.endswith(_OPENID) else ()
    return all(isinstance(decoded.get(name), str) for name in wanted)
