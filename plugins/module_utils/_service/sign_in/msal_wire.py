# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""msal speaks the protocol: here is what it sends with, and what it raises."""

from __future__ import annotations

import logging
import typing as t
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._service.http import Http
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, MissingLibrary


def import_msal() -> t.Any:
    # Imported late: it is slow to load, and a given access token does without it.
    try:
        import msal
    except ImportError:
        raise MissingLibrary(
            missing_required_lib("msal"),
            advice="Install it for the Python that runs Ansible on the control node (ansible --version shows which).",
        ) from None
    # It logs replies that it cannot read, whole, with the token that may be in them.
    logger = logging.getLogger("msal")
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    return msal


def failures(msal: t.Any) -> tuple[type[Exception], ...]:
    """What msal raises for an answer that it cannot use; errors of its own for a status of 500 and above."""
    # And PyJWT for a key of the wrong kind, and the system for Azure Arc's key file, which only some users may read.
    import jwt

    return ValueError, KeyError, TypeError, OSError, jwt.PyJWTError, msal.exceptions.MsalError


class Wire:
    """What msal sends with: our session, its patience, and the last refusal, which msal itself does not always show."""

    def __init__(self, http: Http, login_url: str = "", proxied: bool = True) -> None:
        self._http = http
        self._proxied = proxied
        self._login = urlsplit(login_url)
        self.refusal: dict[str, t.Any] = {}

    def get(self, url: str, params: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> t.Any:
        parts = urlsplit(url)
        if self._login.port and parts.netloc == self._login.hostname:
            # msal asks for a user's realm on the standard port, whatever port the login host is on.
            url = urlunsplit(parts._replace(netloc=self._login.netloc))
        return self._keep(self._http.patient("GET", url, proxied=self._proxied, params=params, headers=headers))

    def post(self, url: str, params: t.Any = None, data: t.Any = None, headers: t.Any = None, **kwargs: t.Any) -> t.Any:
        return self._keep(
            self._http.patient("POST", url, proxied=self._proxied, params=params, data=data, headers=headers)
        )

    def close(self) -> None:
        pass

    def _keep(self, reply: t.Any) -> t.Any:
        try:
            decoded = reply.json()
        except ValueError:
            decoded = None
        if reply.status_code >= 400:
            self.refusal = (
                decoded if isinstance(decoded, dict) else {"error_description": f"HTTP status {reply.status_code}"}
            )
        elif not isinstance(decoded, dict):
            # msal would stumble over it.
            raise AuthError(
                f"{urlsplit(reply.url).netloc} answers, but not as a login host does.",
                advice="Check login_url; something on the way (a proxy, a portal) may answer in its place.",
            )
        return reply
