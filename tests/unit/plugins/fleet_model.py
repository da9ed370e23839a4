# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract says that a run decides, by what really happened.

The model knows the service and what each run had in its own memory, and never reads a custody log. Times are those of the
service's clock, as World has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import Deed, Hand, Killed, Run, World, WorldApi

# Failures that end a request; after any other one the next run takes it up.
_ENDED = {"Failed", "TimeOut", "Cancelled", "ResourceNotFound"}
# The contract does not say how far back running actions and packages of old actions are looked for. Seconds.
_FAR_BACK = 3.5 * 86400.0
# Somebody else's action with the same comment may be taken for one whose reply was lost, if it is not older than that.
_CLOSE = 300.0
# What the rounding of times may do to a comparison, seconds.
_ROUNDING = 0.001


@dataclass(eq=False)
class Ran:
    """One run, as it really was. over: when it was, or infinity. killed_at: the step at which it is to be killed."""

    label: str
    folder: str | None
    comment: str
    task: str | None = None
    killed_at: str | None = None
    run: Run | None = None
    hand: Hand | None = None
    began: float = 0.0
    looked: float = 0.0
    over: float = float("inf")
    asked: list[Asked] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.over == float("inf")

    @property
    def killed(self) -> bool:
        return self.hand is not None and isinstance(self.hand.failure, Killed)

    @property
    def given_up(self) -> bool:
        return self.killed or (self.run is not None and self.run.fleet.fatal is not None)


@dataclass(eq=False)
class Asked:
    """What a run wants of one device. picked: the request that it goes on with, by its first look."""

    ran: Ran
    device: Device
    picked: Asked | None = None

    @property
    def known(self) -> float | None:
        """When its action was known. None: not yet."""
        assert self.ran.run
        told = self.ran.run.observer.events
        return next((at for at, who, what, _detail in told if who == self.device.label and what in _WORDS), None)

    @property
    def since(self) -> float | None:
        """When it was begun: asked for, or an action followed. None: not yet."""
        assert self.ran.run
        return self.device.sent - cast(WorldApi, self.ran.run.fleet.api).world.base if self.device.sent else self.known

    @property
    def root(self) -> Asked:
        """The request itself: an earlier run's where this one goes on with it, unless what it led to was gone."""
        goes_on = self.picked is not None and self.device.starts == 0
        return self.picked.root if self.picked and goes_on else self

    @property
    def reused(self) -> bool:
        return str(self.device.request) == "reused"

    @property
    def failed(self) -> bool:
        error = self.device.error
        cancelled = error is not None and "asked to be cancelled" in error.advice
        return self.device.done and error is not None and (error.code in _ENDED or cancelled)

    @property
    def stored(self) -> bool:
        device = self.device
        return bool(device.action and device.folder and device.folder.place(device.machine, device.action).exists())

    @property
    def open(self) -> bool:
        return not self.failed and not self.stored


_WORDS = {"started", "already_running", "reused", "resumed"}


class Expected(NamedTuple):
    """One decision that is right. action: of what is followed, taken or picked up; None where it is not known or there is none."""

    word: str
    action: str | None = None


@dataclass
class _Chain:
    """A request, and the runs that were at it, the first one first."""

    asks: list[Asked]

    @property
    def since(self) -> float:
        return self.asks[0].since or 0.0

    @property
    def last(self) -> Asked:
        return self.asks[-1]


