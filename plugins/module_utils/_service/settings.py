# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials and connection: the options that all modules which call the API share, and the inventory plugin with them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, fields

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import CLOUDS, REGIONS
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec
from ansible_collections.secops.defender.plugins.module_utils._words.options import from_environment as _from

# In the order in which auto prefers them where several proofs come from equally near.
SOURCES = (
    "access_token",
    "client_secret",
    "certificate",
    "federated_token",
    "username_password",
    "managed_identity",
    "azure_cli",
)
# What Entra ID gives out has no blank at its ends, but what surveys, files and variables hand on often has.
_TRIMMED = ("tenant", "client_id", "client_secret", "username")
SECRETS = ("client_secret", "certificate_password", "password", "access_token")


def connection_spec() -> Spec:
    """Credentials and connection, shared by all modules that call the API."""
    return {
        "auth_source": {
            "type": "str",
            "default": "auto",
            "choices": ["auto", *SOURCES],
            "fallback": _from("DEFENDER_AUTH_SOURCE"),
        },
        "tenant": {"type": "str", "fallback": _from("DEFENDER_TENANT", "AZURE_TENANT", "AZURE_TENANT_ID")},
        "client_id": {"type": "str", "fallback": _from("DEFENDER_CLIENT_ID", "AZURE_CLIENT_ID")},
        "client_secret": {
            "type": "str",
            "no_log": True,
            "aliases": ["secret"],
            "fallback": _from("DEFENDER_CLIENT_SECRET", "AZURE_SECRET", "AZURE_CLIENT_SECRET"),
        },
        "certificate_path": {
            "type": "path",
            "fallback": _from("DEFENDER_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PATH"),
        },
        "certificate_password": {"type": "str", "no_log": True, "fallback": _from("DEFENDER_CERTIFICATE_PASSWORD")},
        "federated_token_file": {
            "type": "path",
            "no_log": False,
            "fallback": _from("DEFENDER_FEDERATED_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"),
        },
        "username": {"type": "str", "fallback": _from("DEFENDER_USERNAME")},
        "password": {"type": "str", "no_log": True, "fallback": _from("DEFENDER_PASSWORD")},
        "access_token": {"type": "str", "no_log": True, "fallback": _from("DEFENDER_ACCESS_TOKEN")},
        "cloud": {
            "type": "str",
            "default": "public",
            "choices": list(CLOUDS),
            "fallback": _from("DEFENDER_CLOUD", "AZURE_CLOUD_ENVIRONMENT"),
        },
        "region": {"type": "str", "choices": list(REGIONS), "fallback": _from("DEFENDER_REGION")},
        "api_url": {"type": "str", "fallback": _from("DEFENDER_API_URL")},
        "login_url": {"type": "str", "fallback": _from("DEFENDER_LOGIN_URL")},
        "audience": {"type": "str", "fallback": _from("DEFENDER_AUDIENCE")},
        "ca_path": {"type": "path", "fallback": _from("DEFENDER_CA_PATH")},
        "validate_certs": {"type": "bool", "default": True, "fallback": _from("DEFENDER_VALIDATE_CERTS")},
        "timeout": {"type": "str", "default": "60", "fallback": _from("DEFENDER_TIMEOUT")},
        "quotas": {"type": "dict"},
        "quota_share": {"type": "float", "default": 1, "fallback": _from("DEFENDER_QUOTA_SHARE")},
        "quota_dir": {"type": "path", "fallback": _from("DEFENDER_QUOTA_DIR")},
    }


@dataclass(frozen=True)
class Settings:
    """The connection options, typed. timeout: seconds for one call. origins: see Given."""

    auth_source: str = "auto"
    tenant: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    certificate_password: str | None = field(default=None, repr=False)
    federated_token_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    cloud: str = "public"
    region: str | None = None
    api_url: str | None = None
    login_url: str | None = None
    audience: str | None = None
    ca_path: str | None = None
    validate_certs: bool = True
    timeout: float = 60.0
    quotas: t.Mapping[str, t.Any] | None = None
    quota_share: float = 1.0
    quota_dir: str | None = None
    origins: t.Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Given) -> Settings:
        """Raises OptionsError."""
        values = {each.name: given[each.name] for each in fields(cls) if each.name not in ("timeout", "origins")}
        values.update({name: values[name].strip() for name in _TRIMMED if values[name]})
        return cls(timeout=given.positive("timeout"), origins=given.origins, **values)

    def secrets(self) -> list[str]:
        """What must leave in no message, result or file."""
        return [value for name in SECRETS if (value := getattr(self, name))]
