# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Indicators as people have them: told by form, defanged or not; what cannot be understood, or in two ways, is refused."""

from __future__ import annotations

import enum
import ipaddress
import re
import typing as t
import unicodedata
from dataclasses import dataclass

Network: t.TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


class Type(str, enum.Enum):
    """What an indicator is."""

    IP = "ip"
    IP_RANGE = "ip_range"
    HASH = "hash"
    DOMAIN = "domain"
    URL = "url"
    FILE_NAME = "file_name"
    TEXT = "text"
    # A rule's name; never told by form, and no word for it.
    YARA = "yara"


class Refused(Exception):
    """What was given is no indicator; the text says why, and what to write instead."""


@dataclass(frozen=True)
class Indicator:
    """value: as it is searched and told, without what defanged it. network: of C(ip) and C(ip_range)."""

    value: str
    type: Type
    note: str | None = None
    network: Network | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.type.value, self.value.lower()


# The words of MISP, of Defender's indicators and of people for the types. Those with a bar are two indicators in one value.
WORDS: dict[str, Type] = {
    **{each.value: each for each in Type if each is not Type.YARA},
    **dict.fromkeys(("ip-src", "ip-dst", "ipaddress", "ipv4", "ipv6", "ip-address", "ipv4-addr", "ipv6-addr"), Type.IP),
    **dict.fromkeys(("cidr", "iprange", "ip-range"), Type.IP_RANGE),
    **dict.fromkeys(("hostname", "domainname", "domain-name", "fqdn", "host"), Type.DOMAIN),
    **dict.fromkeys(("uri", "link"), Type.URL),
    **dict.fromkeys(
        ("md5", "sha1", "sha-1", "sha256", "sha-256", "sha384", "sha-384", "sha512", "sha-512", "filemd5", "filesha1", "filesha256",
         "certificatethumbprint", "x509-fingerprint-sha1", "x509-fingerprint-sha256"),
        Type.HASH,
    ),
    **dict.fromkeys(("filename", "file-name", "file", "attachment", "email-attachment"), Type.FILE_NAME),
    **dict.fromkeys(
        ("string", "regkey", "mutex", "named pipe", "user-agent", "pattern-in-file", "email", "email-src", "email-dst",
         "windows-service-name", "windows-service-displayname", "windows-scheduled-task", "process", "command-line", "email-subject",
         "target-user", "target-machine"),
        Type.TEXT,
    ),
}  # fmt: skip
PAIRS: dict[str, tuple[Type, Type | None]] = {
    "domain|ip": (Type.DOMAIN, Type.IP),
    "ip-src|port": (Type.IP, None),
    "ip-dst|port": (Type.IP, None),
    "hostname|port": (Type.DOMAIN, None),
    "filename|md5": (Type.FILE_NAME, Type.HASH),
    "filename|sha1": (Type.FILE_NAME, Type.HASH),
    "filename|sha256": (Type.FILE_NAME, Type.HASH),
    "filename|sha384": (Type.FILE_NAME, Type.HASH),
    "filename|sha512": (Type.FILE_NAME, Type.HASH),
    "malware-sample": (Type.FILE_NAME, Type.HASH),
    "regkey|value": (Type.TEXT, Type.TEXT),
}

SHORTEST_TEXT = 4
_LONGEST = 2048
_WIDEST_V4, _WIDEST_V6 = 8, 16

