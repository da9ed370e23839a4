# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Event logs (.evtx): the numbers and times of records, from the headers that stand before their binary XML.

Format: a header of 4,096 bytes, then chunks of 65,536 bytes; in a chunk records from byte 512 on, each with its size, number and
the FILETIME at which it was written in the clear (libevtx, "Windows XML Event Log (EVTX) format").
"""

from __future__ import annotations

import struct
import typing as t
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta

MAGIC = b"ElfFile\0"
HEADER, CHUNK = 4096, 1 << 16
_CHUNK_MAGIC = b"ElfChnk\0"
_FIRST = 512
_RECORD = struct.Struct("<4sIQQ")
_SMALLEST = _RECORD.size + 4
_FILETIME_EPOCH = datetime(1601, 1, 1)
# The name of the element Computer, its end of the start tag, and a text: in most templates its value is a literal.
_COMPUTER = "Computer\0".encode("utf-16-le") + b"\x02\x05\x01"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Record:
    """at, size: where it stands in its chunk. filetime: hundreds of nanoseconds since 1601, UTC."""

    at: int
    size: int
    number: int
    filetime: int


def records(chunk: bytes) -> t.Iterator[Record]:
    """The records of a chunk, as far as they are whole."""
    if chunk[:8] != _CHUNK_MAGIC:
        return
    at = _FIRST
    while at + _RECORD.size <= len(chunk):
        magic, size, number, filetime = _RECORD.unpack_from(chunk, at)
        if magic != b"**\0\0" or not _SMALLEST <= size <= len(chunk) - at:
            return
        yield Record(at, size, number, filetime)
        at += size


def record_at(found: t.Sequence[Record], offset: int) -> Record | None:
    """The record that a byte of a chunk belongs to; None before the first and behind the last."""
    index = bisect_right([each.at for each in found], offset) - 1
    if index < 0 or offset >= found[index].at + found[index].size:
        return None
    return found[index]


def iso_of(filetime: int) -> str | None:
    """A FILETIME as ISO 8601 UTC with microseconds; None for what is no time of day."""
    try:
        return (_FILETIME_EPOCH + timedelta(microseconds=filetime // 10)).isoformat(timespec="microseconds") + "Z"
    except OverflowError:
        return None


def seconds_of(filetime: int) -> float:
    """A FILETIME as seconds since 1970."""
    return filetime / 1e7 - 11644473600.0


def computers(chunk: bytes) -> set[str]:
    """The computers' names that a chunk's templates give as literals."""
    found = set()
    at = chunk.find(_COMPUTER)
    while at >= 0:
        at += len(_COMPUTER)
        length = int.from_bytes(chunk[at : at + 2], "little")
        if 0 < length <= _LONGEST_NAME:
            found.add(chunk[at + 2 : at + 2 + 2 * length].decode("utf-16-le", "replace"))
        at = chunk.find(_COMPUTER, at)
    return found


class Chunks:
    """Cuts a log's content, as it comes, into its chunks: whole ones, and at the end what is left."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = HEADER

    def feed(self, block: bytes) -> t.Iterator[bytes]:
        self._buffer += block
        if self._skip:
            gone = min(self._skip, len(self._buffer))
            del self._buffer[:gone]
            self._skip -= gone
        whole = len(self._buffer) // CHUNK * CHUNK
        if whole:
            data = bytes(self._buffer[:whole])
            del self._buffer[:whole]
            for at in range(0, whole, CHUNK):
                yield data[at : at + CHUNK]

    def left(self) -> bytes:
        """What came behind the last whole chunk."""
        return bytes(self._buffer)


@dataclass
class Span:
    """What an event log holds: number of records, and the oldest and newest time, ISO 8601 UTC."""

    records: int = 0
    first: int | None = None
    last: int | None = None
    computers: set[str] = field(default_factory=set)

    def take(self, chunk: bytes) -> None:
        """A chunk's records, and the computers that they name."""
        self.take_times(chunk)
        self.computers |= computers(chunk)

    def take_times(self, chunk: bytes) -> None:
        """A chunk's records."""
        for record in records(chunk):
            self.records += 1
            if record.filetime:
                self.first = record.filetime if self.first is None else min(self.first, record.filetime)
                self.last = record.filetime if self.last is None else max(self.last, record.filetime)

    def as_result(self) -> dict[str, t.Any]:
        return {
            "records": self.records,
            "first": iso_of(self.first) if self.first is not None else None,
            "last": iso_of(self.last) if self.last is not None else None,
        }


# ---- the texts of a record ----

_FRAGMENT, _TEMPLATE = 0x0F, 0x0C
_STRING, _BINARY_XML, _STRINGS = 0x01, 0x21, 0x81
_MOST_VALUES = 4096
_DEEPEST = 4


def texts(chunk: bytes, record: Record) -> list[tuple[int, int]]:
    """Where a record's values that are texts begin and end in its chunk.

    Values stand one behind the other without anything between, so only this tells where a text ends. Empty where the record's
    binary XML is not as Windows writes it.
    """
    found: list[tuple[int, int]] = []
    try:
        _values(chunk, record.at + _RECORD.size, record.at + record.size, 0, found)
    except (struct.error, IndexError):
        return []
    return found


def _values(chunk: bytes, at: int, end: int, depth: int, found: list[tuple[int, int]]) -> None:
    if chunk[at] == _FRAGMENT:
        at += 4
    if chunk[at] != _TEMPLATE or depth > _DEEPEST:
        return
    (definition,) = struct.unpack_from("<I", chunk, at + 6)
    at += 10
    if definition == at:
        # Where a template is used first in a chunk, it stands itself: next one, GUID, size, content.
        (size,) = struct.unpack_from("<I", chunk, at + 20)
        at += 24 + size
    (count,) = struct.unpack_from("<I", chunk, at)
    if count > _MOST_VALUES or at + 4 + 4 * count > end:
        return
    kinds = [struct.unpack_from("<HB", chunk, at + 4 + 4 * index) for index in range(count)]
    at += 4 + 4 * count
    for size, kind in kinds:
        if at + size > end:
            return
        if kind in (_STRING, _STRINGS):
            found.append((at, at + size))
        elif kind == _BINARY_XML and size:
            _values(chunk, at, at + size, depth + 1, found)
        at += size
