# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From aiohttp's requests to the tenant's handlers and back, with faults and the log between them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from .faults import Faults
from .fleet import Fleet
from .messages import ApiError, Call, Handler, LoggedRequest, Reply, not_found
from .settings import Clock

MAX_URL = 8_000
_DRIP_STEPS = 20
_MOST_UNSENT = 4 * 1024 * 1024
_CONTROL = "/_simulator/"


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    endpoint: str
    handler: Handler
    tls: bool = True


def routes(table: list[tuple[str, str, str, Handler]], tls: bool = True) -> list[Route]:
    return [Route(method, re.compile(path, re.IGNORECASE), name, handler, tls) for method, path, name, handler in table]


class Gateway:
    def __init__(
        self,
        table: list[Route],
        fleet: Fleet,
        faults: Faults,
        clock: Clock,
        base: Callable[[], str],
        date_skew: float = 0.0,
    ) -> None:
        self._table, self._fleet, self._faults, self._clock, self._base = table, fleet, faults, clock, base
        self._date_skew = date_skew
        self.requests: list[LoggedRequest] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        route, parts = self._match(request)
        entry = LoggedRequest(
            self._clock(),
            "",
            request.method,
            request.path,
            route.endpoint if route else "unknown",
            query=dict(request.query),
            bearer="Authorization" in request.headers,
            user_agent=request.headers.get("User-Agent", ""),
        )
        self._name_subject(entry, parts)
        control = request.path.startswith(_CONTROL)
        if not control:
            self.requests.append(entry)
        body = await request.read()
        work = route.handler if route else self._unknown
        if len(request.raw_path) > MAX_URL:
            work = _too_long
        fault = None if control else self._faults.take(entry.endpoint, entry.machine_id)
        if fault is not None:
            entry.fault = fault.kind
            await asyncio.sleep(fault.delay_before)
        call = Call(
            request.method,
            request.path,
            request.raw_path,
            request.query,
            request.headers,
            body,
            self._clock(),
            entry,
            parts,
        )
        reply = work(call) if fault is None else fault.apply(work, call)
        entry.error_code = reply.error_code
        await asyncio.sleep(reply.delay)
        if reply.lacks("date"):
            reply.headers["Date"] = formatdate(self._clock() + self._date_skew, usegmt=True)
        return await _deliver(request, reply, entry)

    def _match(self, request: web.Request) -> tuple[Route | None, tuple[str, ...]]:
        for route in self._table:
            if route.method == request.method and route.tls == request.secure:
                match = route.pattern.fullmatch(request.path)
                if match:
                    return route, match.groups()
        return None, ()

    def _name_subject(self, entry: LoggedRequest, parts: tuple[str, ...]) -> None:
        if entry.endpoint in ("collect", "machine", "isolate", "unisolate"):
            entry.machine_id = parts[0]
        elif entry.endpoint in ("machine_action", "package_link", "cancel"):
            entry.action_id = parts[0].lower()
            entry.machine_id = self._fleet.machine_of(entry.action_id)
        elif entry.endpoint == "download":
            link = self._fleet.links.get(entry.query.get("token", ""))
            if link:
                entry.action_id, entry.machine_id = link.action.id, link.device.id

    def _unknown(self, call: Call) -> Reply:
        return not_found(f"{self._base()}{call.target}").reply()


def _too_long(call: Call) -> Reply:
    return ApiError(414, "RequestUriTooLong", "The request URI is too long").reply()


async def _deliver(request: web.Request, reply: Reply, entry: LoggedRequest) -> web.StreamResponse:
    if reply.closed:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    entry.status = reply.status
    if reply.raw:
        await _deliver_raw(request, reply)
        return web.Response()
    if _compressible(reply):
        # As the service does, for those who accept it.
        response: web.StreamResponse = web.Response(
            status=reply.status, headers=reply.headers, body=b"".join(reply.content.chunks())
        )
        if "deflate" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.deflate)
        return response
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = reply.length
    await response.prepare(request)
    stop = reply.start + (reply.length // 2 if reply.cut else reply.length)
    try:
        await _write(response, reply, stop)
    except ConnectionError:
        return response
    if reply.cut:
        await asyncio.sleep(0.05)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _compressible(reply: Reply) -> bool:
    plain = not (reply.cut or reply.seconds or reply.byte_seconds or "Content-Encoding" in reply.headers)
    return plain and reply.status == 200 and "json" in reply.headers.get("Content-Type", "")


async def _write(response: web.StreamResponse, reply: Reply, stop: int) -> None:
    start, content, length = reply.start, reply.content, stop - reply.start
    if reply.byte_seconds > 0:
        step, pause = 1, reply.byte_seconds
    elif reply.seconds > 0 and length > 0:
        step = max(1, length // _DRIP_STEPS)
        pause = reply.seconds * step / length
    else:
        for chunk in content.chunks(start, stop):
            await response.write(chunk)
        return
    for at in range(start, stop, step):
        for chunk in content.chunks(at, min(at + step, stop)):
            await response.write(chunk)
        await asyncio.sleep(pause)


async def _deliver_raw(request: web.Request, reply: Reply) -> None:
    """The head as it was asked for, the body, and then the connection is closed."""
    transport = request.transport
    if transport is None:
        return
    headers = dict(reply.headers)
    if reply.lacks("content-length"):
        headers["Content-Length"] = str(reply.length)
    lines = [f"HTTP/1.1 {reply.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", "replace")
    parts: list[bytes | memoryview] = [head, *reply.content.chunks(reply.start, reply.stop)]
    for part in parts:
        step = 1 if reply.byte_seconds > 0 else max(1, len(part))
        for at in range(0, len(part), step):
            if transport.is_closing():
                return
            transport.write(part[at : at + step])
            await asyncio.sleep(reply.byte_seconds)
            while transport.get_write_buffer_size() > _MOST_UNSENT and not transport.is_closing():
                await asyncio.sleep(0.01)
    transport.close()
