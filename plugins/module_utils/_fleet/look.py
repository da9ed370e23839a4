# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first look: what runs, what can be reused, what an interrupted run left, and what a run would do about it.

Nothing here changes anything, neither at the service nor in a folder. What happens to a device is decided by C(decide) alone, by
this table; the first row that fits holds. A test reads it.

    log         run          age    action                     what happens
    ----------  -----------  -----  -------------------------  ---------------
    none        -            -      -                          anew
    failed      *            *      *                          anew
    reused      *            *      *                          anew
    stored      alive        *      *                          anew
    *           ended        *      *                          anew
    open        alive        *      gone                       wait
    open        alive        *      *                          already_running
    *           interrupted  old    *                          anew
    *           interrupted  young  gone                       anew
    *           interrupted  young  stale                      anew
    *           interrupted  young  *                          resumed

    anew, by the newest actions of the device   what happens
    ------------------------------------------  ---------------
    running                                     already_running
    package                                     reused
    unknown                                     start
    none                                        start

log: what the folder's log says of the request, that is of device and comment. open: begun, and neither stored nor failed.
    stored: its package is recorded. failed: it has ended without one. reused: it only took a package that was there.
run: what became of the run that was at it. alive: it goes on. interrupted: it has no end and its master is gone, it gave up, it
    left some device unfinished, or it was an earlier try of this very task. ended: none of these; the request is closed.
age: whether the request is older than resume_within, counted from when it was first made: picking it up makes it no younger.
action: what the service says of the request's action. gone: there is none, or none any more. stale: it has succeeded, longer
    ago than reuse_within, which is set. Otherwise pending, unknown (a status word that nobody knows), fresh (succeeded) or bad.
    Where the request went out but its reply did not come back, it is the action that fits it by comment and time.
running: Pending or InProgress. package: reuse_within is set, and a package is not older. unknown: what is not final may run or
    not, so the start is asked for, and the service decides.
wait: another run is about to start it. That one's action is followed as soon as it is known (already_running).
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence import history as past
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import (
    Device,
    Observer,
    Pace,
    Phase,
    Plan,
    Request,
    Wish,
)
from ansible_collections.secops.defender.plugins.module_utils._fleet.failures import (
    concerns_all,
    ended_badly,
    no_package,
)
from ansible_collections.secops.defender.plugins.module_utils._fleet.flights import guarded
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.quota import PACKAGE_LINK, Budget
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, NetworkError, NotFound
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    COLLECT,
    FINAL,
    IN_PROGRESS,
    PENDING,
    SUCCEEDED,
    Action,
)

# How far back actions are looked for: one that its device does not take up ends as TimeOut after a little over three days.
LOOK_BACK = 4 * 86400.0
# How far the service's clock may be off. Seconds.
SKEW = 300.0
# How long a run may still be seen whose master is gone, and how often one looks for its end. Seconds.
_ORPHANED, _PAUSE = 4.0, 0.1


# ---- the decision ----


@dataclass(frozen=True)
class Begun:
    """What the folder's log says of a request, and the service of its action.

    age: seconds since it was made. action: None where the service has none (any more).
    """

    alive: bool = False
    interrupted: bool = False
    stored: bool = False
    failed: bool = False
    reused: bool = False
    age: float = 0.0
    action: Action | None = None


@dataclass(frozen=True)
class Decision:
    """What is to be done. request: None where a collection is to be started, unless another run is about to (claimed)."""

    request: Request | None = None
    action: Action | None = None
    claimed: bool = False


def decide(begun: Begun | None, actions: t.Sequence[Action], wish: Wish, resume_within: float, now: float) -> Decision:
    """See the table. actions: the device's, newest first. now: seconds since 1970."""
    if begun and not (begun.failed or begun.reused):
        if begun.alive and not begun.stored:
            return Decision(Request.ALREADY_RUNNING, begun.action) if begun.action else Decision(claimed=True)
        in_time = resume_within > 0 and begun.age <= resume_within
        if begun.interrupted and not begun.alive and in_time and begun.action and not _stale(begun.action, wish, now):
            return Decision(Request.RESUMED, begun.action)
    for action in actions:
        if action.status in (PENDING, IN_PROGRESS):
            return Decision(Request.ALREADY_RUNNING, action)
    packages = [action for action in actions if action.status == SUCCEEDED and _reusable(action, wish, now)]
    if packages:
        return Decision(Request.REUSED, max(packages, key=lambda each: each.updated_at))
    return Decision()


def _stale(action: Action, wish: Wish, now: float) -> bool:
    return action.status == SUCCEEDED and 0 < wish.reuse_within < now - action.updated_at