_DOT = re.compile(r"\[\s*(?:\.|dot)\s*\]|\(\s*(?:\.|dot)\s*\)|\{\s*(?:\.|dot)\s*\}|\[\.|\.\](?!:)|\\\.", re.IGNORECASE)
_COLON = re.compile(r"\[\s*:\s*\]|\(\s*:\s*\)|\[:(?=//)|\[://\]", re.IGNORECASE)
_SCHEME = re.compile(r"^(h(?:tt|xx|\*\*)ps?|f(?:t|x)ps?|meow)(\[?:\]?//|\[://\])", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_DOT_IN_TEXT = re.compile(r"(?<=\w)(?:\[(?:\.|dot)\]|\((?:\.|dot)\)|\{(?:\.|dot)\})(?=\w)", re.IGNORECASE)
_AT_IN_TEXT = re.compile(r"(?<=\w)(?:\[(?:@|at)\]|\((?:@|at)\)|\{(?:@|at)\})(?=\w)", re.IGNORECASE)
_SCHEME_IN_TEXT = re.compile(r"\bh(?:xx|\*\*)p(s?)(?:\[?:\]?//|\[://\])", re.IGNORECASE)
_HEX = re.compile(r"^[0-9a-f]+$", re.IGNORECASE)
_HASH_LENGTHS = {32, 40, 64, 96, 128}
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOMAIN = re.compile(
    rf"^(?:(?:{_LABEL}|_[\w-]{{1,62}})\.)+(?:[^\W\d_]{{2,63}}|xn--[a-z0-9-]{{2,59}})\.?$", re.IGNORECASE
)
_FILE_NAME = re.compile(r'^[^\\/:*?"<>|\r\n\t]+\.[A-Za-z0-9_]{1,10}$')
_V4_LIKE = re.compile(r"^\d+(?:\.\d+){3}$")
_WITH_PORT = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+(?:%\w+)?\]):\d{1,5}$", re.IGNORECASE)
# What a list in YAML or Markdown has before each of its elements; and what may stand between an indicator and other words.
_BULLET = re.compile(r"[-*\u2022]\s+(?=\S)")
_BETWEEN = re.compile(r"[\s,;|'\"<>]+")
# Endings of files that are no top level domains; and those that are both, which nobody can tell apart. C(.com) is a domain's.
_FILE_ENDINGS = """
    exe dll sys scr ps1 psm1 psd1 bat cmd vbs vbe js jse wsf hta lnk msi msp cpl ocx drv pif jar iso img vhd vhdx cab rar 7z gz
    tar tgz bz2 xz doc docx docm xls xlsx xlsm ppt pptx pptm rtf pdf txt log dat bin tmp cfg conf ini inf reg xml json yml yaml
    csv png jpg jpeg gif ico html htm php asp aspx jsp jspx war class dmp evtx etl pf ko elf deb rpm dmg pkg plist dylib kext bak
    old db sqlite url chm one onepkg xll sct scf
"""
_BOTH_ENDINGS = "zip sh py pl app mov md rs ps so ml cc rb vi do"
_FILES, _BOTH = frozenset(_FILE_ENDINGS.split()), frozenset(_BOTH_ENDINGS.split())


def refang(text: str) -> str:
    """The text without what people write so that nobody follows it by mistake."""
    text = text.strip()
    match = _SCHEME.match(text)
    if match:
        scheme = match[1].lower().replace("xx", "tt").replace("**", "tt").replace("fxp", "ftp").replace("meow", "http")
        text = f"{scheme}://{text[match.end() :]}"
    return _COLON.sub(":", _DOT.sub(".", text))


def refang_text(text: str) -> str:
    """A text without what plainly defangs an address, a name or a URL in it: less than of what is one as a whole."""
    text = _AT_IN_TEXT.sub("@", _DOT_IN_TEXT.sub(".", text))
    return _SCHEME_IN_TEXT.sub(lambda match: f"http{match[1]}://", text)


def parse(value: str, type_word: str | None = None, note: str | None = None) -> list[Indicator]:
    """The indicators that a value is: one, or two for MISP's pairs. Raises Refused."""
    given, value = value, value.strip()
    if not value:
        raise Refused("it is empty")
    if len(value) > _LONGEST:
        raise Refused(f"it is longer than {_LONGEST} characters")
    word = (type_word or "").strip().lower()
    if word in PAIRS:
        return _pair(value, PAIRS[word], word, note)
    if word and word not in WORDS:
        raise Refused(
            f"its type {type_word!r} is not known. Types: {', '.join(each.value for each in Type if each is not Type.YARA)}"
        )
    kind = WORDS[word] if word else form_of(value)
    if kind is Type.TEXT:
        # Of a text whose type is said, blanks are part: "-enc " is not in "-encoding".
        value = given if word and not word.startswith("email") else refang_text(value)
    return [_typed(value, kind, note)]


