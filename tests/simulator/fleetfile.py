# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet file of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .alerts import Alert
from .devices import Device
from .settings import App, ManagedIdentity, User

_SECTIONS = {"devices": Device, "apps": App, "users": User, "identities": ManagedIdentity, "alerts": Alert}


def read_fleet(path: Path) -> dict[str, Any]:
    """The arguments of Simulator: the lists of the sections, and what stands in settings."""
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return _arguments(document, path)


def read_neighbours(path: Path) -> list[dict[str, Any]]:
    """The same for each further tenant, which stands in the section neighbours."""
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [_arguments(neighbour, path) for neighbour in document.get("neighbours") or []]


def _arguments(document: Any, path: Path) -> dict[str, Any]:
    if not isinstance(document, dict) or set(document) - {*_SECTIONS, "settings", "neighbours"}:
        raise ValueError(f"{path}: sections are {', '.join(_SECTIONS)}, settings and neighbours")
    arguments = dict(document.get("settings") or {})
    for name in ("collect_seconds", "isolate_seconds", "domains"):
        if name in arguments:
            arguments[name] = tuple(arguments[name])
    for section, kind in _SECTIONS.items():
        if section in document:
            arguments[section] = [item for entry in document[section] for item in _items(kind, entry)]
    return arguments


def _items(kind: type, entry: dict[str, Any]) -> list[Any]:
    """An entry with `repeat: 500` stands for so many, "{n}" in its name being the number from 1."""
    entry = dict(entry)
    repeat = entry.pop("repeat", None)
    if repeat is None:
        return [kind(**entry)]
    width = len(str(repeat))
    return [
        kind(**{key: _numbered(value, f"{n:0{width}d}") for key, value in entry.items()}) for n in range(1, repeat + 1)
    ]


def _numbered(value: Any, number: str) -> Any:
    return value.replace("{n}", number) if isinstance(value, str) else value
