# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changed on one device between two packages. What one of them does not hold is not comparable, and never "removed"."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import rows
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.artefacts import ARTEFACTS, Form
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.items import (
    Entries,
    Item,
    Read,
    is_collectors,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable

Row = dict[str, t.Any]


@dataclass(frozen=True)
class Side:
    """name: C(before) or C(after)."""

    name: str
    package: Package
    read: Read

    def of(self, artefact: str) -> Entries:
        return self.read.entries.get(artefact) or Entries()


@dataclass
class Diff:
    """only_before, only_after: items. compared: artefacts that were."""

    only_before: list[Row] = field(default_factory=list)
    only_after: list[Row] = field(default_factory=list)
    not_comparable: list[Row] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)


def diff(before: Side, after: Side, named: frozenset[str]) -> Diff:
    """named: artefacts that were asked for by name: of them it is said that neither package has any."""
    found = Diff()
    for side in (before, after):
        if side.read.rest:
            found.not_comparable.append(rows.not_comparable(side.package, None, None, side.read.rest, side.name))
    for artefact in ARTEFACTS:
        if not (before.of(artefact).held or after.of(artefact).held) and artefact not in named:
            continue
        if _say_missing(found, artefact, before) | _say_missing(found, artefact, after):
            continue
        found.compared.append(artefact)
        left = _items(found, artefact, before, after)
        right = _items(found, artefact, after, before)
        found.only_before += _only(left, {item.key for item in after.read.items})
        found.only_after += _only(right, {item.key for item in before.read.items})
    return found


def _say_missing(found: Diff, artefact: str, side: Side) -> bool:
    """Whether the side holds nothing of the artefact, which is said then."""
    entries = side.of(artefact)
    if entries.held:
        return False
    for name, why in entries.not_held.values():
        found.not_comparable.append(rows.not_comparable(side.package, artefact, name, why, side.name))
    if not entries.not_held:
        why = f"the package has no {artefact}"
        found.not_comparable.append(rows.not_comparable(side.package, artefact, None, why, side.name))
    return True


def _items(found: Diff, artefact: str, side: Side, other: Side) -> list[Item]:
    """The items of entries that the other side holds as well; of the others it is said that they cannot be compared."""
    mine, theirs = side.of(artefact), other.of(artefact)
    items = [item for item in side.read.items if item.artefact == artefact]
    if ARTEFACTS[artefact].form is Form.PREFETCH or (len(mine.held) == len(theirs.held) == 1 and not theirs.not_held):
        return items
    alone = {key: name for key, name in mine.held.items() if key not in theirs.held}
    for key, name in alone.items():
        there, why = theirs.not_held.get(key, (name, "the package has no such entry"))
        row = rows.not_comparable(other.package, artefact, there, why, other.name, partly=True)
        found.not_comparable.append(row)
    names = {printable(name) for name in alone.values()}
    return [item for item in items if item.entry not in names]


def _only(items: t.Iterable[Item], others: t.Container[tuple[str, str]]) -> list[Row]:
    once = {item.key: item for item in items if item.key not in others}
    listed = [
        {
            "artefact": item.artefact,
            "value": item.shown,
            "entry": item.entry,
            "text": item.text,
            "collector": is_collectors(item.text),
        }
        for item in once.values()
    ]
    return sorted(listed, key=lambda row: (row["collector"], row["value"].lower()))
