# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet: every device from its request to its package, as one state machine.

A device goes through START -> STARTING -> (LOOKING) -> WAITING -> READY -> FETCHING -> DONE:

    START       a collection is to be asked for
    CLAIMED     another run of the same folder is about to ask for the same one, or has: its action is to be followed
    STARTING    it is being asked for
    LOOKING     it was asked for, but which action came of it must be looked up: one was running already, or the reply was lost
    WAITING     its action is known and not final; one list call at each poll serves all that wait
    READY       its action has succeeded; its package waits for a link
    FETCHING    link and download
    RESTING     fetching is to be tried again, in a while
    CANCELLING  it did not end in time and is being cancelled
    DONE        with its result, good or bad

All starts go out as fast as their quota allows, links likewise, each in the order in which the devices were named. Calls run
in the pool's threads; what they bring back is taken in by this one thread, so only it changes a device. Which device is in
which phase is the roll's matter. Devices may have folders, comments and times of their own; two may have the same action.
"""

from __future__ import annotations

import math
import typing as t
from collections import Counter
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import (
    Busy,
    DuplicatePackage,
    Folder,
    Package,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.zip_check import BrokenCopy
from ansible_collections.secops.defender.plugins.module_utils._fleet import failures
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import (
    Device,
    Observer,
    Pace,
    Phase,
    Request,
)
from ansible_collections.secops.defender.plugins.module_utils._fleet.flights import Flights, Land, UnexpectedError
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import SKEW, forecast_of_starts
from ansible_collections.secops.defender.plugins.module_utils._fleet.roll import Roll
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.quota import PACKAGE_LINK
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AlreadyRunning,
    DefenderError,
    EvidenceError,
    NetworkError,
    NotFound,
    PackageBroken,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import SUCCEEDED, Action, iso

# Starts under way at once: enough for the quota's 100 a minute at a second each, and a slow reply holds up no other.
_STARTS_AT_ONCE = 4
# How long the service may keep a new action out of its list, seconds.
_UNLISTED = 120.0
_TRIES = 4
# The shortest time between two looks, and the first rest before a download is tried again. Seconds.
_PAUSE = 2.0
# A network that is gone for longer ends the run; the next one picks up what was begun. Seconds.
_OFFLINE = 300.0
# Another run that is about to start the same request has done so, or has given up, within this time. Seconds.
_CLAIM = _UNLISTED + _OFFLINE
# How long after its end a package that cannot be got may still be on its way. Seconds.
_SETTLED = 600.0
# How long a look that was begun for a device whose time is over may take, seconds.
_LAST_LOOK = 10.0


@dataclass(eq=False)
class Fleet:
    """The devices of one task, from first look to last package.

    pool: runs the calls, with room for downloads + 6. fatal: what has ended the whole run before its time.
    """

    api: Api
    devices: list[Device]
    pace: Pace
    pool: Executor
    observer: Observer
    fatal: DefenderError | None = None
    # What has ended the work in one of several folders.
    lost_folders: dict[Folder, DefenderError] = field(default_factory=dict)
    _roll: Roll = field(default_factory=Roll)
    _tickets: dict[str, int | None] = field(default_factory=dict)
    _starts_rest_until: float = -math.inf
    _polling: bool = False
    _next_poll: float = 0.0
    _last_poll: float = -math.inf
    # When the newest look that has come back was begun.
    _looked: float = -math.inf
    _poll_trouble: str = ""
    _offline_since: float | None = None
    _no_download_since: float | None = None

    def __post_init__(self) -> None:
        self._flights = Flights(self.pool, self.api.scrub, (Busy, Stopped))

    @property
    def clock(self) -> Clock:
        return self.api.session.clock

    @property
    def folders(self) -> list[Folder]:
        """The devices' folders, each once."""
        return list(dict.fromkeys(device.folder for device in self.devices if device.folder))

    def _waits(self, device: Device) -> bool:
        return self.pace.wait or device.folder is not None

    # ---- the run ----

    def run(self) -> None:
        """Carry every device to its end. A failure of one is in its C(error); one that concerns all is in all that were open."""
        self._next_poll = self.clock.monotonic() + self.pace.poll_interval
        self._roll = Roll(self.devices)
        for device in self.devices:
            if device.phase is not Phase.DONE and device.action and not self.fatal:
                self._follow(device, device.action)
        while self._roll.open and not self.fatal:
            soon = min(
                self._send_starts(),
                self._send_poll(),
                self._send_fetches(),
                self._end_overdue(),
                self._end_lost(),
                self.observer.tick(self),
            )
            if self._roll.open and not self.fatal:
                self.clock.wait(self._flights, max(0.0, min(soon, 60.0)))
                self._flights.land()
        if self.fatal:
            self._give_up(self.fatal)

    def _for(self, device: Device, land: t.Callable[[Device, Future[t.Any]], None]) -> Land:
        """What takes in a call's outcome for a device, unless the device is done meanwhile."""

        def landed(flight: Future[t.Any]) -> None:
            if device.phase is not Phase.DONE:
                land(device, flight)

        return landed

    # ---- starts ----

    def _send_starts(self) -> float:
        rest = self._starts_rest_until - self.clock.monotonic()
        if rest > 0 and self._roll.count(Phase.START):
            return rest
        rest = self._claims_due()
        while self._roll.count(Phase.STARTING) < _STARTS_AT_ONCE and (device := self._roll.first(Phase.START)):
            kind = device.wish.kind
            slot, delay, self._tickets[kind.endpoint] = self.api.session.budget.take(
                kind.endpoint, self._tickets.get(kind.endpoint)
            )
            if not slot:
                return min(delay, rest)
            if not self._may_start(device):
                self.api.session.budget.give_back(slot)
                return 0.0
            device.posted = device.posted or self.clock.wall()
            device.sent = device.sent or self.api.session.now()
            device.starts += 1
            self._roll.move(device, Phase.STARTING)
            self._flights.send(
                self._for(device, self._start_landed), self.api.start, kind, device.machine, device.wish.comment, slot
            )
        return rest

    def _may_start(self, device: Device) -> bool:
        """Announce the start in the log, unless another run is at the same request: then it is followed."""
        if device.folder is None:
            return True
        try:
            claim = device.folder.custody.claim_start(
                device.machine.id, device.machine.dns_name, device.wish.comment, self.api.session.now()
            )
        except EvidenceError as failure:
            self._lose_folder(device.folder, failure)
            return False
        if claim:
            self._await_other(device, claim.action_id)
        return claim is None

    def _start_landed(self, device: Device, flight: Future[Action]) -> None:
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
            self._roll.move(device, Phase.START)
            self._starts_rest_until = self.clock.monotonic() + _PAUSE
        except UnexpectedError as failure:
            # Whether anything was started is not known: the next run looks.
            self._fail(device, failure, ended=False)
        except DefenderError as failure:
            self._contact()
            self._fail(device, failure)
        else:
            self._contact()
            if action.machine_id not in ("", device.machine.id):
                self._fail(device, failures.wrong_machine(device, action))
                return
            device.request, device.own_action = Request.STARTED, action.id
            self._follow(device, action)

    def _look_up(self, device: Device, refused: AlreadyRunning | None) -> None:
        device.refused = refused
        device.looks = 0
        self._roll.move(device, Phase.LOOKING, self.clock.monotonic() + _UNLISTED)
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

    # ---- another run of the folder is at the same request ----

    def _await_other(self, device: Device, action_id: str | None) -> None:
        now = self.clock.monotonic()
        device.claimed_since = now if device.claimed_since is None else device.claimed_since
        if action_id:
            self._roll.move(device, Phase.CLAIMED, math.inf)
            self._flights.send_aside(self._for(device, self._other_asked), self.api.action, action_id)
        elif now - device.claimed_since > _CLAIM:
            self._fail(device, failures.started_elsewhere(device), ended=False)
        else:
            self._roll.move(device, Phase.CLAIMED, now + _PAUSE)

    def _other_asked(self, device: Device, flight: Future[Action]) -> None:
        try:
            action = flight.result()
        except DefenderError as failure:
            waited = self.clock.monotonic() - (device.claimed_since or 0.0)
            if failures.concerns_all(failure) or waited > _CLAIM:
                self._fail(device, failures.gone(device, failure), ended=False)
            else:
                self.observer.trouble(f"{device.label}: {failure.message}")
                self._roll.move(device, Phase.CLAIMED, self.clock.monotonic() + self.pace.poll_interval)
        else:
            self._identified(device, Request.ALREADY_RUNNING, action)

    def _claims_due(self) -> float:
        """Those whose claim is to be asked for again; returns the seconds until the next are."""
        now = self.clock.monotonic()
        while device := self._roll.first(Phase.CLAIMED):
            if self._roll.turn(device) > now:
                return self._roll.turn(device) - now
            self._roll.move(device, Phase.START)
        return math.inf

    # ---- the action is known ----

    def _follow(self, device: Device, action: Action) -> None:
        """The device's action is known: take it to where its status belongs."""
        first = not device.followed
        device.action, device.followed = action, True
        if first:
            device.accepted = self.clock.wall()
            request = device.request.value if device.request else None
            facts = {
                "action_id": action.id,
                "request": request,
                "comment": device.wish.comment,
                "service_time": iso(self.api.session.now()),
            }
            if not self._announce(device, custody.ACTION_KNOWN, **facts):
                return
            self.observer.device(device, str(device.request))
        if action.status == SUCCEEDED and (device.folder or device.request is Request.REUSED):
            device.ready, device.ready_at_once = self.clock.wall(), first
            self._roll.move(device, Phase.READY)
            self.observer.device(device, "ready")
        elif action.final and action.status != SUCCEEDED and self._waits(device):
            self._fail(device, failures.ended_badly(device, action))
        elif action.final or not self._waits(device):
            self._finish(device)
        elif first:
            self._roll.move(device, Phase.WAITING, self.clock.monotonic() + device.wish.wait_timeout)

    # ---- polls: one list call for all that wait or look ----

    def _send_poll(self) -> float:
        if self._polling or not self._roll.count(Phase.WAITING, Phase.LOOKING):
            return math.inf
        due = self._next_poll - self.clock.monotonic()
        if due > 0:
            return due
        self._polling = True
        self._last_poll = self.clock.monotonic()
        looking, waiting = self._roll.all(Phase.LOOKING), self._roll.all(Phase.WAITING)
        # Whoever looks for the action that blocks its own needs all of them, however old.
        since: float | None = None
        if not any(device.refused for device in looking):
            begins = [device.action.created_at for device in waiting if device.action]
            since = min(begins + [device.sent - SKEW for device in looking])
        kinds = dict.fromkeys(device.wish.kind for device in (*looking, *waiting))
        doing = f"follow the {' and '.join(f'{kind.noun}s' for kind in kinds)}"
        types = [kind.type for kind in kinds]
        self._flights.send(self._poll_landed, self.api.actions_of, *types, since=since, doing=doing)
        return math.inf

    def _poll_landed(self, flight: Future[list[Action]]) -> None:
        self._polling = False
        self._looked = self._last_poll
        now = self.clock.monotonic()
        self._next_poll = now + self.pace.poll_interval
        try:
            actions = flight.result()
        except DefenderError as failure:
            self._poll_failed(failure)
            return
        self._contact()
        self._poll_trouble = ""
        by_id = {action.id: action for action in actions}
        looking = self._roll.all(Phase.LOOKING)
        looked_for: dict[str, list[Action]] = {device.machine.id: [] for device in looking}
        for action in sorted(actions, key=lambda each: each.created_at, reverse=True):
            if action.machine_id in looked_for:
                looked_for[action.machine_id].append(action)
        for device in self._roll.all(Phase.WAITING):
            if device.phase is Phase.WAITING and device.action:
                self._seen(device, by_id.get(device.action.id), now)
        for device in looking:
            if device.phase is Phase.LOOKING:
                self._identify(device, looked_for[device.machine.id], now)

    def _poll_failed(self, failure: DefenderError) -> None:
        if failures.concerns_all(failure):
            self.fatal = failure
            return
        self._poll_trouble = failure.message
        self.observer.trouble(f"{failure.message} Asking again in {self.pace.poll_interval:g} seconds.")

    def _seen(self, device: Device, action: Action | None, now: float) -> None:
        """Take in a followed action. One that the list lacks for longer than a moment is asked for by its id."""
        if action:
            device.unseen_since = None
            if device.action and action.status != device.action.status:
                self.observer.device(device, "status", action.status)
            self._follow(device, action)
            return
        if device.unseen_since is None:
            device.unseen_since = now
        if now - device.unseen_since < _UNLISTED or device.action is None:
            return
        device.unseen_since = math.inf
        self._flights.send_aside(self._for(device, self._asked_singly), self.api.action, device.action.id)

    def _asked_singly(self, device: Device, flight: Future[Action]) -> None:
        if device.phase is not Phase.WAITING:
            return
        if device.unseen_since is not None:
            device.unseen_since = self.clock.monotonic()
        try:
            action = flight.result()
        except NotFound as failure:
            self._fail(device, failures.gone(device, failure))
        except DefenderError as failure:
            self.observer.trouble(f"{device.label}: {failure.message}")
        else:
            self._follow(device, action)

    # ---- which action came of a device's request ----

    def _identify(self, device: Device, actions: list[Action], now: float) -> None:
        """Its own, somebody else's, or none; newest first."""
        device.looks += 1
        own = [action for action in actions if device.reply_lost and self._is_own(device, action)]
        running = [action for action in actions if not action.final]
        # What had ended before this device's turn blocks nothing.
        ended = [action for action in actions if action.final and self._is_new(device, action)]
        if own:
            self._identified(device, Request.STARTED, own[0])
        elif running:
            self._identified(device, Request.ALREADY_RUNNING, running[0])
        elif device.refused and ended and ended[0].status == SUCCEEDED:
            # It ended between the refusal and this look.
            self._identified(device, Request.ALREADY_RUNNING, ended[0])
        elif device.starts < _TRIES and (ended if device.refused else device.looks > 1):
            # What blocked it has ended without a package, or the lost request was never carried out.
            device.known_actions |= {action.id for action in ended}
            self._roll.move(device, Phase.START)
        elif now < (self._roll.turn(device) or 0.0):
            # The list may lag behind.
            self._look_soon()
        else:
            self._fail(device, device.refused or failures.start_unconfirmed(device), ended=False)

    def _is_own(self, device: Device, action: Action) -> bool:
        comment = (action.comment or "").strip()
        recent = action.created_at >= device.sent - SKEW
        return comment == device.wish.comment and recent and action.id not in device.known_actions

    def _is_new(self, device: Device, action: Action) -> bool:
        return action.updated_at >= device.sent - SKEW and action.id not in device.known_actions

    def _identified(self, device: Device, request: Request, action: Action) -> None:
        device.request = request
        self._follow(device, action)

    # ---- time-outs ----

    def _end_overdue(self) -> float:
        """Those whose action did not finish in time; returns the seconds until the next may be."""
        now = self.clock.monotonic()
        while (device := self._roll.first(Phase.WAITING)) and device.action:
            deadline = self._roll.turn(device)
            if deadline > now:
                return deadline - now
            if self._looked < deadline and now < deadline + _LAST_LOOK:
                # It may have ended since the last look.
                self._look_soon()
                next_look = math.inf if self._polling else self._next_poll
                return min(next_look, deadline + _LAST_LOOK) - now
            self._overdue(device, device.action)
        return math.inf

    def _overdue(self, device: Device, action: Action) -> None:
        error = failures.not_finished(device, action, self._poll_trouble)
        if device.wish.cancel_on_timeout and action.id == device.own_action:
            device.error = error
            self._roll.move(device, Phase.CANCELLING)
            comment = f"Not finished in {device.wish.wait_timeout:g} seconds. {device.wish.comment}"
            self._flights.send_aside(
                self._for(device, self._cancelled), self.api.cancel, action.id, comment, device.label
            )
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

    def _end_lost(self) -> float:
        """Those whose action cannot even be looked for; returns the seconds until the next may be."""
        now = self.clock.monotonic()
        while device := self._roll.first(Phase.LOOKING):
            until = self._roll.turn(device) + _OFFLINE
            if until > now:
                return until - now
            message = f"{failures.start_unconfirmed(device).message} The last look failed: {self._poll_trouble}"
            self._fail(device, failures.named(failures.start_unconfirmed(device), message), ended=False)
        return math.inf

    # ---- packages: a link only when its download can begin ----

    def _send_fetches(self) -> float:
        now = self.clock.monotonic()
        while (device := self._roll.first(Phase.RESTING)) and self._roll.turn(device) <= now:
            self._roll.move(device, Phase.READY)
        rest = self._roll.turn(device) - now if device else math.inf
        while self._roll.count(Phase.FETCHING) < self.pace.downloads and (device := self._roll.first(Phase.READY)):
            if self._already_there(device):
                # Reading it took a while: everything else has its turn before the next one.
                return 0.0
            slot, delay, self._tickets[PACKAGE_LINK] = self.api.session.budget.take(
                PACKAGE_LINK, self._tickets.get(PACKAGE_LINK)
            )
            if not slot:
                return min(delay, rest)
            device.fetches += 1
            self._roll.move(device, Phase.FETCHING)
            self._flights.send(self._for(device, self._fetch_landed), self._fetch, device, slot)
        return rest

    def _already_there(self, device: Device) -> bool:
        folder, action = device.folder, t.cast(Action, device.action)
        if folder is None:
            return False
        try:
            device.package = folder.existing(device.machine, action)
        except DuplicatePackage as failure:
            self._duplicate(device, failure)
            return True
        except DefenderError as failure:
            self._fail(device, failure, ended=False)
            return True
        if device.package:
            self._finish(device)
        return device.package is not None

    def _fetch(self, device: Device, slot: t.Any) -> Package | None:
        folder, action = device.folder, t.cast(Action, device.action)
        if folder is None:
            # Nobody takes it, but whether the service still keeps it is known by its link alone.
            self.api.package_link(action.id, device.label, slot)
            return None
        request = {
            "asked_for": device.asked,
            "request": device.request.value if device.request else None,
            "comment": device.wish.comment,
            "asked_by": folder.custody.asked_by,
        }
        asked = False

        def stream(offset: int) -> t.ContextManager[tuple[int, int | None, t.Iterator[bytes]]]:
            # Only now is it certain that the download begins: no other run is at it, and bytes are missing.
            nonlocal asked
            asked = True
            return self.api.session.stream(self.api.package_link(action.id, device.label, slot), offset)

        # A record keeps all that the service says, and it may say back what it was sent.
        action = replace(action, raw=self.api.scrub(action.raw))
        try:
            return folder.fetch(device.machine, action, request, stream)
        finally:
            if not asked:
                self.api.session.budget.give_back(slot)

    def _fetch_landed(self, device: Device, flight: Future[Package | None]) -> None:
        try:
            device.package = flight.result()
        except Busy:
            device.fetches -= 1
            self._rest(device, self.pace.poll_interval)
        except NetworkError as failure:
            device.fetches -= 1
            self._download_out_of_reach(failure)
            self._rest(device, _PAUSE)
        except (PackageBroken, ReplyLost, ServiceError) as failure:
            self._fetch_failed(device, failure)
        except DuplicatePackage as failure:
            device.wrote = True
            self._duplicate(device, failure)
        except DefenderError as failure:
            self._fail(device, failure, ended=False)
        else:
            self._contact()
            self._no_download_since = None
            device.wrote = device.package is not None
            self._finish(device)

    def _duplicate(self, device: Device, failure: DuplicatePackage) -> None:
        """It is kept and recorded, but whose it is nobody knows: the next run collects anew."""
        device.package = failure.package
        self._fail(device, failure)

    def _download_out_of_reach(self, failure: NetworkError) -> None:
        self._offline(failure)
        # Packages come from another host, which may be out of reach while the API is not.
        now = self.clock.monotonic()
        self._no_download_since = self._no_download_since or now
        if now - self._no_download_since > _OFFLINE:
            self.fatal = failure

    def _fetch_failed(self, device: Device, failure: DefenderError) -> None:
        if self._is_gone(device, failure):
            self._collect_anew(device)
            return
        if failure.code == "PackageBroken" and self._is_same_copy(device, failure):
            failure = failures.broken_twice(failure)
            device.fetches = _TRIES
        if device.fetches >= _TRIES or failures.refused_for_good(failure):
            self._fail(device, failures.not_stored(device, failure), ended=False)
            return
        if not isinstance(failure, ReplyLost):
            self._contact()
            self._no_download_since = None
        self.observer.device(device, "retry", failure.message)
        self._rest(device, self.clock.jitter(_PAUSE * 2**device.fetches))

    def _is_same_copy(self, device: Device, failure: DefenderError) -> bool:
        sha256 = failure.sha256 if isinstance(failure, BrokenCopy) else None
        same = sha256 is not None and sha256 == device.broken_sha256
        device.broken_sha256 = sha256
        return same

    def _is_gone(self, device: Device, failure: DefenderError) -> bool:
        """Whether the service keeps the package no more: one that was there long before this run, and is not found now."""
        if not isinstance(failure, ServiceError) or device.request not in (Request.REUSED, Request.RESUMED):
            return False
        action = t.cast(Action, device.action)
        old = self.api.session.now() - action.updated_at > _SETTLED and device.ready_at_once
        # A link that is refused may have been too slow; a second one was not.
        return old and (failure.status in (404, 410) or (failure.code == "LinkRefused" and device.fetches > 1))

    def _collect_anew(self, device: Device) -> None:
        action = t.cast(Action, device.action)
        if device.chosen:
            self._fail(device, failures.expired(device, action), ended=False)
            return
        self.observer.device(device, "expired", f"the package of {action.updated} is no longer kept by the service")
        device.known_actions |= {action.id}
        device.request = device.action = device.age = None
        device.followed, device.fetches = False, 0
        self._roll.move(device, Phase.START)

    def _rest(self, device: Device, seconds: float) -> None:
        self._roll.move(device, Phase.RESTING, self.clock.monotonic() + seconds)

    # ---- ends ----

    def _finish(self, device: Device) -> None:
        self._close(device)
        self.observer.device(device, "done")

    def _fail(self, device: Device, error: DefenderError, ended: bool = True) -> None:
        """ended: the request is over. Otherwise the next run with the same dest takes it up again."""
        if failures.concerns_all(error):
            self.fatal = error
            return
        if error.code == "DiskFull" and device.folder:
            self._lose_folder(device.folder, error)
            return
        device.error = error
        self._close(device)
        if ended:
            code, message = self.api.scrub(error.code), self.api.scrub(error.message)
            self._announce(device, custody.DEVICE_FAILED, code=code, message=message)
        self.observer.device(device, "failed", error.message)

    def _close(self, device: Device) -> None:
        self._roll.move(device, Phase.DONE)
        device.ended = self.clock.wall()

    def _lose_folder(self, folder: Folder, error: DefenderError) -> None:
        """Nothing can be written there any more: its devices end; the others, if there are any, go on."""
        if len(self.folders) == 1:
            self.fatal = error
            return
        self.lost_folders[folder] = error
        self.observer.trouble(str(error))
        for device in self.devices:
            if device.folder is folder and device.phase is not Phase.DONE:
                device.error = error
                self._close(device)

    def _give_up(self, error: DefenderError) -> None:
        """What concerns all ends all that are open; downloads under way are let go, and continued by the next run."""
        self.clock.stop()
        for device in self.devices:
            if device.phase is not Phase.DONE:
                device.error = error
                self._close(device)
        self.observer.trouble(str(error))

    def _announce(self, device: Device, event: str, **facts: t.Any) -> bool:
        if device.folder is None:
            return True
        try:
            device.folder.custody.append(
                event, machine_id=device.machine.id, computer_dns_name=device.machine.dns_name, **facts
            )
        except EvidenceError as failure:
            self._lose_folder(device.folder, failure)
            return False
        return True

    # ---- figures, for progress ----

    def counts(self) -> dict[str, int]:
        """Devices by where they are."""
        counts = Counter(_figure(device) for device in self.devices)
        return {name: counts[name] for name in ("to_start", "running", "ready", "fetching", "done", "failed")}

    def forecast(self) -> tuple[float, float]:
        """The least seconds until the last start and until the last link, by what the quota still gives."""
        budget = self.api.session.budget
        linked = (Phase.FETCHING, Phase.CANCELLING, Phase.DONE)
        packages = sum(
            (device.folder is not None or device.request is Request.REUSED) and device.phase not in linked
            for device in self.devices
        )
        return forecast_of_starts(budget, self._roll.all(Phase.START)), budget.forecast(PACKAGE_LINK, packages)


_FIGURES = {
    Phase.START: "to_start",
    Phase.STARTING: "to_start",
    Phase.CLAIMED: "running",
    Phase.LOOKING: "running",
    Phase.WAITING: "running",
    Phase.CANCELLING: "running",
    Phase.READY: "ready",
    Phase.RESTING: "ready",
    Phase.FETCHING: "fetching",
}


def _figure(device: Device) -> str:
    """What a device counts as in a line of progress."""
    return _FIGURES.get(device.phase) or ("failed" if device.error else "done")