def _reusable(action: Action, wish: Wish, now: float) -> bool:
    since = now - wish.reuse_within
    # The list goes back so far, and check mode must say the same.
    return wish.reuse_within > 0 and action.updated_at >= since and action.created_at >= since - LOOK_BACK


# ---- what it is decided by ----


class _Log:
    """One folder's log, as far as it is decided by. task: see Pace."""

    def __init__(self, folder: Folder, task: str | None) -> None:
        self.own_run = folder.custody.run
        self.history = folder.custody.refresh()
        self._task = task
        # Runs that left a device unfinished, which no later one has brought to its end.
        self._unfinished = {each.run for each in self.history.open_requests() if not each.overtaken}

    def request(self, device: Device) -> past.Request | None:
        """The request that counts: that of a living run, else the latest."""
        key = device.machine.id, device.wish.comment
        living = [
            each
            for each in self.history.begun(*key)
            if each.run_state is past.RunState.ALIVE and each.run != self.own_run
        ]
        return living[-1] if living else self.history.request(*key)

    def begun(self, request: past.Request, action: Action | None, now: float) -> Begun:
        alive = request.run_state is past.RunState.ALIVE
        given_up = request.run_state in (past.RunState.GONE, past.RunState.ABORTED)
        return Begun(
            alive=alive,
            interrupted=not alive and (given_up or request.run in self._unfinished or self._is_retried(request.run)),
            stored=request.stored,
            failed=request.failed is not None,
            reused=request.word == Request.REUSED.value,
            age=max(0.0, now - request.requested),
            action=action,
        )

    def _is_retried(self, run: str) -> bool:
        facts = self.history.runs.get(run)
        return facts is not None and self._task is not None and facts.task == self._task

    def action_of(self, api: Api, request: past.Request, actions: t.Sequence[Action]) -> Action | None:
        """The request's action. Raises what the call raises that asks for one which is not listed."""
        if request.action_id is None:
            return self._unanswered(request, actions)
        listed = next((action for action in actions if action.id == request.action_id), None)
        if listed or request.failed is not None or request.word == Request.REUSED.value:
            return listed
        try:
            return guarded(api.action, api.scrub)(request.action_id)
        except NotFound:
            return None

    def _unanswered(self, request: past.Request, actions: t.Sequence[Action]) -> Action | None:
        """The request went out, but its reply did not come back.

        The action, if one was made, is its own by its comment, unless it came of an earlier request; of several, the one
        that was made nearest to it.
        """
        earlier = self.history.known_actions
        fitting = [
            action
            for action in actions
            if (action.comment or "").strip() == request.comment
            and action.created_at >= request.requested - SKEW
            and earlier.get(action.id, request.known) >= request.known
        ]
        return min(fitting, key=lambda each: abs(each.created_at - request.requested), default=None)


def let_orphans_end(devices: t.Sequence[Device], clock: Clock) -> None:
    """A run that was killed may still be seen for some seconds: what it has stored must not be taken for a living run's.

    Only who asks for the same waits, and only where something is stored that would be collected anew.
    """
    until = clock.monotonic() + _ORPHANED
    while clock.monotonic() < until and any(_stored_by_living(*each) for each in _by_folder(devices).items()):
        clock.sleep(_PAUSE)


def _stored_by_living(folder: Folder, devices: t.Iterable[Device]) -> bool:
    history = folder.custody.refresh()
    found = (history.request(device.machine.id, device.wish.comment) for device in devices)
    return any(each is not None and each.stored and each.run_state is past.RunState.ALIVE for each in found)


def _by_folder(devices: t.Iterable[Device]) -> dict[Folder, list[Device]]:
    folders: dict[Folder, list[Device]] = {}
    for device in devices:
        if device.folder:
            folders.setdefault(device.folder, []).append(device)
    return folders


def look(api: Api, devices: t.Sequence[Device], pace: Pace, all_ages: bool = False) -> None:
    """Decide for each device what is to be done.

    all_ages: look for running collections however old they are (check mode). A run need not: the service refuses to start
    a second one, and then it is looked for. Raises what the calls raise: nothing has been started then.
    """
    now = api.session.now()
    # An action may be older than its package, by as long as a device was offline.
    reuse = max((device.wish.reuse_within for device in devices), default=0.0)
    since = None if all_ages else now - LOOK_BACK - reuse
    listed = guarded(api.actions_of, api.scrub)(COLLECT, since=since, doing="look which collections are running")
    by_machine = newest_first(listed)
    folders = dict.fromkeys(device.folder for device in devices if device.folder)
    logs = {folder: _Log(folder, pace.task) for folder in folders}
    for device in devices:
        actions = by_machine.get(device.machine.id, [])
        device.known_actions = frozenset(action.id for action in actions)
        try:
            begun = _begun(api, device, logs[device.folder], actions, now) if device.folder else None
        except DefenderError as failure:
            if concerns_all(failure) or isinstance(failure, NetworkError):
                raise
            device.error, device.phase = failure, Phase.DONE
        else:
            _take(device, decide(begun, actions, device.wish, pace.resume_within, now), now)


