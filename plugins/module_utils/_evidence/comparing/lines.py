# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of an artefact, without headings. Those are in the host's language, so they are told by their shape and never by a word."""

from __future__ import annotations

import csv
import io
import re
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.artefacts import Form
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import (
    Width,
    decoded,
    width_of,
)

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
# A cell of a heading is some words: neither a path nor a file name, and it does not begin with a digit.
_NO_HEADING = re.compile(r"^\d|\\|://|\w\.\w|[{}<>@*]")
_COLUMNS = re.compile(r"\s{2,}|\t+")
_NUMBER = re.compile(r"(?<!\S)\d[\d.,:]*(?!\S)")
_DASHES = 4
# Lines that one cell goes over.
_MOST_OF_A_CELL = 16
_NAMES_SOMETHING = re.compile(r"[\\/:\d]")
_FIELD = re.compile(r"[^:\\/]{1,40}?[\s.]*\s:\s?(.*)$|[\w() -]{1,40}:(?:\s+(.*))?$")
_KEY = re.compile(r"^\s*\[?-?(?:HK[A-Z]{2,3}|HKEY_\w+|Computer\\HKEY_\w+)[\\:]", re.IGNORECASE)
_DATED = re.compile(r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}\b")
# No command line of Windows is longer. A file's name has up to 255 characters.
_LONGEST, _LONGEST_NAME = 32_768, 255
# Some words and a path: of which folder the list is.
_FOLDER = re.compile(r"^\s*[^\W\d][^\\/:]*\s[a-z]:\\", re.IGNORECASE)
_PATH = re.compile(r"[\\/]|\w\.\w")
# Words that stand in many lines of one column, such as states: no more of them than this.
_STATES = 12
_WORDY = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*$")


@dataclass(frozen=True)
class Line:
    """cells: what stands in it. text: as it stands in the entry. states: the columns of its table that have words such as states,
    None where it is of no table."""

    cells: tuple[str, ...]
    text: str
    states: frozenset[int] | None = None


@dataclass(frozen=True)
class Lines:
    """The lines of one entry. heading: the cells of its heading, which tell the language; None where it has none."""

    lines: list[Line]
    heading: tuple[str, ...] | None = None


