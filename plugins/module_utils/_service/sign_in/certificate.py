# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app with a certificate and its private key, as PEM or PFX."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.confidential_app import fetch_for
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.credential_file import read
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.msal_wire import import_msal
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises OptionsError for a file that cannot be read or used, MissingLibrary."""
    path, password = str(settings.certificate_path), settings.certificate_password
    content = read("certificate_path", path)
    import_msal("1.35.0", "Signing in with a certificate")
    return fetch_for(settings, where, http, secrets, _credential(path, content, password))


def _credential(path: str, content: bytes, password: str | None) -> dict[str, t.Any]:
    # msal needs it to sign, so it is there.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
    from cryptography.x509 import load_pem_x509_certificate

    secret = password.encode() if password else None
    try:
        if b"-----BEGIN" not in content:
            key, certificate, _others = pkcs12.load_key_and_certificates(content, secret)
            if key is None or certificate is None:
                raise ValueError("one of the two is missing")
            _refuse_other_keys(path, key)
            return {"private_key_pfx_path": path, "passphrase": password}
        _refuse_other_keys(path, load_pem_private_key(content, secret))
        load_pem_x509_certificate(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as failure:
        raise OptionsError(
            f"certificate_path {path} holds no usable certificate and key: {str(failure).split(chr(10), 1)[0].rstrip('.')}.",
            advice="Give a PEM file with private key and certificate, or a PFX file, and certificate_password if it is encrypted.",
        ) from None
    text = content.decode("ascii", "replace")
    credential = {"private_key": text, "public_certificate": text, "passphrase": password}
    return {key: value for key, value in credential.items() if value}


def _refuse_other_keys(path: str, key: object) -> None:
    """Entra ID takes RSA signatures only (Certificate credentials). Raises OptionsError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(key, RSAPrivateKey):
        kind = "n EC" if "Elliptic" in type(key).__name__ or "EC" in type(key).__name__ else "nother"
        raise OptionsError(
            f"certificate_path {path} holds a{kind} key, but Entra ID takes RSA keys only.",
            advice="Make an RSA key with its certificate (openssl req -x509 -newkey rsa:3072 …), and upload that certificate to the app.",
        )
