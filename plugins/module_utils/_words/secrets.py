# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every secret that came by, so that none leaves in a result, a message or a log."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
import typing as t
from collections.abc import Mapping, Sequence, Set
from urllib.parse import parse_qsl, quote, quote_plus

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
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
# So many characters of a base64 text are enough to know it by: the rest of it is found in the text.
_KNOWN_BY = 24
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


class Secrets:
    """The secrets of one task. The rest of the collection never prints one; this is the second lock on the door.

    A secret is also known in the forms in which servers and libraries echo it: percent and form encoding, JSON and HTML
    escapes, and base64, also as a part of something longer (C(Authorization: Basic)).
    """

    def __init__(self) -> None:
        self._short: set[str] = set()
        self._long: dict[str, set[str]] = {}
        # How the base64 of a secret may begin, wherever in it the secret stands.
        self._encoded: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, *values: str | None) -> None:
        for value in values:
            if value and len(value) >= _SHORTEST:
                self._keep(_spellings(value), _in_base64(value))

    def add_link(self, link: str) -> None:
        """A package link: whoever has it has the package."""
        # Not urlsplit, which refuses some of what is no link.
        query = link.partition("?")[2].partition("#")[0]
        values = [
            value
            for _name, value in parse_qsl(query)
            if len(value) >= _SHORTEST_IN_LINK and not _IDENTIFIER.match(value)
        ]
        self.add(*values)
        # Thousands of them come by; the value inside is what is secret, and is known in all its forms.
        self._keep({each for each in (link, query) if len(each) >= _SHORTEST}, set())

    def add_links_in(self, text: str) -> None:
        """Every link with a query that stands in a text which was not asked for one."""
        for link in _LINK.findall(text):
            self.add_link(link.rstrip(".,;)\"'"))

    def _keep(self, spelled: set[str], encoded: set[str]) -> None:
        with self._lock:
            for form in spelled:
                if len(form) < _HEAD:
                    self._short.add(form)
                else:
                    self._long.setdefault(form[:_HEAD], set()).add(form)
            for form in encoded:
                self._encoded.setdefault(form[: min(_HEAD, len(form))], set()).add(form)

    def scrub(self, value: t.Any) -> t.Any:
        """The same structure with each secret replaced, also inside longer texts."""
        with self._lock:
            found = set(self._short)
            shorter = sorted({len(head) for head in self._encoded if len(head) < _HEAD})
            for text in set(_texts(value)):
                found.update(self._found_in(text, shorter))
        if not found:
            return value
        # The longest first: one that is a part of another must not leave the rest of it behind.
        return remove_values(value, sorted(sorted(found), key=len, reverse=True))

    def _found_in(self, text: str, shorter: list[int]) -> t.Iterator[str]:
        for start in range(len(text)):
            head = text[start : start + _HEAD]
            if head in self._long:
                yield from self._long[head]
            for known in (head, *(text[start : start + size] for size in shorter)):
                for form in self._encoded.get(known, ()):
                    if text.startswith(form, start):
                        yield _whole_run(text, start, start + len(form))


_LINK = re.compile(r"https?://[^\s<>\"\\^`{|}]+\?[^\s<>\"\\^`{|}]+", re.IGNORECASE)


def _spellings(value: str) -> set[str]:
    percent = quote(value, safe="")
    quoted = {percent, quote(value, safe="/"), quote_plus(value)}
    quoted |= {_ESCAPE.sub(lambda match: match[0].lower(), each) for each in quoted}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    escaped |= {each.replace("/", "\\/") for each in escaped}
    # What .NET's writers of JSON escape besides.
    escaped |= {_DOTNET.sub(lambda match: f"\\u{ord(match[0]):04X}", each) for each in escaped}
    escaped |= {_DOTNET.sub(lambda match: f"\\u{ord(match[0]):04x}", each) for each in escaped}
    named = html.escape(value)
    marked = {named, named.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"), html.escape(value, quote=False)}
    return {value, *quoted, *escaped, *marked}


_DOTNET = re.compile("[<>&'+]")


def _in_base64(value: str) -> set[str]:
    """What is always the same in the base64 of a text with the secret in it, for each place at which it may begin."""
    plain = value.encode("utf-8", "surrogatepass")
    forms = set()
    for before, cut in ((0, 0), (1, 2), (2, 3)):
        # The first characters depend on what stands before, the last on what comes after.
        whole = (8 * (before + len(plain))) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(b"\0" * before + plain).decode("ascii")[cut:whole]
            if len(form) >= _SHORTEST:
                forms.add(form[:_KNOWN_BY])
    return forms


def _whole_run(text: str, start: int, end: int) -> str:
    """All of the base64 around a part of it: what is left of it would still tell the secret's ends."""
    while start > 0 and text[start - 1] in _BASE64:
        start -= 1
    while end < len(text) and text[end] in _BASE64:
        end += 1
    return text[start:end]


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
