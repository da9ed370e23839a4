# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which entries of a package hold what can be compared line by line, and in which form; all as data.

An artefact is a kind of artefact, but for DNS and ARP caches, which are network_connections there: what they hold is compared apart.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds


class Form(enum.Enum):
    """What the lines of an artefact are."""

    RECORDS = "records"
    REGISTRY = "registry"
    LISTING = "listing"
    CONNECTIONS = "connections"
    DNS = "dns"
    ARP = "arp"
    PREFETCH = "prefetch"


@dataclass(frozen=True)
class Artefact:
    """entries: of its kind, those whose plain names fit; None for all. Of the first that fits, an entry is."""

    name: str
    kind: str
    form: Form
    entries: str | None = None

    def has(self, kind: str, plain: str) -> bool:
        return kind == self.kind and (self.entries is None or re.search(self.entries, plain) is not None)


# Other files of the kind network_connections (ipconfig, the firewall's settings) tell of each device's own place in the network.
_ALL = (
    Artefact("processes", "processes", Form.RECORDS),
    Artefact("services", "services", Form.RECORDS),
    Artefact("scheduled_tasks", "scheduled_tasks", Form.RECORDS),
    Artefact("autoruns", "autoruns", Form.REGISTRY),
    Artefact("installed_programs", "installed_programs", Form.RECORDS),
    Artefact("users_and_groups", "users_and_groups", Form.RECORDS),
    Artefact("dns_cache", "network_connections", Form.DNS, r"dnscache|displaydns"),
    Artefact("arp", "network_connections", Form.ARP, r"(^|/)arp[^/]*$"),
    Artefact(
        "network_connections", "network_connections", Form.CONNECTIONS, r"connections?[^/]*\.\w+$|netstat|listeners"
    ),
    Artefact("prefetch", "prefetch", Form.PREFETCH),
    Artefact("smb_sessions", "smb_sessions", Form.RECORDS),
    Artefact("temp_directories", "temp_directories", Form.LISTING),
)
ARTEFACTS: dict[str, Artefact] = {each.name: each for each in _ALL}


def artefact_of(name: str, kind: str) -> Artefact | None:
    """What an entry of that name and kind is; None where its lines cannot be compared."""
    plain = kinds.plain_name(name)
    return next((each for each in _ALL if each.has(kind, plain)), None)


def chosen(names: frozenset[str] | None) -> frozenset[str]:
    """The artefacts that are meant; a kind means all that are taken apart of it."""
    if names is None:
        return frozenset(ARTEFACTS)
    return frozenset(each.name for each in _ALL if each.name in names or each.kind in names)
