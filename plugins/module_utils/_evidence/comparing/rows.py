# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of results that both ways of comparing have."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable

Row = dict[str, t.Any]


def machine(package: Package | None) -> Row:
    """Whose package it is, as its record says."""
    name = package.computer_dns_name if package else None
    return {
        "machine_id": package.machine_id if package else None,
        "computer_dns_name": printable(name) if name else None,
    }


def not_comparable(
    package: Package | None,
    artefact: str | None,
    entry: str | None,
    why: str,
    side: str | None = None,
    partly: bool = False,
) -> Row:
    """package: None for all. artefact: None for the whole package. entry: None for all entries. side: C(before) or C(after).

    partly: other entries of the artefact are compared.
    """
    return {
        **machine(package),
        "package": printable(str(package.path)) if package else None,
        "artefact": artefact,
        "entry": printable(entry) if entry else None,
        "side": side,
        "partly": partly,
        "why": why,
    }


def label(row: t.Mapping[str, t.Any]) -> str:
    """How the device of a row is named to a person."""
    return row["computer_dns_name"] or row["machine_id"] or row["package"] or "?"
