# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it from other collections or standalone plugins/modules!
"""Every secret that came by, so that none leaves in a result, a message or a log."""

from __future__ import annotations

import threading
import typing as t
from urllib.parse import parse_qsl, quote

from ansible.module_utils.common.parameters import remove_values

# Shorter ones would blot out ordinary words; what the service issues is far longer.
_SHORTEST = 4


class Secrets:
    """The secrets of one task. The rest of the collection never prints one; this is the second lock on the door."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._lock = threading.Lock()

    def add(self, *values: str | None) -> None:
        with self._lock:
            for value in values:
                if value and len(value) >= _SHORTEST:
                    self._values.update({value, quote(value, safe="")})

    def add_link(self, link: str) -> None:
        """A package link: whoever has it has the package."""
        # Not urlsplit, which refuses some of what is no link.
        query = link.partition("?")[2].partition("#")[0]
        self.add(link, query, *(value for _name, value in parse_qsl(query)))

    def scrub(self, value: t.Any) -> t.Any:
        """The same structure with each secret replaced, also inside longer texts."""
        with self._lock:
            # The longest first: one that is a part of another must not leave the rest of it behind.
            return remove_values(value, sorted(self._values, key=len, reverse=True))
