# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes that an indicator can stand as: each encoding, each spelling, and base64 where that is promised.

Everything is looked for in small letters, in a copy of the data in small letters; what case means is for the judges.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import typing as t
import unicodedata
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import CODE_PAGES
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import borders
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.borders import Judge
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import (
    Indicator,
    Network,
    Type,
)

WIDE = "utf-16-le"
NARROW = "utf-8"
# Where Windows cuts the executable's name in the name of a prefetch file.
PREFETCH_CUT = 29
# Characters of context that a judge is given, at least.
REACH = 96
_SHORTEST_ANCHOR, _SHORTEST_BASE64 = 4, 4
_IN_BASE64 = (Type.TEXT, Type.URL, Type.DOMAIN)


@dataclass(frozen=True)
class Form:
    """One way in which an indicator can stand there. needle: in small letters. reach: characters that the judge must see."""

    needle: bytes
    codec: str
    judge: Judge
    reach: int = REACH
    needs_context: bool = True


def forms_of(indicator: Indicator, dotted_ports: bool, in_base64: bool = True) -> list[Form]:
    """All forms of an indicator."""
    spelled = _SPELLINGS[indicator.type](indicator, dotted_ports)
    forms = [form for text, judge in spelled for form in _encoded(text, judge)]
    if in_base64 and indicator.type in _IN_BASE64:
        forms += [form for text, judge in spelled for form in _in_base64(text, indicator.value, judge)]
    unique: dict[tuple[bytes, str], Form] = {}
    for form in forms:
        unique.setdefault((form.needle, form.codec), form)
    return list(unique.values())


_Spelled = list[tuple[str, Judge]]


def _text(indicator: Indicator, _ports: bool) -> _Spelled:
    return [(indicator.value, borders.anything)]


def _hash(indicator: Indicator, _ports: bool) -> _Spelled:
    return [(indicator.value, borders.hash_value)]


def _domain(indicator: Indicator, _ports: bool) -> _Spelled:
    return [(name, borders.domain) for name in both_forms(indicator.value)]


def punycode(name: str) -> str:
    """A domain as it is asked for in DNS; the same where it has no such form."""
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return name


def both_forms(name: str) -> list[str]:
    """A domain, and its other form where it is an IDN: as people read it, and as it is asked for in DNS."""
    try:
        read = name.encode("ascii").decode("idna").lower()
    except UnicodeError:
        read = name
    return list(dict.fromkeys((name, punycode(name), read)))


def _url(indicator: Indicator, _ports: bool) -> _Spelled:
    rest = indicator.value.partition("://")[2] or indicator.value
    host, slash, path = rest.partition("/")
    has_path = bool(path) or any(sign in host for sign in "?#")
    forms = [host] if any(sign in host for sign in "?#:@[") else both_forms(host)
    return [(f"{form}{slash}{path}" if has_path else form, borders.url(has_path)) for form in forms]


def _file_name(indicator: Indicator, _ports: bool) -> _Spelled:
    spelled: _Spelled = [(indicator.value, borders.file_name)]
    if len(indicator.value) > PREFETCH_CUT:
        spelled.append((indicator.value[:PREFETCH_CUT], borders.prefetch_name(indicator.value)))
    return spelled


def _ip(indicator: Indicator, ports: bool) -> _Spelled:
    network = t.cast(Network, indicator.network)
    judge = borders.address(network, ports)
    address = network.network_address
    if isinstance(address, ipaddress.IPv4Address):
        texts = [str(address)]
        high, low = divmod(int(address), 1 << 16)
        if high:
            # Within IPv6, as ::ffff:cb00:7107.
            texts += [f"{high:x}:{each}" for each in _padded(low)]
    else:
        texts = _version_6(address)
    return [(text, judge) for text in texts]


def _version_6(address: ipaddress.IPv6Address) -> list[str]:
    """What each spelling of the address has at least one of: two neighbouring groups, or one with its colon."""
    groups = [int(address) >> 16 * (7 - index) & 0xFFFF for index in range(8)]
    # The last two may be written as an IPv4 address.
    pairs = [(high, low) for high, low in itertools.pairwise(groups[:6]) if high and low]
    if pairs:
        high, low = max(pairs, key=lambda pair: len(f"{pair[0]:x}{pair[1]:x}"))
        return [f"{high:x}:{each}" for each in _padded(low)]
    if any(groups[:6]):
        return [f"{max(groups[:6]):x}:"]
    dotted = str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [dotted, *(f":{each}" for each in _padded(groups[7])), *([] if any(groups) else ["::"])]


