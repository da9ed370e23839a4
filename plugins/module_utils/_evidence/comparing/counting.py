# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many devices have each item: as numbers first, eight bytes an item, so that a fleet fits into memory.

The words of what turns out to be rare are read in a second pass, and from those packages only that hold any of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.items import Item, Read
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds

# Counted at a time: a part of all numbers, so that a table of the whole fleet never stands in memory.
_PARTS = 32
_LOWEST, _SPAN = -(1 << 63), 1 << 64


def number_of(system: kinds.System, item: Item) -> int:
    """64 bits for an item; the same in a process and in those that it forks, and nobody else can foresee it."""
    return hash((system.value, *item.key))


def _core_number(system: kinds.System, item: Item) -> int:
    return hash((system.value, item.artefact, None, (item.core or "").lower()))


def _heading_number(system: kinds.System, item: Item) -> int:
    return hash((system.value, item.artefact, item.heading, None))


@dataclass(frozen=True)
class Numbers:
    """One package in numbers. held: artefacts that it holds items of. lacks: artefact, entry and why, of what it holds none of.

    headings: of its tables, which tell the language they are in. rest: why it was not read to its end.
    """

    system: kinds.System
    held: frozenset[str]
    lacks: tuple[tuple[str, str, str], ...]
    rest: str | None
    items: array[int]
    headings: frozenset[int]


def numbers(read: Read) -> Numbers:
    """What is sent back of a package in the first pass."""
    found, headings = set(), set()
    for item in read.items:
        found.add(number_of(read.system, item))
        if item.core is not None:
            found.add(_core_number(read.system, item))
            headings.add(_heading_number(read.system, item))
    lacks = ((artefact, *each) for artefact, entries in read.entries.items() for each in entries.not_held.values())
    return Numbers(
        read.system,
        frozenset(artefact for artefact, entries in read.entries.items() if entries.held),
        tuple(lacks),
        read.rest,
        array("q", sorted(found)),
        frozenset(headings),
    )


@dataclass(frozen=True)
class Rare:
    """The numbers that few devices have, and the headings that few devices have."""

    items: array[int] = field(default_factory=lambda: array("q"))
    headings: frozenset[int] = frozenset()

    def has(self, system: kinds.System, item: Item) -> bool:
        """Whether few devices have the item.

        A table in a language that few devices have is rare in every word: there a line counts by what no language changes.
        """
        if not self._holds(number_of(system, item)):
            return False
        if item.core is None or _heading_number(system, item) not in self.headings:
            return True
        return self._holds(_core_number(system, item))

    def _holds(self, number: int) -> bool:
        at = bisect_left(self.items, number)
        return at < len(self.items) and self.items[at] == number


@dataclass
class Counted:
    """Takes the numbers of each device."""

    _items: dict[str, array[int]] = field(default_factory=dict)
    _headings: dict[str, frozenset[int]] = field(default_factory=dict)

    def take(self, device: str, counted: Numbers) -> None:
        """A package of the device."""
        known = self._items.get(device)
        merged = counted.items if known is None else array("q", sorted({*known, *counted.items}))
        self._items[device] = merged
        self._headings[device] = self._headings.get(device, frozenset()) | counted.headings

    def rare(self, most: int) -> tuple[Rare, set[str]]:
        """What at most so many devices have, and the devices that have any of it."""
        found, devices = array("q"), set()
        for part in range(_PARTS):
            low = _LOWEST + part * (_SPAN // _PARTS)
            slices = {device: _between(items, low, low + _SPAN // _PARTS) for device, items in self._items.items()}
            count: Counter[int] = Counter()
            for each in slices.values():
                count.update(each)
            few = {number for number, devices_with in count.items() if devices_with <= most}
            devices |= {device for device, each in slices.items() if not few.isdisjoint(each)}
            found.extend(sorted(few))
        headings = Counter(heading for each in self._headings.values() for heading in each)
        return Rare(found, frozenset(each for each, number in headings.items() if number <= most)), devices


def _between(items: array[int], low: int, high: int) -> array[int]:
    return items[bisect_left(items, low) : bisect_left(items, high)]
