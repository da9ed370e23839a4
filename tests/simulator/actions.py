# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine actions: their state is a function of the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .timestamps import iso

COLLECT = "CollectInvestigationPackage"
ISOLATE, UNISOLATE = "Isolate", "Unisolate"
# Isolation ends by itself after so many seconds.
ISOLATION_SECONDS = 7 * 86400.0
ACTIVE = ("Pending", "InProgress")
NEVER = float("inf")

# As captured: HTTP 408 as an HRESULT for TimeOut, E_ABORT for Cancelled. That of Failed (E_FAIL) is not.
_RESULTS = {"Failed": -2147467259, "TimeOut": -2145844840, "Cancelled": -2147467260}
# From the start of an action to its TimeOut, when the device never comes online: 3 days and 14 minutes, as captured.
OFFLINE_SECONDS = 3 * 86400.0 + 14 * 60.0 + 4.0


@dataclass
class Cancellation:
    requestor: str
    comment: str
    asked: float
    effective: float


@dataclass
class Action:
    id: str
    machine_id: str
    computer_dns_name: str
    type: str
    requestor: str
    comment: str
    created: float
    begins: float
    ends: float
    outcome: str
    cancellation: Cancellation | None = None
    request_source: str = "PublicApi"
    seen_from: float = 0.0
    listed_from: float = 0.0
    running_word: str = "InProgress"
    # Counted as running although it is over.
    blocks: bool = False
    scope: str | None = None

    def state(self, now: float) -> tuple[str, float]:
        """The status and the moment of the last change."""
        stop = self.cancellation.effective if self.cancellation else NEVER
        if self.ends <= min(stop, now):
            return self.outcome, self.ends
        if stop <= now:
            return "Cancelled", stop
        if self.begins <= now:
            return self.running_word, self.begins
        return "Pending", self.created

    def status(self, now: float) -> str:
        return self.state(now)[0]

    def active(self, now: float) -> bool:
        """Whether it stands in the way of another one; its status may be a word that nobody knows."""
        over = min(self.ends, self.cancellation.effective if self.cancellation else NEVER) <= now
        return self.blocks or not over

    def entity(self, now: float) -> dict[str, Any]:
        status, updated = self.state(now)
        cancellation = self.cancellation if self.cancellation and self.cancellation.asked <= now else None
        return {
            "id": self.id,
            "type": self.type,
            "title": None,
            "requestor": self.requestor,
            "requestorComment": self.comment,
            "status": status,
            "machineId": self.machine_id,
            "computerDnsName": self.computer_dns_name,
            "creationDateTimeUtc": iso(self.created),
            "lastUpdateDateTimeUtc": iso(updated),
            "cancellationRequestor": cancellation.requestor if cancellation else None,
            "cancellationComment": cancellation.comment if cancellation else None,
            "cancellationDateTimeUtc": iso(cancellation.asked) if cancellation else None,
            "errorHResult": _RESULTS.get(status, 0),
            "scope": self.scope,
            "externalId": None,
            "requestSource": self.request_source,
            "relatedFileInfo": None,
            "commands": [],
            "troubleshootInfo": None,
        }
