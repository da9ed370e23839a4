# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One package searched in one pass: what was found where, and what could not be read."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import eventlog, kinds, whose
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import Width, width_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import Member, Sink, walk
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import BLOCK, Meter
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Type
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.needles import WIDE, Form
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.plan import Plan
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time

# Characters of an excerpt before and behind what was found.
_EXCERPT = 80
# Characters of a line that its date is among.
_DATE = 40
_ASCII_END = 0x7F
# The kind whose lines begin with a time that has a zone.
_DATED = "defender_logs"
# What a prefetch file's contents, which are not read, cannot show.
_NOT_IN_PREFETCH = frozenset({Type.IP, Type.IP_RANGE, Type.HASH, Type.DOMAIN, Type.URL})


@dataclass(frozen=True)
class Hit:
    """Where an indicator was found. offset: byte of the entry, None for its name. line: from 1, of texts. dated: time is known."""

    indicator: int
    entry: str
    artefact: str
    offset: int | None
    line: int | None
    record: int | None
    time: str | None
    excerpt: str


@dataclass
class Found:
    """What one package has shown. counts, allowed: indicator to number. not_searched: entry, kind, why. read: kinds that were.

    runs: prefetch file to the times at which its program ran.
    """

    hits: list[Hit] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    artefacts: dict[int, set[str]] = field(default_factory=dict)
    allowed: dict[int, int] = field(default_factory=dict)
    not_searched: list[tuple[str | None, str | None, str]] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    logs: list[dict[str, t.Any]] = field(default_factory=list)
    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    system: kinds.System = kinds.System.UNKNOWN
    size: int = 0


@dataclass(frozen=True)
class Scope:
    """artefacts: kinds that are searched, each of which a package is to have; None for all. since, until: seconds since 1970; what has no date is kept.

    max_hits: as many are listed of an indicator, and one at least.
    """

    artefacts: frozenset[str] | None = None
    since: float | None = None
    until: float | None = None
    max_hits: int = 100

    def wants(self, kind: str) -> bool:
        return self.artefacts is None or kind in self.artefacts

    @property
    def is_bounded(self) -> bool:
        return self.since is not None or self.until is not None

    def covers(self, seconds: float | None) -> bool:
        if seconds is None:
            return True
        return (self.since is None or seconds >= self.since) and (self.until is None or seconds <= self.until)


Extra = t.Callable[[Member], "Sink | None"]


def search(
    file: t.BinaryIO,
    meter: Meter,
    plans: t.Mapping[bool, Plan],
    scope: Scope,
    extras: t.Sequence[t.Callable[[Found], Extra]] = (),
) -> Found:
    """plans: by whether the package may write ports behind a dot (it is not of Windows). extras: what else looks at each entry.

    Raises zips.NoZip and OSError for what cannot be read at all.
    """
    found = Found()
    visitor = _Visitor(found, plans, scope, [extra(found) for extra in extras])
    walk(file, meter, visitor)
    found.system = visitor.system
    found.size = meter.unpacked
    due = kinds.ALWAYS[found.system] if scope.artefacts is None else sorted(scope.artefacts - {kinds.OTHER})
    # Of a package that was not read to its end, nobody can say what it lacks.
    cut = any(entry is None for entry, _kind, _why in found.not_searched)
    for kind in () if cut else due:
        if kind not in visitor.kinds:
            found.not_searched.append((None, kind, f"the package has no {kind}"))
        elif kind not in visitor.real and kind not in visitor.left_kinds:
            found.not_searched.append((None, kind, f"the package holds only error texts as {kind}"))
    if not found.read and not found.not_searched:
        why = "it has no entries with content" if scope.artefacts is None else "it has nothing of what was asked for"
        found.not_searched.append((None, None, why))
    return found


def can_show(indicator: Type, kind: str) -> bool:
    """Whether what was not read of a kind could have shown an indicator of that type."""
    return kind != "prefetch" or indicator not in _NOT_IN_PREFETCH


