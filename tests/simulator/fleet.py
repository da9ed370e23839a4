# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tenant's devices, machine actions and links, and how they behave over time.

Nothing runs in the background: what the clock says decides, so nothing depends on scheduling.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .actions import (
    ACTIVE,
    COLLECT,
    ISOLATE,
    ISOLATION_SECONDS,
    NEVER,
    OFFLINE_SECONDS,
    UNISOLATE,
    Action,
    Cancellation,
)
from .devices import Device, PastAction
from .messages import ApiError, Content
from .packages import package
from .settings import Clock, Settings

_MINIMUM_CLIENT = "10.8040.17763.1"
# What a finished action of the past is said to have taken.
_USUAL_SECONDS = 90.0


@dataclass(frozen=True)
class Link:
    action: Action
    device: Device
    expires: float


class Fleet:
    def __init__(self, devices: list[Device], settings: Settings, clock: Clock) -> None:
        self.devices = devices
        self._settings, self._clock = settings, clock
        self._by_id: dict[str, Device] = {}
        names: Counter[str] = Counter()
        for device in devices:
            names[device.name] += 1
            if device.id == device.derived_id(1) and (device.id in self._by_id or settings.realm):
                device.renumber(names[device.name], settings.realm)
            if device.id in self._by_id:
                raise ValueError(f"two devices with the id {device.id}")
            self._by_id[device.id] = device
        self.reset()

    def reset(self) -> None:
        """Back to the moment of the start, which is now."""
        self.start = self._clock()
        self.actions: list[Action] = []
        self.links: dict[str, Link] = {}
        self.starts: Counter[str] = Counter()
        self._action_by_id: dict[str, Action] = {}
        self._actions_of: dict[str, list[Action]] = {}
        realm = self._settings.realm
        self._random = random.Random(f"{self._settings.seed}{realm}" if realm else self._settings.seed)
        self._spoiled: Counter[tuple[str, str]] = Counter()
        # By action: how many looks it goes on for.
        self._looks: dict[str, int] = {}
        for device in self.devices:
            for past in device.history:
                self._remember(device, past)
            if device.scenario == "recent":
                self._remember(device, PastAction(age=device.recent_age + _USUAL_SECONDS))
            elif device.scenario in ("running", "busy_then_done"):
                action = self._remember(device, PastAction(status="InProgress", age=device.running_since))
                if device.scenario == "running" and not self._waits_for_looks(device, action):
                    action.ends = self.start + self._duration(device)
        self.machine_entities = [device.entity(self.start) for device in self._visible()]

    # Devices

    def _visible(self) -> list[Device]:
        return [device for device in self.devices if not device.hidden]

    def device(self, machine_id: str) -> Device:
        device = self._by_id.get(machine_id)
        if device is None or device.hidden:
            raise ApiError(404, "ResourceNotFound", f"Machine {machine_id} was not found")
        return device

    def device_or_name(self, key: str) -> Device:
        def same(name: str) -> bool:
            return name == key if self._settings.case_sensitive_names else name.lower() == key.lower()

        for device in self._visible():
            if same(device.name):
                return device
        return self.device(key)

    def seen_with_ip(self, ip: str, around: float, span: float, now: float) -> Iterator[Device]:
        """An active device is on the network until now; lastSeen is only its last full report."""
        for device in self._visible():
            until = now if device.health_status == "Active" else device.moment(device.last_seen, self.start)
            since = device.moment(device.first_seen, self.start)
            if device.ip == ip and since <= around + span and around - span <= until:
                yield device

    # Machine actions

    def _waits_for_looks(self, device: Device, action: Action) -> bool:
        if device.ends_after_looks:
            self._looks[action.id], action.ends = device.ends_after_looks, NEVER
        return bool(device.ends_after_looks)

    def listed(self, now: float) -> list[Action]:
        """Newest first. It is a look at all that runs."""
        for action_id, left in list(self._looks.items()):
            self._looks[action_id] = left - 1
            if left == 1:
                self._action_by_id[action_id].ends = now
                del self._looks[action_id]
        hidden = {device.id for device in self.devices if device.hidden}
        seen = [action for action in self.actions if action.listed_from <= now and action.machine_id not in hidden]
        return sorted(reversed(seen), key=lambda action: action.created, reverse=True)

    def action(self, action_id: str, now: float) -> Action:
        action = self._action_by_id.get(action_id.lower())
        if action is None or action.seen_from > now or self._by_id[action.machine_id].hidden:
            raise ApiError(404, "ResourceNotFound", f"Machine action {action_id} was not found")
        return action

    def machine_of(self, action_id: str) -> str:
        action = self._action_by_id.get(action_id)
        return action.machine_id if action else ""

    def start_collection(self, device: Device, comment: str, requestor: str, now: float) -> Action:
        self._refuse(device, COLLECT, "basic", now)
        if not device.onboarded:
            raise ApiError(400, "BadRequest", f"Machine {device.id} is not onboarded")
        action = self._new_action(device, COLLECT, comment, requestor, now, self._duration(device))
        if device.scenario == "cancelled":
            seconds = action.ends - now
            action.ends = NEVER
            action.cancellation = Cancellation("analyst@contoso.com", "Not needed", now + 0.9 * seconds, now + seconds)
        self._waits_for_looks(device, action)
        self.starts[device.id] += 1
        return self._keep(action)

    def start_isolation(self, device: Device, scope: str | None, comment: str, requestor: str, now: float) -> Action:
        """Isolates with the scope Full, Selective or UnManagedDevice, or releases, with none."""
        kind = ISOLATE if scope else UNISOLATE
        self._refuse(device, kind, "advanced", now)
        if scope and device.onboarded == (scope == "UnManagedDevice"):
            raise ApiError(400, "BadRequest", f"IsolationType {scope} is not one for machine {device.id}")
        if scope == "Selective" and not device.os_platform.startswith("Windows"):
            message = f"OS Platform {device.os_platform} isn't supported for this action"
            raise ApiError(400, "OsPlatformNotSupported", message)
        if self._settings.refuse_repeated_isolation and self.isolated(device, now) is bool(scope):
            state = "already isolated" if scope else "not isolated"
            raise ApiError(400, "BadRequest", f"Machine {device.id} is {state}")
        seconds = self._random.uniform(*self._settings.isolate_seconds)
        action = self._new_action(device, kind, comment, requestor, now, seconds)
        action.scope = scope
        return self._keep(action)

    def isolated(self, device: Device, now: float) -> bool:
        """No field of a machine tells; it is the newest that succeeded, and isolation ends by itself."""
        done = [
            action
            for action in self._actions_of.get(device.id, [])
            if action.type in (ISOLATE, UNISOLATE) and action.status(now) == "Succeeded"
        ]
        newest = max(done, key=lambda action: action.ends, default=None)
        return newest is not None and newest.type == ISOLATE and now < newest.ends + ISOLATION_SECONDS

    def _new_action(
        self, device: Device, kind: str, comment: str, requestor: str, now: float, seconds: float
    ) -> Action:
        outcome = {"fails": "Failed", "times_out": "TimeOut"}.get(device.scenario, "Succeeded")
        begins, ends = now + 0.3 * seconds, now + seconds
        if device.scenario == "offline" or (device.full_tunnel_vpn and self.isolated(device, now)):
            begins, ends, outcome = NEVER, now + OFFLINE_SECONDS, "TimeOut"
        return Action(
            self._guid(),
            device.id,
            device.name,
            kind,
            requestor,
            comment,
            now,
            begins,
            ends,
            outcome,
            seen_from=now + _either(device.unseen_seconds, self._settings.unseen_seconds),
            listed_from=now + _either(device.unlisted_seconds, self._settings.unlisted_seconds),
            running_word=device.status_word,
        )

    def _refuse(self, device: Device, kind: str, response_class: str, now: float) -> None:
        if device.scenario == "forbidden":
            raise ApiError(403, "Forbidden", f"The caller has no access to the device group of machine {device.id}")
        if response_class in device.restricted:
            # Preview of April 2026; neither the status nor the code of the API's refusal is published.
            message = f"Response actions of the class {response_class} are restricted on machine {device.id}"
            raise ApiError(403, "ResponseActionRestricted", message)
        if device.scenario == "unsupported_os":
            message = f"OS Platform {device.os_platform} isn't supported for this action"
            raise ApiError(400, "OsPlatformNotSupported", message)
        if device.scenario == "old_client":
            message = f"{kind} is supported on client version {_MINIMUM_CLIENT} and above"
            raise ApiError(400, "ClientVersionNotSupported", message)
        for action in self._actions_of.get(device.id, []):
            if action.type == kind and action.active(now):
                if device.scenario == "busy_then_done" and self.spoil(device, "busy"):
                    action.ends = now
                raise ApiError(400, "ActiveRequestAlreadyExists", "Action is already in progress")

    def cancel(self, action: Action, requestor: str, comment: str, now: float) -> None:
        if not action.active(now):
            message = f"Machine action {action.id} is in a final state and cannot be cancelled"
            raise ApiError(400, "BadRequest", message)
        if action.cancellation is None or action.cancellation.asked > now:
            action.cancellation = Cancellation(requestor, comment, now, now + self._settings.cancel_seconds)

    def _remember(self, device: Device, past: PastAction) -> Action:
        created = self.start - past.age
        active = past.status in ACTIVE
        ends = NEVER if active else created + min(_USUAL_SECONDS, past.age)
        action = Action(
            self._guid(),
            device.id,
            device.name,
            past.type,
            past.requestor,
            past.comment,
            created,
            begins=NEVER if past.status == "Pending" else created,
            ends=ends,
            outcome="Succeeded" if active else past.status,
            request_source="Portal",
            running_word=device.status_word,
            blocks=past.blocks,
            scope=past.scope or ("Full" if past.type == ISOLATE else None),
        )
        if past.status == "Cancelled":
            action.cancellation = Cancellation(past.requestor, "Not needed", created, ends)
        return self._keep(action)

    def _keep(self, action: Action) -> Action:
        self.actions.append(action)
        self._action_by_id[action.id] = action
        self._actions_of.setdefault(action.machine_id, []).append(action)
        return action

    def _duration(self, device: Device) -> float:
        return self._random.uniform(*(device.collect_seconds or self._settings.collect_seconds))

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # Packages

    def new_link(self, action: Action, now: float) -> str:
        """The token of a new link; the padding at its end needs care in a URL."""
        expired = self._settings.expired_package == "no_link" and self._expired(action, now)
        if action.type != COLLECT or action.status(now) != "Succeeded" or expired:
            message = f"Investigation package of machine action {action.id} was not found"
            raise ApiError(404, "ResourceNotFound", message)
        device = self.device(action.machine_id)
        dead = device.scenario == "expired_link" and self.spoil(device, "link")
        token = f"{self._random.getrandbits(384):096x}=="
        self.links[token] = Link(action, device, now if dead else now + self._settings.link_lifetime)
        return token

    def _expired(self, action: Action, now: float) -> bool:
        own = self._by_id[action.machine_id].package_retention
        kept = self._settings.package_retention if own is None else own
        return kept is not None and action.ends + kept <= now

    def gone(self, link: Link, now: float) -> int:
        """The HTTP status of a link to a package that is not kept any more; 0 while it is."""
        answer = self._settings.expired_package
        return int(answer) if answer != "no_link" and self._expired(link.action, now) else 0

    def package(self, link: Link) -> Content:
        device = link.device
        if device.package_file:
            return Content([Path(device.package_file).read_bytes()])
        action_id, name = (device.package_key,) * 2 if device.package_key else (link.action.id, device.name)
        return package(
            self._settings.seed, action_id, name, device.os_platform, device.package_size, device.package_layout
        )

    def spoil(self, device: Device, what: str) -> bool:
        """Whether the scenario still spoils this call; counts it when it does."""
        key = (device.id, what)
        if device.times and self._spoiled[key] >= device.times:
            return False
        self._spoiled[key] += 1
        return True

    def state_of(self, now: float) -> list[dict[str, Any]]:
        """Every action in the order of creation, those included that the API does not show yet."""
        return [action.entity(now) for action in list(self.actions)]


def _either(own: float | None, common: float) -> float:
    return common if own is None else own
