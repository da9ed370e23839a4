# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of indicators: one a line, CSV, Defender's indicator CSV, STIX 2.1; what is refused is told by line or id."""

from __future__ import annotations

import csv
import io
import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import decoded
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import (
    PAIRS,
    WORDS,
    Indicator,
    Refused,
    told,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time

MOST = 64 << 20
# Columns by the names that they have in CSV files: ours, Defender's (indicatorType, indicatorValue, title), MISP's.
_VALUE = ("value", "indicatorvalue", "indicator", "ioc")
_TYPE = ("type", "indicatortype")
_NOTE = ("note", "title", "comment", "description")
_COMMENT = re.compile(r"\s+#.*$")
# Not an address in brackets, a GUID in braces or a text that begins so.
LIKE_JSON = re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{\"])")

# Office documents and archives (zip, gzip, 7z, rar, old Office), PDF, and a page of rich text.
_NO_TEXT = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xd0\xcf\x11\xe0", b"%PDF-", b"{\\rtf")


@dataclass
class Given:
    """The indicators that were understood, each once, and what was refused: where it stands, what it is, why."""

    indicators: list[Indicator] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    _known: set[tuple[str, str]] = field(default_factory=set)

    def take(self, where: str, value: str, type_word: str | None = None, note: str | None = None) -> None:
        try:
            found = told(value, type_word, note)
        except Refused as failure:
            self.refuse(where, value, str(failure))
            return
        for indicator in found:
            if indicator.key not in self._known:
                self._known.add(indicator.key)
                self.indicators.append(indicator)

    def refuse(self, where: str, value: str, why: str) -> None:
        self.refused.append({"where": where, "value": value[:200], "why": why})


def read_file(content: bytes, now: float, given: Given) -> None:
    """now: seconds since 1970; STIX indicators that have expired by then are refused."""
    text = decoded(content)
    if content.startswith(_NO_TEXT) or "\0" in text:
        # Its bytes would be searched for as if they were indicators, and would be found nowhere.
        given.refuse(
            "file",
            "".join(filter(str.isprintable, text[:8])),
            "it is no text (a spreadsheet, a PDF or an archive, say); save it as text or CSV",
        )
        return
    if text.lstrip()[:1] in ("{", "["):
        try:
            data = json.loads(text)
        except RecursionError:
            given.refuse("file", text.lstrip()[:80], "it is nested too deeply")
            return
        except ValueError as failure:
            if LIKE_JSON.match(text):
                given.refuse("file", text.lstrip()[:80], f"it begins like JSON but is none: {failure}")
                return
        else:
            _read_json(data, now, given)
            return
    _read_lines(text, given)


# ---- lines and CSV ----


def _read_lines(text: str, given: Given) -> None:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    header = _header(first)
    if len(header) > 1 and any(name in header for name in _VALUE):
        _read_table(text, header, _separator(first), given)
        return
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word = line.strip('"').lower() if line == first.strip() else ""
        if word in WORDS:
            given.refuse(
                f"line {number}", line, f"it reads as a heading: take it out, or write {word},text for the word itself"
            )
        elif word not in _VALUE:
            _read_line(f"line {number}", _COMMENT.sub("", line), given)


def _header(line: str) -> list[str]:
    """The names of a table's columns; none where the line is no CSV."""
    try:
        return [cell.strip().lower() for cell in _cells(line, _separator(line))]
    except csv.Error:
        return []


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _separator_of(line: str) -> str:
    """What separates the cells of a line without headings: a comma, or what stands before a word for a type."""
    for separator in ";\t":
        cell = line.partition(separator)[2].partition(separator)[0].strip(' "').lower()
        if cell in WORDS or cell in PAIRS:
            return separator
    return ","


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def _read_line(where: str, line: str, given: Given) -> None:
    separator = _separator_of(line)
    if separator not in line:
        given.take(where, line.strip('"') if line.startswith('"') else line)
        return
    try:
        cells = [cell.strip() for cell in _cells(line, separator)]
    except csv.Error as failure:
        given.refuse(where, line, f"it is no CSV: {failure}")
        return
    if len(cells) == 1:
        given.take(where, cells[0])
    elif cells[1] and cells[1].lower() not in WORDS and cells[1].lower() not in PAIRS:
        given.refuse(
            where,
            line,
            f"a line is value[,type,note], and {cells[1]!r} is no type; write a value with commas in quotes",
        )
    else:
        given.take(where, cells[0], cells[1] or None, ", ".join(cells[2:]) or None)


def _cell(row: list[str], at: int) -> str:
    return row[at].strip() if 0 <= at < len(row) else ""


def _read_table(text: str, header: list[str], separator: str, given: Given) -> None:
    value, kind, note = (
        next((header.index(name) for name in names if name in header), -1) for names in (_VALUE, _TYPE, _NOTE)
    )
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    seen = False
    try:
        for row in rows:
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                continue
            if not seen:
                seen = True
                continue
            given.take(f"line {rows.line_num}", _cell(row, value), _cell(row, kind) or None, _cell(row, note) or None)
    except csv.Error as failure:
        given.refuse(f"line {rows.line_num}", "", f"it is no CSV: {failure}")


# ---- JSON and STIX ----


def _read_json(data: t.Any, now: float, given: Given) -> None:
    objects = data.get("objects", [data]) if isinstance(data, dict) else data
    if not isinstance(objects, list):
        given.refuse("file", str(data)[:80], "it is no list of indicators, and has none")
        return
    objects = [each for one in objects for each in _of_bundle(one)]
    for number, each in enumerate(objects, 1):
        if isinstance(each, str):
            given.take(f"element {number}", each)
        elif not isinstance(each, dict):
            given.refuse(f"element {number}", str(each), "it is no text and no mapping")
        elif isinstance(each.get("value"), str) and "pattern" not in each and not _is_stix(each):
            given.take(
                f"element {number}", each["value"], _text(each, "type"), _text(each, "note") or _text(each, "comment")
            )
        elif each.get("type") == "indicator":
            _read_stix(each, number, now, given)
        elif not _is_stix(each) and each.get("type") != "bundle":
            given.refuse(
                f"element {number}", json.dumps(each, default=str)[:80], "it has no value, and is no STIX object"
            )


def _of_bundle(each: t.Any) -> list[t.Any]:
    """What a STIX bundle within a list has; anything else as it is."""
    inside = each.get("objects") if isinstance(each, dict) and each.get("type") == "bundle" else None
    return inside if isinstance(inside, list) else [each]


def _is_stix(each: t.Mapping[str, t.Any]) -> bool:
    return isinstance(each.get("id"), str) and "--" in each["id"]


def _text(each: t.Mapping[str, t.Any], key: str) -> str | None:
    value = each.get(key)
    return value if isinstance(value, str) else None


def _read_stix(each: t.Mapping[str, t.Any], number: int, now: float, given: Given) -> None:
    where = _text(each, "id") or f"element {number}"
    pattern = _text(each, "pattern") or ""
    why = None
    if each.get("revoked") is True:
        why = "it was revoked"
    elif "valid_until" in each and parse_time(each["valid_until"]) <= now:
        why = f"it has expired ({each['valid_until']})"
    elif each.get("pattern_type", "stix") != "stix":
        why = f"its pattern is of the type {each['pattern_type']!r}; only stix is understood"
    if why:
        given.refuse(where, pattern, why)
        return
    try:
        comparisons = parse_pattern(pattern)
    except Refused as failure:
        given.refuse(where, pattern, str(failure))
        return
    for value, word in comparisons:
        given.take(where, value, word, _text(each, "name"))


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<sign>\[|\]|\(|\)|,|!=|<=|>=|=|<|>)|(?P<word>[\w:.'\-\[\]*]*?[\w'](?=[\s=!<>\[\](),]|$)))"
)
_PATH = re.compile(r"^([a-z0-9-]+):([\w.'\-]+)$", re.IGNORECASE)
_PROPERTIES: dict[str, str] = {
    "ipv4-addr:value": "ip",
    "ipv6-addr:value": "ip",
    "domain-name:value": "domain",
    "url:value": "url",
    "file:name": "file_name",
    "email-addr:value": "text",
    "windows-registry-key:key": "text",
    "mutex:name": "text",
    "process:command_line": "text",
    "user-account:user_id": "text",
    "user-account:account_login": "text",
}
_OTHERS = "only comparisons with = of known properties, lists of them with OR or IN, and ISSUBSET are understood"


