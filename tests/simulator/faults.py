# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that strike any endpoint, on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from . import hostile
from .messages import ApiError, Call, Content, Handler, Reply, gateway_error, json_reply, text_reply

_OAUTH_ENDPOINTS = ("token", "devicecode", "discovery", "managed_identity", "userrealm", "keys")

# Every kind with its arguments.
KINDS = {
    "status": ("status", "code", "message", "retry_after", "body", "content_type"),
    "status_after": ("status", "code", "message", "retry_after", "body", "content_type"),
    "reset": (),
    "reset_after": (),
    "truncate": (),
    "drip": ("seconds", "byte_seconds", "head"),
    "hang": ("seconds",),
    "hang_after": ("seconds",),
    "garbage": (),
    "wrong_shape": ("body",),
    "field": ("name", "value"),
    "without": ("names",),
    "unknown_status": ("word",),
    "unauthorized": (),
    "gateway": ("status", "form"),
    "block_page": ("status",),
    "headers": ("headers", "status"),
    "bomb": ("size", "status"),
    "deep": ("depth", "status"),
    "gzip": (),
    "redirect": ("to", "status"),
    "echo": ("status", "encoding", "pad"),
    "link_in_error": ("status",),
    "other_machine": ("other",),
    "say_back": ("also", "but"),
}
_NEEDED = {"field": ("name", "value"), "without": ("names",), "headers": ("headers",), "other_machine": ("other",)}


@dataclass
class Fault:
    """Strikes `count` calls (0: all) of the endpoint ("any": of every one), after it has let `after` calls pass."""

    endpoint: str
    kind: str
    count: int = 1
    after: int = 0
    machine_id: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    struck: int = 0
    done: bool = False
    # Every form in which it has given a secret back.
    echoed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; there are: {', '.join(KINDS)}")
        unknown = set(self.args) - set(KINDS[self.kind])
        if unknown:
            raise ValueError(f"a fault of kind {self.kind} has no argument {', '.join(sorted(unknown))}")
        missing = set(_NEEDED.get(self.kind, ())) - set(self.args)
        if missing:
            raise ValueError(f"a fault of kind {self.kind} needs the argument {', '.join(sorted(missing))}")
        if self.args.get("form", "text") not in hostile.GATEWAY_PAGES:
            raise ValueError(f"form is one of {', '.join(hostile.GATEWAY_PAGES)}")
        if self.args.get("encoding", "all") not in ("all", *hostile.ENCODINGS):
            raise ValueError(f"encoding is all, or one of {', '.join(hostile.ENCODINGS)}")

    def strikes(self, endpoint: str, machine_id: str) -> bool:
        if self.done or self.endpoint not in ("any", endpoint) or self.machine_id not in ("", machine_id):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.struck += 1
        self.done = self.count > 0 and self.struck >= self.count
        return True

    def apply(self, work: Handler, call: Call) -> Reply:
        """The reply, with or without the work having been done."""
        if self.kind in _INSTEAD:
            return _INSTEAD[self.kind](self, call)
        if self.kind == "other_machine":
            return work(replace(call, parts=(str(self.args["other"]), *call.parts[1:])))
        reply = work(call)
        if self.kind == "say_back":
            return _say_back(self, call, reply)
        return _AFTER[self.kind](self, reply) if self.kind in _AFTER else reply

    @property
    def delay_before(self) -> float:
        return float(self.args.get("seconds", 30.0)) if self.kind == "hang" else 0.0

    def number(self, name: str, default: float) -> float:
        return float(self.args.get(name, default))

    def status(self, default: int) -> int:
        return int(self.args.get("status", default))


# Instead of the work


def _status(fault: Fault, call: Call | None = None) -> Reply:
    status = fault.status(503)
    if "body" in fault.args:
        body, content_type = fault.args["body"], fault.args.get("content_type", "text/html")
        text = body if isinstance(body, str) else json.dumps(body)
        reply = text_reply(status, text, content_type, str(status))
    elif "code" in fault.args:
        reply = ApiError(status, str(fault.args["code"]), str(fault.args.get("message", ""))).reply()
    else:
        reply = gateway_error(status, "Service Unavailable")
    if "retry_after" in fault.args:
        reply.headers["Retry-After"] = str(fault.args["retry_after"])
    return reply


def _redirect(fault: Fault, call: Call) -> Reply:
    status = fault.status(302)
    reply = text_reply(status, "", "text/html", str(status))
    reply.headers["Location"] = str(fault.args.get("to", f"https://elsewhere.invalid{call.target}"))
    return reply


def _echo(fault: Fault, call: Call) -> Reply:
    encoding = fault.args.get("encoding", "all")
    encodings = hostile.ENCODINGS if encoding == "all" else (encoding,)
    oauth = call.entry.endpoint in _OAUTH_ENDPOINTS
    reply, words = hostile.echo(call, encodings, fault.status(400), int(fault.number("pad", 0)), oauth)
    fault.echoed |= words
    return reply