class _Visitor:
    def __init__(self, found: Found, plans: t.Mapping[bool, Plan], scope: Scope, extras: list[Extra]) -> None:
        self._found = found
        self._plans = plans
        self._scope = scope
        self._extras = extras
        self.system = kinds.System.UNKNOWN
        self.kinds: set[str] = set()
        # Kinds of which something holds more than an error text, and of which something was not read.
        self.real: set[str] = set()
        self.left_kinds: set[str] = set()

    def begin(self, names: t.Sequence[str]) -> None:
        self.system = kinds.system_of(names)

    def open(self, member: Member, first: bytes, container: bool) -> Sink | None:
        self.kinds.add(member.kind)
        if not self._scope.wants(member.kind):
            return None
        plan = self._plans[self.system is not kinds.System.WINDOWS]
        collector = _Collector(self._found, plan, self._scope, member)
        _search_name(plan, collector)
        if container or not first:
            return None
        self._found.read[member.kind] = self._found.read.get(member.kind, 0) + 1
        inner: Sink
        if first.startswith(eventlog.MAGIC):
            inner = _Log(plan, collector, self._scope)
            self.real.add(member.kind)
        else:
            inner = _Text(plan, collector, width_of(first), self.real)
        for extra in self._extras:
            also = extra(member)
            inner = inner if also is None else _Both(inner, also)
        return inner

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        if kind is not None:
            self.left_kinds.add(kind)
        if kind is None or self._scope.wants(kind):
            self._found.not_searched.append((name, kind, why))


class _Both:
    def __init__(self, first: Sink, second: Sink) -> None:
        self._first, self._second = first, second

    def feed(self, block: bytes) -> None:
        self._first.feed(block)
        self._second.feed(block)

    def end(self, why: str | None) -> None:
        self._first.end(why)
        self._second.end(why)


@dataclass
class _Collector:
    """Counts what is found in one entry, and lists as much of it as is wanted."""

    found: Found
    plan: Plan
    scope: Scope
    member: Member

    def allows(self, index: int, value: str) -> bool:
        """Whether the value may be reported; one that may not is counted here."""
        if (self.plan.indicators[index], value) not in self.plan.allowed:
            return True
        self.found.allowed[index] = self.found.allowed.get(index, 0) + 1
        return False

    def take(self, index: int, make: t.Callable[[], Hit]) -> None:
        number = self.found.counts.get(index, 0) + 1
        self.found.counts[index] = number
        self.found.artefacts.setdefault(index, set()).add(self.member.kind)
        if number <= max(self.scope.max_hits, 1):
            self.found.hits.append(make())

    def hit(self, index: int, excerpt: str, **where: t.Any) -> Hit:
        facts = {"offset": None, "line": None, "record": None, "time": None, **where}
        return Hit(index, printable(self.member.name), self.member.kind, excerpt=printable(excerpt), **facts)


def _search_name(plan: Plan, collector: _Collector) -> None:
    """The entry's own name, of which its folders are part; that of its container was searched before."""
    name = collector.member.path[-1].replace("\\", "/")
    data = name.encode("utf-8", "replace")
    window = data.lower()
    seen: set[int] = set()
    for number, at in sorted(plan.find(window), key=_place):
        for index, form in plan.forms[number]:
            if index in seen or form.codec == WIDE:
                continue
            value = _judged(form, data, at)
            if value is not None and collector.allows(index, value):
                seen.add(index)
                collector.take(index, lambda index=index: collector.hit(index, name))  # type: ignore[misc]


def _place(found: tuple[int, int]) -> int:
    return found[1]


def _judged(form: Form, data: bytes, at: int, since: int = 0, upto: int | None = None) -> str | None:
    """What the judge says of a needle at a place in some data. since, upto: where the text begins and ends in it."""
    before, found, after = _context(form, data, at, since, len(data) if upto is None else upto)
    return form.judge(before, found, after)


def _context(form: Form, data: bytes, at: int, since: int, upto: int) -> tuple[str, str, str]:
    end = at + len(form.needle)
    found = data[at:end].decode(form.codec, "replace")
    if not form.needs_context:
        return "", found, ""
    width = 2 if form.codec == WIDE else 1
    reach = form.reach * width
    first = max(since, at - reach)
    first += (at - first) % width
    last = end + (min(end + reach, upto) - end) // width * width
    return data[first:at].decode(form.codec, "replace"), found, data[end:last].decode(form.codec, "replace")


