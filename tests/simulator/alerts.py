# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tenant's alerts; what the clock says decides which are there, and how far they have come."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .devices import Device
from .fleet import Fleet
from .messages import ApiError
from .odata import Kind
from .timestamps import iso

ALERT_PROPERTIES: dict[str, Kind] = {
    "alertCreationTime": "date",
    "lastUpdateTime": "date",
    "lastEventTime": "date",
    "incidentId": "number",
    "investigationId": "number",
    "id": "string",
    "assignedTo": "string",
    "detectionSource": "string",
    "status": "string",
    "severity": "string",
    "category": "string",
}
SEVERITIES = ("UnSpecified", "Informational", "Low", "Medium", "High")
_EVIDENCE = (
    "entityType", "evidenceCreationTime", "sha1", "sha256", "fileName", "filePath", "processId", "processCommandLine",
    "processCreationTime", "parentProcessId", "parentProcessCreationTime", "parentProcessFileName",
    "parentProcessFilePath", "ipAddress", "url", "registryKey", "registryHive", "registryValueType", "registryValue",
    "accountName", "domainName", "userSid", "aadUserId", "userPrincipalName", "detectionStatus",
)  # fmt: skip


@dataclass
class Change:
    """What an analyst, or Defender itself, changes about an alert so many seconds after its creation."""

    after: float
    severity: str = ""
    status: str = ""


@dataclass
class Alert:
    """machine: name or ID of a device, "" for an alert that is about none.

    age: seconds before the start; a negative one comes true after it. late: seconds from the alert's creation to the
    moment at which the API shows it.
    """

    machine: str = ""
    severity: str = "High"
    status: str = "New"
    title: str = "Suspicious 'Meterpreter' behavior was detected"
    category: str = "SuspiciousActivity"
    detection_source: str = "WindowsDefenderAtp"
    incident_id: int = 0
    id: str = ""
    assigned_to: str | None = None
    age: float = 600.0
    late: float = 0.0
    changes: tuple[Change, ...] = ()
    evidence: tuple[dict[str, Any], ...] = field(default_factory=lambda: ({"entityType": "File", "fileName": "a.dll"},))

    def __post_init__(self) -> None:
        self.changes = tuple(item if isinstance(item, Change) else Change(**item) for item in self.changes)
        self.evidence = tuple(self.evidence)
        for severity in (self.severity, *(change.severity for change in self.changes if change.severity)):
            if severity not in SEVERITIES:
                raise ValueError(f"severity is one of {', '.join(SEVERITIES)}, not {severity!r}")


class Alerts:
    def __init__(self, alerts: Iterable[Alert], fleet: Fleet, tenant: str) -> None:
        self._first, self._fleet, self._tenant = list(alerts), fleet, tenant
        self.reset()

    def reset(self) -> None:
        self._alerts: dict[str, tuple[Alert, float]] = {}
        for alert in self._first:
            self.add(alert, self._fleet.start)

    def add(self, alert: Alert, start: float) -> str:
        """The ID of an alert whose age counts from start."""
        number = len(self._alerts) + 1
        created = start - alert.age
        if not alert.id:
            digest = hashlib.sha1(f"{self._tenant} {number} {alert.machine}".encode()).digest()
            # A tick is 100 ns, counted from the year 1; the second number may be negative, as in the documentation.
            alert.id = f"da{int(created * 10_000_000) + 621_355_968_000_000_000}_{struct.unpack('<i', digest[:4])[0]}"
        alert.incident_id = alert.incident_id or 7000 + number
        # A copy: what becomes of it later is forgotten by a reset.
        self._alerts[alert.id] = (replace(alert), created)
        return alert.id

    def change(self, alert_id: str, now: float, severity: str = "", status: str = "") -> None:
        alert, created = self._alerts[alert_id]
        alert.changes = (*alert.changes, Change(now - created, severity, status))

    def rows(self, now: float, expand: bool) -> list[dict[str, Any]]:
        """Newest first."""
        shown = [pair for pair in list(self._alerts.values()) if self._shown(*pair, now)]
        shown.sort(key=lambda pair: pair[1], reverse=True)
        return [self._entity(alert, created, now, expand) for alert, created in shown]

    def row(self, alert_id: str, now: float, expand: bool) -> dict[str, Any]:
        pair = self._alerts.get(alert_id)
        if pair is None or not self._shown(*pair, now):
            raise ApiError(404, "ResourceNotFound", f"Alert {alert_id} was not found")
        return self._entity(*pair, now, expand)

    def _shown(self, alert: Alert, created: float, now: float) -> bool:
        device = self._device(alert)
        return created + alert.late <= now and not (device is not None and device.hidden)

    def _device(self, alert: Alert) -> Device | None:
        named = (device for device in self._fleet.devices if alert.machine in (device.name, device.id))
        return next(named, None)

    def _entity(self, alert: Alert, created: float, now: float, expand: bool) -> dict[str, Any]:
        severity, status, updated = alert.severity, alert.status, created
        for change in alert.changes:
            if created + change.after <= now:
                severity, status = change.severity or severity, change.status or status
                updated = max(updated, created + change.after)
        device = self._device(alert)
        return {
            "id": alert.id,
            "incidentId": alert.incident_id,
            "investigationId": None,
            "assignedTo": alert.assigned_to,
            "severity": severity,
            "status": status,
            "classification": None,
            "determination": None,
            "investigationState": "Queued",
            "detectionSource": alert.detection_source,
            "detectorId": "17e10bbc-3a68-474a-8aad-faef14d43952",
            "category": alert.category,
            "threatFamilyName": None,
            "title": alert.title,
            "description": alert.title,
            "alertCreationTime": iso(created),
            "firstEventTime": iso(created - 90),
            "lastEventTime": iso(created - 85),
            "lastUpdateTime": iso(updated),
            "resolvedTime": iso(updated) if status == "Resolved" else None,
            "machineId": device.id if device else None,
            "computerDnsName": device.name if device else None,
            "rbacGroupName": device.rbac_group if device else None,
            "aadTenantId": self._tenant,
            "threatName": None,
            "mitreTechniques": ["T1064"],
            "relatedUser": None,
            "comments": [],
            "evidence": [{**dict.fromkeys(_EVIDENCE), **item} for item in alert.evidence] if expand else [],
        }
