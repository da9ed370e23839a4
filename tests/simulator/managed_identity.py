# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Managed identity on plain HTTP, as a virtual machine (IMDS) and App Service offer it to their own programs."""

from __future__ import annotations

from .messages import Call, Handler, Reply, json_reply
from .settings import ManagedIdentity
from .tokens import Tokens


class ManagedIdentityEndpoints:
    def __init__(self, tokens: Tokens, identities: list[ManagedIdentity]) -> None:
        self._tokens, self._identities = tokens, identities
        self.header = tokens.random_secret()

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("GET", r"/metadata/identity/oauth2/token", "managed_identity", self._imds),
            ("GET", r"/msi/token", "managed_identity", self._app_service),
        ]

    def _imds(self, call: Call) -> Reply:
        if call.headers.get("Metadata") != "true":
            return _imds_error("invalid_request", "Required metadata header not specified")
        resource = call.query.get("resource", "").rstrip("/")
        if not resource or "api-version" not in call.query:
            return _imds_error("invalid_request", "Required query variables 'resource' and 'api-version' not specified")
        identity = self._identity(call)
        if identity is None:
            return _imds_error("invalid_request", "Identity not found")
        token = self._issue(call, identity, resource)
        lifetime = self._tokens.settings.token_lifetime
        body = {
            "access_token": token,
            "client_id": identity.client_id,
            "expires_in": str(lifetime),
            "expires_on": str(int(call.now) + lifetime),
            "ext_expires_in": str(lifetime),
            "not_before": str(int(call.now)),
            "resource": resource,
            "token_type": "Bearer",
        }
        return json_reply(200, body)

    def _app_service(self, call: Call) -> Reply:
        if call.headers.get("X-IDENTITY-HEADER") != self.header:
            return _app_service_error(401, "The header X-IDENTITY-HEADER is missing or wrong")
        resource = call.query.get("resource", "").rstrip("/")
        if not resource or "api-version" not in call.query:
            return _app_service_error(400, "The parameters resource and api-version are needed")
        identity = self._identity(call)
        if identity is None:
            return _app_service_error(
                400, "No User Assigned or Delegated Managed Identity found for specified ClientId"
            )
        body = {
            "access_token": self._issue(call, identity, resource),
            "client_id": identity.client_id,
            "expires_on": str(int(call.now) + self._tokens.settings.token_lifetime),
            "resource": resource,
            "token_type": "Bearer",
        }
        return json_reply(200, body)

    def _identity(self, call: Call) -> ManagedIdentity | None:
        wanted = call.query.get("client_id")
        for identity in self._identities:
            if identity.client_id == wanted or (wanted is None and identity.system_assigned):
                return identity
        return None

    def _issue(self, call: Call, identity: ManagedIdentity, resource: str) -> str:
        call.entry.client_id = identity.client_id
        return self._tokens.access_token(call.now, identity, resource, credential="2", tenant=identity.tenant)


def _imds_error(error: str, description: str) -> Reply:
    return json_reply(400, {"error": error, "error_description": description}, error_code=error)


def _app_service_error(status: int, message: str) -> Reply:
    return json_reply(status, {"statusCode": status, "message": message, "correlationId": ""}, error_code=str(status))