class _Text:
    """Searches an entry that is no event log, whatever it is, in windows that overlap."""

    def __init__(self, plan: Plan, collector: _Collector, width: Width, real: set[str]) -> None:
        self._plan = plan
        self._collector = collector
        self._real = real
        self._swap = width is Width.UTF16_BE
        self._feed = b"\n" if width is Width.BYTES else b"\n\0"
        self._head = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._window = b""
        # Byte of the entry that the window begins at; from which byte of the window on nothing was looked at yet.
        self._offset = 0
        self._fresh = 0
        self._lines = 0
        self._counted = 0
        # Where the line begins that was looked at last, None for before the window: then it begins so. Up to where that is known.
        self._begins: int | None = 0
        self._begun = b""
        self._known = 0

    def feed(self, block: bytes) -> None:
        self._parts.append(block)
        self._size += len(block)
        if len(self._head) < whose.SAMPLE:
            self._head += block[: whose.SAMPLE - len(self._head)]
        if self._size >= BLOCK:
            self._go(False)

    def end(self, why: str | None) -> None:
        self._go(True)
        if whose.error_text(self._head) is None:
            self._real.add(self._collector.member.kind)

    def _go(self, last: bool) -> None:
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        if self._swap:
            odd = b"" if len(data) % 2 == 0 else data[-1:]
            data = data[: len(data) - len(odd)]
            if odd and not last:
                self._parts, self._size = [odd], 1
            swapped = bytearray(data)
            swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
            data = bytes(swapped)
        window = self._window + data
        behind = 0 if last else self._plan.longest + self._plan.reach
        limit = len(window) - behind
        if limit <= self._fresh and not last:
            self._window = window
            return
        self._search(window, limit)
        keep = max(0, limit - self._plan.reach) & ~1
        self._count_lines(window, keep)
        if self._collector.member.kind == _DATED:
            self._begun, self._begins, self._known = self._line_begun(window, keep), None, 0
        self._window, self._offset, self._fresh = window[keep:], self._offset + keep, limit - keep

    def _search(self, window: bytes, limit: int) -> None:
        seen: set[tuple[int, int]] = set()
        for number, at in sorted(self._plan.find(window.lower()), key=_place):
            if not self._fresh <= at < limit:
                continue
            for index, form in self._plan.forms[number]:
                if (index, at) in seen:
                    continue
                value = _judged(form, window, at)
                if value is not None:
                    seen.add((index, at))
                    self._take(index, value, window, at, form)

    def _take(self, index: int, value: str, window: bytes, at: int, form: Form) -> None:
        time = None
        if self._collector.member.kind == _DATED:
            codec = WIDE if len(self._feed) == 2 else form.codec
            time = _date_text(_readable(self._line_begun(window, at), codec))
            if not self._collector.scope.covers(parse_time(time) if time else None):
                return
        if self._collector.allows(index, value):
            self._collector.take(index, lambda: self._hit(index, window, at, form, time))

    def _hit(self, index: int, window: bytes, at: int, form: Form, time: str | None) -> Hit:
        number = self._lines + window.count(self._feed, self._counted_from(), at) + 1
        excerpt = _line_around(window, at, len(form.needle), form.codec)
        return self._collector.hit(index, excerpt, offset=self._offset + at, line=number, time=time)

    def _line_begun(self, window: bytes, at: int) -> bytes:
        """How the line begins that a place is in, however far that is. Places come in their order, so nothing is looked at twice."""
        feed = window.rfind(self._feed, self._known, at)
        if feed >= 0:
            self._begins = feed + len(self._feed)
        # What ends a line may have its first byte right before the place.
        self._known = max(self._known, at - len(self._feed) + 1)
        if self._begins is None:
            return self._begun
        return window[self._begins : self._begins + _DATE * len(self._feed)]

    def _counted_from(self) -> int:
        return max(0, self._counted - self._offset)

    def _count_lines(self, window: bytes, upto: int) -> None:
        begun = self._counted_from()
        if upto > begun:
            self._lines += window.count(self._feed, begun, upto)
            self._counted = self._offset + upto


def _line_around(window: bytes, at: int, length: int, codec: str) -> str:
    """An excerpt of a line around a place."""
    width = 2 if codec == WIDE else 1
    feed = b"\n\0" if width == 2 else b"\n"
    near = _EXCERPT * width
    first = window.rfind(feed, max(0, at - near), at)
    first = max(0, at - near) if first < 0 else first + width
    first += (at - first) % width
    end = at + length
    last = window.find(feed, end, end + near)
    last = min(len(window), end + near) if last < 0 else last
    last -= (last - end) % width
    return _readable(window[first:last], codec).strip()


def _readable(data: bytes, codec: str) -> str:
    if codec == "utf-8":
        # Half a character at an end is no sign of another encoding.
        for cut in range(4):
            for end in range(len(data), max(len(data) - 4, 0), -1):
                try:
                    return data[cut:end].decode("utf-8").lstrip("\ufeff")
                except UnicodeDecodeError:
                    continue
        return data.decode("cp1252", "replace")
    return data.decode(codec, "replace").lstrip("\ufeff")


def _date_text(line: str) -> str | None:
    """The time that a line of Defender's own logs begins with, where its zone is told (a Z)."""
    word = line.strip().partition(" ")[0].strip("[]")
    return word if word.endswith("Z") and parse_time(word) else None


