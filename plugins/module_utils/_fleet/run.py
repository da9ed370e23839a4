# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet: every device from its request to its package, as one state machine.

A device goes through START -> (LOOKING) -> WAITING -> READY -> FETCHING -> DONE:

    START     a collection is to be asked for
    LOOKING   it was asked for, but which action came of it must be looked up: one was running already, or the reply was lost
    WAITING   its action is known and not final; one list call at each poll serves all that wait
    READY     its action has succeeded; its package waits for a link
    FETCHING  link and download
    CANCELLING  it did not end in time and is being cancelled
    DONE      with its result, good or bad

All starts go out as fast as their quota allows, links likewise, each in the order in which the devices were named. Calls run
in the pool's threads; what they bring back is taken in by this one thread, so only it changes a device.
"""

from __future__ import annotations

import bisect
import heapq
import math
import typing as t
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Busy, Folder, Package
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.quota import COLLECT, PACKAGE_LINK
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ActionError,
    AlreadyRunning,
    AuthError,
    DefenderError,
    EvidenceError,
    NetworkError,
    NotFound,
    PackageBroken,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    CANCELLED,
    FAILED,
    FINAL,
    SUCCEEDED,
    TIMED_OUT,
    Action,
    Machine,
)

START, LOOKING, WAITING, READY, FETCHING, CANCELLING, DONE = (
    "start",
    "looking",
    "waiting",
    "ready",
    "fetching",
    "cancelling",
    "done",
)

STARTED, ALREADY_RUNNING, REUSED, RESUMED, WOULD_START = (
    "started",
    "already_running",
    "reused",
    "resumed",
    "would_start",
)

# Starts under way at once: enough for the quota's 100 a minute at a second each, and a slow reply holds up no other.
_STARTS_AT_ONCE = 4
# How far back a running action is looked for at first, and a request is the same as an interrupted one: devices that are
# offline may take an action up for about three days (isolation and live response do). Seconds.
_LOOK_BACK = 3 * 86400.0
# How long the service may keep a new action out of its list, seconds; and how far its clock may be off.
_UNLISTED, _SKEW = 120.0, 300.0
_TRIES = 4
# The shortest time between two looks, and the first rest before a download is tried again. Seconds.
_PAUSE = 2.0
# A network that is gone for longer ends the run; the next one picks up what was begun. Seconds.
_OFFLINE = 300.0

_OUTCOMES = {
    FAILED: (
        "failed on the device",
        "Look at the action in the device's Action center, then run again. Low battery and metered connections make it fail.",
    ),
    TIMED_OUT: (
        "was not taken up by the device in time",
        "Check that the device is on and connected, then run again.",
    ),
    CANCELLED: (
        "was cancelled",
        "Find out who cancelled it and why (the action's cancellation comment), then run again.",
    ),
}


@dataclass(frozen=True)
class Options:
    """What was asked for. Times in seconds."""

    comment: str
    wait: bool = False
    wait_timeout: float = 3600.0
    cancel_on_timeout: bool = False
    poll_interval: float = 15.0
    reuse_within: float = 0.0
    downloads: int = 4


@dataclass
class Device:
    """One device on its way."""

    order: int
    asked: str
    machine: Machine
    phase: str = START
    request: str | None = None
    action: Action | None = None
    error: DefenderError | None = None
    package: Package | None = None
    wrote: bool = False
    followed: bool = False
    posted: float = 0.0
    known_actions: frozenset[str] = frozenset()
    refused: AlreadyRunning | None = None
    reply_lost: bool = False
    looks: int = 0
    look_until: float = 0.0
    starts: int = 0
    fetches: int = 0
    unseen_since: float | None = None
    # Wall clock: when its action was known to this run, when its package was ready, and when the run was done with it.
    accepted: float = 0.0
    ready: float = 0.0
    ended: float = 0.0

    @property
    def label(self) -> str:
        return self.machine.label


@dataclass(frozen=True)
class Plan:
    """What is ahead once the first look is done: devices, calls, and the least seconds that the calls' quotas take."""

    devices: int = 0
    starts: int = 0
    running: int = 0
    links: int = 0
    start_seconds: float = 0.0
    link_seconds: float = 0.0

    def as_result(self) -> dict[str, t.Any]:
        """The C(plan) of a result."""
        return {
            "starts": self.starts,
            "links": self.links,
            "seconds": round(max(self.start_seconds, self.link_seconds), 1),
        }


