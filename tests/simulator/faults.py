# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that strike any endpoint, on demand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .messages import ApiError, Call, Content, Handler, Reply, gateway_error, json_reply, text_reply

KINDS = {
    "status": ("status", "code", "message", "retry_after", "body"),
    "status_after": ("status", "code", "message", "retry_after", "body"),
    "reset": (),
    "reset_after": (),
    "truncate": (),
    "drip": ("seconds",),
    "hang": ("seconds",),
    "hang_after": ("seconds",),
    "garbage": (),
    "wrong_shape": ("body",),
    "unknown_status": ("word",),
    "unauthorized": (),
}


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

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; there are: {', '.join(KINDS)}")
        unknown = set(self.args) - set(KINDS[self.kind])
        if unknown:
            raise ValueError(f"a fault of kind {self.kind} has no argument {', '.join(sorted(unknown))}")

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
        if self.kind == "status":
            return self._status()
        if self.kind == "garbage":
            return text_reply(200, '{"value": [{"id": "', "application/json; charset=utf-8")
        if self.kind == "wrong_shape":
            return json_reply(200, self.args.get("body", ["unexpected"]))
        if self.kind == "unauthorized":
            return unauthorized("The token was revoked").reply()
        if self.kind == "reset":
            return Reply(0, Content([]), closed=True)
        reply = work(call)
        if self.kind == "status_after":
            return self._status()
        if self.kind == "reset_after":
            reply.closed = True
        elif self.kind == "truncate":
            reply.cut = True
        elif self.kind == "drip":
            reply.seconds = float(self.args.get("seconds", 3.0))
        elif self.kind == "hang_after":
            reply.delay = float(self.args.get("seconds", 30.0))
        elif self.kind == "unknown_status":
            return self._unknown_status(reply)
        return reply

    @property
    def delay_before(self) -> float:
        return float(self.args.get("seconds", 30.0)) if self.kind == "hang" else 0.0

    def _status(self) -> Reply:
        status = int(self.args.get("status", 503))
        if "body" in self.args:
            reply = text_reply(status, str(self.args["body"]), "text/html", str(status))
        elif "code" in self.args:
            reply = ApiError(status, str(self.args["code"]), str(self.args.get("message", ""))).reply()
        else:
            reply = gateway_error(status, "Service Unavailable")
        if "retry_after" in self.args:
            reply.headers["Retry-After"] = str(self.args["retry_after"])
        return reply

    def _unknown_status(self, reply: Reply) -> Reply:
        if reply.status >= 300:
            return reply
        body = json.loads(reply.text())
        for entity in body.get("value", [body]):
            entity["status"] = self.args.get("word", "Hibernating")
        return json_reply(reply.status, body, reply.headers)


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def take(self, endpoint: str, machine_id: str) -> Fault | None:
        """The first that strikes; those behind it wait for a later call."""
        for fault in self._faults:
            if fault.strikes(endpoint, machine_id):
                return fault
        return None

    def reset(self) -> None:
        self._faults.clear()


def unauthorized(message: str) -> ApiError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return ApiError(401, "Unauthorized", message, {"WWW-Authenticate": challenge})
