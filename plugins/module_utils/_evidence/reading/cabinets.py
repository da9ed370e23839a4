# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cabinets as Windows makes them for Defender's support files: read forward from a stream, MSZIP unpacked by zlib.

Format: [MS-CAB]. A block of MSZIP is C(CK) and a deflate stream whose dictionary is the block before ([MS-MCI]).
"""

from __future__ import annotations

import struct
import typing as t
import zlib
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import LeftOut, Meter

MAGIC = b"MSCF\0\0\0\0"
_HEADER = struct.Struct("<8sIIIIBBHHHHH")
_FOLDER = struct.Struct("<IHH")
_FILE = struct.Struct("<IIHHHH")
_DATA = struct.Struct("<IHH")
_NONE, _MSZIP = 0, 1
_METHODS = {2: "Quantum", 3: "LZX"}
_BLOCK = 1 << 15
_PREVIOUS, _NEXT, _RESERVED = 1, 2, 4
_NAME_IS_UTF8 = 0x80
_MOST_NAME = 1 << 10


class Forward:
    """A stream of blocks, read forward. Raises LeftOut where it ends too early."""

    def __init__(self, blocks: t.Iterator[bytes]) -> None:
        self._blocks = blocks
        self._buffer = b""
        # Up to where the buffer was read: names are read in small pieces, and the rest is not copied for each of them.
        self._read = 0
        self.at = 0

    def _more(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            raise LeftOut("the cabinet is cut short")
        self._buffer, self._read = self._buffer[self._read :] + block, 0

    def read(self, size: int) -> bytes:
        while len(self._buffer) - self._read < size:
            self._more()
        data = self._buffer[self._read : self._read + size]
        self._read += size
        self.at += size
        return data

    def skip_to(self, offset: int) -> None:
        if offset < self.at:
            raise LeftOut("the cabinet's parts overlap")
        while self.at < offset:
            self.read(min(offset - self.at, _BLOCK))

    def text(self) -> bytes:
        """Up to a NUL."""
        while (end := self._buffer.find(b"\0", self._read, self._read + _MOST_NAME + 1)) < 0:
            if len(self._buffer) - self._read > _MOST_NAME:
                raise LeftOut("the cabinet has a name without an end")
            self._more()
        return self.read(end - self._read + 1)[:-1]


@dataclass(frozen=True)
class CabinetFile:
    """A member. at: where it begins in its folder's unpacked stream."""

    name: str
    size: int
    at: int
    folder: int


def members(
    blocks: t.Iterator[bytes], meter: Meter, left_out: t.Callable[[str, str], None]
) -> t.Iterator[tuple[CabinetFile, t.Iterator[bytes]]]:
    """Each member with its content, which must be read before the next one is asked for.

    left_out: is told the name of a member that cannot be read, and why. Raises LeftOut, for the rest of the cabinet.
    """
    stream = Forward(blocks)
    folders, files, reserved = _directory(stream, meter)
    for index, (offset, count, kind) in sorted(enumerate(folders), key=lambda each: each[1][0]):
        mine = sorted((file for file in files if file.folder == index), key=lambda file: file.at)
        if not mine:
            continue
        if kind & 15 not in (_NONE, _MSZIP):
            for file in mine:
                left_out(
                    file.name, f"it is packed by {_METHODS.get(kind & 15, 'an unknown method')}, which is not unpacked"
                )
            continue
        stream.skip_to(offset)
        yield from _members_of(_Folder(_folder_blocks(stream, count, kind & 15, reserved)), mine, meter, left_out)
    for file in files:
        if file.folder >= len(folders):
            left_out(file.name, "it goes on in another cabinet")


def _directory(stream: Forward, meter: Meter) -> tuple[list[tuple[int, int, int]], list[CabinetFile], int]:
    fields = _HEADER.unpack(stream.read(_HEADER.size))
    first_file, folders, files, flags = fields[3], fields[7], fields[8], fields[9]
    in_folder = in_data = 0
    if flags & _RESERVED:
        in_header, in_folder, in_data = struct.unpack("<HBB", stream.read(4))
        stream.read(in_header)
    for flag in (_PREVIOUS, _NEXT):
        if flags & flag:
            stream.text(), stream.text()
    found = []
    for _number in range(folders):
        offset, count, kind = _FOLDER.unpack(stream.read(_FOLDER.size))
        stream.read(in_folder)
        found.append((offset, count, kind))
    stream.skip_to(first_file)
    listed = []
    for _number in range(files):
        meter.count_entry()
        size, at, folder, _date, _time, attributes = _FILE.unpack(stream.read(_FILE.size))
        name = stream.text()
        text = name.decode("utf-8", "replace") if attributes & _NAME_IS_UTF8 else name.decode("cp1252", "replace")
        listed.append(CabinetFile(text, size, at, folder))
    return found, listed, in_data


def _folder_blocks(stream: Forward, count: int, kind: int, reserved: int) -> t.Iterator[bytes]:
    """A folder's unpacked stream. Raises LeftOut."""
    before = b""
    for _number in range(count):
        _checksum, packed, unpacked = _DATA.unpack(stream.read(_DATA.size))
        stream.read(reserved)
        data = stream.read(packed)
        if kind == _MSZIP:
            data = _inflated(data, before)
            before = (before + data)[-_BLOCK:]
        if len(data) != unpacked:
            raise LeftOut("the cabinet is damaged")
        yield data


def _inflated(data: bytes, before: bytes) -> bytes:
    if data[:2] != b"CK":
        raise LeftOut("the cabinet is damaged")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS, zdict=before).decompress(data[2:], _BLOCK + 1)
    except zlib.error:
        raise LeftOut("the cabinet is damaged") from None


class _Folder:
    """A folder's stream, of which members take their parts in order."""

    def __init__(self, blocks: t.Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = b""
        self.at = 0

    def take(self, size: int) -> t.Iterator[bytes]:
        while size > 0:
            if not self._left:
                self._left = next(self._blocks, b"")
                if not self._left:
                    raise LeftOut("it goes on in another cabinet, or the cabinet is damaged")
            data, self._left = self._left[:size], self._left[size:]
            size -= len(data)
            self.at += len(data)
            yield data


def _members_of(
    folder: _Folder, files: list[CabinetFile], meter: Meter, left_out: t.Callable[[str, str], None]
) -> t.Iterator[tuple[CabinetFile, t.Iterator[bytes]]]:
    for file in files:
        if file.at < folder.at:
            left_out(file.name, "it overlaps another member of its cabinet")
            continue
        for skipped in folder.take(file.at - folder.at):
            meter.take(len(skipped))
        content = folder.take(file.size)
        yield file, content
        for unread in content:
            meter.take(len(unread))