class Observer(t.Protocol):
    """Who is told what happens; every call comes from the fleet's own thread."""

    def plan(self, plan: Plan) -> None:
        """The first look is done."""

    def device(self, device: Device, what: str, detail: str = "") -> None:
        """Something happened to a device."""

    def trouble(self, text: str) -> None:
        """Something needs attention."""

    def tick(self, fleet: Fleet) -> float:
        """Time has passed; returns the seconds after which to be called again."""


@dataclass
class Fleet:
    """The devices of one task, from first look to last package.

    folder: where packages go; None if only actions are wanted. pool: runs the calls, with room for downloads + 6.
    """

    api: Api
    devices: list[Device]
    options: Options
    pool: Executor
    observer: Observer
    folder: Folder | None = None
    fatal: DefenderError | None = None
    _starts: deque[Device] = field(default_factory=deque)
    _looking: dict[str, Device] = field(default_factory=dict)
    _waiting: dict[str, Device] = field(default_factory=dict)
    _ready: list[tuple[int, Device]] = field(default_factory=list)
    _resting: list[tuple[float, int, Device]] = field(default_factory=list)
    _deadlines: list[tuple[float, int, Device]] = field(default_factory=list)
    _flights: dict[Future[t.Any], t.Callable[[Future[t.Any]], None]] = field(default_factory=dict)
    _asides: deque[tuple[t.Callable[[Future[t.Any]], None], t.Callable[..., t.Any], tuple[t.Any, ...]]] = field(
        default_factory=deque
    )
    _aside: bool = False
    _starting: int = 0
    _fetching: int = 0
    _polling: bool = False
    _next_poll: float = 0.0
    _last_poll: float = -math.inf
    # When the newest look that has come back was begun.
    _looked: float = -math.inf
    _offline_since: float | None = None
    _no_download_since: float | None = None
    _starts_rest_until: float = 0.0
    _tickets: dict[str, int | None] = field(default_factory=dict)
    _open: int = 0
    _poll_trouble: str = ""

    @property
    def clock(self) -> Clock:
        return self.api.session.clock

    # ---- first look: what runs, what can be reused, what an interrupted run left ----

    def look(self, all_ages: bool = False) -> None:
        """Decide for each device what is to be done; nothing is changed anywhere.

        all_ages: look for running collections however old they are (check mode). A run need not: the service refuses to start
        a second one, and then it is looked for.

        Raises what the list call raises: nothing has been started then.
        """
        now = self.clock.wall()
        # An action may be older than its package, by as long as a device was offline.
        recent = now - _LOOK_BACK - self.options.reuse_within
        by_machine: dict[str, list[Action]] = {}
        for action in self.api.collections(
            since=None if all_ages else recent, doing="look which collections are running"
        ):
            by_machine.setdefault(action.machine_id, []).append(action)
        for device in self.devices:
            actions = sorted(by_machine.get(device.machine.id, ()), key=lambda each: each.created_at, reverse=True)
            device.known_actions = frozenset(action.id for action in actions)
            self._adopt(device, actions, now, recent)
            device.phase = START if device.request is None else WAITING

    def look_for_packages(self, max_age: float, newest_only: bool = False) -> None:
        """Find the newest package of each device that was not named by its action; nothing is started.

        max_age: seconds that a package may be old; 0 for any age. newest_only: none that a newer collection was asked for
        after. Raises what the list call raises.
        """
        since = self.clock.wall() - max_age if max_age else None
        by_machine: dict[str, list[Action]] = {}
        if any(device.action is None for device in self.devices):
            # An action may be older than its package, by as long as a device was offline.
            listed_since = since - _LOOK_BACK if since else None
            for action in self.api.collections(since=listed_since, doing="look which packages there are"):
                by_machine.setdefault(action.machine_id, []).append(action)
        for device in self.devices:
            actions = [device.action] if device.action else by_machine.get(device.machine.id, [])
            newest = max(actions, key=lambda each: each.created_at, default=None)
            if newest and newest_only:
                actions = [newest]
            ready = [action for action in actions if action.status == SUCCEEDED and action.updated_at >= (since or 0.0)]
            if ready:
                device.action, device.request = max(ready, key=lambda each: each.updated_at), REUSED
                device.phase = WAITING
                if newest and newest.status != SUCCEEDED:
                    self.observer.trouble(
                        f"{device.label}: the newest action {newest.id} is {newest.status}; the package is of an older one, "
                        f"from {device.action.created}."
                    )
            else:
                device.error, device.phase = self._no_package(device, newest), DONE

    def _no_package(self, device: Device, newest: Action | None) -> ActionError:
        if newest is None:
            state = "no collection is known"
        elif newest.status == SUCCEEDED:
            state = f"the newest is from {newest.updated}, older than max_age"
        else:
            state = f"the newest action {newest.id} is {newest.status}"
        device.action = device.action or newest
        return ActionError(
            f"There is no package of {device.label} to fetch: {state}.",
            code="NoPackage",
            advice="Wait until a running collection has ended, or collect with secops.defender.defender_collect_package.",
        )

    def _adopt(self, device: Device, actions: list[Action], now: float, recent: float) -> None:
        running = next((action for action in actions if not action.final), None)
        begun = None
        if self.folder:
            begun = self.folder.custody.history.unfinished(device.machine.id, self.options.comment, now - _LOOK_BACK)
        if begun and self.folder:
            device.action = next((action for action in actions if action.id == begun.action_id), None)
            if device.action is None and begun.action_id is None:
                # The request went out, but the run ended before its reply: the action, if one was made, is ours by its
                # comment, unless it came of an earlier request.
                earlier = self.folder.custody.history.known_actions
                ours = [
                    action
                    for action in actions
                    if action.comment == self.options.comment
                    and action.created_at >= begun.requested - _SKEW
                    and earlier.get(action.id, begun.known) >= begun.known
                ]
                device.action = ours[0] if ours else None
            if device.action is None and begun.action_id is not None:
                try:
                    device.action = self.api.action(begun.action_id)
                except NotFound:
                    pass
        if device.action:
            device.request = RESUMED
        elif running:
            device.action, device.request = running, ALREADY_RUNNING
        else:
            young = [
                action
                for action in actions
                if action.status == SUCCEEDED
                and action.updated_at >= now - self.options.reuse_within
                and action.created_at >= recent
            ]
            if young and self.options.reuse_within > 0:
                device.action, device.request = young[0], REUSED

    def plan(self) -> Plan:
        """What the run will ask of the quota."""
        starts = sum(device.phase == START for device in self.devices)
        running = sum(device.action is not None and not device.action.final for device in self.devices)
        lacking = [device for device in self.devices if self._lacks_package(device)] if self.folder else []
        # One action may be named by its device and by its ID.
        links = len({device.action.id if device.action else device.machine.id for device in lacking})
        budget = self.api.session.budget
        return Plan(
            len(self.devices),
            starts,
            running,
            links,
            budget.forecast(COLLECT, starts),
            budget.forecast(PACKAGE_LINK, links),
        )

    def _lacks_package(self, device: Device) -> bool:
        if device.action is None or device.phase == DONE:
            return device.phase == START
        there = self.folder is not None and self.folder.place(device.machine, device.action).exists()
        return not there and device.action.status not in FINAL - {SUCCEEDED}

    def predict(self) -> None:
        """Check mode: say what a run would do with what look has found."""
        for device in self.devices:
            if device.phase == DONE:
                continue
            if device.request is None:
                device.request, device.wrote = WOULD_START, self.folder is not None
            elif device.action and device.action.final and device.action.status != SUCCEEDED and self._waits:
                device.error = _ended_badly(device, device.action)
            elif self.folder and device.action:
                try:
                    self.folder.existing(device.machine, device.action)
                except DefenderError as failure:
                    device.error = failure
                else:
                    device.wrote = self._lacks_package(device)
            device.phase = DONE

    # ---- the run ----

    def run(self) -> None:
        """Carry every device to its end. A failure of one is in its C(error); one that concerns all is in all that were open."""
        now = self.clock.monotonic()
        self._next_poll = now + self.options.poll_interval
        open_devices = [device for device in self.devices if device.phase != DONE]
        self._open = len(open_devices)
        for device in open_devices:
            if device.action:
                self._follow(device, device.action)
            else:
                self._starts.append(device)
        while self._open and not self.fatal:
            soon = min(
                self._send_starts(),
                self._send_poll(),
                self._send_fetches(),
                self._end_overdue(),
                self.observer.tick(self),
            )
            if self._open and not self.fatal:
                self.clock.wait(self._flights, max(0.0, min(soon, 60.0)))
                self._land()
        if self.fatal:
            self._give_up(self.fatal)

    def _send_starts(self) -> float:
        rest = self._starts_rest_until - self.clock.monotonic()
        if rest > 0 and self._starts:
            return rest
        while self._starts and self._starting < _STARTS_AT_ONCE:
            slot, delay, self._tickets[COLLECT] = self.api.session.budget.take(COLLECT, self._tickets.get(COLLECT))
            if not slot:
                return delay
            if not self._announce(self._starts[0], custody.START_REQUESTED, comment=self.options.comment):
                self.api.session.budget.done(slot)
                return 0.0
            device = self._starts.popleft()
            device.posted = device.posted or self.clock.wall()
            device.starts += 1
            self._starting += 1
            self._fly(partial(self._start_landed, device), self.api.collect, device.machine, self.options.comment, slot)
        return math.inf

    def _start_landed(self, device: Device, flight: Future[Action]) -> None:
        self._starting -= 1
        try:
            action = flight.result()
        except AlreadyRunning as failure:
            self._contact()
            self._look_up(device, failure)
        except ReplyLost as failure:
            device.reply_lost = True
            self.observer.device(device, "reply_lost", failure.message)
            self._look_up(device, None)
        except NetworkError as failure:
            self._offline(failure)
            device.starts -= 1
            self._start_again(device)
            self._starts_rest_until = self.clock.monotonic() + _PAUSE
        except DefenderError as failure:
            self._contact()
            self._fail(device, failure)
        else:
            self._contact()
            device.request = STARTED
            self._follow(device, action)

    def _start_again(self, device: Device) -> None:
        bisect.insort(self._starts, device, key=lambda each: each.order)

    def _look_up(self, device: Device, refused: AlreadyRunning | None) -> None:
        device.phase = LOOKING
        device.refused = refused
        device.looks = 0
        device.look_until = self.clock.monotonic() + _UNLISTED
        self._looking[device.machine.id] = device
        self._look_soon()

    def _look_soon(self) -> None:
        self._next_poll = min(self._next_poll, max(self.clock.monotonic(), self._last_poll + _PAUSE))

    def _contact(self) -> None:
        self._offline_since = None

    def _offline(self, failure: NetworkError) -> None:
        self.observer.trouble(failure.message)
        now = self.clock.monotonic()
        # Not since the last contact: where the quota is used up, nothing is sent for most of an hour.
        if self._offline_since is None:
            self._offline_since = now
        elif now - self._offline_since > _OFFLINE:
            self.fatal = failure

    def _follow(self, device: Device, action: Action) -> None:
        """The device's action is known: take it to where its status belongs."""
        first = not device.followed
        device.action, device.followed = action, True
        if first:
            device.accepted = self.clock.wall()
            if not self._announce(
                device, custody.ACTION_KNOWN, action_id=action.id, request=device.request, comment=self.options.comment
            ):
                return
            self.observer.device(device, device.request or "")
        if action.status == SUCCEEDED and self.folder:
            device.phase = READY
            device.ready = self.clock.wall()
            self._waiting.pop(action.id, None)
            self.observer.device(device, "ready")
            heapq.heappush(self._ready, (device.order, device))
        elif action.final and action.status != SUCCEEDED and self._waits:
            self._fail(device, _ended_badly(device, action))
        elif action.final or not self._waits:
            self._finish(device)
        elif first:
            device.phase = WAITING
            deadline = self.clock.monotonic() + self.options.wait_timeout
            heapq.heappush(self._deadlines, (deadline, device.order, device))
            self._waiting[action.id] = device

    @property
    def _waits(self) -> bool:
        return self.options.wait or self.folder is not None

    # ---- polls: one list call for all that wait or look ----

    def _send_poll(self) -> float:
        if self._polling or not (self._waiting or self._looking):
            return math.inf
        due = self._next_poll - self.clock.monotonic()
        if due > 0:
            return due
        self._polling = True
        self._last_poll = self.clock.monotonic()
        # Whoever looks for the action that blocks its own needs all of them, however old.
        since: float | None = None
        if not any(device.refused for device in self._looking.values()):
            begins = [device.action.created_at for device in self._waiting.values() if device.action]
            since = min(begins + [device.posted - _SKEW for device in self._looking.values()])
        self._fly(self._poll_landed, self.api.collections, since=since, doing="follow the collections")
        return math.inf

    def _poll_landed(self, flight: Future[list[Action]]) -> None:
        self._polling = False
        self._looked = self._last_poll
        now = self.clock.monotonic()
        self._next_poll = now + self.options.poll_interval
        try:
            actions = flight.result()
        except DefenderError as failure:
            if _concerns_all(failure):
                self.fatal = failure
                return
            self._poll_trouble = failure.message
            for looked_for in [each for each in self._looking.values() if now > each.look_until + _OFFLINE]:
                self._looking.pop(looked_for.machine.id)
                self._fail(looked_for, failure, ended=False)
            self.observer.trouble(f"{failure.message} Asking again in {self.options.poll_interval:g} seconds.")
            return
        self._contact()
        self._poll_trouble = ""
        by_machine: dict[str, list[Action]] = {}
        for action in actions:
            device = self._waiting.get(action.id)
            if device:
                device.unseen_since = None
                if device.action and action.status != device.action.status:
                    self.observer.device(device, "status", action.status)
                self._follow(device, action)
            elif action.machine_id in self._looking:
                by_machine.setdefault(action.machine_id, []).append(action)
        for device in list(self._looking.values()):
            found = sorted(by_machine.get(device.machine.id, ()), key=lambda each: each.created_at, reverse=True)
            self._identify(device, found, now)
        seen = {action.id for action in actions}
        for device in [device for action_id, device in self._waiting.items() if action_id not in seen]:
            self._miss(device, now)

    def _identify(self, device: Device, actions: list[Action], now: float) -> None:
        """Which action came of the device's request: its own, somebody else's, or none; newest first."""
        device.looks += 1
        since = device.posted - _SKEW
        own = [action for action in actions if device.reply_lost and self._is_own(device, action)]
        running = [action for action in actions if not action.final]
        # What had ended before this device's turn blocks nothing.
        ended = [
            action
            for action in actions
            if action.final and action.updated_at >= since and action.id not in device.known_actions
        ]
        if own:
            self._identified(device, STARTED, own[0])
        elif running:
            self._identified(device, ALREADY_RUNNING, running[0])
        elif device.refused and ended and ended[0].status == SUCCEEDED:
            # It ended between the refusal and this look.
            self._identified(device, ALREADY_RUNNING, ended[0])
        elif device.starts < _TRIES and (ended if device.refused else device.looks > 1):
            # What blocked it has ended without a package, or the lost request was never carried out.
            self._looking.pop(device.machine.id)
            device.phase = START
            device.known_actions |= {action.id for action in ended}
            self._start_again(device)
        elif now < device.look_until:
            # The list may lag behind.
            self._look_soon()
        else:
            self._looking.pop(device.machine.id)
            self._fail(
                device,
                device.refused
                or ActionError(
                    f"Whether the collection on {device.label} was started is not known: no reply came, and no action is listed.",
                    code="StartUnconfirmed",
                    advice="Run again in a few minutes: an action that was made is then found and followed.",
                ),
                ended=False,
            )

    def _is_own(self, device: Device, action: Action) -> bool:
        return (
            action.comment == self.options.comment
            and action.id not in device.known_actions
            and action.created_at >= device.posted - _SKEW
        )

    def _identified(self, device: Device, request: str, action: Action) -> None:
        self._looking.pop(device.machine.id)
        device.request = request
        self._follow(device, action)

    def _miss(self, device: Device, now: float) -> None:
        """A followed action is not in the list: for a moment that is normal, afterwards it is asked for by its id."""
        if device.unseen_since is None:
            device.unseen_since = now
        if now - device.unseen_since < _UNLISTED or device.action is None:
            return
        device.unseen_since = math.inf
        self._fly_aside(partial(self._asked_singly, device), self.api.action, device.action.id)

    def _asked_singly(self, device: Device, flight: Future[Action]) -> None:
        if device.phase != WAITING:
            return
        if device.unseen_since is not None:
            device.unseen_since = self.clock.monotonic()
        try:
            action = flight.result()
        except NotFound as failure:
            gone = f"The collection on {device.label} is gone. {failure.message}"
            advice = "Run again to start a new one."
            self._fail(device, ActionError(gone, code=failure.code, advice=advice, tracking_id=failure.tracking_id))
        except DefenderError as failure:
            self.observer.trouble(f"{device.label}: {failure.message}")
        else:
            self._follow(device, action)

    def _end_overdue(self) -> float:
        now = self.clock.monotonic()
        while self._deadlines:
            deadline, _order, device = self._deadlines[0]
            if device.phase == WAITING and device.action:
                if deadline > now:
                    return deadline - now
                if self._looked < deadline:
                    # It may have ended since the last look.
                    self._look_soon()
                    return math.inf if self._polling else self._next_poll - now
                self._overdue(device, device.action)
            heapq.heappop(self._deadlines)
        return math.inf

    def _overdue(self, device: Device, action: Action) -> None:
        trouble = f" The last look failed: {self._poll_trouble}" if self._poll_trouble else ""
        error = ActionError(
            f"The collection on {device.label} is still {action.status} after {self.options.wait_timeout:g} seconds.{trouble}",
            code="NotFinishedInTime",
            advice="The action goes on. Run again to follow it, with a longer wait_timeout if the device is offline.",
        )
        if self.options.cancel_on_timeout and device.request == STARTED:
            device.error = error
            self._waiting.pop(action.id, None)
            device.phase = CANCELLING
            comment = f"Not finished in {self.options.wait_timeout:g} seconds. {self.options.comment}"
            self._fly_aside(partial(self._cancelled, device), self.api.cancel, action.id, comment, device.label)
        else:
            self._fail(device, error, ended=False)

    def _cancelled(self, device: Device, flight: Future[Action]) -> None:
        error = t.cast(DefenderError, device.error)
        try:
            device.action = flight.result()
        except DefenderError as failure:
            error.advice = f"Cancelling it failed as well: {failure.message} " + error.advice
            self._fail(device, error, ended=False)
        else:
            error.advice = (
                "It was asked to be cancelled, as cancel_on_timeout says. Run again when the device is reachable."
            )
            self._fail(device, error)

    # ---- packages: a link only when its download can begin ----

    def _send_fetches(self) -> float:
        now = self.clock.monotonic()
        while self._resting and self._resting[0][0] <= now:
            _until, order, device = heapq.heappop(self._resting)
            heapq.heappush(self._ready, (order, device))
        rest = self._resting[0][0] - now if self._resting else math.inf
        while self._ready and self._fetching < self.options.downloads:
            device = self._ready[0][1]
            if self._already_there(device):
                heapq.heappop(self._ready)
                # Reading it took a while: everything else has its turn before the next one.
                return 0.0
            slot, delay, self._tickets[PACKAGE_LINK] = self.api.session.budget.take(
                PACKAGE_LINK, self._tickets.get(PACKAGE_LINK)
            )
            if not slot:
                return min(delay, rest)
            heapq.heappop(self._ready)
            device.phase = FETCHING
            device.fetches += 1
            self._fetching += 1
            self._fly(partial(self._fetch_landed, device), self._fetch, device, slot)
        return rest

    def _already_there(self, device: Device) -> bool:
        folder, action = t.cast(Folder, self.folder), t.cast(Action, device.action)
        try:
            device.package = folder.existing(device.machine, action)
        except DefenderError as failure:
            self._fail(device, failure, ended=False)
            return True
        if device.package:
            self._finish(device)
        return device.package is not None

    def _fetch(self, device: Device, slot: t.Any) -> Package:
        folder, action = t.cast(Folder, self.folder), t.cast(Action, device.action)
        request = {
            "asked_for": device.asked,
            "request": device.request,
            "comment": self.options.comment,
            "asked_by": folder.custody.asked_by,
        }
        asked = False

        def stream(offset: int) -> t.ContextManager[tuple[int, int | None, t.Iterator[bytes]]]:
            # Only now is it certain that the download begins: no other run is at it, and bytes are missing.
            nonlocal asked
            asked = True
            return self.api.session.stream(self.api.package_link(action.id, device.label, slot), offset)

        try:
            return folder.fetch(device.machine, action, request, stream)
        finally:
            if not asked:
                self.api.session.budget.give_back(slot)

    def _fetch_landed(self, device: Device, flight: Future[Package]) -> None:
        self._fetching -= 1
        try:
            device.package = flight.result()
        except Busy:
            device.fetches -= 1
            self._rest(device, self.options.poll_interval)
        except NetworkError as failure:
            device.fetches -= 1
            self._offline(failure)
            # Packages come from another host, which may be out of reach while the API is not.
            now = self.clock.monotonic()
            self._no_download_since = self._no_download_since or now
            if now - self._no_download_since > _OFFLINE:
                self.fatal = failure
            self._rest(device, _PAUSE)
        except (PackageBroken, ReplyLost, ServiceError) as failure:
            if device.fetches >= _TRIES or _refused_for_good(failure):
                named = f"The package of {device.label} was not stored: {failure.message}"
                error = DefenderError(named, code=failure.code, advice=failure.advice, tracking_id=failure.tracking_id)
                self._fail(device, error, ended=False)
            else:
                if not isinstance(failure, ReplyLost):
                    self._contact()
                    self._no_download_since = None
                self.observer.device(device, "retry", failure.message)
                self._rest(device, self.clock.jitter(_PAUSE * 2**device.fetches))
        except DefenderError as failure:
            self._fail(device, failure, ended=False)
        else:
            self._contact()
            self._no_download_since = None
            device.wrote = True
            self._finish(device)

    def _rest(self, device: Device, seconds: float) -> None:
        device.phase = READY
        heapq.heappush(self._resting, (self.clock.monotonic() + seconds, device.order, device))

    # ---- ends ----

    def _finish(self, device: Device) -> None:
        self._close(device)
        self.observer.device(device, "done")

    def _fail(self, device: Device, error: DefenderError, ended: bool = True) -> None:
        """ended: the request is over. Otherwise the next run with the same dest takes it up again."""
        if _concerns_all(error):
            self.fatal = error
            return
        device.error = error
        self._close(device)
        if ended:
            code, message = self.api.scrub(error.code), self.api.scrub(error.message)
            self._announce(device, custody.DEVICE_FAILED, code=code, message=message)
        self.observer.device(device, "failed", error.message)

    def _close(self, device: Device) -> None:
        if device.phase != DONE:
            self._open -= 1
        device.phase = DONE
        device.ended = self.clock.wall()
        if device.action:
            self._waiting.pop(device.action.id, None)

    def _give_up(self, error: DefenderError) -> None:
        """What concerns all ends all that are open; downloads under way are let go, and continued by the next run."""
        self.clock.stop()
        for device in self.devices:
            if device.phase != DONE:
                device.error = error
                self._close(device)
        self.observer.trouble(str(error))

    def _announce(self, device: Device, event: str, **facts: t.Any) -> bool:
        if self.folder is None:
            return True
        try:
            self.folder.custody.append(
                event, machine_id=device.machine.id, computer_dns_name=device.machine.dns_name, **facts
            )
        except EvidenceError as failure:
            self.fatal = failure
            return False
        return True

    # ---- flights ----

    def _fly(
        self, land: t.Callable[[Future[t.Any]], None], call: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any
    ) -> None:
        self._flights[self.pool.submit(call, *args, **kwargs)] = land

    def _fly_aside(self, land: t.Callable[[Future[t.Any]], None], call: t.Callable[..., t.Any], *args: t.Any) -> None:
        """For calls that many devices can need at the same moment: one at a time, so that they leave the pool to the others."""
        self._asides.append((land, call, args))
        self._send_aside()

    def _send_aside(self) -> None:
        if self._asides and not self._aside:
            self._aside = True
            land, call, args = self._asides.popleft()
            self._fly(partial(self._aside_landed, land), call, *args)

    def _aside_landed(self, land: t.Callable[[Future[t.Any]], None], flight: Future[t.Any]) -> None:
        self._aside = False
        land(flight)
        self._send_aside()

    def _land(self) -> None:
        for flight in [flight for flight in self._flights if flight.done()]:
            self._flights.pop(flight)(flight)

    # ---- figures, for progress and plan ----

    def counts(self) -> dict[str, int]:
        """Devices by where they are."""
        return {
            "to_start": len(self._starts) + self._starting,
            "running": len(self._waiting) + len(self._looking),
            "ready": len(self._ready) + len(self._resting),
            "fetching": self._fetching,
            "done": sum(device.phase == DONE and device.error is None for device in self.devices),
            "failed": sum(device.phase == DONE and device.error is not None for device in self.devices),
        }

    def forecast(self) -> tuple[float, float]:
        """The least seconds until the last start and until the last link, by what the quota still gives."""
        counts = self.counts()
        budget = self.api.session.budget
        packages = counts["to_start"] + counts["running"] + counts["ready"] if self.folder else 0
        return budget.forecast(COLLECT, len(self._starts)), budget.forecast(PACKAGE_LINK, packages)


def _concerns_all(failure: DefenderError) -> bool:
    """Whether every further device would meet it too: no token, one that is refused although it is new (401), a full disk."""
    return isinstance(failure, AuthError) or failure.code in ("Unauthorized", "DiskFull")


def _refused_for_good(failure: DefenderError) -> bool:
    """Whether asking for the package again is useless. A link that was refused has expired, and 404 is also: not yet."""
    if not isinstance(failure, ServiceError) or isinstance(failure, NotFound):
        return False
    passing = failure.code == "LinkRefused" or failure.status in (408, 429)
    return failure.code == "LinkNotTrusted" or (400 <= failure.status < 500 and not passing)


def _ended_badly(device: Device, action: Action) -> ActionError:
    what, advice = _OUTCOMES[action.status]
    trouble = action.raw.get("troubleshootInfo") or ""
    hresult = action.raw.get("errorHResult") or 0
    more = f" (errorHResult {int(hresult) & 0xFFFFFFFF:#010x})" if isinstance(hresult, int) and hresult else ""
    said = f"{what}{more}{': ' + str(trouble) if trouble else ''}"
    return ActionError(f"The collection on {device.label} {said}.", code=action.status, advice=advice)
