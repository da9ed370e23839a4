# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package downloads: no bearer, the token in the URL is the key."""

from __future__ import annotations

import hashlib
import re

from .fleet import Fleet
from .messages import Call, Content, Handler, Reply, text_reply
from .packages import corrupted

_ERROR_PAGE = "<html><head><title>Sign in to your account</title></head><body>Something went wrong.</body></html>"


class Downloads:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [("GET", r"/safedownload/WDATP_Investigation_Package\.zip", "download", self._download)]

    def _download(self, call: Call) -> Reply:
        link = self._fleet.links.get(call.query.get("token", ""))
        if link is None:
            return text_reply(403, '{"message":"invalid token"}', "application/json", "InvalidToken")
        action, device = link.action, link.device
        if link.expires <= call.now:
            return text_reply(403, '{"message":"expired token"}', "application/json", "ExpiredToken")
        gone = self._fleet.gone(link, call.now)
        if gone:
            return text_reply(gone, "", error_code="Gone")
        scenario = device.scenario
        if scenario == "not_zip" and self._fleet.spoil(device, "download"):
            return text_reply(200, _ERROR_PAGE, "text/html; charset=utf-8")
        content = self._fleet.package(link)
        tag = f'"{hashlib.sha1(f"{action.id} {content.size}".encode()).hexdigest()}"'
        if scenario == "corrupt" and self._fleet.spoil(device, "download"):
            content = corrupted(content)
        reply = _ranged(call, content, tag) if device.ranges else _whole(content)
        reply.cut = scenario == "truncated" and self._fleet.spoil(device, "download")
        reply.seconds = device.drip_seconds if scenario == "slow" else 0.0
        return reply


def _whole(content: Content) -> Reply:
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": "attachment; filename=WDATP_Investigation_Package.zip",
        "Cache-Control": "no-store",
    }
    return Reply(200, content, headers)


def _ranged(call: Call, content: Content, tag: str) -> Reply:
    reply = _whole(content)
    reply.headers.update({"Accept-Ranges": "bytes", "ETag": tag})
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if not match or match.group(1) == match.group(2) == "" or call.headers.get("If-Range", tag) != tag:
        return reply
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, content.size) if last else content.size
    else:
        start, stop = max(content.size - int(last), 0), content.size
    if start >= stop:
        refused = text_reply(416, "", error_code="416")
        refused.headers["Content-Range"] = f"bytes */{content.size}"
        return refused
    reply.status, reply.start, reply.stop = 206, start, stop
    reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return reply