class _Log:
    """Searches an event log, chunk by chunk; a record's header says when it was written."""

    def __init__(self, plan: Plan, collector: _Collector, scope: Scope) -> None:
        self._plan = plan
        self._collector = collector
        self._scope = scope
        self._chunks = eventlog.Chunks()
        self._batch: list[bytes] = []
        self._offset = eventlog.HEADER
        self._span = eventlog.Span()

    def feed(self, block: bytes) -> None:
        for chunk in self._chunks.feed(block):
            self._batch.append(chunk)
            self._span.take_times(chunk)
            if len(self._batch) * eventlog.CHUNK >= BLOCK:
                self._go()

    def end(self, why: str | None) -> None:
        left = self._chunks.left()
        if left:
            self._batch.append(left)
        self._go()
        row = {"entry": printable(self._collector.member.name), **self._span.as_result()}
        self._collector.found.logs.append(row)

    def _go(self) -> None:
        data = b"".join(self._batch)
        pages = [_Page(chunk) for chunk in self._batch]
        self._batch = []
        seen: set[tuple[int, int]] = set()
        for number, at in sorted(self._plan.find(data.lower()), key=_place):
            page, place = pages[at // eventlog.CHUNK], at % eventlog.CHUNK
            for index, form in self._plan.forms[number]:
                if (index, at) in seen:
                    continue
                value = page.judged(form, place)
                if value is not None:
                    seen.add((index, at))
                    self._take(index, value, page, place, self._offset + at, form)
        self._offset += len(data)

    def _take(self, index: int, value: str, page: _Page, place: int, offset: int, form: Form) -> None:
        record = page.record(place)
        if record and not self._scope.covers(eventlog.seconds_of(record.filetime)):
            return
        if not self._collector.allows(index, value):
            return
        where: dict[str, t.Any] = {"offset": offset}
        if record:
            where.update(record=record.number, time=eventlog.iso_of(record.filetime))
        self._collector.take(index, lambda: self._collector.hit(index, page.excerpt(form, place), **where))


class _Page:
    """A chunk of an event log in which something may have been found; what is known of its records is found out once."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self._records: list[eventlog.Record] | None = None
        self._texts: dict[int, list[tuple[int, int]]] = {}

    def record(self, place: int) -> eventlog.Record | None:
        if self._records is None:
            self._records = list(eventlog.records(self.chunk))
        return eventlog.record_at(self._records, place)

    def _text_at(self, place: int, end: int) -> tuple[int, int] | None:
        """The value that a place is in, and all of it up to the end; raises ValueError where it is more than one value."""
        record = self.record(place)
        if record is None:
            return None
        if record.at not in self._texts:
            self._texts[record.at] = eventlog.texts(self.chunk, record)
        for first, last in self._texts[record.at]:
            if first <= place < last or first < end <= last:
                if place < first or end > last:
                    raise ValueError
                return first, last
        return None

    def judged(self, form: Form, place: int) -> str | None:
        end = place + len(form.needle)
        if end > len(self.chunk):
            return None
        try:
            value = self._text_at(place, end)
        except ValueError:
            return None
        if value is not None:
            if form.codec == WIDE and (place - value[0]) % 2:
                return None
            return _judged(form, self.chunk, place, *value)
        # In a template, or in a record that is not as Windows writes it: a text ends where no printable ASCII follows.
        before, found, after = _context(form, self.chunk, place, 0, len(self.chunk))
        return form.judge(_ascii_end(before), found, _ascii_end(after[::-1])[::-1])

    def excerpt(self, form: Form, place: int) -> str:
        end = place + len(form.needle)
        width = 2 if form.codec == WIDE else 1
        first, last = self._text_at(place, end) or (0, len(self.chunk))
        inside = (first, last) != (0, len(self.chunk))
        first = max(first, place - _EXCERPT * width)
        first += (place - first) % width
        last = min(last, end + _EXCERPT * width)
        last -= (last - end) % width
        before, after = (self.chunk[a:b].decode(form.codec, "replace") for a, b in ((first, place), (end, last)))
        found = self.chunk[place:end].decode(form.codec, "replace")
        if not inside:
            before, after = _ascii_end(before), _ascii_end(after[::-1])[::-1]
        return f"{before}{found}{after}"


def _ascii_end(text: str) -> str:
    """As much of a text's end as is printable ASCII."""
    at = len(text)
    while at and " " <= text[at - 1] < chr(_ASCII_END):
        at -= 1
    return text[at:]
