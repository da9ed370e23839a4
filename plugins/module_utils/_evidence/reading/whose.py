# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose package it is, by its own files, and whether an artefact is there in name only."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import decoded

# As much of a text as is looked at.
SAMPLE = 1 << 14
# The first line that systeminfo writes, and the first one with dots that ipconfig writes, give the name in any language.
_FIELD = re.compile(r"^\s*[^:\r\n]{2,40}?[\s.]*:\s*(\S+)\s*$")
_DOTTED = re.compile(r"^\s*[^:\r\n]*(?:\. ?){2,}:\s*(\S+)\s*$")
_NAME = re.compile(r"^(?=.{1,253}$)[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*\.?$")
_LINES = 12

# What tools write in place of what they were asked for. reg.exe begins with the word for error in the host's language.
_WORDS_FOR_ERROR = (
    "error fehler erreur errore fout erro fel fejl virhe feil hiba chyba b\u0142\u0105d eroare hata \u043e\u0448\u0438\u0431\u043a\u0430 "
    "\u30a8\u30e9\u30fc \u9519\u8bef \u932f\u8aa4 \uc624\ub958"
)
_ERROR = re.compile(
    rf"^\s*(?:{'|'.join(_WORDS_FOR_ERROR.split())})\s*[:\uff1a]"
    r"|\b(?:access is denied|zugriff verweigert|acc\u00e8s refus\u00e9|acceso denegado|accesso negato)\b"
    r"|\bthe system (?:cannot|was unable to) (?:find|open|read)\b|\bis not recognized as\b|\bno such file or directory\b"
    r"|\bpermission denied\b|\bcommand not found\b|fullyqualifiederrorid|\b0x8[0-9a-f]{7}\b",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_ERROR = 2048
_MOST_ERROR_LINES = 12


def error_text(content: bytes) -> str | None:
    """The error text that an artefact consists of; empty for an artefact without any content, None for a real one."""
    if len(content) > _LONGEST_ERROR:
        return None
    text = decoded(content).strip("\ufeff\0 \t\r\n")
    if not text:
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_ERROR_LINES or not _ERROR.search(text):
        return None
    return " ".join(lines)[:200]


def computer_name(name: str, content: bytes) -> str | None:
    """The computer's name that system information or ipconfig gives; None for other entries."""
    plain = re.sub(r"[\s_-]+", "", name.replace("\\", "/").lower()).rpartition("/")[2]
    if plain.startswith("systeminfo"):
        field = _FIELD
    elif plain.startswith("ipconfig"):
        field = _DOTTED
    else:
        return None
    lines = [line for line in decoded(content).splitlines() if line.strip()]
    for line in lines[: 1 if field is _FIELD else _LINES]:
        match = field.match(line)
        if match and _NAME.match(match[1]):
            return match[1].rstrip(".")
    return None


def strangers(names: t.Iterable[str], device: str | None) -> list[str]:
    """The names that are not the device's: neither its DNS name nor its first label."""
    if not device:
        return []
    own = device.lower()
    return sorted(
        {
            name
            for name in names
            if name.lower() != own and name.lower().partition(".")[0][:15] != own.partition(".")[0][:15]
        }
    )
