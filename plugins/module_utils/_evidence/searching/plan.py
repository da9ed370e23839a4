# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is searched for, made ready once: all needles of all indicators, what they mean, and what is never reported."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import finders
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import (
    Indicator,
    Network,
    Type,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.needles import Form, forms_of


class Allowed:
    """Values that are never reported, only counted: addresses and ranges, domains with their subdomains, anything else as it is."""

    def __init__(self, allow: t.Iterable[Indicator]) -> None:
        self._networks: list[Network] = []
        self._domains: list[str] = []
        self._values: set[str] = set()
        for each in allow:
            if each.network is not None:
                self._networks.append(each.network)
            elif each.type is Type.DOMAIN:
                self._domains.append(each.value.lower())
            else:
                self._values.add(each.value.lower().partition("://")[2] or each.value.lower())

    def __contains__(self, found: tuple[Indicator, str]) -> bool:
        indicator, value = found
        if indicator.network is not None:
            address = ipaddress.ip_address(value)
            return any(address.version == each.version and address in each for each in self._networks)
        if indicator.type in (Type.DOMAIN, Type.URL):
            host = value.partition("/")[0].partition(":")[0]
            if any(host == each or host.endswith(f".{each}") for each in self._domains):
                return True
        return value in self._values


@dataclass
class Plan:
    """needles: each once; forms: for each needle the indicators that it can be, by number, and how. reach, longest: in bytes."""

    indicators: list[Indicator]
    allowed: Allowed
    needles: list[tuple[bytes, str]]
    forms: list[list[tuple[int, Form]]]
    find: finders.Finder
    longest: int
    reach: int


def make(
    indicators: t.Sequence[Indicator],
    allow: t.Iterable[Indicator] = (),
    *,
    dotted_ports: bool = False,
    base64: bool = True,
    together: bool = True,
    beside: Plan | None = None,
) -> Plan:
    """together: with ahocorasick-rs, if it is there. dotted_ports: see borders. beside: a plan whose needles may be the same."""
    numbers: dict[tuple[bytes, str], int] = {}
    forms: list[list[tuple[int, Form]]] = []
    for index, indicator in enumerate(indicators):
        for form in forms_of(indicator, dotted_ports, base64):
            number = numbers.setdefault((form.needle, form.codec), len(numbers))
            if number == len(forms):
                forms.append([])
            forms[number].append((index, form))
    needles = list(numbers)
    found = None
    if beside is not None and beside.needles == needles:
        found = beside.find
    elif together and needles:
        found = finders.together([needle for needle, _codec in needles])
    return Plan(
        list(indicators),
        Allowed(allow),
        needles,
        forms,
        found or finders.one_by_one(needles),
        max((len(needle) for needle, _codec in needles), default=0),
        2 * max((form.reach for each in forms for _index, form in each), default=0),
    )
