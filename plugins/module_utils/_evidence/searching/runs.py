# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the programs ran whose prefetch files were found by name; for the export alone."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import prefetch
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import Member, Sink
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.scan import Extra, Found
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable


def scanner(found: Found) -> Extra:
    """Looks into a prefetch file where the newest hit that is listed is in its name."""

    def sink(member: Member) -> Sink | None:
        newest = found.hits[-1] if found.hits else None
        name = printable(member.name)
        if member.kind != "prefetch" or newest is None or newest.offset is not None or newest.entry != name:
            return None
        return _Head(found, name)

    return sink


class _Head:
    def __init__(self, found: Found, entry: str) -> None:
        self._found = found
        self._entry = entry
        self._head = b""

    def feed(self, block: bytes) -> None:
        self._head += block[: max(0, prefetch.SAMPLE - len(self._head))]

    def end(self, why: str | None) -> None:
        times = () if why else prefetch.run_times(self._head)
        if times:
            self._found.runs[self._entry] = times
