# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""OData queries, as far as the service is known to understand them; everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .messages import ApiError, IncompatibleTypes, QueryError
from .timestamps import parse_utc

# "folded" is a string whose comparison ignores case.
Kind = Literal["string", "folded", "guid", "date", "number", "collection"]
Row = Mapping[str, Any]
Predicate = Callable[[Row], bool]

MAX_TOP = 10_000
_OPTIONS = ("$filter", "$top", "$skip", "$select")

MACHINE_PROPERTIES: dict[str, Kind] = {
    "computerDnsName": "string",
    "id": "string",
    "version": "string",
    "deviceValue": "string",
    "aadDeviceId": "guid",
    "machineTags": "collection",
    "lastSeen": "date",
    "exposureLevel": "string",
    "onboardingStatus": "string",
    "lastIpAddress": "string",
    "healthStatus": "string",
    "osPlatform": "string",
    "riskScore": "string",
    "rbacGroupId": "number",
}
ACTION_PROPERTIES: dict[str, Kind] = {
    "id": "string",
    "status": "string",
    "machineId": "string",
    "type": "string",
    "requestor": "string",
    "creationDateTimeUtc": "date",
}

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<guid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![\w-])"
    r"|(?P<date>\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?Z)"
    r"|(?P<number>-?\d+)(?![\w.:-])"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<mark>[(),/:]))"
)
_EDM = {"string": "Edm.String", "guid": "Edm.Guid", "date": "Edm.DateTimeOffset", "number": "Edm.Int32"}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


