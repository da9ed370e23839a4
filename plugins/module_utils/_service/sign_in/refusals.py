# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the login host's refusals mean, and what to do about them."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError

# Microsoft identity platform error codes (AADSTS) that this work meets, and what to do.
SIGN_IN_ADVICE: dict[str, str] = {
    "AADSTS7000215": "Check client_secret: give the secret's value, not its ID.",
    "AADSTS7000222": "The client secret has expired: make a new one under Certificates & secrets.",
    "AADSTS700016": "Check client_id and tenant: the app is not in this tenant.",
    "AADSTS90002": "Check tenant: no such tenant in this cloud.",
    "AADSTS900023": "Check tenant: give the tenant's ID or one of its domains.",
    "AADSTS700027": "Upload this certificate to the app registration (Certificates & secrets), or give the one that is there.",
    "AADSTS500011": "Check audience and cloud: the tenant does not know this API. It appears with the first Defender for Endpoint licence.",
    "AADSTS70021": "Check the app's federated credential: issuer, subject and audience must match the token file's.",
    "AADSTS700211": "Check the app's federated credential: its issuer is not that of the token file.",
    "AADSTS700212": "Check the app's federated credential: its audience is not that of the token file (api://AzureADTokenExchange).",
    "AADSTS700213": "Check the app's federated credential: its subject is not that of the token file.",
    "AADSTS50027": "Check federated_token_file: what is in it is no token that Entra ID understands.",
    "AADSTS50013": "Check federated_token_file and the keys of its issuer: the signature is not valid, or the token has expired.",
    "AADSTS700024": "Check this computer's clock: the assertion is outside its time range.",
    "AADSTS50034": "Check username and tenant: there is no such user in this tenant.",
    "AADSTS50126": "Check username and password.",
    "AADSTS50053": "The account is locked after wrong passwords: wait, or have it unlocked.",
    "AADSTS50055": "The password has expired: the user must change it in a browser first.",
    "AADSTS50057": "The user's account is disabled.",
    "AADSTS50076": "This user must use a second factor, which a playbook cannot: use an app (client secret, certificate, managed identity).",
    "AADSTS50079": "This user must set up a second factor, which a playbook cannot use: use an app (client secret, certificate, managed identity).",
    "AADSTS53003": "A Conditional Access policy blocks this sign-in: allow this app from this address, or sign in from elsewhere.",
    "AADSTS7000112": "The app is disabled in the tenant: enable it under Enterprise applications.",
    "AADSTS65001": "Grant admin consent to the app's permissions.",
    "AADSTS70018": "Enter the code as it was shown.",
    "AADSTS70020": "Run again, and enter the new code in time.",
    "AADSTS7000218": "Allow public client flows in the app registration (Authentication), or use an app secret.",
}


def accepted(
    reply: t.Any,
    who: str,
    otherwise: str = "Check tenant, client_id and the credential, and that cloud is the tenant's.",
) -> tuple[str, float]:
    """The token and its life in seconds from a token endpoint's reply; raises AuthError for a refusal.

    otherwise: the advice for a refusal that has none of its own.
    """
    if isinstance(reply, dict) and isinstance(reply.get("access_token"), str):
        return reply["access_token"], float(reply.get("expires_in") or 3599)
    reply = reply if isinstance(reply, dict) else {}
    said = str(reply.get("error_description") or reply.get("error") or "no reason was given")
    # The lines after the first repeat trace ID, correlation ID and time.
    sentence = said.splitlines()[0].split(" Trace ID:", 1)[0].strip().rstrip(".")
    code = sentence.split(":", 1)[0] if sentence.startswith("AADSTS") else "AuthenticationFailed"
    raise AuthError(
        f"Failed to sign in as {who}: {sentence}.",
        advice=SIGN_IN_ADVICE.get(code, otherwise),
        code=code,
        tracking_id=reply.get("trace_id") or reply.get("correlation_id"),
    )
