# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every secret that came by, so that none leaves in a result, a message or a log."""

from __future__ import annotations

import base64
import html
import re
import threading
import typing as t
from collections.abc import Mapping, Sequence, Set
from urllib.parse import parse_qsl

from ansible.module_utils.common.parameters import remove_values, sanitize_keys
from ansible.module_utils.common.text.converters import to_text

# Shorter ones would blot out ordinary words; what the service issues is far longer.
_SHORTEST = 4
# A fleet brings thousands of links, and hardly ever is one of them in a text. Secrets of at least this length are looked for
# by how they begin, so that a text costs by its own length and not by the number of secrets.
_HEAD = 16
# What may stand in a link beside its secret: an action's ID, a year or a word must not be blotted out everywhere.
_SHORTEST_IN_LINK = 8
_IDENTIFIER = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{40}$", re.IGNORECASE)
# How a character may be written otherwise than as it is: in an address or a form, in JSON and its kin, in HTML.
_ESCAPED = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)|\\u(?P<four>[0-9A-Fa-f]{4})|\\x(?P<two>[0-9A-Fa-f]{2})"
    r"|\\(?P<one>[\"'\\/bfnrt])|(?P<html>&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);)"
)
_ONE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# So often may an echo be written into another.
_LAYERS = 3
# So many characters of a base64 text are enough to know it by: the rest of it is found in the text.
_KNOWN_BY = 24
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


_T = t.TypeVar("_T")


class Secrets:
    """The secrets of one task. The rest of the collection never prints one; this is the second lock on the door.

    A secret is also found in the forms in which servers and libraries echo it: percent and form encoding, JSON and HTML
    escapes, and base64, also as a part of something longer (C(Authorization: Basic)).
    """

    def __init__(self) -> None:
        self._short: set[str] = set()
        self._long: dict[str, set[str]] = {}
        # How the base64 of a secret may begin, wherever in it the secret stands.
        self._encoded: dict[str, set[str]] = {}
        self._has_short_codes = False
        # How the long ones begin that were not read in a link, plain and in base64: some dozens at most.
        self._hints: set[str] = set()
        self._lock = threading.Lock()

    def add(self, *values: str | None) -> None:
        for value in values:
            if value and len(value) >= _SHORTEST:
                encoded = _in_base64(value)
                self._keep({value, value.replace(" ", "+")}, encoded)
                if len(value) >= _HEAD:
                    with self._lock:
                        self._hints.update(form[:_HEAD] for form in (value, *encoded))

    def add_link(self, link: str) -> None:
        """A package link: whoever has it has the package."""
        # Not urlsplit, which refuses some of what is no link.
        query = link.partition("?")[2].partition("#")[0]
        values = [
            value
            for _name, value in parse_qsl(query)
            if len(value) >= _SHORTEST_IN_LINK and not _IDENTIFIER.match(value)
        ]
        for value in values:
            self._keep({value, value.replace(" ", "+")}, _in_base64(value))
        # Thousands of them come by; the value inside is what is secret, and is known in all its forms.
        self._keep({each for each in (link, query) if len(each) >= _SHORTEST}, set())

    def add_links_in(self, text: str) -> None:
        """Every link with a query that stands in a text which was not asked for one."""
        for link in _links_in(text):
            self.add_link(link)

    def _keep(self, spelled: set[str], encoded: set[str]) -> None:
        with self._lock:
            for form in spelled:
                if len(form) < _HEAD:
                    self._short.add(form)
                else:
                    self._long.setdefault(form[:_HEAD], set()).add(form)
            for form in encoded:
                self._encoded.setdefault(form[:_HEAD], set()).add(form)
                self._has_short_codes = self._has_short_codes or len(form) < _HEAD

    def scrub(self, value: t.Any) -> t.Any:
        """The same structure with each secret replaced, also inside longer texts."""
        with self._lock:
            found = set(self._short)
            for text in set(_texts(value)):
                found.update(self._found_in(text))
        if not found:
            return value
        # The longest first: one that is a part of another must not leave the rest of it behind.
        return remove_values(value, sorted(sorted(found), key=len, reverse=True))

    def purge(self, reply: _T, is_link: t.Callable[[str], bool]) -> _T:
        """What a service has answered, without what it was sent and says back, in names of fields too.

        For all that comes in, before anything is made of it: a file's name, a text that is cut. Short secrets stay, because a
        password may be a word that the work needs. is_link: whether a URL that stands there is a package's.
        """
        texts = set(_texts(reply, names=True))
        said = "\n".join(texts)
        links = [link for link in _links_in(said) if _CREDENTIAL.search(link) and is_link(link)]
        for link in links:
            self.add_link(link)
        with self._lock:
            if not links and not self._may_hold(said):
                return reply
            found = {form for text in texts for form in self._found_in(text) if len(form) >= _HEAD}
        secret = sorted(found, key=len, reverse=True)
        return t.cast(_T, sanitize_keys(remove_values(reply, secret), secret))

    def _may_hold(self, said: str) -> bool:
        """Whether a long secret may stand there, in any form; quick, because most replies hold none."""
        for _layer in range(_LAYERS + 1):
            if any(hint in said for hint in self._hints):
                return True
            plain = _ESCAPED.sub(lambda match: "".join(character for character, _length in _unescaped(match)), said)
            if plain == said:
                return False
            said = plain
        return False

    def _found_in(self, text: str) -> t.Iterator[str]:
        """Each secret in the spelling in which it stands there."""
        for start, end in self._spans(text):
            yield text[start:end]
        layer, places = text, None
        for _layer in range(_LAYERS):
            decoded = _decoded(layer)
            if decoded is None:
                return
            layer, within = decoded
            # Where each character of this layer stands in the text itself.
            places = within if places is None else [(places[a][0], places[b - 1][1]) for a, b in within]
            spans = [*self._spans(layer), *_spans_of(layer, self._short)]
            for start, end in spans:
                yield text[places[start][0] : places[end - 1][1]]

    def _spans(self, text: str) -> t.Iterator[tuple[int, int]]:
        heads = {text[start : start + _HEAD] for start in range(len(text))}
        for head in heads & self._long.keys():
            yield from _spans_of(text, self._long[head])
        for head in heads & self._encoded.keys():
            for start, end in _spans_of(text, self._encoded[head]):
                yield _whole_run(text, start, end)
        for head, forms in self._encoded.items() if self._has_short_codes else ():
            if len(head) < _HEAD and head in text:
                for start, end in _spans_of(text, forms):
                    yield _whole_run(text, start, end)