class _Parser:
    def __init__(self, text: str, properties: Mapping[str, Kind], node_limit: int) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._properties = properties
        self._node_limit = node_limit
        self._nodes = 0

    def parse(self) -> Predicate:
        predicate = self._either()
        if self._at < len(self._tokens):
            raise _syntax(f"unexpected '{self._tokens[self._at].text}'")
        return predicate

    def _either(self) -> Predicate:
        terms = [self._both()]
        while self._accept("or"):
            self._count(1)
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else lambda row: any(term(row) for term in terms)

    def _both(self) -> Predicate:
        terms = [self._term()]
        while self._accept("and"):
            self._count(1)
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else lambda row: all(term(row) for term in terms)

    def _term(self) -> Predicate:
        if self._accept("("):
            inner = self._either()
            self._expect(")")
            return inner
        self._count(4)
        word = self._next("word").text
        if self._accept("("):
            return self._starts_with(word)
        if self._accept("/"):
            return self._any(word)
        return self._comparison(word)

    def _starts_with(self, function: str) -> Predicate:
        if function != "startswith":
            raise QueryError(f"An unknown function with name '{function}' was found.")
        name = self._next("word").text
        if name != "computerDnsName" or name not in self._properties:
            raise QueryError(f"The function 'startswith' is not supported on property '{name}'.")
        self._expect(",")
        prefix = _unquoted(self._next("string").text)
        self._expect(")")
        if self._properties[name] == "folded":
            return lambda row: (row[name] or "").lower().startswith(prefix.lower())
        return lambda row: (row[name] or "").startswith(prefix)

    def _any(self, name: str) -> Predicate:
        if self._properties.get(name) != "collection":
            raise QueryError(f"The property '{name}' is not a collection that can be filtered.")
        self._expect("any")
        self._expect("(")
        variable = self._next("word").text
        self._expect(":")
        self._expect(variable)
        self._expect("eq")
        wanted = _unquoted(self._next("string").text)
        self._expect(")")
        self._count(2)
        return lambda row: wanted in row[name]

    def _comparison(self, name: str) -> Predicate:
        kind = self._properties.get(name)
        if kind is None:
            raise QueryError(f"The property '{name}' cannot be used in the $filter query option.")
        operator = self._next("word").text
        compare = _COMPARISONS.get(operator)
        if compare is None:
            raise _syntax(f"'{operator}' is not an operator")
        if kind == "collection" or (kind in ("string", "folded", "guid") and operator not in ("eq", "ne")):
            raise QueryError(f"The operator '{operator}' is not supported on property '{name}'.")
        literal = self._literal(kind)
        if kind in ("folded", "guid"):
            folded = (literal if kind == "guid" else _unquoted(literal)).lower()
            return lambda row: compare((row[name] or "").lower(), folded)
        if kind == "string":
            text = _unquoted(literal)
            return lambda row: compare(row[name], text)
        if kind == "number":
            number = int(literal)
            # Nothing is greater or less than null.
            return lambda row: compare(row[name], number) if row[name] is not None else operator == "ne"
        try:
            moment = parse_utc(literal)
        except ValueError as error:
            raise QueryError(f"'{literal}' is not a date.") from error
        return lambda row: compare(parse_utc(row[name]), moment)

    def _literal(self, kind: Kind) -> str:
        """A Guid and a String are different types, and the library says so; other mismatches end at the parser."""
        wanted = "string" if kind == "folded" else kind
        found = self._tokens[self._at].kind if self._at < len(self._tokens) else ""
        if found != wanted and {found, wanted} == {"guid", "string"}:
            raise IncompatibleTypes(_EDM[wanted], _EDM[found])
        return self._next(wanted).text

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._node_limit and self._nodes > self._node_limit:
            raise QueryError(f"The node count limit of '{self._node_limit}' has been exceeded.")

    def _accept(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _syntax(f"'{text}' expected")

    def _next(self, kind: str) -> _Token:
        if self._at >= len(self._tokens):
            raise _syntax(f"{kind} expected at the end")
        token = self._tokens[self._at]
        if token.kind != kind:
            raise _syntax(f"{kind} expected, not '{token.text}'")
        self._at += 1
        return token


def _tokens(text: str) -> Iterable[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if not match or not match.lastgroup:
            raise _syntax(f"character '{text[at]}' at position {at} is not understood")
        yield _Token(match.lastgroup, match.group(match.lastgroup))
        at = match.end()


def _syntax(reason: str) -> QueryError:
    return QueryError(f"Syntax error in $filter: {reason}.")


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'")


def parse_filter(text: str, properties: Mapping[str, Kind], node_limit: int = 0) -> Predicate:
    return _Parser(text, properties, node_limit).parse()


@dataclass(frozen=True)
class Query:
    predicate: Predicate | None
    top: int | None
    skip: int
    select: tuple[str, ...]
    expand: bool = False


def parse_query(
    query: Mapping[str, str],
    properties: Mapping[str, Kind],
    known: Iterable[str],
    node_limit: int,
    expandable: str = "",
) -> Query:
    """expandable: the one property that $expand may name."""
    expand = query.get("$expand")
    if expandable and expand not in (None, expandable):
        raise QueryError(f"The property '{expand}' cannot be used in the $expand query option.")
    for option in query:
        if option.startswith("$") and option not in _OPTIONS and not (expandable and option == "$expand"):
            raise QueryError(f"Custom query option '{option}' that starts with '$' is not supported.")
    predicate = parse_filter(query["$filter"], properties, node_limit) if "$filter" in query else None
    top = _count_option(query, "$top")
    if top is not None and top > MAX_TOP:
        raise ApiError(400, "BadRequest", f"The limit of '{MAX_TOP}' for Top query has been exceeded.")
    select = tuple(part.strip() for part in query["$select"].split(",")) if "$select" in query else ()
    known = set(known)
    for name in select:
        if name not in known or name == "onboardingStatus":
            raise QueryError(f"The property '{name}' cannot be used in the $select query option.")
    return Query(predicate, top, _count_option(query, "$skip") or 0, select, expand is not None)


def _count_option(query: Mapping[str, str], option: str) -> int | None:
    text = query.get(option)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise QueryError(f"Invalid value '{text}' for {option} query option found.")
    return int(text)
