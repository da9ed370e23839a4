# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What few of many devices have: their items together, of how many devices that can be said, and what could not be compared."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import rows
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.artefacts import ARTEFACTS
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.counting import (
    Counted,
    Numbers,
    Rare,
    number_of,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.items import (
    Item,
    Read,
    is_collectors,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable

Row = dict[str, t.Any]
_Group = tuple[kinds.System, str]


@dataclass(frozen=True)
class Sighting:
    """A rare item of one package. number: it is counted by."""

    number: int
    item: Item


def sightings(read: Read, rare: Rare) -> list[Sighting]:
    """What is sent back of a package in the second pass."""
    return [Sighting(number_of(read.system, item), item) for item in read.items if rare.has(read.system, item)]


@dataclass
class _Device:
    system: kinds.System
    holds: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Told:
    """What is to be said of a package that was counted."""

    package: Package
    system: kinds.System
    held: frozenset[str]
    lacks: tuple[tuple[str, str, str], ...]
    rest: str | None


@dataclass
class Fleet:
    """Takes each package twice, in the order of the packages: first its numbers, then what of it is rare.

    most: on so many devices an item may be. named: artefacts that were asked for by name. max_items: so many items are listed.
    """

    most: int
    named: frozenset[str]
    max_items: int
    not_comparable: list[Row] = field(default_factory=list)
    _counted: Counted = field(default_factory=Counted)
    _devices: dict[str, _Device] = field(default_factory=dict)
    _told: list[_Told] = field(default_factory=list)
    _held: Counter[_Group] = field(default_factory=Counter)
    _items: dict[int, Row] = field(default_factory=dict)
    _on: dict[int, set[str]] = field(default_factory=dict)
    _unlisted: set[int] = field(default_factory=set)

    def count(self, package: Package, counted: Numbers) -> None:
        """The first pass."""
        self._counted.take(package.device, counted)
        self._devices.setdefault(package.device, _Device(counted.system)).holds |= counted.held
        self._told.append(_Told(package, counted.system, counted.held, counted.lacks, counted.rest))

    def rare(self) -> tuple[Rare, set[str]]:
        """Between the passes: what is rare, and which devices have any of it."""
        self._held = Counter((device.system, name) for device in self._devices.values() for name in device.holds)
        return self._counted.rare(self.most)

    def take(self, package: Package, seen: t.Iterable[Sighting], verified: bool) -> None:
        """The second pass."""
        system = self._devices[package.device].system
        for each in seen:
            of = self._held[system, each.item.artefact]
            if of <= self.most:
                continue
            if each.number not in self._items:
                if len(self._items) >= self.max_items:
                    self._unlisted.add(each.number)
                    continue
                self._items[each.number] = _item(each.item, of)
            devices = self._on.setdefault(each.number, set())
            if package.device not in devices:
                devices.add(package.device)
                self._items[each.number]["machines"].append(_machine(package, each.item, verified))

    # ---- results ----

    @property
    def devices(self) -> int:
        return len(self._devices)

    @property
    def unlisted(self) -> int:
        return len(self._unlisted)

    def items(self) -> list[Row]:
        """By artefact, those of the collector behind the others, the rarest first."""
        order = {name: number for number, name in enumerate(ARTEFACTS)}
        return sorted(
            self._items.values(),
            key=lambda row: (order[row["artefact"]], row["collector"], len(row["machines"]), row["value"].lower()),
        )

    def say_not_comparable(self) -> None:
        """Says of each package which artefacts it lacks that others of its system have, and which cannot be compared at all."""
        groups = sorted(self._held.items())
        for told in self._told:
            if told.rest:
                self.not_comparable.append(rows.not_comparable(told.package, None, None, told.rest))
            for (system, artefact), held in groups:
                if system is told.system and held > self.most:
                    self._say_lacking(told, artefact)
        for (system, artefact), held in groups:
            if held <= self.most:
                why = f"{held} of {len(self._devices)} devices hold it ({system.value}) and max_devices is {self.most}, so all of it would be rare"
                self.not_comparable.append(rows.not_comparable(None, artefact, None, why))
        for artefact in sorted(self.named - {name for _system, name in self._held}):
            self.not_comparable.append(rows.not_comparable(None, artefact, None, "no package holds any items of it"))

    def _say_lacking(self, told: _Told, artefact: str) -> None:
        lacks = [(entry, why) for name, entry, why in told.lacks if name == artefact]
        if artefact not in told.held and not lacks:
            self.not_comparable.append(
                rows.not_comparable(told.package, artefact, None, f"the package has no {artefact}")
            )
        for entry, why in lacks:
            partly = artefact in told.held
            self.not_comparable.append(rows.not_comparable(told.package, artefact, entry, why, partly=partly))


def _item(item: Item, of: int) -> Row:
    return {
        "artefact": item.artefact,
        "value": item.shown,
        "machines": [],
        "of": of,
        "collector": is_collectors(item.text),
    }


def _machine(package: Package, item: Item, verified: bool) -> Row:
    return {
        **rows.machine(package),
        "package": printable(str(package.path)),
        "entry": item.entry,
        "text": item.text,
        "collected": package.collected,
        "verified": verified,
    }