_INSTEAD: dict[str, Callable[[Fault, Call], Reply]] = {
    "status": _status,
    "garbage": lambda fault, call: text_reply(200, '{"value": [{"id": "', "application/json; charset=utf-8"),
    "wrong_shape": lambda fault, call: json_reply(200, fault.args.get("body", ["unexpected"])),
    "unauthorized": lambda fault, call: unauthorized("The token was revoked").reply(),
    "reset": lambda fault, call: Reply(0, Content([]), closed=True),
    "gateway": lambda fault, call: hostile.gateway_page(fault.args.get("form", "text"), fault.status(404)),
    "block_page": lambda fault, call: text_reply(fault.status(200), hostile.BLOCK_PAGE, "text/html; charset=utf-8"),
    "bomb": lambda fault, call: hostile.bomb(int(fault.number("size", 400 * 1024 * 1024)), fault.status(200)),
    "deep": lambda fault, call: hostile.nest(int(fault.number("depth", 200_000)), fault.status(200)),
    "redirect": _redirect,
    "echo": _echo,
}


# After the work


def _reset_after(fault: Fault, reply: Reply) -> Reply:
    reply.closed = True
    return reply


def _truncate(fault: Fault, reply: Reply) -> Reply:
    reply.cut = True
    return reply


def _drip(fault: Fault, reply: Reply) -> Reply:
    """byte_seconds: one byte every so many; head: the status line and the headers come as slowly."""
    if "byte_seconds" in fault.args:
        reply.byte_seconds = fault.number("byte_seconds", 0.5)
        reply.raw = bool(fault.args.get("head", False))
    else:
        reply.seconds = fault.number("seconds", 3.0)
    return reply


def _hang_after(fault: Fault, reply: Reply) -> Reply:
    reply.delay = fault.number("seconds", 30.0)
    return reply


def _headers(fault: Fault, reply: Reply) -> Reply:
    """Written as they are given, in Latin-1, and whatever HTTP thinks of them; null takes one away."""
    for name, value in fault.args["headers"].items():
        reply.headers = {known: text for known, text in reply.headers.items() if known.lower() != name.lower()}
        if value is not None:
            reply.headers[name] = str(value)
    reply.without = tuple(name.lower() for name, value in fault.args["headers"].items() if value is None)
    reply.status = fault.status(reply.status)
    reply.raw = True
    return reply


def _json_of(reply: Reply) -> Any:
    if reply.status >= 300 or "json" not in reply.headers.get("Content-Type", ""):
        return None
    return json.loads(reply.text())


def _unknown_status(fault: Fault, reply: Reply) -> Reply:
    body = _json_of(reply)
    if body is None:
        return reply
    for entity in body.get("value", [body]):
        entity["status"] = fault.args.get("word", "Hibernating")
    return json_reply(reply.status, body, reply.headers)


def _field(fault: Fault, reply: Reply) -> Reply:
    """The value of one field, in every row that has it, else in the body itself."""
    body, name = _json_of(reply), fault.args["name"]
    if body is None:
        return reply
    rows = body.get("value") if isinstance(body.get("value"), list) else []
    for entity in [row for row in rows if isinstance(row, dict) and name in row] or [body]:
        entity[name] = fault.args["value"]
    return json_reply(reply.status, body, reply.headers)


def _without(fault: Fault, reply: Reply) -> Reply:
    body = _json_of(reply)
    if body is None:
        return reply
    rows = body.get("value") if isinstance(body.get("value"), list) else []
    for entity in (body, *rows):
        for name in fault.args["names"]:
            entity.pop(name, None)
    return json_reply(reply.status, body, reply.headers)


def _link_in_error(fault: Fault, reply: Reply) -> Reply:
    body = _json_of(reply)
    if body is None:
        return reply
    message = f"The package at {body.get('value')} cannot be given out now"
    return ApiError(fault.status(400), "BadRequest", message).reply()


def _say_back(fault: Fault, call: Call, reply: Reply) -> Reply:
    """What the request was sent with, and what is to be said besides, at the end of every text and in a field's name."""
    body, but = _json_of(reply), fault.args.get("but", ())
    if body is None:
        return reply
    words = " ".join([*hostile.secrets_of(call)[0], *fault.args.get("also", ())])

    def said(value: Any) -> Any:
        if isinstance(value, dict):
            rest = {name: each if name in but else said(each) for name, each in value.items()}
            return {**rest, f"said {words}": 1}
        if isinstance(value, list):
            return [said(each) for each in value]
        return f"{value} {words}" if isinstance(value, str) else value

    return json_reply(reply.status, said(body), reply.headers)


_AFTER: dict[str, Callable[[Fault, Reply], Reply]] = {
    "status_after": lambda fault, reply: _status(fault),
    "reset_after": _reset_after,
    "truncate": _truncate,
    "drip": _drip,
    "hang_after": _hang_after,
    "headers": _headers,
    "unknown_status": _unknown_status,
    "field": _field,
    "without": _without,
    "link_in_error": _link_in_error,
    "gzip": lambda fault, reply: hostile.zipped(reply),
}


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._echoed: set[str] = set()

    @property
    def echoed(self) -> set[str]:
        """A secret that was given back stays one, although the fault is forgotten."""
        return self._echoed.union(*(fault.echoed for fault in list(self._faults)))

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def take(self, endpoint: str, machine_id: str) -> Fault | None:
        """The first that strikes; those behind it wait for a later call."""
        for fault in self._faults:
            if fault.strikes(endpoint, machine_id):
                return fault
        return None

    def reset(self) -> None:
        self._echoed = self.echoed
        self._faults.clear()


def unauthorized(message: str) -> ApiError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return ApiError(401, "Unauthorized", message, {"WWW-Authenticate": challenge})
