# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The items of one package: its lines without what differs on every device, and what it cannot be compared by."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import artefacts, lines, masks
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.artefacts import Artefact, Form
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds, whose
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import Member, Sink, walk
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Exhausted, Meter, in_words
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable

# What is compared is held in memory while its package is read: texts of some KiB, and the longest lists of some MiB.
_MOST_TEXT = 32 << 20
_MOST_LINES = 200_000
# Lines between two looks at the clock.
_CHECKED = 256
# Characters of a cell that are compared: no command line of Windows is longer. And those of an item and of a line that are shown.
_LONGEST, _SHOWN = 32_768, 1024
# What Defender's own collecting starts and leaves behind.
_COLLECTOR = re.compile(
    r"\b(?:robocopy|xcopy|sensesampleuploader|senseir)\b|windows defender advanced threat protection\\(?:datacollection|temp)\b",
    re.IGNORECASE,
)
# What looks the same in every language.
_PATH = re.compile(r"[\\/]|\w\.\w")
# Of a computer's name: these entries give it.
_SYSTEM = "system_information"


class Item(t.NamedTuple):
    """value: the whole one, as it is compared. core: the value without what the language changes, None where that is the same.
    heading: of the entry's table. entry, text: as they are shown."""

    artefact: str
    value: str
    core: str | None
    heading: str | None
    entry: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same item, whatever the case."""
        return self.artefact, self.value.lower()

    @property
    def shown(self) -> str:
        return printable(self.value[:_SHOWN])


def is_collectors(value: str) -> bool:
    """Whether an item is a trace that Defender's own collecting leaves."""
    return _COLLECTOR.search(value) is not None


@dataclass
class Entries:
    """What there is of one artefact: entries that hold items, and why others do not."""

    held: dict[str, str] = field(default_factory=dict)
    not_held: dict[str, tuple[str, str]] = field(default_factory=dict)

    def without(self, name: str, why: str) -> None:
        self.not_held.setdefault(kinds.plain_name(name), (name, why))


@dataclass
class Read:
    """One package. entries: by artefact; of plain names (as they are compared) to names. rest: why it was not read to its end."""

    system: kinds.System = kinds.System.WINDOWS
    entries: dict[str, Entries] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    rest: str | None = None

    def of(self, artefact: str) -> Entries:
        return self.entries.setdefault(artefact, Entries())


@dataclass(frozen=True)
class Scope:
    """artefacts: which are compared, by name. masks: what is masked in them."""

    artefacts: frozenset[str]
    masks: masks.Wanted


def read(file: t.BinaryIO, meter: Meter, scope: Scope, host: str | None) -> Read:
    """host: the device's name, as its record has it. Raises zips.NoZip and OSError for what cannot be read at all."""
    visitor = _Visitor(scope)
    walk(file, meter, visitor)
    found = visitor.read
    hosts = visitor.hosts | ({host} if host else set())
    users = {user for _artefact, name, text in visitor.texts for user in masks.users_in(name, text)}
    masker = masks.Masker(scope.masks, hosts, users)
    try:
        for artefact, name, text in visitor.texts:
            _take(found, meter, masker, artefact, name, text)
        for name in visitor.prefetch:
            _take(
                found, meter, masker, artefacts.ARTEFACTS["prefetch"], name, name.replace("\\", "/").rpartition("/")[2]
            )
    except Exhausted as failure:
        found.rest = f"{failure}; the rest was not read"
    return found


class _Visitor:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.read = Read()
        self.hosts: set[str] = set()
        self.texts: list[tuple[Artefact, str, str]] = []
        self.prefetch: list[str] = []

    def begin(self, names: t.Sequence[str]) -> None:
        system = kinds.system_of(names)
        # A package with no sign of any system has the names of Windows' packages, at least.
        self.read.system = kinds.System.WINDOWS if system is kinds.System.UNKNOWN else system

    def open(self, member: Member, first: bytes, container: bool) -> Sink | None:
        if container:
            return None
        if member.kind == _SYSTEM:
            name = whose.computer_name(member.path[-1], first)
            self.hosts |= {name} if name else set()
        artefact = artefacts.artefact_of(member.name, member.kind)
        if artefact is None or artefact.name not in self._scope.artefacts:
            return None
        if artefact.form is Form.PREFETCH and member.path[-1].lower().endswith(".pf"):
            self.prefetch.append(member.name)
            return None
        return _Entry(self, artefact, member.name)

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        if name is None or kind is None:
            self.read.rest = why


class _Entry:
    """Keeps a text until all of the package's names are known."""

    def __init__(self, visitor: _Visitor, artefact: Artefact, name: str) -> None:
        self._visitor = visitor
        self._artefact = artefact
        self._name = name
        self._data = bytearray()
        self._is_long = False

    def feed(self, block: bytes) -> None:
        self._is_long = self._is_long or len(self._data) + len(block) > _MOST_TEXT
        if not self._is_long:
            self._data += block

    def end(self, why: str | None) -> None:
        data, self._data = bytes(self._data), bytearray()
        entries = self._visitor.read.of(self._artefact.name)
        error = whose.error_text(data)
        if why is None and self._is_long:
            why = f"it is a text of more than {in_words(_MOST_TEXT)}"
        if why is None and error is not None:
            why = f"it holds only an error text: {printable(error)}" if error else "it is empty"
        if why is not None:
            entries.without(self._name, why)
        else:
            self._visitor.texts.append((self._artefact, self._name, lines.text_of(data)))


def _take(found: Read, meter: Meter, masker: masks.Masker, artefact: Artefact, name: str, text: str) -> None:
    read_lines = lines.lines_of(artefact.form, text)
    heading = None if read_lines.heading is None else "|".join(read_lines.heading).lower()
    known: set[str] = set()
    for number, line in enumerate(read_lines.lines):
        if number % _CHECKED == 0:
            meter.take(0)
        item = _item(masker, artefact.name, line, heading, name)
        if item and item.value not in known:
            if len(known) == _MOST_LINES:
                found.of(artefact.name).without(name, f"it has more than {_MOST_LINES} lines")
                return
            known.add(item.value)
            found.items.append(item)
    entries = found.of(artefact.name)
    if known:
        entries.held[kinds.plain_name(masker(artefact.name, name))] = name
    else:
        entries.without(name, "it holds no items: nothing, or a message in place of it")


def _item(masker: masks.Masker, artefact: str, line: lines.Line, heading: str | None, entry: str) -> Item | None:
    cells = [masker(artefact, cell[:_LONGEST]) for cell in line.cells]
    if line.states is None:
        cells = list(map(masks.without_edges, cells))
    # Where only masks stand, nothing is told.
    telling = [number for number, cell in enumerate(cells) if not masks.says_nothing(cell)]
    if not telling:
        return None
    core = None
    if line.states is not None:
        named = [number for number in telling if number not in line.states]
        core = _joined(cells, [number for number in named if number == named[0] or _PATH.search(cells[number])])
    value = _joined(cells, telling)
    return Item(artefact, value, core, heading, printable(entry), printable(line.text[:_SHOWN]))


def _joined(cells: t.Sequence[str], which: t.Iterable[int]) -> str:
    """Each text once: a service's two names are often the same."""
    return " | ".join(dict.fromkeys(cells[number] for number in which))