def _pair(value: str, types: tuple[Type, Type | None], word: str, note: str | None) -> list[Indicator]:
    first, middle, second = value.partition("|")
    if not middle:
        first, middle, second = value.rpartition(":")
    if not middle:
        raise Refused(f"a value of the type {word} has a | in its middle")
    return [_typed(part, kind, note) for part, kind in zip((first, second), types, strict=True) if kind is not None]


def form_of(value: str) -> Type:
    """What a value looks like. Raises Refused for what looks like two things."""
    plain = refang(value)
    if _ANY_SCHEME.match(plain):
        return Type.URL
    if _WITH_PORT.match(plain):
        raise Refused("it is an address with a port; write the address alone, or say type: text")
    if "/" in plain and _network_or_none(plain) is not None:
        return Type.IP_RANGE
    if _address_or_none(plain) is not None:
        return Type.IP
    if _V4_LIKE.match(plain):
        raise Refused("it looks like an IPv4 address but is none; say type: text if it is a version")
    if _HEX.match(plain) and len(plain) in _HASH_LENGTHS:
        return Type.HASH
    return _name_or_text(plain)


def _is_mere_text(word: str) -> bool:
    try:
        return form_of(word) is Type.TEXT
    except Refused:
        return False


def _name_or_text(plain: str) -> Type:
    if "*" in plain.removeprefix("*.") and not re.search(r"\s", plain):
        raise Refused(
            "it has a wildcard, and none is understood but *. before a domain; write the part that is the same, with type: text "
            "(also where the * itself is meant), or addresses as 203.0.113.0/24"
        )
    if plain.startswith("*.") and not _DOMAIN.match(plain[2:]):
        raise Refused(
            "it has a wildcard, and *. is understood before a domain only; write the ending alone, with type: text"
        )
    if any(sign in plain for sign in '\\<>|"'):
        return Type.TEXT
    host, slash, _path = plain.partition("/")
    if slash and _DOMAIN.match(host) and not re.search(r"\s", plain):
        return Type.URL
    if slash:
        return Type.TEXT
    ending = plain.rstrip(".").rpartition(".")[2].lower()
    if _DOMAIN.match(plain.removeprefix("*.")) and not plain.startswith("*.") and ending in _BOTH:
        raise Refused(f".{ending} ends domains as well as files; say type: domain or type: file_name")
    if ending in _FILES and _FILE_NAME.match(plain):
        return Type.FILE_NAME
    if _DOMAIN.match(plain.removeprefix("*.")):
        return Type.DOMAIN
    return Type.TEXT


def _typed(value: str, kind: Type, note: str | None) -> Indicator:
    text = value if kind is Type.TEXT else refang(value)
    note = note.strip() or None if note else None
    if kind in (Type.IP, Type.IP_RANGE):
        return _ip(text, kind, note)
    return Indicator(_CHECKS[kind](text), kind, note)


