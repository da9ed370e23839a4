# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client assertions: an app proves itself by its certificate, or by a token of an issuer it trusts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import jwt

from .entra_errors import EntraError
from .keys import key_pair
from .settings import App
from .timestamps import iso
from .tokens import SKEW, UNCHECKED

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"


def check_assertion(assertion: str, app: App, endpoints: tuple[str, ...], federation_issuer: str, now: float) -> None:
    try:
        header = jwt.get_unverified_header(assertion)
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise EntraError(50027) from error
    if claims.get("iss") == app.client_id:
        _check_certificate(assertion, header, claims, app, endpoints)
    else:
        _check_federated(assertion, claims, app, federation_issuer)
    _check_times(claims, now)


def _check_certificate(
    assertion: str, header: Mapping[str, Any], claims: Mapping[str, Any], app: App, endpoints: tuple[str, ...]
) -> None:
    pair = key_pair("app")
    # msal pads them, other clients do not; the service takes both.
    short, long = (str(header.get(name, "")).rstrip("=") for name in ("x5t", "x5t#S256"))
    thumbprint = _hex(long or short)
    if not app.certificate or (short != pair.thumbprint and long != pair.thumbprint_sha256):
        raise EntraError(700027, reason="The key was not found.", thumbprint=thumbprint)
    if not _signed_by("app", assertion):
        reason = "The provided signature value did not match the expected signature value."
        raise EntraError(700027, reason=reason, thumbprint=thumbprint)
    if claims.get("aud") not in endpoints:
        raise EntraError(700023, audience=claims.get("aud"))
    if claims.get("sub") != app.client_id or not claims.get("jti"):
        raise EntraError(700021)


def _check_federated(assertion: str, claims: Mapping[str, Any], app: App, issuer: str) -> None:
    presented = {"issuer": claims.get("iss"), "subject": claims.get("sub"), "audience": claims.get("aud")}
    trusted = {"issuer": issuer, "subject": app.federated_subject, "audience": EXCHANGE_AUDIENCE}
    if not app.federated_subject or presented != trusted:
        raise EntraError(70021, **presented)
    if not _signed_by("federation", assertion):
        raise EntraError(50013)


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    start, expiry = claims.get("nbf", 0), claims.get("exp", 0)
    if not all(isinstance(moment, (int, float)) for moment in (start, expiry)):
        raise EntraError(50027)
    if not start - SKEW <= now < expiry + SKEW:
        raise EntraError(700024, now=iso(now), start=start, expiry=expiry)


def _signed_by(purpose: str, assertion: str) -> bool:
    try:
        jwt.decode(assertion, key_pair(purpose).key.public_key(), algorithms=["RS256", "PS256"], options=UNCHECKED)
    except jwt.InvalidTokenError:
        return False
    return True


def _hex(thumbprint: str) -> str:
    try:
        return base64.urlsafe_b64decode(thumbprint + "=" * (-len(thumbprint) % 4)).hex().upper()
    except ValueError:
        return ""
