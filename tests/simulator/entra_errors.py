# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entra ID's errors, in the shape of its token endpoint."""

from __future__ import annotations

import uuid
from typing import Any

from .messages import Reply, json_reply


class EntraError(Exception):
    def __init__(self, number: int, error: str, text: str, *, status: int = 400, suberror: str = "") -> None:
        super().__init__(text)
        self.number, self.error, self.text, self.status, self.suberror = number, error, text, status, suberror

    def reply(self, timestamp: str, login_url: str) -> Reply:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        body: dict[str, Any] = {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {timestamp}",
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{login_url}/error?code={self.number}",
        }
        if self.suberror:
            body["suberror"] = self.suberror
        return json_reply(self.status, body, error_code=f"AADSTS{self.number}")