def _ip(text: str, kind: Type, note: str | None) -> Indicator:
    if kind is Type.IP and "/" in text and _network_or_none(text) is not None:
        kind = Type.IP_RANGE
    if kind is Type.IP:
        address = _address_or_none(text)
        if address is None:
            raise Refused("it is no IP address")
        return Indicator(str(address), kind, note, ipaddress.ip_network(address))
    network = _network_or_none(text)
    if network is None:
        raise Refused("it is no range of addresses; write it as 203.0.113.0/24")
    if str(network.network_address) != str(_address_or_none(text.partition("/")[0])) and "-" not in text:
        raise Refused(f"it has bits set behind its prefix; write {network} for the range, or the address alone")
    mapped = _mapped_network(network)
    if mapped is not None:
        network = mapped
    if network.prefixlen < (_WIDEST_V4 if network.version == 4 else _WIDEST_V6):
        raise Refused(f"it is wider than /{_WIDEST_V4} (IPv4) or /{_WIDEST_V6} (IPv6)")
    if network.version == 6 and int(network.network_address) >> 112 == 0:
        raise Refused("a range of IPv6 addresses that begins with zeros is not searched")
    return Indicator(str(network), Type.IP_RANGE, note, network)


def _mapped_network(network: Network) -> Network | None:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return None


def _address_or_none(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address in any spelling: with brackets, a zone, or IPv4 within IPv6."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network_or_none(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _hash(text: str) -> str:
    text = text.replace(":", "").strip()
    if not _HEX.match(text) or len(text) not in _HASH_LENGTHS:
        raise Refused("it is no MD5, SHA-1, SHA-256, SHA-384 or SHA-512 in hexadecimal digits")
    return text.lower()


def _domain(text: str) -> str:
    text = unicodedata.normalize("NFC", text.removeprefix("*.").strip("."))
    if not _DOMAIN.match(text):
        raise Refused("it is no domain")
    return text.lower()


def _url(text: str) -> str:
    rest = _ANY_SCHEME.sub("", text)
    if not rest or re.search(r"\s", rest):
        raise Refused("it is no URL")
    return text


def _file_name(text: str) -> str:
    name = text.replace("\\", "/").rpartition("/")[2]
    if name != text:
        raise Refused("it is a path; write the file's name alone, or say type: text to search for the path")
    if len(name) < 3:
        raise Refused("a file name under three characters is in everything")
    return name


def _text(text: str) -> str:
    return text


_CHECKS: dict[Type, t.Callable[[str], str]] = {
    Type.HASH: _hash,
    Type.DOMAIN: _domain,
    Type.URL: _url,
    Type.FILE_NAME: _file_name,
    Type.TEXT: _text,
}


def _require_one(value: str) -> None:
    """Raises Refused for several indicators, and for one that has a bullet before it or other words behind it, as lists and notes have.

    Searched as one text it would be found nowhere, and nobody would know why. What begins otherwise is a text, such as the
    command C(curl http://evil.example/a).
    """
    words = refang(value).split()
    if len(words) > 1 and not any(map(_is_mere_text, words)):
        raise Refused(
            "it looks like several indicators; write commas or lines between them, or say type: text if it is one text"
        )
    if form_of(value) not in (Type.TEXT, Type.FILE_NAME):
        return
    bullet = _BULLET.match(value)
    rest = value[bullet.end() :] if bullet else value
    parts = [part for part in _BETWEEN.split(rest) if part]
    if parts and ((bullet and len(parts) == 1) or (len(parts) > 1 and _stands_alone(parts[0]))):
        raise Refused(
            f"{parts[0]!r} stands there among other characters; write it alone, or say type: text if all of it is meant"
        )


def _stands_alone(part: str) -> bool:
    """An address, a hash, a URL or a domain. Not a file: that is how commands begin."""
    try:
        return form_of(part) not in (Type.TEXT, Type.FILE_NAME)
    except Refused:
        # An address with a port.
        return bool(_WITH_PORT.match(refang(part)))


def told(value: str, type_word: str | None = None, note: str | None = None) -> list[Indicator]:
    """parse, and a text of under four characters only where its type was said. Raises Refused."""
    if not (type_word or "").strip():
        _require_one(value.strip())
    found = parse(value, type_word, note)
    if not type_word and found[0].type is Type.TEXT and len(found[0].value) < SHORTEST_TEXT:
        raise Refused(f"a text under {SHORTEST_TEXT} characters is in everything; say type: text if it is meant")
    return found
