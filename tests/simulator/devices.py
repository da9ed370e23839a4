# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices of the tenant, as the fleet file describes them and as the API shows them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from .actions import COLLECT
from .packages import LAYOUTS
from .timestamps import iso, parse_utc

SCENARIOS = (
    "fine",
    "running",
    "recent",
    "fails",
    "times_out",
    "cancelled",
    "offline",
    "unsupported_os",
    "old_client",
    "forbidden",
    "lost_reply",
    "lost_request",
    "dropped_reply",
    "truncated",
    "corrupt",
    "not_zip",
    "expired_link",
    "huge",
    "slow",
    "busy_then_done",
)

_HUGE = 2 * 1024**3


@dataclass
class PastAction:
    """An action that exists when the simulator starts."""

    type: str = COLLECT
    status: str = "Succeeded"
    age: float = 3600.0
    comment: str = "Alert 4711"
    requestor: str = "analyst@contoso.com"
    # Whether the service counts it as running, whatever its status says.
    blocks: bool = False
    # Full or Selective of an isolation.
    scope: str | None = None


@dataclass
class Device:
    name: str
    scenario: str = "fine"
    id: str = ""
    aad_device_id: str | None = ""
    ip: str = ""
    external_ip: str = "203.0.113.10"
    os_platform: str = "Windows11"
    os_version: str = "23H2"
    # "": Active for what is onboarded, null for what is not.
    health_status: str | None = ""
    onboarding_status: str = "Onboarded"
    # Seconds before the start, or a UTC time.
    last_seen: float | str = 300.0
    first_seen: float | str = 30 * 86400.0
    tags: tuple[str, ...] = ()
    rbac_group: str | None = "Workstations"
    rbac_group_id: int = 5
    risk_score: str | None = "None"
    exposure_level: str | None = "Low"
    device_value: str | None = "Normal"
    merged_into: str | None = None
    agent_version: str | None = "10.8560.25364.1036"
    history: tuple[PastAction, ...] = ()
    package_size: int | None = None
    # "documented", "seen" by witnesses in the wild, or that one with backslashes in its names.
    package_layout: str = "documented"
    # Packages of one key have the same bytes, whichever the device and the action. A file's bytes are those of the file.
    package_key: str = ""
    package_file: str = ""
    # Over the setting of the same name: seconds for which the package of an action is kept after its end.
    package_retention: float | None = None
    # The word that stands in the place of InProgress.
    status_word: str = "InProgress"
    # There, but outside of what the app may see.
    hidden: bool = False
    # Classes of response actions that its onboarding forbids: "basic" (collecting), "advanced" (isolating).
    restricted: tuple[str, ...] = ()
    # Behind a full-tunnel VPN an isolated device loses its way to Defender.
    full_tunnel_vpn: bool = False
    collect_seconds: tuple[float, float] | None = None
    # What runs there ends when actions have been listed so many times since, however long that takes: who is to meet it need not be in
    # time. 0: by the clock.
    ends_after_looks: int = 0
    unseen_seconds: float | None = None
    unlisted_seconds: float | None = None
    running_since: float = 60.0
    recent_age: float = 600.0
    # How many times a scenario that spoils a call spoils it; 0 is always.
    times: int = 1
    ranges: bool = True
    drip_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"unknown scenario {self.scenario!r}; there are: {', '.join(SCENARIOS)}")
        if self.package_layout not in LAYOUTS:
            raise ValueError(f"package_layout is one of {', '.join(LAYOUTS)}, not {self.package_layout!r}")
        if self.health_status == "":
            self.health_status = "Active" if self.onboarded else None
        if not self.onboarded:
            self.agent_version = None
        self.id = (self.id or self.derived_id(1)).lower()
        self.tags, self.restricted = tuple(self.tags), tuple(self.restricted)
        if not set(self.restricted) <= {"basic", "advanced"}:
            raise ValueError(f"restricted is a list of basic and advanced, not {self.restricted!r}")
        self.history = tuple(item if isinstance(item, PastAction) else PastAction(**item) for item in self.history)
        if self.scenario == "huge" and self.package_size is None:
            self.package_size = _HUGE
        self._fill()

    @property
    def onboarded(self) -> bool:
        return self.onboarding_status.lower() == "onboarded"

    def derived_id(self, ordinal: int, realm: str = "") -> str:
        number = "" if ordinal == 1 else f"#{ordinal}"
        return hashlib.sha1(f"{self.name}{number}{realm}".encode()).hexdigest()

    def renumber(self, ordinal: int, realm: str = "") -> None:
        """Two records of one name, in one tenant or in two, are two devices, each with an identity of its own."""
        old = self._derived()
        self.id = self.derived_id(ordinal, realm)
        if self.aad_device_id == old[0]:
            self.aad_device_id = ""
        if self.ip == old[1]:
            self.ip = ""
        self._fill()

    def _derived(self) -> tuple[str, str]:
        digest = bytes.fromhex(hashlib.sha1(self.id.encode()).hexdigest())
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.id)), f"10.{digest[0]}.{digest[1]}.{1 + digest[2] % 254}"

    def _fill(self) -> None:
        aad_device_id, ip = self._derived()
        if self.aad_device_id == "":
            self.aad_device_id = aad_device_id
        self.ip = self.ip or ip

    def moment(self, value: float | str, start: float) -> float:
        return parse_utc(value) if isinstance(value, str) else start - value

    def entity(self, start: float) -> dict[str, Any]:
        mac = hashlib.sha1(self.id.encode()).hexdigest()[:12].upper()
        return {
            "id": self.id,
            "mergedIntoMachineId": self.merged_into,
            "isPotentialDuplication": self.merged_into is not None,
            "isExcluded": False,
            "exclusionReason": None,
            "computerDnsName": self.name,
            "firstSeen": iso(self.moment(self.first_seen, start)),
            "lastSeen": iso(self.moment(self.last_seen, start)),
            "osPlatform": self.os_platform,
            "osVersion": None,
            "osProcessor": "x64",
            "version": self.os_version,
            "lastIpAddress": self.ip,
            "lastExternalIpAddress": self.external_ip,
            "agentVersion": self.agent_version,
            "osBuild": 22631 if self.os_platform.startswith("Windows") else None,
            "healthStatus": self.health_status,
            "deviceValue": self.device_value,
            "rbacGroupId": self.rbac_group_id,
            "rbacGroupName": self.rbac_group,
            "riskScore": self.risk_score,
            "exposureLevel": self.exposure_level,
            "isAadJoined": self.aad_device_id is not None,
            "aadDeviceId": self.aad_device_id,
            "machineTags": list(self.tags),
            "onboardingStatus": self.onboarding_status,
            "osArchitecture": "64-bit",
            "managedBy": "Intune",
            "managedByStatus": "Success",
            "defenderAvStatus": "Updated",
            "vmMetadata": None,
            "ipAddresses": [
                {"ipAddress": self.ip, "macAddress": mac, "type": "Ethernet", "operationalStatus": "Up"},
                {"ipAddress": "127.0.0.1", "macAddress": None, "type": "SoftwareLoopback", "operationalStatus": "Up"},
            ],
        }
