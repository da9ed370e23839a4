# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a package holds: its entries with sizes and hashes, the kinds of artefact, what is missing, and the span of event logs."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import eventlog, kinds, whose
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import Member, Sink, walk
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Meter

Row = dict[str, t.Any]


@dataclass
class Facts:
    """What was found in one package. not_read: entry (None for the rest of the package), kind and why."""

    entries: list[Row] = field(default_factory=list)
    system: kinds.System = kinds.System.UNKNOWN
    computer_names: set[str] = field(default_factory=set)
    not_read: list[tuple[str | None, str | None, str]] = field(default_factory=list)

    @property
    def artefacts(self) -> dict[str, int]:
        """Kind to the number of entries that the package itself has of it."""
        found: dict[str, int] = {}
        for row in self._own():
            found[row["artefact"]] = found.get(row["artefact"], 0) + 1
        return dict(sorted(found.items()))

    @property
    def missing(self) -> list[str]:
        return missing(self.system, self.artefacts)

    @property
    def empty(self) -> list[str]:
        """Kinds of which every entry holds only an error text, or nothing."""
        return sorted(
            kind
            for kind in self.artefacts
            if all(row["error_text"] is not None for row in self._own() if row["artefact"] == kind)
        )

    def _own(self) -> list[Row]:
        return [row for row in self.entries if not row["inside"]]


def missing(system: kinds.System, artefacts: t.Container[str]) -> list[str]:
    """The kinds that a package of that system always has, and this one has not."""
    return [kind for kind in kinds.ALWAYS[system] if kind not in artefacts]


def read(file: t.BinaryIO, meter: Meter) -> Facts:
    """Raises zips.NoZip and OSError for what cannot be read at all."""
    facts = Facts()
    walk(file, meter, _Visitor(facts))
    return facts


class _Visitor:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def begin(self, names: t.Sequence[str]) -> None:
        self._facts.system = kinds.system_of(names)

    def open(self, member: Member, first: bytes, container: bool) -> Sink:
        row: Row = {
            "name": member.name,
            "size": member.size,
            "sha256": None,
            "modified_local": member.modified,
            "artefact": member.kind,
            "inside": member.depth > 0,
            "error_text": None,
        }
        self._facts.entries.append(row)
        return _Entry(self._facts, member, row, first.startswith(eventlog.MAGIC))

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        self._facts.not_read.append((name, kind, why))


class _Entry:
    """Hashes an entry, and looks into it as far as its kind is understood."""

    def __init__(self, facts: Facts, member: Member, row: Row, is_log: bool) -> None:
        self._facts = facts
        self._member = member
        self._row = row
        self._hasher = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._span = eventlog.Span() if is_log else None
        self._chunks = eventlog.Chunks()

    def feed(self, block: bytes) -> None:
        self._hasher.update(block)
        self._size += len(block)
        if len(self._head) < whose.SAMPLE:
            self._head += block[: whose.SAMPLE - len(self._head)]
        if self._span:
            for chunk in self._chunks.feed(block):
                self._span.take(chunk)

    def end(self, why: str | None) -> None:
        if self._span:
            self._row.update(self._span.as_result())
            self._facts.computer_names |= self._span.computers
        if why is not None:
            return
        self._row.update(size=self._size, sha256=self._hasher.hexdigest())
        if self._size <= len(self._head):
            self._row["error_text"] = whose.error_text(self._head)
        name = whose.computer_name(self._member.path[-1], self._head)
        if name:
            self._facts.computer_names.add(name)
