# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first look: what runs, what can be reused, what an interrupted run left, and what a run would do about it.

Nothing here changes anything, neither at the service nor in a folder.
"""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import (
    Device,
    Observer,
    Pace,
    Phase,
    Plan,
    Request,
)
from ansible_collections.secops.defender.plugins.module_utils._fleet.failures import ended_badly, no_package
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.quota import COLLECT, PACKAGE_LINK, Budget
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, NotFound
from ansible_collections.secops.defender.plugins.module_utils._words.models import FINAL, SUCCEEDED, Action

# How far back actions are looked for: one that its device does not take up ends as TimeOut after a little over three days.
LOOK_BACK = 4 * 86400.0
# How far the service's clock may be off. Seconds.
SKEW = 300.0


def look(api: Api, devices: t.Sequence[Device], pace: Pace, all_ages: bool = False) -> None:
    """Decide for each device what is to be done.

    all_ages: look for running collections however old they are (check mode). A run need not: the service refuses to start
    a second one, and then it is looked for. Raises what the list call raises: nothing has been started then.
    """
    now = api.session.clock.wall()
    # An action may be older than its package, by as long as a device was offline.
    reuse = max((device.wish.reuse_within for device in devices), default=0.0)
    by_machine = _by_machine(
        api.collections(since=None if all_ages else now - LOOK_BACK - reuse, doing="look which collections are running")
    )
    for device in devices:
        actions = by_machine.get(device.machine.id, [])
        device.known_actions = frozenset(action.id for action in actions)
        _adopt(api, device, actions, now)
        device.phase = Phase.START if device.request is None else Phase.WAITING


def look_for_packages(
    api: Api, devices: t.Sequence[Device], observer: Observer, max_age: float, newest_only: bool = False
) -> None:
    """Find the newest package of each device that was not named by its action; nothing is started.

    max_age: seconds that a package may be old; 0 for any age. newest_only: none that a newer collection was asked for
    after. Raises what the list call raises.
    """
    since = api.session.clock.wall() - max_age if max_age else None
    by_machine: dict[str, list[Action]] = {}
    if any(device.action is None for device in devices):
        # An action may be older than its package, by as long as a device was offline.
        listed_since = since - LOOK_BACK if since else None
        by_machine = _by_machine(api.collections(since=listed_since, doing="look which packages there are"))
    for device in devices:
        actions = [device.action] if device.action else by_machine.get(device.machine.id, [])
        _choose_package(device, actions[:1] if newest_only else actions, actions[0] if actions else None, since or 0.0)
        if device.request and actions[0].status != SUCCEEDED and device.action:
            observer.trouble(
                f"{device.label}: the newest action {actions[0].id} is {actions[0].status}; the package is of an older one, "
                f"from {device.action.created}."
            )


def _choose_package(device: Device, actions: list[Action], newest: Action | None, since: float) -> None:
    ready = [action for action in actions if action.status == SUCCEEDED and action.updated_at >= since]
    if ready:
        device.action, device.request = max(ready, key=lambda each: each.updated_at), Request.REUSED
        device.phase = Phase.WAITING
    else:
        device.error, device.phase = no_package(device, newest), Phase.DONE
        device.action = device.action or newest


def _by_machine(actions: t.Iterable[Action]) -> dict[str, list[Action]]:
    """The actions of each device, newest first."""
    by_machine: dict[str, list[Action]] = {}
    for action in sorted(actions, key=lambda each: each.created_at, reverse=True):
        by_machine.setdefault(action.machine_id, []).append(action)
    return by_machine


def _adopt(api: Api, device: Device, actions: list[Action], now: float) -> None:
    running = next((action for action in actions if not action.final), None)
    begun = None
    if device.folder:
        begun = device.folder.custody.history.unfinished(device.machine.id, device.wish.comment, now - LOOK_BACK)
    if begun and device.folder:
        device.action = next((action for action in actions if action.id == begun.action_id), None)
        if device.action is None and begun.action_id is None:
            # The request went out, but the run ended before its reply: the action, if one was made, is ours by its
            # comment, unless it came of an earlier request.
            earlier = device.folder.custody.history.known_actions
            ours = [
                action
                for action in actions
                if (action.comment or "").strip() == device.wish.comment
                and action.created_at >= begun.requested - SKEW
                and earlier.get(action.id, begun.known) >= begun.known
            ]
            device.action = ours[0] if ours else None
        if device.action is None and begun.action_id is not None:
            try:
                device.action = api.action(begun.action_id)
            except NotFound:
                pass
    if device.action:
        device.request = Request.RESUMED
    elif running:
        device.action, device.request = running, Request.ALREADY_RUNNING
    elif device.wish.reuse_within > 0:
        since = now - device.wish.reuse_within
        young = [
            action
            for action in actions
            if action.status == SUCCEEDED and action.updated_at >= since and action.created_at >= since - LOOK_BACK
        ]
        if young:
            device.action, device.request = young[0], Request.REUSED


def plan(budget: Budget, devices: t.Sequence[Device]) -> Plan:
    """What the run will ask of the quota."""
    starts = sum(device.phase is Phase.START for device in devices)
    running = sum(device.action is not None and not device.action.final for device in devices)
    # One action may be named by its device and by its ID.
    links = len(
        {
            (device.folder, device.action.id if device.action else device.machine.id)
            for device in devices
            if _lacks_package(device)
        }
    )
    return Plan(
        len(devices),
        starts,
        running,
        links,
        budget.forecast(COLLECT, starts),
        budget.forecast(PACKAGE_LINK, links),
    )


def _lacks_package(device: Device) -> bool:
    if device.folder is None:
        return False
    if device.action is None or device.phase is Phase.DONE:
        return device.phase is Phase.START
    there = device.folder.place(device.machine, device.action).exists()
    return not there and device.action.status not in FINAL - {SUCCEEDED}


def predict(devices: t.Sequence[Device], pace: Pace) -> None:
    """Check mode: say what a run would do with what the look has found."""
    for device in devices:
        if device.phase is not Phase.DONE:
            _predict(device, pace.wait or device.folder is not None)
            device.phase = Phase.DONE


def _predict(device: Device, waits: bool) -> None:
    if device.request is None:
        device.request, device.wrote = Request.WOULD_START, device.folder is not None
    elif device.action and device.action.final and device.action.status != SUCCEEDED and waits:
        device.error = ended_badly(device, device.action)
    elif device.folder and device.action:
        try:
            device.folder.existing(device.machine, device.action)
        except DefenderError as failure:
            device.error = failure
        else:
            device.wrote = _lacks_package(device)
