# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What reading a package may cost: entries, bytes, nesting and time. A package is hostile until it has been read."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock

# What is read, unpacked and searched at a time. Memory stays a small multiple of it, whatever a package says of itself.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """entries: of one package, with those of containers inside. unpacked, entry: bytes. nesting: containers in containers, the
    package itself not counted. seconds: for one package."""

    entries: int = 100_000
    unpacked: int = 64 << 30
    entry: int = 4 << 30
    nesting: int = 3
    seconds: float = 3600.0


class LeftOut(Exception):
    """Something is not read any further; the text says why, as it stands in C(not_searched)."""


class Exhausted(LeftOut):
    """The package as a whole has used up what it may cost."""


@dataclass
class Meter:
    """What one package has cost so far. still: raises if nobody waits for the result any more."""

    limits: Limits
    clock: Clock
    still: t.Callable[[], None] = lambda: None
    entries: int = 0
    unpacked: int = 0
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = self.clock.monotonic() + self.limits.seconds

    def count_entry(self) -> None:
        """Raises Exhausted."""
        self.entries += 1
        if self.entries > self.limits.entries:
            raise Exhausted(f"the package has more than {self.limits.entries} entries")

    def take(self, size: int) -> None:
        """So many bytes were unpacked. Raises Exhausted."""
        self.still()
        self.clock.check()
        self.unpacked += size
        if self.unpacked > self.limits.unpacked:
            raise Exhausted(f"the package unpacks to more than {in_words(self.limits.unpacked)}")
        if self.clock.monotonic() > self._end:
            raise Exhausted(f"reading the package took longer than {self.limits.seconds:g} s")


def in_words(size: int) -> str:
    """Bytes as a person says them."""
    for unit, word in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {word}"
    return f"{size} bytes"
