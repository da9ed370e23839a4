# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way to sign in, by what is given."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints, endpoints, place
from ansible_collections.secops.defender.plugins.module_utils._service.settings import SOURCES, Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in import (
    access_token,
    azure_cli,
    certificate,
    client_secret,
    device_code,
    federated_token,
    managed_identity,
    username_password,
)
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims, Fetch, Tokens
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# What each sign-in needs; managed_identity and azure_cli need nothing and are therefore never chosen by auto.
_NEEDS: dict[str, tuple[str, ...]] = {
    "access_token": ("access_token",),
    "client_secret": ("tenant", "client_id", "client_secret"),
    "certificate": ("tenant", "client_id", "certificate_path"),
    "federated_token": ("tenant", "client_id", "federated_token_file"),
    "username_password": ("tenant", "client_id", "username", "password"),
    "managed_identity": (),
    "azure_cli": (),
}
# The option that proves who signs in.
PROOFS = {
    "access_token": "access_token",
    "client_secret": "client_secret",
    "certificate": "certificate_path",
    "federated_token": "federated_token_file",
    "username_password": "password",
}
_PREPARE: dict[str, t.Callable[[Settings, Endpoints, Http, Secrets], Fetch]] = {
    "access_token": access_token.prepare,
    "client_secret": client_secret.prepare,
    "certificate": certificate.prepare,
    "federated_token": federated_token.prepare,
    "username_password": username_password.prepare,
    "managed_identity": managed_identity.prepare,
    "azure_cli": azure_cli.prepare,
}


def choose_source(settings: Settings) -> tuple[str, str]:
    """Which sign-in to use, and a sentence that says why.

    The proof is the nearest place's that gives one; auth_source chooses among those of one place, and overrules proofs from
    farther away only. Raises OptionsError if nothing is given, or if what the chosen one needs is missing.
    """
    given = _proofs(settings)
    named = None if settings.auth_source == "auto" else settings.auth_source
    nearest = min(given.values(), default=3)
    here = [source for source, distance in given.items() if distance == nearest]
    if named and (named in here or place(settings.origins.get("auth_source", "task")) <= nearest):
        source, why = named, f"Signing in with {named}, as auth_source says."
    elif here:
        source = _of_the_user(settings, here) or here[0]
        why = f"Signing in with {source}, because {PROOFS[source]} is given"
        others = [each for each in given if each != source]
        far = [each for each in others if given[each] > nearest]
        here = [each for each in others if given[each] == nearest]
        why += f"; {' and '.join(here)} would be possible too, set auth_source to choose" if here else ""
        why += f"; {' and '.join(far)} from farther away is passed over" if far else ""
        why += f"; auth_source {named} comes from farther away than that" if named else ""
        why += "."
    else:
        raise OptionsError(
            "No credentials are given.",
            advice="Give tenant, client_id and client_secret (or certificate_path, or another sign-in), as options or in "
            "the environment (DEFENDER_TENANT, DEFENDER_CLIENT_ID, DEFENDER_CLIENT_SECRET); managed_identity and "
            "azure_cli must be named in auth_source.",
        )
    _require(settings, f"Signing in with {source}", _NEEDS[source])
    return source, why


def _proofs(settings: Settings) -> dict[str, int]:
    """The ways to sign in for which there is a proof, in the order of SOURCES, and from how far away each proof comes."""
    return {
        source: place(settings.origins.get(PROOFS[source], "task"))
        for source in SOURCES
        if source in PROOFS and getattr(settings, PROOFS[source])
    }


def _of_the_user(settings: Settings, here: list[str]) -> str | None:
    """The sign-in of a user who is named nearer than any proof: the app would be somebody else, whom no device groups bind.

    here: the ways for which there is a proof, all from one place. Raises OptionsError where there is no password beside them.
    """
    distance = place(settings.origins.get("username"))
    if not settings.username or distance >= place(settings.origins.get(PROOFS[here[0]], "task")):
        return None
    if "username_password" in here:
        return "username_password"
    raise OptionsError(
        f"username is {settings.username}, but no password is given as near; signing in with {here[0]} would be as somebody else.",
        advice=f"Give the password, or leave username out, or set auth_source to {here[0]}. Nothing was started.",
    )


def open_tokens(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> tuple[Tokens, str]:
    """The sign-in that the settings ask for, and the sentence that says which. No network yet.

    Raises OptionsError (also for a certificate or token file that cannot be read), MissingLibrary.
    """
    source, why = choose_source(settings)
    fetch = _PREPARE[source](settings, where, http, secrets)
    return Tokens(fetch, http.clock, secrets, renewable=source != "access_token"), why


def open_device_code(
    settings: Settings, where: Endpoints, http: Http, secrets: Secrets, show: t.Callable[[str], None]
) -> tuple[Tokens, str]:
    """A sign-in of a user on another device, who is shown an address and a code. No network yet.

    Raises OptionsError, MissingLibrary.
    """
    _require(settings, "Signing in by device code", ("tenant", "client_id"))
    fetch = device_code.prepare(settings, where, http, secrets, show)
    return Tokens(fetch, http.clock, secrets), "Signing in by device code, as device_code says."


def identity_key(settings: Settings) -> tuple[str, ...] | None:
    """Who would sign in, and where: for what is kept between runs. No secret in it, and no digest of one.

    None: nobody knows before signing in, so nothing may be kept. Raises OptionsError.
    """
    source, _why = choose_source(settings)
    where = endpoints(
        settings.cloud,
        settings.region,
        settings.api_url,
        settings.login_url,
        settings.audience,
        settings.origins,
    )
    who = _identity(source, settings)
    return (source, *who, where.login_url, where.api_url, where.audience) if who else None


def _identity(source: str, settings: Settings) -> tuple[str, ...] | None:
    tenant, client_id = (settings.tenant or "").lower(), (settings.client_id or "").lower()
    if source == "access_token":
        claims = Claims.of("".join(str(settings.access_token).split()))
        known = (claims.tenant or "", claims.app_id or "", claims.subject or "")
        return (
            (tenant, *known) if claims.tenant and claims.app_id and (claims.subject or not claims.delegated) else None
        )
    if source == "azure_cli":
        account = azure_cli.account()
        return (tenant, *account) if account else None
    if source == "managed_identity":
        # Which one a computer has of its own, it alone knows.
        return (tenant, client_id) if client_id else None
    return tenant, client_id, (settings.username or "").lower() if source == "username_password" else ""


def _require(settings: Settings, what: str, needed: tuple[str, ...]) -> None:
    missing = [option for option in needed if not getattr(settings, option)]
    if missing:
        raise OptionsError(
            f"{what} needs {', '.join(needed)}; missing: {', '.join(missing)}.",
            advice="Give them as options or in the environment ("
            + ", ".join(f"DEFENDER_{name.upper()}" for name in missing)
            + ").",
        )