def parse_pattern(pattern: str) -> list[tuple[str, str]]:
    """The values of a STIX 2.1 pattern with the words for their types. Raises Refused for what means more than any of them."""
    tokens = _tokens(pattern)
    found = _Pattern(tokens).observations()
    return found


def _tokens(pattern: str) -> list[str]:
    tokens, at = [], 0
    while at < len(pattern.rstrip()):
        match = _TOKEN.match(pattern, at)
        if not match or match.end() == at:
            raise Refused(f"its pattern cannot be read at {pattern[at : at + 20]!r}")
        tokens.append(match[0].strip())
        at = match.end()
    return tokens


class _Pattern:
    """Observations joined by OR, of comparisons joined by OR; parentheses anywhere."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _expect(self, sign: str) -> None:
        found = self._next()
        if found != sign:
            raise Refused(f"its pattern has {found or 'its end'!r}; {_OTHERS}")

    def observations(self) -> list[tuple[str, str]]:
        found = self._any_of(self._observation)
        if self._peek():
            raise Refused(f"its pattern has {self._peek()!r}; {_OTHERS}")
        return found

    def _any_of(self, one: t.Callable[[], list[tuple[str, str]]]) -> list[tuple[str, str]]:
        found = one()
        while self._peek().upper() == "OR":
            self._next()
            found += one()
        return found

    def _in_parentheses(self, one: t.Callable[[], list[tuple[str, str]]]) -> list[tuple[str, str]]:
        self._expect("(")
        # Hostile depth: a pattern is no longer than its tokens, and nobody nests more than some.
        if self._tokens[: self._at].count("(") > 20:
            raise Refused("its pattern is nested too deeply")
        found = self._any_of(one)
        self._expect(")")
        return found

    def _observation(self) -> list[tuple[str, str]]:
        if self._peek() == "(":
            return self._in_parentheses(self._observation)
        self._expect("[")
        found = self._any_of(self._comparison)
        self._expect("]")
        return found

    def _comparison(self) -> list[tuple[str, str]]:
        if self._peek() == "(":
            return self._in_parentheses(self._comparison)
        path = self._next()
        word = _word_for(path)
        operator = self._next().upper()
        if operator == "=":
            return [(self._value(), word)]
        if operator == "ISSUBSET" and word == "ip":
            return [(self._value(), "ip_range")]
        if operator == "IN":
            self._expect("(")
            values = [self._value()]
            while self._peek() == ",":
                self._next()
                values.append(self._value())
            self._expect(")")
            return [(value, word) for value in values]
        raise Refused(f"its pattern has {operator or 'its end'!r}; {_OTHERS}")

    def _value(self) -> str:
        text = self._next()
        if len(text) < 2 or not (text.startswith("'") and text.endswith("'")):
            raise Refused(f"its pattern has {text or 'its end'!r} where a text in quotes belongs")
        return re.sub(r"\\(.)", r"\1", text[1:-1])


def _word_for(path: str) -> str:
    match = _PATH.match(path)
    if not match:
        raise Refused(f"its pattern has {path or 'its end'!r}; {_OTHERS}")
    name = f"{match[1].lower()}:{match[2]}"
    if name.lower().startswith("file:hashes."):
        return "hash"
    word = _PROPERTIES.get(name)
    if word is None:
        raise Refused(f"its pattern compares {path}, which is not searched for")
    return word


# ---- what stands in a task ----

_SPLIT = re.compile(r"[,;](?=\s|$)|\n|\r")
_IN_A_ROW = re.compile(r"[,;]")


def elements(given: t.Any) -> t.Iterator[t.Any]:
    """Texts and mappings of what a task was given: a list, lines, commas and semicolons, or JSON from a survey.

    What can be no indicator (a number, true, null) comes as it is, for its reader to refuse.
    """
    if isinstance(given, (list, tuple, set, frozenset)):
        for each in given:
            yield from elements(each)
    elif isinstance(given, (str, bytes)):
        yield from _elements_of_text((given.decode("utf-8", "replace") if isinstance(given, bytes) else given).strip())
    else:
        yield given


def _elements_of_text(text: str) -> t.Iterator[t.Any]:
    if text[:1] in ("[", "{"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, (list, dict)):
            yield from elements(data)
            return
    for part in _SPLIT.split(text):
        # A URL may hold commas; what is no URL has none inside that would mean anything.
        pieces = [part] if "://" in part or "[:]//" in part else _IN_A_ROW.split(part)
        yield from (piece.strip() for piece in pieces if piece.strip())