def _begun(api: Api, device: Device, log: _Log, actions: t.Sequence[Action], now: float) -> Begun | None:
    request = log.request(device)
    return log.begun(request, log.action_of(api, request, actions), now) if request else None


def _take(device: Device, decision: Decision, now: float) -> None:
    device.request, device.action, device.claimed = decision.request, decision.action, decision.claimed
    device.phase = Phase.START if decision.request is None else Phase.WAITING
    device.age = None
    if decision.action and decision.request in (Request.RESUMED, Request.REUSED):
        device.age = _age(decision.action, now)


def _age(action: Action, now: float) -> float:
    """Seconds: of its package where there is one."""
    return max(0.0, now - (action.updated_at if action.status == SUCCEEDED else action.created_at))


def newest_first(actions: t.Iterable[Action]) -> dict[str, list[Action]]:
    """The actions of each device, newest first."""
    by_machine: dict[str, list[Action]] = {}
    for action in sorted(actions, key=lambda each: each.created_at, reverse=True):
        by_machine.setdefault(action.machine_id, []).append(action)
    return by_machine


def with_records(by_machine: t.Mapping[str, t.Sequence[Action]], device: Device) -> list[Action]:
    """The actions of a device, newest first, with those that stand under the records that were merged into its own."""
    found = [action for machine_id in (device.machine.id, *device.records) for action in by_machine.get(machine_id, ())]
    return sorted(found, key=lambda each: each.created_at, reverse=True)


# ---- packages that are there already ----


def look_for_packages(
    api: Api, devices: t.Sequence[Device], observer: Observer, max_age: float, newest_only: bool = True
) -> None:
    """Find the newest package of each device that was not named by its action; nothing is started.

    max_age: seconds that a package may be old; 0 for any age. newest_only: none that a newer collection was asked for
    after. Raises what the list call raises.
    """
    now = api.session.now()
    since = now - max_age if max_age else 0.0
    by_machine: dict[str, list[Action]] = {}
    if any(device.action is None for device in devices):
        # An action may be older than its package, by as long as a device was offline.
        listed_since = since - LOOK_BACK if since else None
        listed = guarded(api.actions_of, api.scrub)(COLLECT, since=listed_since, doing="look which packages there are")
        by_machine = newest_first(listed)
    for device in devices:
        actions = [device.action] if device.action else with_records(by_machine, device)
        device.chosen = True
        _choose_package(device, actions, since, newest_only)
        if device.request and device.action:
            device.age = _age(device.action, now)
            if actions[0].status != SUCCEEDED:
                device.newer = actions[0].status
                observer.trouble(
                    f"{device.label}: the newest action {actions[0].id} is {actions[0].status}; the package is of an older "
                    f"one, from {device.action.created}."
                )


def _choose_package(device: Device, actions: list[Action], since: float, newest_only: bool) -> None:
    newest = actions[0] if actions else None
    ready = [action for action in actions if action.status == SUCCEEDED and action.updated_at >= since]
    package = newest if newest in ready else max(ready, key=lambda each: each.updated_at, default=None)
    if package and (package is newest or not newest_only):
        device.action, device.request, device.phase = package, Request.REUSED, Phase.WAITING
    else:
        device.error, device.phase = no_package(device, newest, package), Phase.DONE
        device.action = device.action or newest


# ---- what is ahead ----


def plan(budget: Budget, devices: t.Sequence[Device]) -> Plan:
    """What the run will ask of the quota."""
    starting = [device for device in devices if device.phase is Phase.START and not device.claimed]
    running = sum(device.claimed or (device.action is not None and not device.action.final) for device in devices)
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
        len(starting),
        running,
        links,
        forecast_of_starts(budget, starting),
        budget.forecast(PACKAGE_LINK, links),
    )


def forecast_of_starts(budget: Budget, devices: t.Iterable[Device]) -> float:
    """The least seconds until the last of these is started."""
    calls = Counter(device.wish.kind.endpoint for device in devices)
    return max((budget.forecast(endpoint, number) for endpoint, number in calls.items()), default=0.0)


def _lacks_package(device: Device) -> bool:
    if device.folder is None:
        # Whether the service still keeps it is known by its link alone.
        return device.request is Request.REUSED
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
    if device.claimed:
        device.request = Request.ALREADY_RUNNING
    elif device.request is None:
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
