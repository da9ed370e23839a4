# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was downloaded is a whole zip file: its structure, and the checksum of each entry; bounded whatever it claims."""

from __future__ import annotations

import enum
import errno
import os
import struct
import typing as t
import zipfile

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, PackageBroken

_CHUNK = 1 << 20
# A zip that unpacks to more than this many times its size, and to more than so many bytes, is not unpacked to check it.
_BOMB_FACTOR, _BOMB_BYTES = 200, 16 << 30
# Bytes of a central directory that is still read: 100,000 entries with long names.
_DIRECTORY_BYTES = 16 << 20
# Seconds that unpacking may take.
_PATIENCE = 900.0

# The records at a zip's end (APPNOTE 4.3.14 to 4.3.16): signature, and where the directory's size stands.
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_SIZE, _COMMENT = 22, 0xFFFF
# The fixed part of an entry's own header (4.3.7).
_HEADER_SIZE = 30

_ADVICE = "Run again; if it stays, collect anew: the package is damaged at the service."


class ZipCheck(str, enum.Enum):
    """How far a package was checked, C(zip_check) of its record."""

    CRC = "crc"  # every entry was unpacked, and its checksum fits
    STRUCTURE = "structure"  # it is a zip file, but not all of it could be held against checksums here


class BrokenCopy(PackageBroken):
    """What was downloaded is no whole package. sha256: of what came, so that a second equal copy is known as one."""

    sha256: str | None = None


class _Quirk(Exception):
    """Something is unusual, but no damage: kept, and not called checked."""


def check_zip(file: t.BinaryIO, clock: Clock) -> ZipCheck:
    """Raises BrokenCopy for what is damaged, holds nothing, or is no zip at all; OSError where the disk fails."""
    try:
        return _checked(file, clock)
    except (_Quirk, RuntimeError):
        # RuntimeError: encrypted, or packed by a method or for a version that Python does not know (NotImplementedError).
        return ZipCheck.STRUCTURE
    except (Stopped, DefenderError, MemoryError):
        raise
    except Exception as failure:
        # Damage shows as almost anything: LZMAError, struct.error, a seek before the beginning (EINVAL).
        if isinstance(failure, OSError) and failure.errno not in (None, errno.EINVAL):
            raise
        if "Overlapped entries" in str(failure):
            return ZipCheck.STRUCTURE
        said = str(failure).rstrip(".") or type(failure).__name__
        raise BrokenCopy(f"What was downloaded is no valid zip file: {said}.", advice=_ADVICE) from None


def _checked(file: t.BinaryIO, clock: Clock) -> ZipCheck:
    size = os.fstat(file.fileno()).st_size
    if _directory_size(file, size) > _DIRECTORY_BYTES:
        return ZipCheck.STRUCTURE
    with zipfile.ZipFile(file) as package:
        entries = package.infolist()
        if not entries:
            raise BrokenCopy(
                "The package holds nothing: it is a zip file without entries.",
                advice="Collect anew; if it stays so, look at the action in the device's Action center.",
                code="PackageEmpty",
            )
        if sum(entry.file_size for entry in entries) > max(_BOMB_BYTES, _BOMB_FACTOR * size):
            return ZipCheck.STRUCTURE
        until = clock.monotonic() + _PATIENCE
        return _unpacked(file, package, entries, clock, until)


def _unpacked(
    file: t.BinaryIO, package: zipfile.ZipFile, entries: list[zipfile.ZipInfo], clock: Clock, until: float
) -> ZipCheck:
    """Every entry read, which compares its checksum; what cannot be unpacked does not keep the others from it."""
    check = ZipCheck.CRC
    for entry in entries:
        try:
            if _is_spelled_otherwise(file, entry):
                check = ZipCheck.STRUCTURE
            _read(package, entry, clock, until)
        except RuntimeError:
            check = ZipCheck.STRUCTURE
        except zipfile.BadZipFile as failure:
            if "Bad CRC-32" not in str(failure):
                raise
            raise BrokenCopy(
                f"The package's entry {entry.filename[:200]!r} does not match its checksum.", advice=_ADVICE
            ) from None
    return check


def _read(package: zipfile.ZipFile, entry: zipfile.ZipInfo, clock: Clock, until: float) -> None:
    with package.open(entry) as content:
        while content.read(_CHUNK):
            clock.check()
            if clock.monotonic() > until:
                raise _Quirk


def _is_spelled_otherwise(file: t.BinaryIO, entry: zipfile.ZipInfo) -> bool:
    r"""Whether directory and entry spell a name with C(\) and C(/): Windows tools do that. Then the entry's spelling is asked for.

    (log2timeline/plaso issue 943.)
    """
    file.seek(entry.header_offset)
    header = file.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE or header[:4] != b"PK\x03\x04":
        return False
    flags, length = struct.unpack("<H", header[6:8])[0], struct.unpack("<H", header[26:28])[0]
    name = file.read(length).decode("utf-8" if flags & 0x800 else "cp437", "surrogateescape")
    if name == entry.orig_filename or name.replace("\\", "/") != entry.orig_filename.replace("\\", "/"):
        return False
    entry.orig_filename = name
    return True


def _directory_size(file: t.BinaryIO, size: int) -> int:
    """The bytes that the central directory claims; 0 where there is none to be found, which zipfile then says itself."""
    reach = min(size, _END_SIZE + _COMMENT + 20)
    file.seek(size - reach)
    tail = file.read(reach)
    place = tail.rfind(_END)
    if place < 0 or len(tail) - place < _END_SIZE:
        return 0
    claimed = int(struct.unpack("<L", tail[place + 12 : place + 16])[0])
    locator = tail[place - 20 : place] if place >= 20 else b""
    if locator[:4] == _LOCATOR_64:
        file.seek(min(size, struct.unpack("<Q", locator[8:16])[0]))
        end = file.read(56)
        if len(end) == 56 and end[:4] == _END_64:
            claimed = max(int(struct.unpack("<Q", end[40:48])[0]), 0 if claimed == 0xFFFFFFFF else claimed)
    return 0 if claimed > size else claimed