class Contract:
    """world, runs: what has happened so far."""

    def __init__(self, world: World, runs: list[Ran]) -> None:
        self.world = world
        self.runs = runs

    def expected(self, ran: Ran, device: Device) -> set[Expected]:
        """What may be decided now; one thing, but for what nobody can know."""
        both = (self._expected(ran, device, slack) for slack in (-_ROUNDING, _ROUNDING))
        return set().union(*both)

    def _expected(self, ran: Ran, device: Device, slack: float) -> set[Expected]:
        chains = self.chains(ran.folder)
        mine = [chain for chain in chains if self._same(chain.last, ran, device)]
        living = [chain.last for chain in mine if chain.last.ran.alive and chain.last.open and not chain.last.reused]
        if living:
            found = [self._led_to(ask, ran.looked) for ask in living]
            return {Expected("already_running", deed.id if deed else None) for deeds in found for deed in deeds}
        told = [chain for chain in mine if not chain.last.reused]
        anew = self._anew(ran, device, slack)
        if not told or told[-1].last.failed:
            return anew
        if not self.interrupted(told[-1].last.ran, chains, ran.task):
            return anew
        right: set[Expected] = set()
        for deed in self._led_to(told[-1].last, ran.looked):
            resumed = deed and self._may_be_resumed(ran, device, told[-1].since, deed, slack)
            right |= {Expected("resumed", deed.id)} if deed and resumed else anew
        return right

    def picked(self, ran: Ran, device: Device) -> Asked:
        """The request that a run goes on with which has decided so."""
        return [
            chain for chain in self.chains(ran.folder) if self._same(chain.last, ran, device) and not chain.last.reused
        ][-1].asks[0]

    # ---- requests and runs ----

    def chains(self, folder: str | None) -> list[_Chain]:
        """The requests of a folder, the oldest first."""
        begun = [ask for ran in self.runs if ran.folder == folder for ask in ran.asked if ask.since is not None]
        found: dict[int, list[Asked]] = {}
        for ask in sorted(begun, key=lambda each: each.since or 0.0):
            found.setdefault(id(ask.root), []).append(ask)
        return list(map(_Chain, found.values())) if folder else []

    def interrupted(self, ran: Ran, chains: list[_Chain], task: str | None) -> bool:
        """It gave up, left a device unfinished that no later run has brought to its end, or was an earlier try of this task."""
        if ran.alive:
            return False
        left = [chain for chain in chains if chain.last.ran is ran and chain.last.open]
        unfinished = [
            chain for chain in left if not self._overtaken(chain, chains) and not self._renewed(chain, chains)
        ]
        return ran.given_up or bool(unfinished) or (task is not None and ran.task == task)

    def _overtaken(self, chain: _Chain, chains: list[_Chain]) -> bool:
        later = chains[chains.index(chain) + 1 :]
        return any(
            self._same(each.last, chain.last.ran, chain.last.device)
            and each.last.ran is not chain.last.ran
            and each.last.stored
            for each in later
        )

    def _renewed(self, chain: _Chain, chains: list[_Chain]) -> bool:
        """A later run has gone on with it, and has asked anew because what it led to was gone."""
        root = chain.last.root
        asks = [ask for each in chains if each is not chain for ask in each.asks]
        return any(ask.picked is not None and ask.picked.root is root for ask in asks)

    def _same(self, ask: Asked, ran: Ran, device: Device) -> bool:
        return (ask.ran.folder, ask.ran.comment, ask.device.machine.id) == (ran.folder, ran.comment, device.machine.id)

    # ---- actions ----

    def listed(self, machine_id: str, at: float) -> list[Deed]:
        """The service's actions of a device, the newest first."""
        there = [
            deed
            for deed in self.world.by_machine[machine_id]
            if not deed.forgotten and at >= deed.created + deed.plan.unlisted
        ]
        return sorted(there, key=lambda deed: deed.created, reverse=True)

    def _led_to(self, ask: Asked, at: float) -> Iterable[Deed | None]:
        """The action of a request. Where its reply never came, comment and time are all that tells, unless it was made."""
        if ask.device.action:
            deed = self.world.deeds[ask.device.action.id]
            return [None if deed.forgotten else deed]
        listed = self.listed(ask.device.machine.id, at)
        own = [deed for deed in listed if deed.made_by == ask.ran.label]
        since = ask.since or 0.0
        taken = {
            each.device.action.id
            for ran in self.runs
            if ran.folder == ask.ran.folder
            for each in ran.asked
            if each is not ask and each.device.action and (each.known or since) < since
        }
        alike = [deed for deed in listed if deed.comment == ask.ran.comment and deed.created >= since - _CLOSE]
        return own or [*[deed for deed in alike if deed.id not in taken], None]

    def _may_be_resumed(self, ran: Ran, device: Device, since: float, deed: Deed, slack: float) -> bool:
        pace = ran.run.fleet.pace if ran.run else None
        assert pace
        in_time = pace.resume_within > 0 and ran.looked - since + slack <= pace.resume_within
        return in_time and not (
            device.wish.reuse_within
            and deed.status(ran.looked) == "Succeeded"
            and ran.looked - (deed.ends_at or 0.0) + slack > device.wish.reuse_within
        )

    def _anew(self, ran: Ran, device: Device, slack: float) -> set[Expected]:
        at, listed = ran.looked, self.listed(device.machine.id, ran.looked)
        start = Expected("start")
        running = [deed for deed in listed if deed.status(at) in ("Pending", "InProgress")]
        if running:
            found = {Expected("already_running", running[0].id)}
            return found | {start} if at - running[0].created > _FAR_BACK else found
        within = device.wish.reuse_within
        ready = [
            deed
            for deed in listed
            if deed.status(at) == "Succeeded" and within and at - (deed.ends_at or 0.0) + slack <= within
        ]
        if not ready:
            return {start}
        newest = max(ready, key=lambda deed: deed.ends_at or 0.0)
        far = at - newest.created > within + _FAR_BACK
        return {Expected("reused", newest.id), start} if far else {Expected("reused", newest.id)}


def decided(device: Device) -> Expected:
    """What a device's first look has led to."""
    if device.claimed:
        return Expected("already_running")
    return Expected(str(device.request) if device.request else "start", device.action.id if device.action else None)
