# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All needles in one pass: by the package C(ahocorasick-rs) where it is installed, else one after the other."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.needles import WIDE
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MissingLibrary

PACKAGE = "ahocorasick-rs"
# So many indicators are looked for without the package: each costs a pass of its own.
MOST_WITHOUT = 200

# Where a needle stands in some data: its number, its beginning.
Places = t.Iterable[tuple[int, int]]
Finder = t.Callable[[bytes], Places]


def together(needles: t.Sequence[bytes]) -> Finder | None:
    """Finds all needles at once; None where the package is not installed."""
    try:
        import ahocorasick_rs
    except ImportError:
        return None
    automaton = ahocorasick_rs.BytesAhoCorasick(list(needles))

    def find(data: bytes) -> Places:
        return ((number, at) for number, at, _end in automaton.find_matches_as_indexes(data, overlapping=True))

    return find


def one_by_one(needles: t.Sequence[tuple[bytes, str]]) -> Finder:
    """Finds needles, each with its codec, one after the other. Those of UTF-16 only in data that has a NUL."""
    narrow = [(number, needle) for number, (needle, codec) in enumerate(needles) if codec != WIDE]
    wide = [(number, needle) for number, (needle, codec) in enumerate(needles) if codec == WIDE]

    def find(data: bytes) -> Places:
        for number, needle in [*narrow, *wide] if b"\0" in data else narrow:
            at = data.find(needle)
            while at >= 0:
                yield number, at
                at = data.find(needle, at + 1)

    return find


def require_few(indicators: int) -> None:
    """Raises MissingLibrary for more indicators than one may look for without the package."""
    try:
        import ahocorasick_rs  # noqa: F401
    except ImportError:
        if indicators > MOST_WITHOUT:
            raise MissingLibrary(
                f"{indicators} indicators are more than the {MOST_WITHOUT} that are searched for without the Python package {PACKAGE}.",
                advice=f"Install {PACKAGE} where this runs (pip install {PACKAGE}), or search for fewer. Nothing was read.",
            ) from None