_LINK = re.compile(r"https?://[^\s<>\"\\^`{|}]+\?[^\s<>\"\\^`{|}]+", re.IGNORECASE)


def _links_in(text: str) -> list[str]:
    """Every link with a query, without the sentence around it."""
    return [link.rstrip(".,;)\"'") for link in _LINK.findall(text)]


# What a link has in its query that is good for a package: the service's own links and those of a storage account.
_CREDENTIAL = re.compile(r"[?&](?:token|sig)=", re.IGNORECASE)


def _spans_of(text: str, forms: t.Iterable[str]) -> t.Iterator[tuple[int, int]]:
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + 1)


def _decoded(text: str) -> tuple[str, list[tuple[int, int]]] | None:
    """The text without escapes, and where each of its characters comes from. None: there is no escape in it."""
    if not any(mark in text for mark in "%\\&") or not _ESCAPED.search(text):
        return None
    characters: list[str] = []
    places: list[tuple[int, int]] = []
    end = 0
    for match in _ESCAPED.finditer(text):
        characters += text[end : match.start()]
        places += [(at, at + 1) for at in range(end, match.start())]
        end = match.end()
        at = match.start()
        for character, length in _unescaped(match):
            characters.append(character)
            places.append((at, at + length))
            at += length
    characters += text[end:]
    places += [(at, at + 1) for at in range(end, len(text))]
    return "".join(characters), places


def _unescaped(match: re.Match[str]) -> t.Iterator[tuple[str, int]]:
    """The characters that an escape stands for, and how many characters of the text each takes."""
    if match["percent"]:
        for character in bytes.fromhex(match["percent"].replace("%", "")).decode("utf-8", "surrogateescape"):
            plain = character.encode("utf-8", "surrogateescape")
            yield character, 3 * len(plain)
        return
    if match["html"]:
        character = html.unescape(match["html"])
    elif match["one"]:
        character = _ONE.get(match["one"], match["one"])
    else:
        character = chr(int(match["four"] or match["two"], 16))
    for position, each in enumerate(character):
        yield each, len(match[0]) if position == len(character) - 1 else 0


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


def _whole_run(text: str, start: int, end: int) -> tuple[int, int]:
    """All of the base64 around a part of it: what is left of it would still tell the secret's ends."""
    while start > 0 and text[start - 1] in _BASE64:
        start -= 1
    while end < len(text) and text[end] in _BASE64:
        end += 1
    return start, end


def _texts(value: t.Any, names: bool = False) -> t.Iterator[str]:
    """All that remove_values would look into, as texts. names: those of fields as well."""
    ahead = [value]
    while ahead:
        each = ahead.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, bytes):
            yield to_text(each, errors="surrogate_or_strict")
        elif isinstance(each, Mapping):
            ahead.extend(each.values())
            if names:
                yield from map(str, each)
        elif isinstance(each, (Sequence, Set)):
            ahead.extend(each)
        elif isinstance(each, (int, float)):
            yield str(each)
