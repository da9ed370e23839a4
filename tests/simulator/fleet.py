# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, machine actions and links, and how they behave over time.

A machine action's state is a function of the clock; nothing runs in the background, so nothing depends on scheduling.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .messages import ApiError, Content
from .packages import package
from .settings import Clock, Settings
from .timestamps import iso, parse_utc

COLLECT = "CollectInvestigationPackage"
ACTIVE = ("Pending", "InProgress")
NEVER = float("inf")

SCENARIOS = (
    "fine", "running", "recent", "fails", "times_out", "cancelled", "offline", "unsupported_os", "old_client", "forbidden",
    "lost_reply", "lost_request", "dropped_reply", "truncated", "corrupt", "not_zip", "expired_link", "huge", "slow",
    "busy_then_done",
)  # fmt: skip

_E_FAIL = -2147467259
_HUGE = 2 * 1024**3


@dataclass
class PastAction:
    """An action that exists when the simulator starts."""

    type: str = COLLECT
    status: str = "Succeeded"
    age: float = 3600.0
    comment: str = "Alert 4711"
    requestor: str = "analyst@contoso.com"


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
    health_status: str = "Active"
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
    agent_version: str = "10.8560.25364.1036"
    history: tuple[PastAction, ...] = ()
    package_size: int | None = None
    collect_seconds: tuple[float, float] | None = None
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
        self.name = self.name.lower()
        self.id = (self.id or self.derived_id(1)).lower()
        self.tags = tuple(self.tags)
        self.history = tuple(item if isinstance(item, PastAction) else PastAction(**item) for item in self.history)
        if self.scenario == "huge" and self.package_size is None:
            self.package_size = _HUGE
        self._fill()

    def derived_id(self, ordinal: int) -> str:
        return hashlib.sha1(f"{self.name}#{ordinal}".encode()).hexdigest()

    def renumber(self, ordinal: int) -> None:
        """Two records of one name are two devices, each with an identity of its own."""
        old = self._derived()
        self.id = self.derived_id(ordinal)
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


@dataclass
class Cancellation:
    requestor: str
    comment: str
    asked: float
    effective: float


@dataclass
class Action:
    id: str
    device: Device
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
    links: int = 0
    downloads: int = 0

    def state(self, now: float) -> tuple[str, float]:
        """The status and the moment of the last change."""
        stop = self.cancellation.effective if self.cancellation else NEVER
        if self.ends <= min(stop, now):
            return self.outcome, self.ends
        if stop <= now:
            return "Cancelled", stop
        if self.begins <= now:
            return "InProgress", self.begins
        return "Pending", self.created

    def status(self, now: float) -> str:
        return self.state(now)[0]

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
            "machineId": self.device.id,
            "computerDnsName": self.device.name,
            "creationDateTimeUtc": iso(self.created),
            "lastUpdateDateTimeUtc": iso(updated),
            "cancellationRequestor": cancellation.requestor if cancellation else None,
            "cancellationComment": cancellation.comment if cancellation else None,
            "cancellationDateTimeUtc": iso(cancellation.asked) if cancellation else None,
            "errorHResult": _E_FAIL if status == "Failed" else 0,
            "scope": None,
            "externalId": None,
            "requestSource": self.request_source,
            "relatedFileInfo": None,
            "commands": [],
            "troubleshootInfo": None,
        }


@dataclass(frozen=True)
class Link:
    action: Action
    expires: float


