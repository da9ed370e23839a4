# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every secret that came by, so that none leaves in a result, a message or a log."""

from __future__ import annotations

import re
import threading
import typing as t
from collections.abc import Mapping, Sequence, Set
from urllib.parse import parse_qsl, quote

from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.text.converters import to_text

# Shorter ones would blot out ordinary words; what the service issues is far longer.
_SHORTEST = 4
# A fleet brings thousands of links, and hardly ever is one of them in a text. Secrets of at least this length are looked for
# by how they begin, so that a text costs by its own length and not by the number of secrets.
_HEAD = 16
# What may stand in a link beside its secret: an action's ID, a year or a word must not be blotted out everywhere.
_SHORTEST_IN_LINK = 8
_IDENTIFIER = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{40}$", re.IGNORECASE)


class Secrets:
    """The secrets of one task. The rest of the collection never prints one; this is the second lock on the door."""

    def __init__(self) -> None:
        self._short: set[str] = set()
        self._long: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, *values: str | None) -> None:
        with self._lock:
            for value in values:
                if value and len(value) >= _SHORTEST:
                    for form in (value, quote(value, safe="")):
                        if len(form) < _HEAD:
                            self._short.add(form)
                        else:
                            self._long.setdefault(form[:_HEAD], set()).add(form)

    def add_link(self, link: str) -> None:
        """A package link: whoever has it has the package."""
        # Not urlsplit, which refuses some of what is no link.
        query = link.partition("?")[2].partition("#")[0]
        values = [
            value
            for _name, value in parse_qsl(query)
            if len(value) >= _SHORTEST_IN_LINK and not _IDENTIFIER.match(value)
        ]
        self.add(link, query, *values)

    def scrub(self, value: t.Any) -> t.Any:
        """The same structure with each secret replaced, also inside longer texts."""
        with self._lock:
            found = set(self._short)
            for text in set(_texts(value)):
                for start in range(len(text) - _HEAD + 1):
                    if text[start : start + _HEAD] in self._long:
                        found.update(self._long[text[start : start + _HEAD]])
        if not found:
            return value
        # The longest first: one that is a part of another must not leave the rest of it behind.
        return remove_values(value, sorted(sorted(found), key=len, reverse=True))


def _texts(value: t.Any) -> t.Iterator[str]:
    """All that remove_values would look into, as texts."""
    ahead = [value]
    while ahead:
        each = ahead.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, bytes):
            yield to_text(each, errors="surrogate_or_strict")
        elif isinstance(each, Mapping):
            ahead.extend(each.values())
        elif isinstance(each, (Sequence, Set)):
            ahead.extend(each)
        elif isinstance(each, (int, float)):
            yield str(each)
