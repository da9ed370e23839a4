# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies that nobody should be asked to read: bombs, nests, echoes of secrets, pages of strangers on the way."""

from __future__ import annotations

import base64
import functools
import gzip
import html
import struct
import zlib
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from .messages import Call, Content, Reply, json_reply, text_reply

_BLOCK = 1024 * 1024
_SECRET_FIELDS = ("client_secret", "client_assertion", "password", "refresh_token", "device_code")
_SECRET_HEADERS = ("X-IDENTITY-HEADER",)
_JSON = "application/json; charset=utf-8"
# A secret shorter than this stands in too many innocent texts to be looked for.
_WORTH_HIDING = 8

# What gateways, ingress controllers and proxies answer in the service's stead; none has the service's error.code.
GATEWAY_PAGES: dict[str, tuple[str, str]] = {
    "text": ("default backend - 404", "text/plain; charset=utf-8"),
    "empty": ("", ""),
    "json": ('{"statusCode":404,"message":"Resource not found"}', _JSON),
    "json_error": ('{"error":{"message":"no Route matched with those values"}}', _JSON),
    "json_text": ('{"error":"Not Found"}', _JSON),
    "html": ("<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>", "text/html"),
}
BLOCK_PAGE = (
    "<html><head><title>Access denied</title></head><body><h1>Blocked</h1>The web filter of your organization has "
    "blocked this download. Category: malware. Ask the help desk.</body></html>"
)


def gateway_page(form: str, status: int) -> Reply:
    body, content_type = GATEWAY_PAGES[form]
    reply = text_reply(status, body, content_type, str(status))
    if not content_type:
        del reply.headers["Content-Type"]
    return reply


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> Content:
    """gzip of an empty list that is spread over so many bytes; each block of blanks is the same compressed one."""
    blanks = b" " * _BLOCK
    head, tail, count = b'{"value":[', b"]}", max(1, size // _BLOCK)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    last = packer.compress(tail) + packer.flush(zlib.Z_FINISH)
    checksum = zlib.crc32(head)
    for _number in range(count):
        checksum = zlib.crc32(blanks, checksum)
    checksum = zlib.crc32(tail, checksum)
    length = len(head) + count * _BLOCK + len(tail)
    trailer = struct.pack("<II", checksum, length & 0xFFFFFFFF)
    return Content([b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first, *[block] * count, last + trailer])


def bomb(size: int, status: int) -> Reply:
    return Reply(
        status, _bomb(size), {"Content-Type": _JSON, "Content-Encoding": "gzip"}, "" if status < 400 else "bomb"
    )


def nest(depth: int, status: int) -> Reply:
    return text_reply(status, "[" * depth + "]" * depth, _JSON, "" if status < 400 else "nest")


def zipped(reply: Reply) -> Reply:
    """As by a proxy that compresses whatever passes it."""
    reply.content = Content([gzip.compress(b"".join(reply.content.chunks(reply.start, reply.stop)), mtime=0)])
    reply.start, reply.stop = 0, None
    reply.headers["Content-Encoding"] = "gzip"
    return reply


# Echoes


def _escaped(secret: str, form: str) -> str:
    """Letters and digits stay, everything else is escaped, which all of these encodings allow."""
    return "".join(char if char.isascii() and char.isalnum() else form.format(ord(char)) for char in secret)


def _base64(secret: str, user: str) -> str:
    return f"{base64.b64encode(secret.encode()).decode()} {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


ENCODINGS = ("raw", "json", "base64", "percent", "percent_lower", "html", "html_numbers")


def _encoded(secret: str, encoding: str, user: str) -> str:
    forms = {
        "raw": secret,
        "json": _escaped(secret, "\\u{:04X}"),
        "base64": _base64(secret, user),
        "percent": quote(secret, safe=""),
        "percent_lower": "".join(f"%{byte:02x}" for byte in secret.encode()),
        "html": html.escape(secret),
        "html_numbers": _escaped(secret, "&#{};"),
    }
    return forms[encoding]


def secrets_of(call: Call) -> tuple[list[str], str]:
    """The secrets that the request carries, and the app that it names."""
    form: Mapping[str, str] = {}
    if "form" in call.headers.get("Content-Type", ""):
        form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    found = [form.get(name, "") for name in _SECRET_FIELDS]
    found.append(call.headers.get("Authorization", "").rpartition(" ")[2])
    found += [call.headers.get(name, "") for name in _SECRET_HEADERS]
    found.append(call.query.get("token", ""))
    return [secret for secret in found if len(secret) >= _WORTH_HIDING], form.get("client_id", "")


def echo(call: Call, encodings: tuple[str, ...], status: int, pad: int, oauth: bool) -> tuple[Reply, set[str]]:
    """An error that repeats the request's secrets, and every form in which they stand there.

    pad: characters before the first one, for messages that are cut somewhere.
    """
    secrets, user = secrets_of(call)
    forms = [_encoded(secret, encoding, user) for secret in secrets for encoding in encodings]
    text = "x" * pad + f"The request cannot be understood: {' | '.join(forms)}"
    words = {word for form in forms for word in form.split(" ")}
    if oauth:
        body: object = {"error": "invalid_request", "error_description": text, "error_codes": [900144]}
    else:
        body = {"error": {"code": "BadRequest", "message": text, "target": text[pad:]}}
    return json_reply(status, body, error_code="BadRequest"), words
