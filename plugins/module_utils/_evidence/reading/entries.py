# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that is in a package, one entry after the other: containers are entered, limits kept, and what is left out is said."""

from __future__ import annotations

import io
import typing as t
import zlib
from dataclasses import dataclass
from itertools import chain

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import cabinets, kinds, zips
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import (
    Exhausted,
    LeftOut,
    Meter,
    in_words,
)


class _NotOpened(LeftOut):
    """The members of a container are not read, or not all of them; the container itself was, to its end."""


# What stands between a container and its member.
INSIDE = "!/"
# A zip in the package is read whole, for its directory stands at its end: no larger one.
_MOST_NESTED_ZIP = 64 << 20
_GZIP = b"\x1f\x8b\x08"
_ZIP = b"PK\x03\x04"
# Compressed by Windows (Xpress Huffman), and told so: the name stays readable, the contents are handed on as they are.
_MAM = b"MAM\x04"
MAM_WHY = "the contents of a prefetch file are compressed in a way (MAM) that is not unpacked; its name was read"


@dataclass(frozen=True)
class Member:
    """An entry of the package, or of a container in it. size: as declared; None where it is not known beforehand."""

    name: str
    path: tuple[str, ...]
    size: int | None
    modified: str | None
    kind: str

    @property
    def depth(self) -> int:
        """In how many containers it stands; 0 in the package itself."""
        return len(self.path) - 1


class Sink(t.Protocol):
    """Takes an entry's content as it comes."""

    def feed(self, block: bytes) -> None:
        """The next piece. The first one is not empty, unless the entry is."""

    def end(self, why: str | None) -> None:
        """No more comes. why: what is the matter with the entry, where it was not read whole."""


class _Unheard:
    """Of an entry whose content nobody wants."""

    def feed(self, block: bytes) -> None:
        pass

    def end(self, why: str | None) -> None:
        pass


_UNHEARD: Sink = _Unheard()


class Visitor(t.Protocol):
    """Who is shown a package."""

    def begin(self, names: t.Sequence[str]) -> None:
        """The names of the package's own entries, before the first one is opened."""

    def open(self, member: Member, first: bytes, container: bool) -> Sink | None:
        """An entry begins; None where its content is of no interest: then it is not unpacked. container: its members follow."""

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        """An entry was not read, or not to its end; without a name it is the rest of the package."""


def walk(file: t.BinaryIO, meter: Meter, visitor: Visitor) -> None:
    """Shows all entries to the visitor. Raises zips.NoZip and OSError for a package that cannot be read at all."""
    try:
        _walk_zip(file, (), meter, visitor)
    except Exhausted as failure:
        visitor.left_out(None, None, f"{failure}; the rest was not read")


def _walk_zip(file: t.BinaryIO, above: tuple[str, ...], meter: Meter, visitor: Visitor) -> None:
    entries, more = zips.read_directory(file, meter.limits.entries - meter.entries)
    if not above:
        visitor.begin([entry.name for entry in entries])
    for entry in entries:
        meter.count_entry()
        if not entry.is_folder:
            member = _member(above, entry.name, entry.size, entry.modified)
            _visit(member, lambda entry=entry: zips.read_entry(file, entry), meter, visitor)  # type: ignore[misc]
    if more:
        raise Exhausted(f"the package has more than {meter.limits.entries} entries")


def _member(above: tuple[str, ...], name: str, size: int | None, modified: str | None) -> Member:
    path = (*above, name)
    whole = INSIDE.join(path)
    return Member(whole, path, size, modified, kinds.kind_of(whole))


