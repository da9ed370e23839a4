# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the texts of a package are encoded: told from their first bytes, since nothing else says it."""

from __future__ import annotations

import enum

# ANSI and OEM code pages that Windows' tools write, for texts that are not all ASCII.
CODE_PAGES = (
    "cp1252",
    "cp850",
    "cp437",
    "cp1250",
    "cp852",
    "cp1251",
    "cp866",
    "cp1253",
    "cp737",
    "cp1254",
    "cp857",
    "cp1257",
    "cp775",
)
_SAMPLE = 4096


class Width(enum.Enum):
    """How many bytes a character of ASCII has, and in which order."""

    BYTES = "bytes"
    UTF16_LE = "utf-16-le"
    UTF16_BE = "utf-16-be"


def width_of(first: bytes) -> Width:
    """By the byte order mark, else by where the NULs of ASCII characters stand."""
    if first[:2] == b"\xff\xfe":
        return Width.UTF16_LE
    if first[:2] == b"\xfe\xff":
        return Width.UTF16_BE
    sample = first[: min(len(first), _SAMPLE) & ~1]
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if half and odd > half * 0.4 and even * 8 < odd:
        return Width.UTF16_LE
    if half and even > half * 0.4 and odd * 8 < even:
        return Width.UTF16_BE
    return Width.BYTES


def decoded(data: bytes) -> str:
    """A text for a person, whatever its encoding; never raises."""
    width = width_of(data)
    if width is Width.BYTES:
        data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as failure:
            # The end may be in the middle of a character.
            if failure.start >= len(data) - 3 and failure.reason == "unexpected end of data":
                return data[: failure.start].decode("utf-8")
            return data.decode("cp1252", "replace")
    return data[: len(data) & ~1].decode(width.value, "replace").removeprefix("\ufeff")
