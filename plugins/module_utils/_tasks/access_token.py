# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_access_token: a token, what it permits, and whether that is enough."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import partial

from ansible_collections.secops.defender.plugins.module_utils._service import sources
from ansible_collections.secops.defender.plugins.module_utils._service.connection import Connection
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._service.tenant import check_tenant
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims, check_claims
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import words
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, settled
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

_FACTS = ("audience", "permissions", "delegated", "tenant", "client_id", "expires", "expires_in")


def spec() -> Spec:
    """Credentials and connection, and what is wanted of the token."""
    return {
        **connection_spec(),
        # No secret, though its name looks like one.
        "return_token": {"type": "bool", "default": False, "no_log": False},
        "required_permissions": {"type": "list", "elements": "str"},
        "device_code": {"type": "bool", "default": False},
    }


@dataclass(frozen=True)
class Options:
    """What is wanted of the token."""

    settings: Settings
    return_token: bool
    required_permissions: tuple[str, ...]
    device_code: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        required = words("required_permissions", given["required_permissions"] or ())
        return cls(Settings.of(given), given["return_token"], tuple(required), given["device_code"])


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result. The token is in it only where it was asked for."""
    token: list[str] = []
    # Of a token that was refused, too: they say why.
    facts: Result = dict.fromkeys(_FACTS)

    def get() -> Result:
        if options.device_code and not context.reporter.live:
            _refuse_device_code(context)
        connection = Connection(
            options.settings,
            context.reporter,
            context.secrets,
            context.clock,
            partial(sources.open_device_code, show=context.reporter.say)
            if options.device_code
            else sources.open_tokens,
        )
        token.append(connection.tokens.get())
        claims = Claims.of(token[0])
        now = connection.http.now()
        facts.update(_facts(claims, now))
        check_claims(claims, connection.where, (), now, 0.0, strict=True)
        check_tenant(claims, options.settings.tenant, connection.where, connection.http)
        _check_permissions(claims, options.required_permissions)
        return {"msg": _sentence(claims)}

    result = settled(get, {})
    result.update(facts)
    if options.return_token and token and not result["failed"]:
        result["access_token"] = token[0]
    return result


def _refuse_device_code(context: Context) -> t.NoReturn:
    message = "device_code needs somebody who sees the code, but this task can show nothing before its end."
    context.reporter.warn(message)
    raise OptionsError(message, advice="Run the task on the control node: without delegate_to and without async.")


def _facts(claims: Claims, now: float) -> Result:
    return {
        "audience": claims.audience,
        "permissions": sorted(claims.permissions or ()),
        "delegated": claims.delegated,
        "tenant": claims.tenant,
        "client_id": claims.app_id,
        "expires": iso(claims.expires) if claims.expires else None,
        "expires_in": int(claims.expires - now) if claims.expires else None,
    }


def _sentence(claims: Claims) -> str:
    until = f"good until {iso(claims.expires)}" if claims.expires else "without an end that it says"
    return f"The token is {until} and permits {', '.join(sorted(claims.permissions or ()))}."


def _check_permissions(claims: Claims, required: t.Sequence[str]) -> None:
    """Raises AuthError that names all that are missing."""
    missing = [permission for permission in dict.fromkeys(required) if not claims.permits(permission)]
    if missing:
        kind = "delegated" if claims.delegated else "application"
        raise AuthError(
            f"The token lacks the {kind} permission{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(sorted(claims.permissions or ()))}.",
            advice="Add what is missing of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent, and "
            "get a new token.",
            code="MissingPermission",
        )


TASK = Task(
    "defender_access_token",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {**dict.fromkeys(_FACTS), "error": error.as_result()},
    if_blank={"required_permissions": "no permission is required"},
)