def _padded(group: int) -> list[str]:
    text = f"{group:x}"
    return [text.zfill(length) for length in range(len(text), 5)]


def _ip_range(indicator: Indicator, ports: bool) -> _Spelled:
    network = t.cast(Network, indicator.network)
    judge = borders.address(network, ports)
    if isinstance(network, ipaddress.IPv4Network):
        texts = _begun_4(network)
    else:
        first, second = (int(network.network_address) >> shift & 0xFFFF for shift in (112, 96))
        whole = network.prefixlen >= 32 and second
        texts = [f"{first:x}:{each}" for each in _padded(second)] if whole else _begun_6(first, network.prefixlen)
    return [(text, judge) for text in texts]


def _begun_4(network: ipaddress.IPv4Network) -> list[str]:
    parts = str(network.network_address).split(".")
    if network.prefixlen >= 24:
        return [".".join(parts[:3]) + "."]
    if network.prefixlen >= 16:
        return [".".join(parts[:2]) + "."]
    if network.prefixlen == 8:
        return [f"{parts[0]}."]
    return [f"{parts[0]}.{int(parts[1]) + more}." for more in range(1 << (16 - network.prefixlen))]


def _begun_6(first: int, _prefix: int) -> list[str]:
    return [f"{first:x}:"]


_SPELLINGS: dict[Type, t.Callable[[Indicator, bool], _Spelled]] = {
    Type.IP: _ip,
    Type.IP_RANGE: _ip_range,
    Type.HASH: _hash,
    Type.DOMAIN: _domain,
    Type.URL: _url,
    Type.FILE_NAME: _file_name,
    Type.TEXT: _text,
}


# ---- encodings ----


def _encoded(text: str, judge: Judge) -> t.Iterator[Form]:
    if text.isascii():
        small, context = text.lower(), judge is not borders.anything
        for codec in (NARROW, WIDE):
            yield Form(small.encode(codec).lower(), codec, judge, needs_context=context)
        return
    for normal in dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD")):
        at, length = _anchor(normal)
        whole = borders.around(normal, at, length, judge)
        reach = max(REACH, len(normal) + REACH)
        for anchor in _cases(normal[at : at + length]):
            for codec in (NARROW, WIDE, *CODE_PAGES):
                try:
                    normal.encode(codec)
                    needle = anchor.encode(codec)
                except UnicodeEncodeError:
                    continue
                yield Form(needle.lower(), codec, whole, reach)


def _anchor(text: str) -> tuple[int, int]:
    """The part of a text that is looked for: its longest run of ASCII, else its beginning."""
    best = (0, 0)
    at = 0
    for ascii_run, letters in itertools.groupby(text, str.isascii):
        length = len(list(letters))
        if ascii_run and length > best[1]:
            best = (at, length)
        at += length
    return best if best[1] >= _SHORTEST_ANCHOR else (0, min(len(text), _SHORTEST_ANCHOR))


def _cases(text: str) -> list[str]:
    """The text in all mixtures of small and capital letters that are not ASCII; those of ASCII are all small."""
    choices = [
        (letter.lower(),) if letter.isascii() else tuple(dict.fromkeys((letter.lower(), letter.upper())))
        for letter in text
    ]
    return ["".join(letters) for letters in itertools.product(*choices)]


def _in_base64(text: str, value: str, judge: Judge) -> t.Iterator[Form]:
    # As it was written, if that is what is looked for, and in small letters: base64 has no case of its own.
    written = value if value.lower() == text.lower() else text
    for plain in dict.fromkeys((written, text.lower())):
        for inner in (NARROW, WIDE):
            data = plain.encode(inner, "surrogatepass")
            for shift in range(3):
                encoded = base64.b64encode(b"\0" * shift + data).decode("ascii")
                decided = encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
                if len(decided) >= _SHORTEST_BASE64:
                    whole = borders.in_base64(decided, data, inner, shift, judge)
                    for codec in (NARROW, WIDE):
                        yield Form(decided.encode(codec).lower(), codec, whole)
