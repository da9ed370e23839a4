# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prefetch files: when a program ran last, up to eight times.

Format: from Windows 10 on C(MAM) and Xpress Huffman ([MS-XCA]), before that not compressed; within, the times stand at one place
in versions 23 (one time), 26, 30 and 31 (eight) (libscca, "Windows Prefetch File (PF) format").
"""

from __future__ import annotations

import struct
from importlib.util import find_spec

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.eventlog import iso_of

PACKAGE = "dissect.util"
MAGIC = b"MAM\x04"
_SIGNATURE = b"SCCA"
_HEADER = 8
_TIMES_AT = 128
_NUMBER_OF_TIMES = {23: 1, 26: 8, 30: 8, 31: 8}
# As much of the compressed file as is unpacked. Each block of 64 KiB costs at least 260 bytes, so a hostile file cannot grow.
_REACH, _STEP, _TRIES = 2048, 512, 3
# As much of a file as L(run_times) looks at.
SAMPLE = _HEADER + _REACH + _STEP * _TRIES


def can_unpack() -> bool:
    """Whether the optional package is there."""
    try:
        return find_spec("dissect.util.compression.lzxpress_huffman") is not None
    except (ImportError, ValueError):
        return False


def run_times(content: bytes) -> tuple[str, ...]:
    """ISO 8601 UTC, the newest first; empty where the file is not as Windows writes it, or cannot be unpacked here.

    content: the file, or its first L(SAMPLE) bytes.
    """
    plain = _unpacked(content) if content.startswith(MAGIC) else content[:SAMPLE]
    if plain[4:8] != _SIGNATURE:
        return ()
    number = _NUMBER_OF_TIMES.get(int.from_bytes(plain[:4], "little"), 0)
    if len(plain) < _TIMES_AT + 8 * number:
        return ()
    times = (iso_of(filetime) for filetime in struct.unpack_from(f"<{number}Q", plain, _TIMES_AT) if filetime)
    return tuple(time for time in times if time)


def _unpacked(content: bytes) -> bytes:
    """The beginning of a compressed file's content; empty where it is damaged."""
    try:
        from dissect.util.compression import lzxpress_huffman
    except ImportError:
        return b""
    for number in range(_TRIES + 1):
        try:
            # Where it is cut in the middle of a code or a block's head, a little more is taken.
            return bytes(lzxpress_huffman.decompress(content[_HEADER : _HEADER + _REACH + _STEP * number]))
        except (ValueError, TypeError, AttributeError, IndexError, struct.error):
            continue
    return b""