def _visit(member: Member, read: t.Callable[[], t.Iterator[bytes]], meter: Meter, visitor: Visitor) -> None:
    sink: Sink | None = None
    try:
        if member.size is not None and member.size > meter.limits.entry:
            raise LeftOut(f"it is larger than {in_words(meter.limits.entry)}")
        blocks = _metered(read(), meter)
        first = next(blocks, b"")
        container = _container_of(first)
        sink = visitor.open(member, first, container is not None) or _UNHEARD
        if container:
            _enter(container, member, _fed(chain([first], blocks), sink), meter, visitor)
        elif sink is not _UNHEARD:
            for _block in _fed(chain([first], blocks), sink):
                pass
        if first.startswith(_MAM):
            visitor.left_out(member.name, member.kind, MAM_WHY)
    except LeftOut as failure:
        sink = sink or visitor.open(member, b"", False) or _UNHEARD
        visitor.left_out(member.name, member.kind, str(failure))
        sink.end(None if isinstance(failure, _NotOpened) else str(failure))
        if isinstance(failure, Exhausted):
            raise
    else:
        sink.end(None)


def _metered(blocks: t.Iterator[bytes], meter: Meter) -> t.Iterator[bytes]:
    size = 0
    for block in blocks:
        meter.take(len(block))
        size += len(block)
        if size > meter.limits.entry:
            raise LeftOut(f"it is larger than {in_words(meter.limits.entry)}")
        yield block


def _fed(blocks: t.Iterator[bytes], sink: Sink) -> t.Iterator[bytes]:
    for block in blocks:
        sink.feed(block)
        yield block


_Enter = t.Callable[[Member, "t.Iterator[bytes]", Meter, Visitor], None]


def _container_of(first: bytes) -> _Enter | None:
    if first.startswith(cabinets.MAGIC):
        return _enter_cabinet
    if first.startswith(_GZIP):
        return _enter_gzip
    if first.startswith(_ZIP):
        return _enter_zip
    return None


def _enter(enter: _Enter, member: Member, blocks: t.Iterator[bytes], meter: Meter, visitor: Visitor) -> None:
    """Shows a container's members; what is left of its own content is read as well, for its checksum. Raises LeftOut."""
    why = None
    if member.depth >= meter.limits.nesting:
        why = f"containers in containers are opened {meter.limits.nesting} deep"
    else:
        try:
            enter(member, blocks, meter, visitor)
        except Exhausted:
            raise
        except LeftOut as failure:
            why = str(failure)
    for _block in blocks:
        pass
    if why:
        raise _NotOpened(why)


def _enter_cabinet(member: Member, blocks: t.Iterator[bytes], meter: Meter, visitor: Visitor) -> None:
    def left_out(name: str, why: str) -> None:
        refused = _member(member.path, name, None, None)
        visitor.open(refused, b"", False)
        visitor.left_out(refused.name, refused.kind, why)

    for file, content in cabinets.members(blocks, meter, left_out):
        inner = _member(member.path, file.name, file.size, None)
        _visit(inner, lambda content=content: content, meter, visitor)  # type: ignore[misc]


def _enter_gzip(member: Member, blocks: t.Iterator[bytes], meter: Meter, visitor: Visitor) -> None:
    meter.count_entry()
    name = member.path[-1].replace("\\", "/").rpartition("/")[2]
    inner = _member(member.path, name[:-3] if name.lower().endswith(".gz") else name, None, None)
    _visit(inner, lambda: _gunzipped(blocks), meter, visitor)


def _gunzipped(blocks: t.Iterator[bytes]) -> t.Iterator[bytes]:
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        yield from zips.inflated(blocks, inflate)
    except zlib.error:
        raise LeftOut("it is damaged and cannot be unpacked") from None
    if not inflate.eof:
        raise LeftOut("it is cut short")


def _enter_zip(member: Member, blocks: t.Iterator[bytes], meter: Meter, visitor: Visitor) -> None:
    content = bytearray()
    for block in blocks:
        content += block
        if len(content) > _MOST_NESTED_ZIP:
            raise LeftOut(f"a zip inside the package is opened up to {in_words(_MOST_NESTED_ZIP)}")
    try:
        _walk_zip(io.BytesIO(content), member.path, meter, visitor)
    except zips.NoZip as failure:
        raise LeftOut(f"it looks like a zip but is none: {failure}") from None