def text_of(data: bytes) -> str:
    """A text, whatever its encoding; of code pages, the OEM one where the bytes speak for it. Never raises."""
    if width_of(data) is Width.BYTES and not data.startswith(b"\xef\xbb\xbf"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            high = Counter(each for each in data if each >= 0x80)
            oem = sum(number for byte, number in high.items() if byte <= 0xA5)
            return data.decode("cp850" if oem > sum(high.values()) / 2 else "cp1252", "replace")
    return decoded(data)


def lines_of(form: Form, text: str) -> Lines:
    """The lines of an entry in that form."""
    text = text.replace("\0", "").lstrip("\ufeff")
    if form is Form.REGISTRY and not _is_table(text):
        return Lines(list(_registry(text)))
    if form in (Form.RECORDS, Form.REGISTRY):
        return _records(text)
    return Lines(list(_READERS[form](text)))


def _full(text: str, longest: int | None = _LONGEST) -> list[str]:
    return [line[:longest].rstrip() for line in text.splitlines() if line.strip()]


def _is_ruled(line: str) -> bool:
    """Whether it is drawn: dashes and the like, and nothing else."""
    bare = line.strip()
    return len(bare) >= _DASHES and not bare.strip("-=_*+ ")


def _is_prose(line: str) -> bool:
    """A sentence of the tool: it ends with a full stop and names nothing."""
    return line.endswith((".", "\u3002")) and len(line.split()) > 2 and not _NAMES_SOMETHING.search(line)


# ---- tables and records ----


def _is_table(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#TYPE")), "")
    return first.lstrip().startswith('"') or (_delimiter(first) != "" and "\\" not in first)


def _delimiter(line: str) -> str:
    bare = _QUOTED.sub('""', line)
    best = max(_DELIMITERS, key=bare.count)
    return best if best in bare else ""


def _records(text: str) -> Lines:
    # A line of a table that is cut has a quote less.
    lines = _full(text, longest=None)
    if lines and lines[0].startswith("#TYPE"):
        lines = lines[1:]
    if not lines:
        return Lines([])
    if lines[0].lstrip().startswith('"') or _delimiter(lines[0]):
        return _table(lines)
    blocks = list(_blocks(text))
    return Lines(blocks or list(_columns(_full(text))))


def _table(lines: list[str]) -> Lines:
    delimiter = _delimiter(lines[0]) or ","
    rows = list(_rows(lines, delimiter))
    heading = None
    if rows and len(rows[0][0]) > 1 and all(cell and not _NO_HEADING.search(cell) for cell in rows[0][0]):
        heading = rows[0][0]
    # schtasks repeats its heading before each folder.
    found = [(cells, text) for cells, text in rows if cells != heading]
    states = _states([cells for cells, _text in found])
    return Lines([Line(cells, text, states) for cells, text in found], heading)


def _rows(lines: list[str], delimiter: str) -> t.Iterator[tuple[tuple[str, ...], str]]:
    for record in _whole(lines):
        row = _cells(record, delimiter)
        if len(row) == 1 and delimiter in row[0]:
            # A whole line between quotes.
            row = _cells(row[0], delimiter)
        cells = tuple(" ".join(cell.split()) for cell in row)
        if any(cells):
            yield cells, delimiter.join(cells)


def _whole(lines: list[str]) -> t.Iterator[str]:
    """Lines, or several of them where a quoted cell goes on in the next. A quote that nobody closes swallows no line."""
    pending: list[str] = []
    is_open = False
    for line in lines:
        pending.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            yield "\n".join(pending)
        elif len(pending) < _MOST_OF_A_CELL:
            continue
        else:
            yield from pending
        pending, is_open = [], False
    yield from pending


def _cells(record: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(record), delimiter=delimiter), [record])
    except csv.Error:
        # A cell of more than 128 KiB.
        return [record]


def _states(rows: t.Sequence[tuple[str, ...]]) -> frozenset[int]:
    """The columns of states: words that stand there again and again, and few of them."""
    found = set()
    for number in range(max(map(len, rows), default=0)):
        cells = [row[number] for row in rows if number < len(row) and row[number]]
        different = set(cells)
        if len(different) <= min(_STATES, len(cells) // 2) and all(map(_WORDY.match, different)):
            found.add(number)
    return frozenset(found)


def _blocks(text: str) -> t.Iterator[Line]:
    """Records that have a line for each field and an empty line between them."""
    blocks = [_full(block) for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n"))]
    blocks = [block for block in blocks if block]
    fields = sum(bool(_FIELD.match(line.strip())) for block in blocks for line in block)
    if len(blocks) < 2 or fields * 10 < 8 * sum(map(len, blocks)):
        return
    for block in blocks:
        matches = [_FIELD.match(line.strip()) for line in block]
        cells = tuple((match[1] or match[2] or "").strip() for match in matches if match)
        if any(cells):
            yield Line(cells, "; ".join(line.strip() for line in block))


def _columns(lines: list[str]) -> t.Iterator[Line]:
    """Lines with columns that blanks part, and plain lists."""
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _is_ruled(line) or _is_ruled(below) or _is_prose(line):
            continue
        cells = tuple(_COLUMNS.split(line.strip()))
        if _is_heading(cells) or (number == 0 and _heads_numbers(line, lines[1:])):
            continue
        yield Line(cells, line.strip())


def _is_heading(cells: tuple[str, ...]) -> bool:
    """Columns' names in capital letters, or a label with nothing behind it."""
    text = "".join(cells)
    if len(cells) > 1 and text.isupper() and not any(map(_NO_HEADING.search, cells)):
        return True
    return len(cells) == 1 and text.endswith((":", "\uff1a")) and not _PATH.search(text)


def _heads_numbers(first: str, others: list[str]) -> bool:
    """Whether it names columns: some words, and all the other lines have a number in a column."""
    named = len(first.split()) > 1 and not any(map(str.isdigit, first))
    return named and bool(others) and all(map(_NUMBER.search, others))


# ---- what is no table ----


def _registry(text: str) -> t.Iterator[Line]:
    """Each value with the key that it stands in; a key without values by itself."""
    key, alone = "", False
    for line in _full(text):
        if _KEY.match(line):
            if alone:
                yield Line((key,), key)
            key, alone = line.strip().strip("[]"), True
        elif not _is_ruled(line):
            value = line.strip()
            # The unnamed value's name is in the language.
            cells = tuple(re.sub(r"^\([^()]+\)$", "()", cell) for cell in re.split(r"\s{2,}|\t+", value))
            inside = bool(key) and line[0].isspace()
            yield Line((key, *cells) if inside else cells, f"{key}: {value}" if inside else value)
            alone = False
    if alone:
        yield Line((key,), key)


def _listing(text: str) -> t.Iterator[Line]:
    """Files: the lines that begin with a date, where there are such; the others tell of the folder and the volume."""
    lines = _full(text)
    dated = [line for line in lines if _DATED.match(line)]
    for line in dated or _undated(lines):
        cells = tuple(_COLUMNS.split(line.strip()))
        name = re.sub(r"^[\d.,\u00a0\u202f]+ ", "", cells[-1])
        if name not in (".", ".."):
            yield Line((name[:_LONGEST_NAME],), line.strip())


def _undated(lines: list[str]) -> list[str]:
    return [line for line in lines if not (_is_ruled(line) or _is_prose(line) or _FOLDER.match(line))]


_ENDPOINT = re.compile(
    r"^(?:\[(?P<v6>[0-9a-f:.]+)(?:%\w+)?\]|(?P<v4>\d{1,3}(?:\.\d{1,3}){3})|(?P<bare>[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*)(?:%\w+)?|(?P<any>\*))"
    r"(?:[:.](?P<port>\d{1,5}|\*))?$",
    re.IGNORECASE,
)
_ANY = frozenset(("0.0.0.0", "::", "*"))
# Windows takes ports from here on for those who ask for none.
_DYNAMIC = 49152


def _connections(text: str) -> t.Iterator[Line]:
    """Who is talked to, by address; and which ports are listened at. What talks to itself is left out."""
    for line in _full(text):
        words = re.split(r"[\s\",;|]+", line.strip())
        ends = [match for match in map(_ENDPOINT.match, filter(_is_short, words)) if match]
        if not ends:
            continue
        far = ends[1] if len(ends) > 1 else ends[0]
        address = _address(far)
        if address in _ANY:
            port = ends[0]["port"] or ""
            protocol = words[0].upper() if words[0].isalnum() else ""
            if len(ends) > 1 and port.isdigit() and int(port) < _DYNAMIC and not _is_loopback(_address(ends[0])):
                yield Line((f"listens: {protocol} {port}",), line.strip())
        elif not _is_loopback(address):
            yield Line((address,), line.strip())


def _is_short(word: str) -> bool:
    return len(word) <= _LONGEST_NAME


def _address(match: re.Match[str]) -> str:
    return (match["v6"] or match["v4"] or match["bare"] or match["any"] or "").lower()


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


_DOMAIN = re.compile(r"(?<![\w.@\\-])(?:[\w-]{1,63}\.)+[a-z][\w-]{1,62}(?![\w-])", re.IGNORECASE)


def _dns(text: str) -> t.Iterator[Line]:
    """Names: all with a dot in them, and whatever stands above a ruled line."""
    lines = _full(text)
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        names = _DOMAIN.findall(line)
        if not names and _is_ruled(below) and len(line.split()) == 1:
            names = [line.strip()]
        for name in names:
            yield Line((name.lower(),), line.strip())


_MAC = re.compile(r"\b(?:[0-9a-f]{2}[-:]){5}[0-9a-f]{2}\b", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def _arp(text: str) -> t.Iterator[Line]:
    """Addresses with their hardware addresses, but for those of groups and of all."""
    for line in _full(text):
        mac, address = _MAC.search(line), _IPV4.search(line)
        if mac and address and not int(mac[0][:2], 16) & 1:
            yield Line((address[0], mac[0].lower().replace(":", "-")), line.strip())


_HASH = re.compile(r"-[0-9a-f]{8}\.pf\b", re.IGNORECASE)
_NO_NAME = re.compile(r"[\\/:*?\"<>|]")


def _prefetch(text: str) -> t.Iterator[Line]:
    for line in _full(text):
        for match in _HASH.finditer(line):
            before = _NO_NAME.split(line[max(0, match.start() - _LONGEST_NAME) : match.start()])[-1]
            name = re.sub(r"^[\d.,\u00a0\u202f]+ ", "", _COLUMNS.split(before.strip())[-1])
            yield Line((name + match[0],), line.strip())


_READERS: dict[Form, t.Callable[[str], t.Iterator[Line]]] = {
    Form.LISTING: _listing,
    Form.CONNECTIONS: _connections,
    Form.DNS: _dns,
    Form.ARP: _arp,
    Form.PREFETCH: _prefetch,
}
