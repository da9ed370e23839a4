# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between devices, and between two moments of one, without telling anything; each mask is a row of data.

A mask replaces what it fits with its own name in angle brackets. host and user are made for each package, of the names in it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

_RECORDS = ("processes", "services", "scheduled_tasks", "smb_sessions", "users_and_groups")


@dataclass(frozen=True)
class Mask:
    """pattern: a regular expression; case does not matter. artefacts: where it is looked for; empty for everywhere.

    before, after: an example, which a test holds and the documentation shows. digits: whether it fits nothing without a digit.
    """

    name: str
    pattern: str
    before: str
    after: str
    artefacts: tuple[str, ...] = ()
    digits: bool = True


# Of dates with dots and two digits for the year, only those before a time: 1.2.10 is a version.
_DATE = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}[-/]\d{1,2}[-/]\d{2}|\d{1,2}\.\d{1,2}\.\d{2}(?= +\d\d?:\d\d)"
    r"|\d{14}\.\d{6}"
)
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[ap]\.?m\b\.?)?(?:z\b|\s?[+-]\d{2}:?\d{2}\b)?"

# In the order in which they are applied.
MASKS: tuple[Mask, ...] = (
    Mask("sid", r"\bS-1-(?:5-21|12-1)(?:-\d+)+", r"HKU\S-1-5-21-1004336348-1177238915-682003330-1001\Run", r"HKU\<sid>\Run"),
    Mask("guid", r"\{?\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b\}?", "{5382F7EA-7557-4AB7-9782-D50480024A4E}", "<guid>"),
    Mask("service_suffix", r"(?<=[a-z])_[0-9a-f]{4,8}(?!\w)", "CDPUserSvc_3a2f1", "CDPUserSvc<service_suffix>",
         ("services", "processes", "autoruns"), digits=False),
    Mask("driver", r"(?<=\bMpKsl)[0-9a-f]{8}", "MpKsl8f3d2c1a.sys", "MpKsl<driver>.sys", digits=False),
    Mask("prefetch_hash", r"-[0-9a-f]{8}(?=\.pf\b)", "CMD.EXE-4A81B364.pf", "CMD.EXE<prefetch_hash>.pf", ("prefetch",), digits=False),
    Mask("temp_name", r"(?:[^\\/\s\"|]+(?=\.tmp\b)|[^\\/\s\"|]*\d[^\\/\s\"|]*(?=\.(?:log|etl|ses|cvr|dmp)$))",
         "~DF3A1B.TMP", "<temp_name>.TMP", ("temp_directories",), digits=False),
    Mask("time", rf"(?<![\w.]){_CLOCK},? (?:{_DATE})|(?<![\w.\\])(?:{_DATE})(?!\.?\d)(?:[t ,]+{_CLOCK}|[+-]\d{{3}}\b)?|(?<![\w.:\[]){_CLOCK}(?![\w:])",
         "started 23.11.2026 10:15:02", "started <time>", (*_RECORDS, "installed_programs", "temp_directories")),
    Mask("version", r"(?:(?<=[^\\]\\)|(?<=[_v-]))\d+(?:\.\d+){2,}(?:-\d+)?(?=[\\_ -]|\.\D|$)",
         r"Edge\120.0.2210.91\msedge.exe", r"Edge\<version>\msedge.exe",
         ("processes", "services", "scheduled_tasks", "autoruns", "temp_directories")),
    Mask("patch_version", r"(?<=_)\d+(?:\.\d+){2,}(?=\.)", "AM_DELTA_PATCH_1.443.326.0.EX-8B3BB46B.pf", "AM_DELTA_PATCH_<patch_version>.EX-8B3BB46B.pf",
         ("prefetch",)),
    Mask("program_version", r"(?<![\w.\\])v?\d+(?:\.\d+)+[\w.+-]{0,12}", "Mozilla Firefox 120.0.1 (x64 de)",
         "Mozilla Firefox <program_version> (x64 de)", ("installed_programs",)),
    Mask("number", r"(?<![\w.\\<-])(?!\d+\.\d+\.\d+\.\d)(?:0x[0-9a-f]+|\d{1,3}(?:[.,'\u00a0\u202f]\d{3})+|\d+(?:[.,]\d+)?)"
         r"(?:\s?(?:[kmg]i?b?|bytes)(?!\w))?(?![\w>\\]|[.,]\d|\.\w)|^-\d+$",
         "--handle=1720 --type=gpu", "--handle=<number> --type=gpu", (*_RECORDS, "temp_directories")),
    Mask("size", r"^\d[\d,\u00a0\u202f]*(?: ?[kmg]i?b)?$", "20261123", "<size>", ("installed_programs",)),
    Mask("hex", r"(?<![0-9a-z])(?=[a-f]*\d)[0-9a-f]{12,}(?![0-9a-z])", "cache-9f86d081884c7d65", "cache-<hex>"),
)  # fmt: skip
OWN = ("host", "user")
NAMES: tuple[str, ...] = (*OWN, *(mask.name for mask in MASKS))
# Two packages of one device are to show an update, many devices are never all updated at once.
OF_DIFF = tuple(name for name in NAMES if name not in ("version", "program_version"))
_DIGIT = re.compile(r"\d")
_TOKEN = re.compile(rf"<(?:{'|'.join(NAMES)}|own)>")
# Punctuation that may be left beside masks without telling anything.
_EDGES = re.compile(r"^(?:<(?:number|time)>\s*)+|(?:\s*<(?:number|time)>)+$")
_BARE = re.compile(r"[\s\W]*")