@dataclass
class Fleet:
    devices: list[Device]
    settings: Settings
    clock: Clock
    actions: list[Action] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._by_id: dict[str, Device] = {}
        names: Counter[str] = Counter()
        for device in self.devices:
            names[device.name] += 1
            if device.id in self._by_id and device.id == device.derived_id(1):
                device.renumber(names[device.name])
            if device.id in self._by_id:
                raise ValueError(f"two devices with the id {device.id}")
            self._by_id[device.id] = device
        self.reset()

    def reset(self) -> None:
        """Back to the moment of the start, which is now."""
        self._random = random.Random(self.settings.seed)
        self._spoiled: Counter[tuple[str, str]] = Counter()
        self.start = self.clock()
        self.actions.clear()
        self._action_by_id: dict[str, Action] = {}
        self._actions_of: dict[str, list[Action]] = {}
        self.links.clear()
        self.starts.clear()
        for device in self.devices:
            for past in device.history:
                self._remember(device, past)
            if device.scenario == "recent":
                self._remember(device, PastAction(age=device.recent_age))
            elif device.scenario in ("running", "busy_then_done"):
                self._already_running(device)
        self._entities = [device.entity(self.start) for device in self.devices]

    # Devices

    def machine_entities(self) -> list[dict[str, Any]]:
        return self._entities

    def device(self, machine_id: str) -> Device:
        device = self._by_id.get(machine_id)
        if device is None:
            raise ApiError(404, "ResourceNotFound", f"Machine {machine_id} was not found")
        return device

    def device_or_name(self, key: str) -> Device:
        for device in self.devices:
            if device.name == key:
                return device
        return self.device(key)

    def seen_with_ip(self, ip: str, around: float, span: float, now: float) -> Iterator[Device]:
        for device in self.devices:
            until = now if device.health_status == "Active" else device.moment(device.last_seen, self.start)
            since = device.moment(device.first_seen, self.start)
            if device.ip == ip and since <= around + span and around - span <= until:
                yield device

    # Machine actions

    def listed(self, now: float) -> list[Action]:
        """Newest first."""
        seen = [action for action in self.actions if action.listed_from <= now]
        return sorted(reversed(seen), key=lambda action: action.created, reverse=True)

    def action(self, action_id: str, now: float) -> Action:
        action = self._action_by_id.get(action_id.lower())
        if action is not None and action.seen_from <= now:
            return action
        raise ApiError(404, "ResourceNotFound", f"Machine action {action_id} was not found")

    def machine_of(self, action_id: str) -> str:
        action = self._action_by_id.get(action_id)
        return action.device.id if action else ""

    def start_collection(self, device: Device, comment: str, requestor: str, now: float) -> Action:
        self._refuse(device, now)
        action = self._new_action(device, comment, requestor, now)
        self.starts[device.id] += 1
        return action

    def _refuse(self, device: Device, now: float) -> None:
        if device.scenario == "forbidden":
            raise ApiError(403, "Forbidden", f"The caller has no access to the device group of machine {device.id}")
        if device.scenario == "unsupported_os":
            message = f"OS Platform {device.os_platform} isn't supported for this action"
            raise ApiError(400, "OsPlatformNotSupported", message)
        if device.scenario == "old_client":
            message = f"{COLLECT} is supported on client version 10.8040.17763.1 and above"
            raise ApiError(400, "ClientVersionNotSupported", message)
        if device.onboarding_status.lower() != "onboarded":
            raise ApiError(400, "BadRequest", f"Machine {device.id} is not onboarded")
        for action in self._actions_of.get(device.id, []):
            if action.type == COLLECT and action.status(now) in ACTIVE:
                if device.scenario == "busy_then_done" and self.spoil(device, "busy"):
                    action.begins, action.ends = min(action.begins, now), now
                raise ApiError(400, "ActiveRequestAlreadyExists", "Action is already in progress")

    def _new_action(self, device: Device, comment: str, requestor: str, now: float) -> Action:
        seconds = self._duration(device)
        outcome = {"fails": "Failed", "times_out": "TimeOut"}.get(device.scenario, "Succeeded")
        unseen = self.settings.unseen_seconds if device.unseen_seconds is None else device.unseen_seconds
        unlisted = self.settings.unlisted_seconds if device.unlisted_seconds is None else device.unlisted_seconds
        action = Action(
            self._guid(), device, COLLECT, requestor, comment,
            created=now, begins=now + 0.3 * seconds, ends=now + seconds, outcome=outcome,
            seen_from=now + unseen, listed_from=now + unlisted,
        )  # fmt: skip
        if device.scenario == "offline":
            action.begins = action.ends = NEVER
        elif device.scenario == "cancelled":
            action.ends = NEVER
            action.cancellation = Cancellation("analyst@contoso.com", "Not needed", now + 0.9 * seconds, now + seconds)
        return self._keep(action)

    def _keep(self, action: Action) -> Action:
        self.actions.append(action)
        self._action_by_id[action.id] = action
        self._actions_of.setdefault(action.device.id, []).append(action)
        return action

    def cancel(self, action: Action, requestor: str, comment: str, now: float) -> None:
        if action.status(now) not in ACTIVE:
            raise ApiError(400, "BadRequest", f"Machine action {action.id} is in a final state and cannot be cancelled")
        if action.cancellation is None or action.cancellation.asked > now:
            action.cancellation = Cancellation(requestor, comment, now, now + self.settings.cancel_seconds)

    def _already_running(self, device: Device) -> None:
        past = PastAction(status="InProgress", age=device.running_since)
        action = self._remember(device, past)
        action.begins = action.created
        action.ends = NEVER if device.scenario == "busy_then_done" else self.start + self._duration(device)

    def _remember(self, device: Device, past: PastAction) -> Action:
        created = self.start - past.age
        ends = NEVER if past.status in ACTIVE else created + min(90.0, past.age)
        begins = NEVER if past.status == "Pending" else created
        outcome = "Succeeded" if past.status in (*ACTIVE, "Cancelled") else past.status
        action = Action(self._guid(), device, past.type, past.requestor, past.comment, created, begins, ends, outcome)
        action.request_source = "Portal"
        if past.status == "Cancelled":
            action.cancellation, action.ends = Cancellation(past.requestor, "Not needed", created, ends), NEVER
        return self._keep(action)

    def _duration(self, device: Device) -> float:
        return self._random.uniform(*(device.collect_seconds or self.settings.collect_seconds))

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # Packages

    def new_link(self, action: Action, now: float) -> str:
        """The token of a new link, as random as the service's, with the characters that need care in a URL."""
        if action.type != COLLECT or action.status(now) != "Succeeded":
            raise ApiError(
                404, "ResourceNotFound", f"Investigation package of machine action {action.id} was not found"
            )
        action.links += 1
        dead = action.device.scenario == "expired_link" and self.spoil(action.device, "link")
        token = f"{self._random.getrandbits(384):096x}=="
        self.links[token] = Link(action, now - 1 if dead else now + self.settings.link_lifetime)
        return token

    def package(self, action: Action) -> Content:
        device = action.device
        return package(self.settings.seed, action.id, device.name, device.os_platform, device.package_size)

    def spoil(self, device: Device, what: str) -> bool:
        """Whether the scenario still spoils this call; counts it when it does."""
        key = (device.id, what)
        if device.times and self._spoiled[key] >= device.times:
            return False
        self._spoiled[key] += 1
        return True
