# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device on its way, what is wanted of it, and who is told what happens to it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from enum import Enum

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder, Package
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AlreadyRunning, DefenderError
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import COLLECTION, ActionKind
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine


class Phase(Enum):
    """Where a device is on its way from its request to its package; see run.py."""

    START = "start"
    CLAIMED = "claimed"
    STARTING = "starting"
    LOOKING = "looking"
    WAITING = "waiting"
    READY = "ready"
    RESTING = "resting"
    FETCHING = "fetching"
    CANCELLING = "cancelling"
    DONE = "done"


class Request(str, Enum):
    """How the device's action came about. The value is the word of results and records."""

    STARTED = "started"
    ALREADY_RUNNING = "already_running"
    REUSED = "reused"
    RESUMED = "resumed"
    WOULD_START = "would_start"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Wish:
    """What is wanted of one device. Times in seconds.

    comment: is trimmed. wait_timeout: for its action to finish, from its start or adoption on. cancel_on_timeout: only what
    this fleet started. reuse_within: how old a package may be to be taken instead of a new one; 0: none is. dest: the
    evidence folder as it was asked for. kind: what the device is asked to do.
    """

    comment: str = ""
    wait_timeout: float = 3600.0
    cancel_on_timeout: bool = False
    reuse_within: float = 0.0
    dest: str | None = None
    kind: ActionKind = COLLECTION

    def __post_init__(self) -> None:
        object.__setattr__(self, "comment", self.comment.strip())


@dataclass(frozen=True)
class Pace:
    """What is the same for all devices of a fleet. Times in seconds.

    wait: for actions to finish (a device with a folder waits in any case). resume_within: how old what an interrupted run
    has begun may be to be picked up; 0: nothing is. downloads: at a time. task: what the retries of one task have in common,
    as the log's C(run_started) has it; what an earlier try has stored is picked up.
    """

    wait: bool = False
    poll_interval: float = 15.0
    downloads: int = 4
    resume_within: float = 86400.0
    task: str | None = None


@dataclass(eq=False)
class Device:
    """One device on its way. order: its place among the fleet's devices, from 0 on. folder: where its package goes, if any.

    records: the IDs of records that led to its machine, because the service has merged them into it.
    """

    order: int
    asked: str
    machine: Machine
    wish: Wish
    folder: Folder | None = None
    action: Action | None = None
    records: tuple[str, ...] = ()
    phase: Phase = Phase.START
    request: Request | None = None
    error: DefenderError | None = None
    package: Package | None = None
    wrote: bool = False
    followed: bool = False
    posted: float = 0.0
    # The same by the service's clock, against which its times are held.
    sent: float = 0.0
    # Another run of the folder is at the same request; since when this one waits for it, monotonic.
    claimed: bool = False
    claimed_since: float | None = None
    # Its action was named, or is the only one that may be taken: no other is started for it.
    chosen: bool = False
    # The id in the reply to this fleet's own start: nothing else is ever cancelled.
    own_action: str | None = None
    known_actions: frozenset[str] = frozenset()
    refused: AlreadyRunning | None = None
    reply_lost: bool = False
    looks: int = 0
    starts: int = 0
    # Its action had succeeded already when it became known.
    ready_at_once: bool = False
    fetches: int = 0
    broken_sha256: str | None = None
    unseen_since: float | None = None
    # Wall clock: when its action was known to this run, when its package was ready, and when the run was done with it.
    accepted: float = 0.0
    ready: float = 0.0
    ended: float = 0.0
    # Seconds: how old its action was when this run took it up; None where this run started it.
    age: float | None = None
    # The status of a newer action, where an older one's package was asked for all the same.
    newer: str | None = None

    @property
    def label(self) -> str:
        return self.machine.label

    @property
    def done(self) -> bool:
        return self.phase is Phase.DONE


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


class Progress(t.Protocol):
    """What a running fleet tells of itself."""

    devices: list[Device]

    def counts(self) -> dict[str, int]:
        """Devices by where they are: to_start, running, ready, fetching, done, failed."""

    def forecast(self) -> tuple[float, float]:
        """The least seconds until the last start and until the last link."""


class Observer(t.Protocol):
    """Who is told what happens; every call comes from the fleet's own thread."""

    def plan(self, plan: Plan) -> None:
        """The first look is done."""

    def device(self, device: Device, what: str, detail: str = "") -> None:
        """Something happened to a device."""

    def trouble(self, text: str) -> None:
        """Something needs attention."""

    def tick(self, fleet: Progress) -> float:
        """Time has passed; returns the seconds after which to be called again."""
