# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A zip's entries, read one after the other from an open file: no name is trusted, nothing is unpacked to disk.

Python's C(zipfile) reads the whole directory into memory before it can be bounded, and compares names of the central directory
with those of the local headers, which differ in real packages (backslashes). Here only what is needed is read (APPNOTE 6.3.9).
"""

from __future__ import annotations

import struct
import typing as t
import zlib
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import BLOCK, LeftOut

_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_CENTRAL_FIELDS = struct.Struct("<4s6H3I5H2I")
_ENCRYPTED, _UTF8 = 0x1, 0x800
_STORED, _DEFLATED = 0, 8
_MAX32 = 0xFFFFFFFF
_READ = 1 << 18


class NoZip(Exception):
    """The file is no zip, or its directory is damaged."""


@dataclass(frozen=True)
class ZipEntry:
    """An entry as the central directory has it. modified: in the zone of whoever packed it. offset: of its local header."""

    name: str
    size: int
    packed: int
    method: int
    encrypted: bool
    crc: int
    offset: int
    modified: str | None
    overlaps: bool = False

    @property
    def is_folder(self) -> bool:
        return self.size == 0 and self.name.endswith(("/", "\\"))


def read_directory(file: t.BinaryIO, most: int) -> tuple[list[ZipEntry], bool]:
    """The entries in the directory's order, and whether there are more than C(most). Raises NoZip, OSError."""
    start, size, shift = _find_directory(file)
    file.seek(start)
    directory = _Directory(file, size)
    entries: list[ZipEntry] = []
    while directory.left >= _CENTRAL_FIELDS.size:
        if len(entries) == most:
            return _without_overlaps(entries), True
        entry = directory.entry(shift)
        if entry is None:
            break
        entries.append(entry)
    return _without_overlaps(entries), False


class _Directory:
    """The central directory, read forward."""

    def __init__(self, file: t.BinaryIO, size: int) -> None:
        self._file = file
        self.left = size

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.left -= size
        if len(data) < size:
            raise NoZip("its directory is cut short")
        return data

    def entry(self, shift: int) -> ZipEntry | None:
        fields = _CENTRAL_FIELDS.unpack(self._read(_CENTRAL_FIELDS.size))
        if fields[0] != _CENTRAL:
            if self.left > 0:
                raise NoZip("its directory is damaged")
            return None
        _magic, _by, _needs, flags, method, time, date, crc, packed, size, named, extra, comment = fields[:13]
        name, extras = self._read(named), self._read(extra)
        self._read(comment)
        offset = fields[16]
        size, packed, offset = _large(extras, [size, packed, offset])
        return ZipEntry(
            name=_decoded(name, bool(flags & _UTF8)),
            size=size,
            packed=packed,
            method=method,
            encrypted=bool(flags & _ENCRYPTED),
            crc=crc,
            offset=offset + shift,
            modified=_moment(date, time),
        )


def _find_directory(file: t.BinaryIO) -> tuple[int, int, int]:
    """Where the central directory begins, its size, and by how much all offsets are off (something stands before the zip)."""
    length = file.seek(0, 2)
    reach = min(length, (1 << 16) + 22)
    file.seek(length - reach)
    tail = file.read(reach)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise NoZip("it has no directory")
    end = length - reach + at
    size, start = struct.unpack_from("<II", tail, at + 12)
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        (end64,) = struct.unpack_from("<Q", tail, at - 12)
        # Something before the zip shifts this offset as well: the record stands right before its locator.
        for place in (end64, end - 20 - 56):
            if not 0 <= place <= length:
                continue
            file.seek(place)
            record = file.read(56)
            if len(record) == 56 and record[:4] == _END64:
                size, start = struct.unpack_from("<QQ", record, 40)
                end = place
                break
    shift = end - size - start
    if shift < 0 or start + shift < 0:
        raise NoZip("its directory is not where it says")
    return start + shift, size, shift


def _large(extras: bytes, values: list[int]) -> list[int]:
    """Sizes and offset, of which those that do not fit 32 bits stand in the extra field 1."""
    at = 0
    while at + 4 <= len(extras):
        kind, length = struct.unpack_from("<HH", extras, at)
        if kind == 1:
            data = extras[at + 4 : at + 4 + length]
            for index, value in enumerate(values):
                if value == _MAX32 and len(data) >= 8:
                    values[index] = int.from_bytes(data[:8], "little")
                    data = data[8:]
            break
        at += 4 + length
    return values


def _decoded(name: bytes, utf8: bool) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8" if utf8 else "cp437", "replace")


def _moment(date: int, time: int) -> str | None:
    try:
        moment = datetime(
            (date >> 9) + 1980, date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, min((time & 31) * 2, 59)
        )
    except ValueError:
        return None
    return moment.isoformat()


def _without_overlaps(entries: list[ZipEntry]) -> list[ZipEntry]:
    """Marks entries that share bytes with another one: only a bomb has them."""
    end = -1
    marked: set[int] = set()
    for index in sorted(range(len(entries)), key=lambda each: entries[each].offset):
        entry = entries[index]
        if entry.offset < end:
            marked.add(index)
        else:
            end = entry.offset + 30 + entry.packed
    if not marked:
        return entries
    return [
        ZipEntry(**{**entry.__dict__, "overlaps": True}) if index in marked else entry
        for index, entry in enumerate(entries)
    ]


def read_entry(file: t.BinaryIO, entry: ZipEntry) -> t.Iterator[bytes]:
    """The entry's content in blocks of at most L(BLOCK) bytes. Raises LeftOut (also at the end, for a wrong checksum), OSError."""
    if entry.encrypted:
        raise LeftOut("it is encrypted")
    if entry.overlaps:
        raise LeftOut("it overlaps another entry, as only a zip bomb does")
    if entry.method not in (_STORED, _DEFLATED):
        raise LeftOut(f"it is packed by method {entry.method}, which cannot be unpacked here")
    crc = size = 0
    for block in _unpacked(_packed(file, entry), entry.method):
        size += len(block)
        if size > entry.size:
            raise LeftOut("it is longer than the package's directory says")
        crc = zlib.crc32(block, crc)
        yield block
    if size < entry.size:
        raise LeftOut(f"it ends after {size} of {entry.size} bytes")
    if crc != entry.crc:
        raise LeftOut("it does not match its checksum")


def _packed(file: t.BinaryIO, entry: ZipEntry) -> t.Iterator[bytes]:
    file.seek(entry.offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != _LOCAL:
        raise LeftOut("it is not where the package's directory says")
    at = entry.offset + 30 + sum(struct.unpack_from("<HH", header, 26))
    left = entry.packed
    while left > 0:
        # Others may have moved on in the same file meanwhile: a nested container, say.
        file.seek(at)
        data = file.read(min(left, _READ))
        if not data:
            return
        at += len(data)
        left -= len(data)
        yield data


def _unpacked(packed: t.Iterator[bytes], method: int) -> t.Iterator[bytes]:
    if method == _STORED:
        yield from packed
        return
    try:
        yield from inflated(packed, zlib.decompressobj(-zlib.MAX_WBITS))
    except zlib.error:
        raise LeftOut("it is damaged and cannot be unpacked") from None


def inflated(packed: t.Iterator[bytes], inflate: t.Any) -> t.Iterator[bytes]:
    """What a zlib decompressor makes of some data, in blocks of at most L(BLOCK) bytes. Raises zlib.error."""
    for data in packed:
        while data:
            block = inflate.decompress(data, BLOCK)
            if block:
                yield block
            data = inflate.unconsumed_tail
            if inflate.eof:
                return