_PROFILE = re.compile(
    r"(?:[a-z]:\\users\\|/(?:users|home)/)([^\\/:*?\"<>|\r\n,;']{1,64}?)(?=[\\/\"\r\n,;']|$)", re.IGNORECASE
)
_TEMP_ENTRY = re.compile(r"([^\\/]+)_tempdir[^\\/]*$", re.IGNORECASE)
# The same on every device.
_NOBODY = frozenset(
    ("public", "default", "default user", "all users", "defaultuser0", "shared", "administrator", "root")
)
# A longer one stands for itself wherever it is a word; a shorter one is masked in paths only.
_SHORTEST_NAME = 3
_MOST_USERS = 256


def users_in(name: str, text: str) -> set[str]:
    """Who has a profile, by the paths in an entry and by its own name."""
    found = {match[1].strip() for match in _PROFILE.finditer(text)}
    own = _TEMP_ENTRY.search(name)
    if own:
        found.add(own[1].strip())
    return {each for each in found if each and each.lower() not in _NOBODY}


@dataclass(frozen=True)
class Wanted:
    """Which masks are applied, by name, and the user's own ones, which are regular expressions."""

    names: frozenset[str] = frozenset(NAMES)
    own: tuple[str, ...] = ()


class Masker:
    """Masks the texts of one package. hosts, users: the names that are the device's own."""

    def __init__(self, wanted: Wanted, hosts: t.Iterable[str], users: t.Iterable[str]) -> None:
        first = [(pattern, "<own>") for pattern in map(_compiled, wanted.own)]
        if "host" in wanted.names:
            first += _named(_forms(hosts), "<host>")
        if "user" in wanted.names:
            first += _named(sorted(set(users))[:_MOST_USERS], "<user>")
        self._first = first
        self._wanted = wanted
        self._of: dict[tuple[str, bool], list[tuple[re.Pattern[str], str]]] = {}

    def __call__(self, artefact: str, text: str) -> str:
        key = artefact, _DIGIT.search(text) is not None
        known = self._of.get(key)
        if known is None:
            known = self._of[key] = self._first + _those(self._wanted, *key)
        for pattern, token in known:
            text = pattern.sub(token, text)
        return text


def _those(wanted: Wanted, artefact: str, digits: bool) -> list[tuple[re.Pattern[str], str]]:
    """The masks for the texts of an artefact. digits: for those that have any."""
    return [
        (_compiled(mask.pattern), f"<{mask.name}>")
        for mask in MASKS
        if mask.name in wanted.names
        and (digits or not mask.digits)
        and (artefact in mask.artefacts or not mask.artefacts)
    ]


def says_nothing(text: str) -> bool:
    """Whether nothing is left of a text but masks."""
    return ("<" in text and _BARE.fullmatch(_TOKEN.sub("", text)) is not None) or not text


def without_edges(text: str) -> str:
    """A text without the numbers and times that it begins or ends with, which other columns have left there."""
    return _EDGES.sub("", text)


_CACHE: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    known = _CACHE.get(pattern)
    if known is None:
        known = _CACHE[pattern] = re.compile(pattern, re.IGNORECASE)
    return known


def _forms(hosts: t.Iterable[str]) -> set[str]:
    """A computer's DNS name, its first label, and what NetBIOS makes of it."""
    forms = set()
    for host in hosts:
        label = host.partition(".")[0]
        forms |= {host, label, label[:15]}
    return forms


def _named(names: t.Iterable[str], token: str) -> list[tuple[re.Pattern[str], str]]:
    longest = sorted(
        (re.escape(name) for name in names if len(name) >= _SHORTEST_NAME), key=lambda name: (-len(name), name)
    )
    short = sorted(re.escape(name) for name in names if 0 < len(name) < _SHORTEST_NAME)
    patterns = []
    if longest:
        patterns.append(re.compile(rf"(?<![\w]){'(?:' + '|'.join(longest) + ')'}(?![\w])", re.IGNORECASE))
    if short:
        patterns.append(re.compile(rf"(?<=[\\/]users[\\/])(?:{'|'.join(short)})(?![\w])", re.IGNORECASE))
    return [(pattern, token) for pattern in patterns]
