# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was found is the indicator, or only looks like it: what stands before and behind it decides.

A judge is given the text before a candidate, the candidate and the text behind it, and says what was found (an address, a whole
host name), or None. What it says is also what C(allow) is held against.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Network

Judge = t.Callable[[str, str, str], "str | None"]

_V4_BEFORE, _V4_AFTER = re.compile(r"[\w.]*\Z"), re.compile(r"[\w.]*")
_V6_BEFORE, _V6_AFTER = re.compile(r"[\w:.]*\Z"), re.compile(r"[\w:.]*")
_V4 = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})(?:\.(\d{1,5}))?\.*\Z", re.ASCII)
_V6 = re.compile(r"[0-9a-f:]*:[0-9a-f:]*(?:(?:\d{1,3}\.){3}\d{1,3})?", re.IGNORECASE | re.ASCII)
_PORT = re.compile(r"\.(\d{1,5})\Z", re.ASCII)
_HOST_BEFORE, _HOST_AFTER = re.compile(r"[\w.-]*\Z"), re.compile(r"\.?[\w-]")
_PREFETCH = re.compile(r"-[0-9a-f]{8}\.pf(?!\w)", re.IGNORECASE | re.ASCII)
_B64_BEFORE, _B64_AFTER = re.compile(r"[A-Za-z0-9+/]*\Z"), re.compile(r"[A-Za-z0-9+/]*")


def anything(_before: str, found: str, _after: str) -> str:
    """A text has no borders."""
    return found.lower()


def hash_value(before: str, found: str, after: str) -> str | None:
    return None if before[-1:].isalnum() or after[:1].isalnum() else found.lower()


def address(network: Network, dotted_ports: bool) -> Judge:
    """An address of the network. dotted_ports: C(203.0.113.7.443), as netstat of macOS and BSD writes it, is one with its port."""

    def version_4(before: str, found: str, after: str) -> str | None:
        lead, trail = _V4_BEFORE.search(before), _V4_AFTER.match(after)
        # What was looked for begins the address; found in its middle it would be counted again.
        if lead and lead[0].strip("."):
            return None
        match = _V4.match(f"{found}{trail[0] if trail else ''}")
        if not match or (match[2] and not dotted_ports):
            return None
        return _in(network, match[1])

    def version_6(before: str, found: str, after: str) -> str | None:
        lead, trail = _V6_BEFORE.search(before), _V6_AFTER.match(after)
        return _version_6(f"{lead[0] if lead else ''}{found}{trail[0] if trail else ''}", network, dotted_ports)

    def either(before: str, found: str, after: str) -> str | None:
        if ":" in found or network.version == 6:
            return version_6(before, found, after)
        return version_4(before, found, after)

    return either


def _version_6(token: str, network: Network, dotted_ports: bool) -> str | None:
    token = token.rstrip(".")
    spellings = [token]
    if token.endswith(":") and not token.endswith("::"):
        spellings.append(token[:-1])
    if token.startswith(":") and not token.startswith("::"):
        spellings += [each[1:] for each in spellings]
    if dotted_ports and _PORT.search(token):
        spellings.append(_PORT.sub("", token))
    for each in spellings:
        if _V6.fullmatch(each):
            found = _in(network, each)
            if found:
                return found
    return None


def _in(network: Network, text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and network.version == 4:
        mapped = found.ipv4_mapped
        if mapped is None:
            return None
        found = mapped
    return str(found) if found.version == network.version and found in network else None


def domain(before: str, found: str, after: str) -> str | None:
    """The domain or a subdomain, whole."""
    if _HOST_AFTER.match(after):
        return None
    if before and before[-1] != "." and (before[-1].isalnum() or before[-1] in "-_"):
        return None
    lead = _HOST_BEFORE.search(before)
    return f"{lead[0] if lead else ''}{found}".lower().strip(".-_")


def url(has_path: bool) -> Judge:
    """Whatever the scheme. Without a path only what is written as a URL: the host alone is a domain."""

    def judge(before: str, found: str, after: str) -> str | None:
        if before and (before[-1].isalnum() or before[-1] in "._-"):
            return None
        if has_path:
            if not found.endswith("/") and re.match(r"[\w%~-]|\.\w", after):
                return None
        elif not (before.endswith("://") or after.startswith("/")) or _HOST_AFTER.match(after):
            return None
        return found.lower()

    return judge


def file_name(before: str, found: str, after: str) -> str | None:
    """The name, whole; also as the beginning of a prefetch file's."""
    if before and (before[-1].isalnum() or before[-1] in "._-"):
        return None
    if re.match(r"[\w]|\.\w", after) or (after.startswith("-") and not _PREFETCH.match(after)):
        return None
    return found.lower()


def prefetch_name(name: str) -> Judge:
    """The beginning of a long name, where Windows cuts it for a prefetch file."""

    def judge(before: str, _found: str, after: str) -> str | None:
        if before and (before[-1].isalnum() or before[-1] in "._-"):
            return None
        return name.lower() if _PREFETCH.match(after) else None

    return judge


def around(value: str, at: int, length: int, inner: Judge) -> Judge:
    """For a value of which only C(length) characters from C(at) on were looked for: the rest must stand around them."""
    lead, trail = value[:at].lower(), value[at + length :].lower()

    def judge(before: str, found: str, after: str) -> str | None:
        if not before.lower().endswith(lead) or not after.lower().startswith(trail):
            return None
        whole = f"{before[len(before) - len(lead) :]}{found}{after[: len(trail)]}"
        return inner(before[: len(before) - len(lead)], whole, after[len(trail) :])

    return judge


def in_base64(encoded: str, data: bytes, codec: str, shift: int, inner: Judge) -> Judge:
    """For a value within base64: the text around it is decoded as well, for the borders.

    encoded: the characters that the value alone decides, exactly. shift: at which byte of three the value begins.
    """
    lead = -(-8 * shift // 6)

    def judge(before: str, found: str, after: str) -> str | None:
        if found != encoded:
            return None
        run, rest = _B64_BEFORE.search(before), _B64_AFTER.match(after)
        own = run[0] if run else ""
        if len(own) < lead:
            return inner("", data.decode(codec), "")
        groups = (len(own) - lead) // 4
        text = own[len(own) - lead - 4 * groups :] + found + (rest[0] if rest else "")
        text = text[: len(text) - 1] if len(text) % 4 == 1 else text
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            return None
        at = 3 * groups + shift
        if plain[at : at + len(data)] != data:
            return None
        first = at % 2 if codec == "utf-16-le" else 0
        return inner(
            plain[first:at].decode(codec, "replace"),
            data.decode(codec),
            plain[at + len(data) :].decode(codec, "replace"),
        )

    return judge
