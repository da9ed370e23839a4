# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines and machine actions as the API gives them, and its times."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible_collections.secops.defender.plugins.module_utils._words.errors import ServiceError, printable

COLLECT = "CollectInvestigationPackage"
ISOLATE, UNISOLATE = "Isolate", "Unisolate"
# Machine action resource type, C(type), and what else was seen. The enum is open.
TYPES = (
    "RunAntiVirusScan",
    "Offboard",
    "LiveResponse",
    COLLECT,
    ISOLATE,
    UNISOLATE,
    "StopAndQuarantineFile",
    "RestrictCodeExecution",
    "UnrestrictCodeExecution",
    "RequestSample",
)

# Machine action resource type, C(status). Any other word is taken as not final: the enum is open.
PENDING, IN_PROGRESS, SUCCEEDED = "Pending", "InProgress", "Succeeded"
FAILED, TIMED_OUT, CANCELLED = "Failed", "TimeOut", "Cancelled"
FINAL = frozenset({SUCCEEDED, FAILED, TIMED_OUT, CANCELLED})

_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?$")

_ACTION_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_action_id(text: str) -> bool:
    """Whether a text can be the ID of a machine action, which is a GUID."""
    return _ACTION_ID.fullmatch(text.strip()) is not None


def parse_time(text: object) -> float:
    """Seconds since 1970 of an API time, which has up to seven fractional digits; 0.0 for what is no time."""
    match = _TIME.match(text) if isinstance(text, str) else None
    if not match:
        return 0.0
    zone = "+00:00" if match[3] in (None, "Z") else match[3]
    try:
        whole = datetime.fromisoformat(match[1] + zone).timestamp()
    except ValueError:
        return 0.0
    return whole + (float(f"0.{match[2]}") if match[2] else 0.0)


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(span: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3 h 26 min."""
    if span < 90:
        return f"{math.ceil(span)} s"
    minutes = math.ceil(span / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


@dataclass(frozen=True)
class Machine:
    """A device (Machine resource type). Times are the API's own strings."""

    id: str
    dns_name: str | None = None
    aad_device_id: str | None = None
    last_ip: str | None = None
    health_status: str | None = None
    last_seen: str | None = None
    merged_into: str | None = None
    os_platform: str | None = None
    onboarding_status: str | None = None
    tags: tuple[str, ...] = ()
    risk_score: str | None = None
    exposure: str | None = None
    group: str | None = None

    @classmethod
    def from_api(cls, entity: object) -> Machine:
        """Raises ServiceError for an entity without an id."""
        if not isinstance(entity, dict) or not _text(entity.get("id")):
            raise ServiceError("The service sent a machine without an id.", code="MalformedReply")
        return cls(
            id=str(entity["id"]).lower(),
            dns_name=_text(entity.get("computerDnsName")),
            aad_device_id=_text(entity.get("aadDeviceId")),
            last_ip=_text(entity.get("lastIpAddress")),
            health_status=_text(entity.get("healthStatus")),
            last_seen=_text(entity.get("lastSeen")),
            merged_into=_text(entity.get("mergedIntoMachineId")),
            os_platform=_text(entity.get("osPlatform")),
            onboarding_status=_text(entity.get("onboardingStatus")),
            tags=tuple(map(str, tags)) if isinstance(tags := entity.get("machineTags"), list) else (),
            risk_score=_text(entity.get("riskScore")),
            exposure=_text(entity.get("exposureLevel")),
            group=_text(entity.get("rbacGroupName")),
        )

    @property
    def active(self) -> bool:
        return (self.health_status or "").lower() == "active"

    @property
    def onboarded(self) -> bool:
        """Whether it can be collected from. A record that does not say is taken as one that can."""
        return (self.onboarding_status or "Onboarded").lower() == "onboarded"

    @property
    def condition(self) -> str:
        """What a person chooses by: C(Windows11, Active, Onboarded, last seen 2026-11-23T08:00:00Z)."""
        return ", ".join(
            (
                self.os_platform or "system unknown",
                self.health_status or "health unknown",
                self.onboarding_status or "onboarding unknown",
                f"last seen {self.last_seen or 'never'}",
            )
        )

    @property
    def label(self) -> str:
        """How the device is named to a person."""
        return self.dns_name or self.id


@dataclass(frozen=True)
class Action:
    """A machine action (Machine action resource type), parsed leniently: fields may be missing by type and status."""

    id: str
    type: str
    status: str
    machine_id: str
    dns_name: str | None
    requestor: str | None
    comment: str | None
    created: str | None
    updated: str | None
    raw: dict[str, t.Any]

    @classmethod
    def from_api(cls, entity: object) -> Action:
        """Raises ServiceError for an entity without an id or a status."""
        if not isinstance(entity, dict) or not _text(entity.get("id")) or not isinstance(entity.get("status"), str):
            raise ServiceError("The service sent a machine action without an id or a status.", code="MalformedReply")
        return cls(
            id=str(entity["id"]),
            type=str(entity.get("type") or ""),
            status=entity["status"],
            machine_id=str(entity.get("machineId") or "").lower(),
            dns_name=_text(entity.get("computerDnsName")),
            requestor=_text(entity.get("requestor")),
            comment=_text(entity.get("requestorComment")),
            created=_text(entity.get("creationDateTimeUtc")),
            updated=_text(entity.get("lastUpdateDateTimeUtc")),
            raw={key: value for key, value in entity.items() if not key.startswith("@")},
        )

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def created_at(self) -> float:
        return parse_time(self.created)

    @property
    def updated_at(self) -> float:
        return parse_time(self.updated) or self.created_at

    def as_result(self) -> dict[str, t.Any]:
        """The C(action) of a device in a result."""
        return {
            "id": self.id,
            "status": self.status,
            "requestor": self.requestor,
            "comment": self.comment,
            "created": self.created,
            "updated": self.updated,
        }


# A text of an alert is cut to so many characters: a rule and a comment need no more.
_LONGEST = 1000
# How Jinja begins an expression, a statement and a comment.
_JINJA = re.compile(r"\{(?=[{%#])")


def _tame(value: object) -> str | None:
    """A text of an alert that nothing behind the event source takes for more than a text.

    Whoever names a file or a device has a say in it, and ansible-rulebook hands events to playbooks as extra variables, which
    Ansible templates: what would begin a template is taken apart.
    """
    text = _text(value)
    return _JINJA.sub("{ ", printable(text[:_LONGEST])) if text else None


@dataclass(frozen=True)
class Alert:
    """An alert (Alert resource type), parsed leniently. Times are the API's own strings."""

    id: str
    severity: str | None = None
    status: str | None = None
    title: str | None = None
    category: str | None = None
    detection_source: str | None = None
    incident_id: int | str | None = None
    machine_id: str | None = None
    dns_name: str | None = None
    created: str | None = None
    updated: str | None = None

    @classmethod
    def from_api(cls, entity: t.Mapping[str, t.Any]) -> Alert:
        """An alert as the list of alerts has it, which gives none without an id."""
        incident = entity.get("incidentId")
        return cls(
            id=_tame(entity["id"]) or "",
            severity=_tame(entity.get("severity")),
            status=_tame(entity.get("status")),
            title=_tame(entity.get("title")),
            category=_tame(entity.get("category")),
            detection_source=_tame(entity.get("detectionSource")),
            incident_id=incident if isinstance(incident, int) else _tame(incident),
            machine_id=(_tame(entity.get("machineId")) or "").lower() or None,
            dns_name=_tame(entity.get("computerDnsName")),
            created=_tame(entity.get("alertCreationTime")),
            updated=_tame(entity.get("lastUpdateTime")),
        )

    @property
    def changed_at(self) -> float:
        """When it was last changed, or made; 0.0 where the service does not say."""
        return max(parse_time(self.updated), parse_time(self.created))

    def as_event(self) -> dict[str, t.Any]:
        """The C(alert) of an event."""
        return {
            "id": self.id,
            "severity": self.severity,
            "status": self.status,
            "title": self.title,
            "category": self.category,
            "detection_source": self.detection_source,
            "incident_id": self.incident_id,
            "machine_id": self.machine_id,
            "computer_dns_name": self.dns_name,
            "created": self.created,
            "updated": self.updated,
        }
