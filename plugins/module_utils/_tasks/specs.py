# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs, and options from the environment."""

from __future__ import annotations

import os
import re
import typing as t

from ansible.module_utils.common.parameters import AnsibleFallbackNotFound

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import AZURE_CLOUD_NAMES, CLOUDS, REGIONS
from ansible_collections.secops.defender.plugins.module_utils._service.settings import SOURCES
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*$", re.IGNORECASE)
# Whatever is longer is as good as for ever, and no calendar goes on for ever. Seconds.
_LONGEST = 50 * 365 * 86400.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def first_filled(*names: str) -> str:
    """A fallback for an argument spec: the first of these environment variables that is not empty.

    AWX sets the variables of a credential's unused inputs to empty strings.
    """
    for name in names:
        value = os.environ.get(name, "")
        if value.strip():
            return AZURE_CLOUD_NAMES.get(value.strip().lower(), value) if name == "AZURE_CLOUD_ENVIRONMENT" else value
    raise AnsibleFallbackNotFound


def _from(*names: str) -> tuple[t.Callable[..., str], list[str]]:
    return first_filled, list(names)


def connection_spec() -> dict[str, dict[str, t.Any]]:
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
        "timeout": {"type": "float", "default": 60, "fallback": _from("DEFENDER_TIMEOUT")},
        "quotas": {"type": "dict"},
        "quota_share": {"type": "float", "default": 1, "fallback": _from("DEFENDER_QUOTA_SHARE")},
        "quota_dir": {"type": "path", "fallback": _from("DEFENDER_QUOTA_DIR")},
    }


def collect_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_collect_package takes besides the connection."""
    return {
        "machines": {
            "type": "list",
            "elements": "str",
            "required": True,
            "aliases": ["machine", "machine_id"],
        },
        "comment": {"type": "str", "required": True},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 3600},
        "cancel_on_timeout": {"type": "bool", "default": False},
        "poll_interval": {"type": "float", "default": 15},
        "dest": {"type": "path"},
        "reuse_within": {"type": "str", "default": "0"},
        "on_ambiguous": {"type": "str", "default": "fail", "choices": ["fail", "newest"]},
        "max_machines": {"type": "int", "default": 0},
        "downloads": {"type": "int", "default": 4},
        "report": {"type": "bool", "default": False},
    }


# What has to hold between the options of a module: keyword arguments of AnsibleModule and of validate_argument_spec.
Rules = dict[str, list[list[str]]]


# Of the modules that act on what is named.
NAMED_RULES: Rules = {"required_one_of": [["machines", "action_ids"]]}


def _named_spec() -> dict[str, dict[str, t.Any]]:
    """Machines or machine actions, or both."""
    return {
        "machines": {"type": "list", "elements": "str", "aliases": ["machine", "machine_id"]},
        "action_ids": {"type": "list", "elements": "str", "aliases": ["action_id"]},
    }


def fetch_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_fetch_package takes besides the connection."""
    return {
        **_named_spec(),
        "dest": {"type": "path", "required": True},
        "max_age": {"type": "str", "default": "0"},
        "newest_only": {"type": "bool", "default": False},
        "on_ambiguous": {"type": "str", "default": "fail", "choices": ["fail", "newest"]},
        "downloads": {"type": "int", "default": 4},
        "report": {"type": "bool", "default": False},
    }


def cancel_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_cancel_action takes besides the connection."""
    return {
        **_named_spec(),
        "comment": {"type": "str", "required": True},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 600},
        "poll_interval": {"type": "float", "default": 15},
    }


def machine_info_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_machine_info takes besides the connection."""
    return {
        "machines": {"type": "list", "elements": "str", "aliases": ["machine", "machine_id"]},
        "tag": {"type": "str"},
        "filter": {"type": "str"},
    }


MACHINE_INFO_RULES: Rules = {"mutually_exclusive": [["machines", "tag"], ["machines", "filter"]]}


def machine_action_info_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_machine_action_info takes besides the connection."""
    return {
        **_named_spec(),
        "type": {"type": "str"},
        "status": {"type": "list", "elements": "str"},
        "since": {"type": "str"},
    }


def access_token_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_access_token takes besides the connection."""
    return {
        # No secret, though its name looks like one.
        "return_token": {"type": "bool", "default": False, "no_log": False},
        "required_permissions": {"type": "list", "elements": "str"},
        "device_code": {"type": "bool", "default": False},
    }


def verify_spec() -> dict[str, dict[str, t.Any]]:
    """What defender_verify_evidence takes: it connects to nothing."""
    return {
        "path": {"type": "path", "required": True, "aliases": ["dest", "evidence"]},
        "custody_head": {"type": "str"},
    }


def drop_empty(args: t.Mapping[str, t.Any], spec: t.Mapping[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    """Task arguments without those that are empty texts: an empty connection option counts as not given."""
    optional = connection_spec()
    names = {alias: name for name, option in spec.items() for alias in (name, *option.get("aliases", ()))}
    return {
        name: value
        for name, value in args.items()
        if not (names.get(name) in optional and isinstance(value, str) and not value.strip())
    }


def secret_names(spec: dict[str, dict[str, t.Any]]) -> set[str]:
    """The options, and their aliases, whose values are secrets."""
    return {
        each for name, option in spec.items() if option.get("no_log") for each in (name, *option.get("aliases", ()))
    }


def seconds(option: str, value: object) -> float:
    """A duration such as C(4h), C(90m) or a number of seconds. Raises OptionsError."""
    match = _DURATION.match(str(value))
    if not match:
        raise OptionsError(
            f"{option} is {value!r}.", advice="Give seconds, or a number with s, m, h or d, such as 4h or 90m."
        )
    return min(float(match[1]) * _UNITS[match[2].lower()], _LONGEST)


def require_positive(options: t.Mapping[str, t.Any], *names: str) -> None:
    """Raises OptionsError for a number that is not above zero, or that no clock can count to."""
    for name in names:
        if not options[name] > 0:
            raise OptionsError(f"{name} is {options[name]:g}.", advice="Give a number above zero.")
        if options[name] > _LONGEST:
            raise OptionsError(f"{name} is {options[name]:g}.", advice="Give a smaller number.")


def require_paths(options: t.Mapping[str, t.Any]) -> None:
    """Raises OptionsError for a path that no file can have; no operating system takes a NUL."""
    paths = [name for name, option in connection_spec().items() if option["type"] == "path"]
    for name in ("dest", *paths):
        if "\0" in (options.get(name) or ""):
            raise OptionsError(f"{name} has a NUL character.", advice="Give the path of a file or folder.")
