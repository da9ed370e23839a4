# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entra ID's errors, in the shape of its token endpoint."""

from __future__ import annotations

import uuid
from typing import Any

from .messages import Reply, json_reply
from .timestamps import iso

_NOT_IN_TENANT = (
    "was not found in the {where} '{tenant}'. This can happen if the application has not been installed by the "
    "administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication "
    "request to the wrong tenant."
)
# AADSTS number: HTTP status, OAuth error, text.
_ERRORS = {
    50013: (401, "invalid_client", "Assertion failed signature validation."),
    50027: (400, "invalid_request", "JWT token is invalid or malformed."),
    50034: (
        400,
        "invalid_grant",
        "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account "
        "must be added to the directory.",
    ),
    50076: (
        400,
        "invalid_grant",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
        "use multi-factor authentication to access 'fc780465-2017-40d4-a0c5-307022471b92'.",
    ),
    50126: (400, "invalid_grant", "Error validating credentials due to invalid username or password."),
    70003: (400, "unsupported_grant_type", "The app requested an unsupported grant type '{grant}'."),
    70011: (400, "invalid_scope", "The provided value for the input parameter 'scope' is not valid: {scope}"),
    70016: (
        400,
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    70019: (400, "bad_verification_code", "Verification code is not valid."),
    70020: (400, "expired_token", "The device code has expired."),
    70021: (
        400,
        "invalid_request",
        "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. "
        "Assertion Subject: '{subject}'. Assertion Audience: '{audience}'.",
    ),
    90002: (
        400,
        "invalid_tenant",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    500011: (
        400,
        "invalid_resource",
        "The resource principal named {resource} " + _NOT_IN_TENANT.replace("{where}", "tenant named"),
    ),
    700016: (
        400,
        "unauthorized_client",
        "Application with identifier '{app}' " + _NOT_IN_TENANT.replace("{where}", "directory"),
    ),
    700021: (
        401,
        "invalid_client",
        "Client assertion application identifier doesn't match 'client_id' parameter, or the assertion has no 'jti'.",
    ),
    700023: (
        401,
        "invalid_client",
        "Client assertion audience claim does not match Realm issuer. Assertion audience: '{audience}'.",
    ),
    700024: (
        401,
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start} to "
        "{expiry}.",
    ),
    700027: (
        401,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on application. "
        "[Reason - {reason}, Thumbprint of key used by client: '{thumbprint}'].",
    ),
    900144: (400, "invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    1002012: (
        400,
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    7000215: (
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{app}'.",
    ),
    7000218: (
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    7000222: (
        401,
        "invalid_client",
        "The provided client secret keys for app '{app}' are expired. Visit the Azure portal to create new keys for "
        "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
        "https://aka.ms/certCreds.",
    ),
    9002313: (400, "invalid_grant", "Invalid request. Request is malformed or invalid."),
}


class EntraError(Exception):
    def __init__(self, number: int, **details: object) -> None:
        self.number = number
        self.status, self.error, text = _ERRORS[number]
        self.text = text.format(**details)
        super().__init__(self.text)

    def reply(self, now: float, login_url: str) -> Reply:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        timestamp = iso(now)[:19].replace("T", " ") + "Z"
        body: dict[str, Any] = {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {timestamp}",
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{login_url}/error?code={self.number}",
        }
        if self.number == 50076:
            body["suberror"] = "basic_action"
        return json_reply(self.status, body, error_code=f"AADSTS{self.number}")
