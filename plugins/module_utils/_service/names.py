# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user typed: the forms in which a device is named, and the spellings in which its record may be found."""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError

DEVICE_ID, ENTRA_ID, IP, DNS_NAME = "device ID", "Entra device ID", "IP address", "DNS name"

_DEVICE_ID = re.compile(r"[0-9a-f]{40}")
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What was surely meant as one of the two, but is not.
_ALMOST_ID = re.compile(r"[0-9a-f]{30,}")
_ALMOST_GUID = re.compile(r"\{?[0-9a-f]{6,9}(-[0-9a-f]{3,5}){3}-[0-9a-f]{10,13}\}?")
_ALMOST_IP = re.compile(r"[0-9]+(\.[0-9]+)+|[0-9]+(\.[0-9]+)*/[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[0-9]+")
_WILDCARD = re.compile(r"[*?\[\]]")
# The address of a device's page in the Defender portal, of whatever cloud and age.
_PORTAL = re.compile(r"/machines?/(?:v2/)?([0-9a-f]{40})(?:/|$)")
_PORTAL_HOSTS = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:security|securitycenter)\.(?:microsoft|windows)\.(?:com|us)|security\.apps\.mil"
)
_DIGITS = re.compile(r"(.*?)(0*)([0-9]+)")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
# A label that many others begin with is not asked for by its beginning.
_SHORTEST_LABEL = 2


@dataclass(frozen=True)
class Name:
    """One requested machine: as asked, what form it has, and that form in one spelling."""

    asked: str
    kind: str
    value: str

    @property
    def label(self) -> str:
        """A DNS name's first label."""
        return self.value.partition(".")[0]

    def spellings(self) -> list[str]:
        """The first label, as it may be recorded: as typed, in lower case, and in the upper case that Windows gives out."""
        typed = self.asked.strip().rstrip(".").partition(".")[0]
        upper = self.label.upper()
        forms = [typed if typed.lower() == self.label else self.label, self.label]
        return list(dict.fromkeys([*forms, upper] if upper.lower() == self.label else forms))

    def full_spellings(self) -> list[str]:
        """The whole name likewise."""
        rest = self.value[len(self.label) :]
        typed = self.asked.strip().rstrip(".")
        forms = [typed, self.value, *(label + rest for label in self.spellings()), self.value.upper()]
        return [form for form in dict.fromkeys(forms) if form.lower() == self.value]

    @property
    def broad(self) -> bool:
        """Whether the first label says so little that many names begin with it."""
        return "." in self.value and (len(self.label) < _SHORTEST_LABEL or bool(_NUMBER.fullmatch(self.label)))


def parse_names(machines: t.Sequence[str], option: str = "machines") -> list[Name]:
    """Tell the requested machines apart by their form, any case. option: where they were named.

    Raises OptionsError that lists every malformed one.
    """
    names, wrong = [], []
    for asked in machines:
        name = _parse(asked)
        if isinstance(name, Name):
            names.append(name)
        else:
            wrong.append(f"{asked!r} {name}")
    if wrong:
        raise OptionsError(
            f"Malformed in {option}: {'; '.join(wrong)}.",
            advice="Give device IDs (40 hexadecimal digits), Entra device IDs (GUIDs), IP addresses, DNS names, or the address of a "
            "device's page in the Defender portal. Nothing was started.",
        )
    if not names:
        raise OptionsError(f"{option} is empty.", advice="Name at least one device.")
    return names


def _parse(asked: str) -> Name | str:
    """The name, or what is wrong with it."""
    text = asked.strip().lower()
    if not text.strip(". ") or len(text) > (2000 if "://" in text else 255) or not text.isprintable():
        return "is no device name"
    if "://" in text:
        return _of_portal(asked, text)
    if _DEVICE_ID.fullmatch(text):
        return Name(asked, DEVICE_ID, text)
    if _GUID.fullmatch(text):
        return Name(asked, ENTRA_ID, text)
    try:
        address = ipaddress.ip_address(text)
        inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return Name(asked, IP, str(inner or address))
    except ValueError:
        return _malformed(text) or Name(asked, DNS_NAME, text.rstrip("."))


def _of_portal(asked: str, text: str) -> Name | str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return "is no address of anything"
    match = _PORTAL.search(parts.path)
    if match and _PORTAL_HOSTS.fullmatch(host):
        return Name(asked, DEVICE_ID, match[1])
    return "is not the address of a device's page (https://security.microsoft.com/machines/v2/<device ID>/overview): give the device ID or name"


def _malformed(text: str) -> str | None:
    """What a text is that can be no DNS name."""
    if _WILDCARD.search(text):
        return "has a wildcard, but a name is no pattern: list devices with defender_machine_info or the inventory plugin (filter, tag)"
    if _ALMOST_ID.fullmatch(text):
        return f"looks like a device ID but has {len(text)} hexadecimal digits instead of 40"
    if _ALMOST_GUID.fullmatch(text):
        return "looks like an Entra device ID but is not of the form 8-4-4-4-12"
    if _ALMOST_IP.fullmatch(text):
        return "looks like an IP address but is none"
    if _NUMBER.fullmatch(text):
        return "is a bare number: give the device's full DNS name or its ID"
    return "is no device name" if "/" in text else None


# Names that are near one that is not found


def prefixes_near(name: Name) -> list[str]:
    """How names begin that may have been meant instead, digits with more or fewer zeros included."""
    label = name.label
    found = [label[: max(3, len(label) // 2 + 1)]]
    match = _DIGITS.fullmatch(label)
    if match and match[1]:
        kept = match[3][:-1]
        found += [match[1] + "0" * zeros + kept for zeros in range(4) if zeros or kept]
    return list(dict.fromkeys(form for prefix in found for form in (prefix, prefix.upper())))


def nearest(name: Name, known: t.Iterable[str], most: int = 3) -> list[str]:
    """The known names that are like it, by their first labels, with and without the zeros before digits."""
    by_label: dict[str, str] = {}
    by_number: dict[str, str] = {}
    for each in known:
        label = each.lower().partition(".")[0]
        by_label.setdefault(label, each)
        by_number.setdefault(_ZEROS.sub("", label), each)
    near = [by_label[each] for each in difflib.get_close_matches(name.label, by_label, n=most, cutoff=0.7)]
    plain = _ZEROS.sub("", name.label)
    near += [by_number[each] for each in difflib.get_close_matches(plain, by_number, n=most, cutoff=0.7)]
    return list(dict.fromkeys(near))[:most]
