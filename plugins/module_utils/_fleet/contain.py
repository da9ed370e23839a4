# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices are isolated, and what isolating or releasing would do about it.

The service tells no state. It is that of the newest action, Isolate or Unisolate, that has succeeded; and isolation ends by itself
after seven days (Isolate machine API). Nothing here changes anything.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._fleet import failures
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Phase, Request
from ansible_collections.secops.defender.plugins.module_utils._fleet.flights import guarded
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import LOOK_BACK, newest_first
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    IN_PROGRESS,
    ISOLATE,
    PENDING,
    SUCCEEDED,
    UNISOLATE,
    Action,
    iso,
)

ISOLATED, RELEASED = "isolated", "released"
_STATES = {ISOLATE: ISOLATED, UNISOLATE: RELEASED}
# Isolate machine API: how long an isolation lasts. Seconds.
_LASTS = 7 * 86400.0


@dataclass(frozen=True)
class Isolation:
    """Whether a device is isolated, and the action that says so. state: None where no action is known."""

    state: str | None = None
    source: Action | None = None

    @classmethod
    def of(cls, actions: t.Iterable[Action], now: float) -> Isolation:
        """By a device's actions, in any order. now: seconds since 1970."""
        done = [action for action in actions if action.type in _STATES and action.status == SUCCEEDED]
        newest = max(done, key=lambda each: each.updated_at, default=None)
        if newest is None:
            return cls()
        over = newest.type == ISOLATE and now >= newest.updated_at + _LASTS
        return cls(RELEASED if over else _STATES[newest.type], newest)

    def as_result(self) -> dict[str, t.Any]:
        """The C(isolation) and C(isolation_source) of a device in a result."""
        source = self.source
        if source is None:
            return {"isolation": None, "isolation_source": None}
        return {
            "isolation": self.state,
            "isolation_source": {
                "action_id": source.id,
                "action_type": source.type,
                "isolation_type": scope_of(source),
                "since": source.updated,
                "until": iso(source.updated_at + _LASTS) if source.type == ISOLATE else None,
            },
        }


def scope_of(action: Action) -> str | None:
    """The type of an isolation in a task's words (C(full), C(selective)), where the service says it."""
    return str(action.raw["scope"]).lower() if action.type == ISOLATE and action.raw.get("scope") else None


def containing(api: Api) -> dict[str, list[Action]]:
    """The actions that isolate and release, of each device the newest first, as far back as one may still hold.

    One call for all devices. Raises what the call raises.
    """
    since = api.session.now() - _LASTS - LOOK_BACK
    doing = "look which devices are isolated"
    return newest_first(guarded(api.actions_of, api.scrub)(ISOLATE, UNISOLATE, since=since, doing=doing))


def look(devices: t.Iterable[Device], known: t.Mapping[str, t.Sequence[Action]], now: float) -> None:
    """Decide for each device that is still open: what runs is followed, and what is as it is wished has nothing to be done.

    An action the other way round that still runs would undo it later, so it fails the device.
    """
    for device in devices:
        if device.phase is not Phase.DONE:
            actions = known.get(device.machine.id, ())
            device.known_actions = frozenset(action.id for action in actions)
            _decide(device, actions, [action for each in device.records for action in known.get(each, ())], now)


def _decide(device: Device, actions: t.Sequence[Action], former: t.Sequence[Action], now: float) -> None:
    """former: the actions of records that were merged into the device's. They say nothing of the device as it is now, but may still bind it."""
    wanted = device.wish.kind
    running = [action for action in (*actions, *former) if action.status in (PENDING, IN_PROGRESS)]
    opposite = next((action for action in running if action.type != wanted.type), None)
    followed = next((action for action in running if action.type == wanted.type and action in actions), None)
    isolation = Isolation.of(actions, now)
    bound = _STATES[wanted.type] == RELEASED and Isolation.of(former, now).state == ISOLATED
    if opposite:
        _end(device, failures.undone_later(device, opposite))
    elif followed:
        device.request, device.action = Request.ALREADY_RUNNING, followed
        _require_scope(device, followed)
    elif (isolation.state or RELEASED) == _STATES[wanted.type] and not bound:
        device.action = isolation.source
        _end(device)
        if isolation.source:
            _require_scope(device, isolation.source)


def _require_scope(device: Device, action: Action) -> None:
    scope, wanted = scope_of(action), device.wish.kind.body.get("IsolationType", "").lower()
    if scope and wanted and scope != wanted:
        _end(device, failures.isolated_otherwise(device, action, scope, wanted))


def _end(device: Device, error: DefenderError | None = None) -> None:
    device.phase, device.error = Phase.DONE, error
