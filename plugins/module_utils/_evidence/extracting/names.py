# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""File names for what packages hold: an entry's own name is whatever a device has sent, and never a path to write to."""

from __future__ import annotations

import hashlib
import os
import re

# Safe on Linux, macOS and Windows, in a shell's listing, and in a manifest without escapes.
_OTHERS = re.compile(r"[^A-Za-z0-9 ._()+-]")
# Names that Windows takes for devices, whatever their extension (Microsoft Learn, "Naming Files, Paths, and Namespaces").
_DEVICES = re.compile(r"^(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin_|conout_|clock_) *(\.|$)", re.IGNORECASE)
# What makes a folder an evidence folder or a bag for whoever looks at it.
MARKS = {"custody.jsonl": "an evidence folder", "bagit.txt": "a bag"}
_LONGEST, _LONGEST_SUFFIX, _DIGITS = 120, 16, 8


def safe_name(name: str) -> str:
    """A file name for an entry: the last part of its name, as far as that is harmless. At most 121 characters, all ASCII."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    safe = _shortened(_OTHERS.sub("_", last).lstrip(" .-").rstrip(" ."), _LONGEST) or "unnamed"
    return f"_{safe}" if _DEVICES.match(safe) or safe.lower() in MARKS else safe


def _shortened(name: str, most: int) -> str:
    """Cut before the extension, by which tools tell what a file is."""
    stem, suffix = _parts(name)
    return stem[: most - len(suffix)].rstrip(" .") + suffix


def _parts(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if len(suffix) <= _LONGEST_SUFFIX else (name, "")


class Names:
    """Gives each entry of one package a name of its own, which differs from the others' not by case alone.

    Asked for all entries in the package's order, it always gives the same names.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._again: dict[str, int] = {}

    def of(self, entry: str, last: str) -> str:
        """entry: its whole name. last: what of it is the name in the innermost container."""
        safe = name = safe_name(last)
        while name.lower() in self._taken:
            number = self._again[safe.lower()] = self._again.get(safe.lower(), 0) + 1
            digest = hashlib.sha256(f"{number} {entry}".encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
            stem, suffix = _parts(safe)
            name = f"{_shortened(stem, _LONGEST - len(suffix) - _DIGITS)}-{digest}{suffix}"
        self._taken.add(name.lower())
        return name
