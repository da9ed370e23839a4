# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call and its reply, free of any HTTP library, so that the tenant's rules can be read without one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_CHUNK = 512 * 1024


@dataclass
class LoggedRequest:
    """status stays 0 while the call is in flight, and for good when the connection was closed without a reply."""

    time: float
    client_id: str
    method: str
    path: str
    endpoint: str
    status: int = 0
    machine_id: str = ""
    action_id: str = ""
    query: dict[str, str] = field(default_factory=dict)
    error_code: str = ""
    fault: str = ""
    bearer: bool = False
    user_agent: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float
    entry: LoggedRequest
    parts: tuple[str, ...] = ()


class Content:
    """Bytes in parts; the same part may occur many times, which is how a package of gigabytes stays small in memory."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.size = sum(len(part) for part in parts)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        stop = self.size if stop is None else min(stop, self.size)
        offset = 0
        for part in self.parts:
            end = offset + len(part)
            if end > start and offset < stop:
                view = memoryview(part)[max(start - offset, 0) : min(stop - offset, len(part))]
                for at in range(0, len(view), _CHUNK):
                    yield view[at : at + _CHUNK]
            offset = end
            if offset >= stop:
                return


@dataclass
class Reply:
    status: int
    content: Content
    headers: dict[str, str] = field(default_factory=dict)
    error_code: str = ""
    start: int = 0
    stop: int | None = None
    # How the delivery goes wrong.
    closed: bool = False
    cut: bool = False
    seconds: float = 0.0
    delay: float = 0.0
    # Seconds from one byte to the next.
    byte_seconds: float = 0.0
    # Written past the HTTP library, which would refuse or mend such headers; without: names that are left out.
    raw: bool = False
    without: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        return (self.content.size if self.stop is None else self.stop) - self.start

    def lacks(self, header: str) -> bool:
        """Whether a header is neither there nor left out on purpose."""
        return header not in self.without and header not in {name.lower() for name in self.headers}

    def text(self) -> str:
        return b"".join(self.content.chunks(self.start, self.stop)).decode()


def text_reply(status: int, text: str, content_type: str = "text/plain; charset=utf-8", error_code: str = "") -> Reply:
    return Reply(status, Content([text.encode()]), {"Content-Type": content_type}, error_code)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None, error_code: str = "") -> Reply:
    base = {"Content-Type": "application/json; charset=utf-8"}
    base.update(headers or {})
    return Reply(status, Content([json.dumps(body, separators=(",", ":")).encode()]), base, error_code)


class ApiError(Exception):
    """An error in the shape that the Defender API documents."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, target: str = ""
    ) -> None:
        """target: not the usual tracking ID, as seen with a 429, whose target was the tenant's ID."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})
        self.target = target

    def reply(self) -> Reply:
        body = {"error": {"code": self.code, "message": self.message, "target": self.target or str(uuid.uuid4())}}
        return json_reply(self.status, body, self.headers, self.code)


class QueryError(ApiError):
    """The service's OData library answers for itself: no code and no tracking id, as captured for an unknown option."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "", f"The query specified in the URI is not valid. {message}")

    def reply(self) -> Reply:
        return json_reply(400, {"error": {"code": "", "message": self.message, "details": []}}, error_code="ODataError")


class IncompatibleTypes(QueryError):
    """The library's words for a comparison of two types; no capture is known, so the code is the documented one."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(
            f"A binary operator with incompatible types was detected. Found operand types '{left}' and '{right}' for "
            "operator kind 'Equal'."
        )

    def reply(self) -> Reply:
        body = {"error": {"code": "ODataError", "message": self.message, "target": str(uuid.uuid4())}}
        return json_reply(400, body, error_code="ODataError")


def gateway_error(status: int = 504, title: str = "Gateway Time-out") -> Reply:
    """What stands before the service speaks HTML, not the API's error shape."""
    page = f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>"
    return text_reply(status, page, "text/html", str(status))


def not_found(target: str) -> ApiError:
    return ApiError(404, "NotFound", f"No HTTP resource was found that matches the request URI '{target}'.")


Handler = Callable[[Call], Reply]
