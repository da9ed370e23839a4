# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A world in which days pass in milliseconds: a virtual clock, a pool without threads, and the service as a double.

The double behaves as the API is known to: one active collection a machine, statuses over time, 404 before a package is
ready, lists that lag behind, replies that are lost before or after the work was done, links that live for a minute.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import itertools
import re
import threading
import uuid
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import RUN_ABORTED, RUN_ENDED, History
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder, Package, Stream
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Pace, Progress, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import let_orphans_end, look
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.quota import DEFAULT_LIMITS, Budget, Limit
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    NetworkError,
    ReplyLost,
    ServiceError,
    from_reply,
)
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import ActionKind
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, Action, Machine
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

COMMENT = "Alert 4711"
LINK_LIFE = 60.0


class Killed(BaseException):
    """The process is gone: no handler of ordinary errors may run."""


class NoSlot(BaseException):
    """A call waits in its thread for the quota: it is made again after that many seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        super().__init__(delay)


class EventClock(VirtualClock):
    """A virtual clock on which things happen at their time."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.crew: Crew | None = None

    def jitter(self, seconds: float) -> float:
        return seconds * 0.75

    def stop(self) -> None:
        """Of a crew, one process ends: what its threads are at is let go."""
        if self.crew and self.crew.current:
            self.crew.current.stopped = True
        else:
            super().stop()

    def at(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), what))

    def sleep(self, seconds: float) -> None:
        self.wait((), seconds)
        self.check()

    def wait(self, futures: Iterable[Future[Any]], seconds: float) -> None:
        pending = list(futures)
        end = self.now + max(0.0, seconds)
        if self.crew:
            self.crew.wait(pending, end)
            return
        while not any(future.done() for future in pending):
            if self.go_on(end):
                return

    def go_on(self, end: float) -> bool:
        """To the next event, or to the end where there is none before; returns whether it was the end."""
        if not self._events or self._events[0][0] > end:
            self.now = max(self.now, end)
            return True
        moment, _order, what = heapq.heappop(self._events)
        self.now = max(self.now, moment)
        what()
        return False

    def restart(self) -> None:
        """A new process: nothing of the old one is under way any more."""
        self._events.clear()
        self.start_again()


@dataclass
class Hand:
    """One of a crew: what it waits for, and until when."""

    work: Callable[[], Any]
    begin: float
    killed_at: float
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    pending: list[Future[Any]] = field(default_factory=list)
    end: float = 0.0
    over: bool = False
    stopped: bool = False
    outcome: Any = None
    failure: BaseException | None = None


class Crew:
    """Several runs at the same time, as processes would be: each in a thread of its own, but one at a time.

    Whoever waits hands on to the one whose turn it is by the virtual clock, so all of it happens the same way each time.
    """

    def __init__(self, clock: EventClock) -> None:
        self.clock = clock
        self.hands: list[Hand] = []
        self.current: Hand | None = None
        self._main = threading.Semaphore(0)

    def add(self, work: Callable[[], Any], begin: float = 0.0, killed_after: float = float("inf")) -> Hand:
        """begin, killed_after: seconds from now."""
        hand = Hand(work, self.clock.now + begin, self.clock.now + killed_after)
        hand.end = hand.begin
        self.hands.append(hand)
        return hand

    def run(self) -> None:
        """All of them, each to its end. What a hand raises is in its failure."""
        self.clock.crew = self
        threads = [threading.Thread(target=self._work, args=(hand,), daemon=True) for hand in self.hands]
        for thread in threads:
            thread.start()
        try:
            self._hand_on()
            self._main.acquire()
        finally:
            self.clock.crew = None
        for thread in threads:
            thread.join()

    def _work(self, hand: Hand) -> None:
        hand.turn.acquire()
        try:
            self._check(hand)
            hand.outcome = hand.work()
        except BaseException as failure:
            hand.failure = failure
        hand.over = True
        self._hand_on()

    def wait(self, pending: list[Future[Any]], end: float) -> None:
        hand = self.current
        assert hand
        hand.pending, hand.end = pending, end
        self._hand_on()
        hand.turn.acquire()
        self._check(hand)

    def _check(self, hand: Hand) -> None:
        if self.clock.now >= hand.killed_at:
            raise Killed

    def _hand_on(self) -> None:
        self.current = self._next()
        (self.current.turn if self.current else self._main).release()

    def _next(self) -> Hand | None:
        while hands := [hand for hand in self.hands if not hand.over]:
            for hand in hands:
                at = min(hand.end, hand.killed_at)
                if any(future.done() for future in hand.pending) or at <= self.clock.now:
                    hand.pending = []
                    return hand
            self.clock.go_on(min(min(hand.end, hand.killed_at) for hand in hands))
        return None


@dataclass
class Job:
    call: Callable[[], Any]
    future: Future[Any]
    # Seconds until the reply is there, as far as the call has added them up.
    latency: float = 0.0
    ticket: int | None = None


class VirtualPool(Executor):
    """Runs each job at its virtual time; as many at once as a real pool of that size."""

    def __init__(self, clock: EventClock, workers: int) -> None:
        self.clock = clock
        self.current: Job | None = None
        self.most_at_once = 0
        # Whose process it is in, where there are several: once that is over, what is under way is not carried on.
        self._hand = clock.crew.current if clock.crew else None
        self._free = workers
        self._workers = workers
        self._queue: list[Job] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        job = Job(lambda: call(*args, **kwargs), Future())
        if self._free:
            self._begin(job)
        else:
            self._queue.append(job)
        return job.future

    def _begin(self, job: Job) -> None:
        self._free -= 1
        self.most_at_once = max(self.most_at_once, self._workers - self._free)
        self.clock.at(self.clock.now, lambda: self._run(job))

    def _run(self, job: Job) -> None:
        if self._hand and (self._hand.stopped or self._hand.over):
            return
        self.current, job.latency = job, 0.0
        try:
            outcome, failure = job.call(), None
        except NoSlot as wait:
            self.clock.at(self.clock.now + wait.delay, lambda: self._run(job))
            return
        except Exception as error:
            outcome, failure = None, error
        finally:
            self.current = None
        self.clock.at(self.clock.now + job.latency, lambda: self._end(job, outcome, failure))

    def _end(self, job: Job, outcome: Any, failure: Exception | None) -> None:
        self._free += 1
        if self._queue:
            self._begin(self._queue.pop(0))
        if failure is None:
            job.future.set_result(outcome)
        else:
            job.future.set_exception(failure)


@dataclass
class Plan:
    """How one machine behaves.

    end: the last status of its action. collect: seconds until then; None: the device is offline. A list of ends and of
    times is used up action by action, its last entry for ever.
    """

    end: str | list[str] = "Succeeded"
    collect: float | list[float | None] | None = 90.0
    unlisted: float = 0.0
    unseen: float = 0.0
    # From when on getPackageUri knows the package, seconds after the end.
    package_after: float = 0.0
    size: int = 2000
    download: float = 5.0
    # The status between Pending and the end.
    between: str = "InProgress"


@dataclass
class Deed:
    """A machine action in the service."""

    id: str
    machine: Machine
    comment: str
    created: float
    plan: Plan
    end: str
    ends_at: float | None
    requestor: str = "secops-collector"
    cancelled_at: float | None = None
    # The run whose start made it, for those that were not there before; and from when on its package is kept no more.
    made_by: str | None = None
    expires_at: float = float("inf")
    # The run that has asked to cancel it, and whether the service knows it no more.
    cancelled_by: str | None = None
    forgotten: bool = False

    def status(self, now: float) -> str:
        if self.cancelled_at is not None and now >= self.cancelled_at:
            return "Cancelled"
        if self.ends_at is not None and now >= self.ends_at:
            return self.end
        return "Pending" if self.ends_at is None or now < self.created + 10 else self.plan.between

    def final(self, now: float) -> bool:
        return self.status(now) in ("Succeeded", "Failed", "TimeOut", "Cancelled")


@dataclass
class Fault:
    """What happens to so many calls of an endpoint instead of their work, or after it."""

    endpoint: str
    error: BaseException
    machine: str | None = None
    after: bool = False
    left: int = 1
    since: float = 0.0
    until: float = float("inf")
    latency: float | None = None


@dataclass(frozen=True)
class Call:
    at: float
    endpoint: str
    subject: str
    ended: float


class World:
    """The service, and what the test wants to know of it. Times are those of the clock's monotonic()."""

    def __init__(self, limits: dict[str, tuple[Limit, ...]] | None = None) -> None:
        self.clock = EventClock()
        # The service's clock, which the control node's may be ahead of or behind.
        self.base = self.clock.base
        self.plans: dict[str, Plan] = defaultdict(Plan)
        self.deeds: dict[str, Deed] = {}
        self.by_machine: dict[str, list[Deed]] = defaultdict(list)
        self.accepted: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.budget = Budget("test", limits or DEFAULT_LIMITS, self.clock)
        self.latency = 0.3
        self.list_rows = 0
        # The machines that can be found, by name, and when they were last seen: only those the test has put there.
        self.known: dict[str, list[tuple[Machine, str]]] = {}
        # Devices that have been merged into another record.
        self.merged: Counter[str] = Counter()
        # The evidence folders that a run of this process has open.
        self.open_folders: list[Folder] = []
        # Called with a name at each point where a process could be killed; the run that is at it, by its label.
        self.at_work = ""
        self.step: Callable[[str], None] = lambda name: None
        self._ids = itertools.count(1)

    def restart(self) -> None:
        """A new process: nothing of the old one is under way, or there, any more."""
        self.clock.restart()
        while self.open_folders:
            self.open_folders.pop().close()

    def service_time(self) -> float:
        """Seconds since 1970 by the service's clock, as its replies tell it."""
        return self.base + self.clock.now

    # ---- setting the scene ----

    def machine(self, name: str) -> Machine:
        times = self.merged[name]
        return Machine(id=hashlib.sha1(f"{name}{times or ''}".encode()).hexdigest(), dns_name=name)

    def know(self, *names: str) -> None:
        for name in names:
            self.known[name] = [(self.machine(name), "2026-11-23T10:00:00Z")]

    def plan(self, name: str, **kwargs: Any) -> Plan:
        self.plans[name] = Plan(**kwargs)
        return self.plans[name]

    def act(self, name: str, comment: str = "somebody else's", age: float = 60.0, **kwargs: Any) -> Deed:
        """An action that is there already, with a plan of its own if any is given."""
        plan = Plan(**kwargs) if kwargs else self.plans[name]
        return self._begin(self.machine(name), comment, self.clock.now - age, plan, "somebody@contoso.com")

    def _begin(
        self, machine: Machine, comment: str, created: float, plan: Plan, requestor: str = "secops-collector"
    ) -> Deed:
        number = len([deed for deed in self.by_machine[machine.id] if deed.plan is plan])
        end = plan.end if isinstance(plan.end, str) else plan.end[min(number, len(plan.end) - 1)]
        collect = plan.collect[min(number, len(plan.collect) - 1)] if isinstance(plan.collect, list) else plan.collect
        deed = Deed(
            id=str(uuid.UUID(int=next(self._ids))),
            machine=machine,
            comment=comment,
            created=created,
            plan=plan,
            end=end,
            ends_at=None if collect is None else created + collect,
            requestor=requestor,
        )
        self.deeds[deed.id] = deed
        self.by_machine[machine.id].append(deed)
        return deed

    def fault(self, endpoint: str, error: BaseException, **kwargs: Any) -> Fault:
        self.faults.append(Fault(endpoint, error, **kwargs))
        return self.faults[-1]

    def outage(self, since: float, until: float) -> None:
        """The network is gone for that time, counted from now. A session is patient for some seconds before it says so."""
        error = NetworkError("api.example cannot be reached.")
        self.fault("any", error, left=-1, since=self.clock.now + since, until=self.clock.now + until, latency=11.0)

    # ---- what the service does ----

    def package(self, deed: Deed) -> bytes:
        return package_bytes(deed.id, deed.plan.size)

    def entity(self, deed: Deed) -> dict[str, Any]:
        now = self.clock.now
        updated = deed.created if not deed.final(now) else (deed.cancelled_at or deed.ends_at or deed.created)
        return {
            "id": deed.id,
            "type": COLLECT,
            "requestor": deed.requestor,
            "requestorComment": deed.comment,
            "status": deed.status(now),
            "machineId": deed.machine.id,
            "computerDnsName": deed.machine.dns_name,
            "creationDateTimeUtc": self._iso(deed.created),
            "lastUpdateDateTimeUtc": self._iso(updated),
            "errorHResult": 0,
            "troubleshootInfo": None,
        }

    def _iso(self, moment: float) -> str:
        whole, fraction = divmod(self.base + moment, 1)
        # Seconds since 1970 to a calendar date, quickly: this is done millions of times.
        return f"{_date(int(whole))}.{int(fraction * 1e7):07d}Z"

    def listed(self, since: float | None) -> list[Action]:
        now, rows = self.clock.now, []
        for deed in self.deeds.values():
            if since is not None and self.base + deed.created < int(since):
                continue
            if deed.forgotten or now < deed.created + deed.plan.unlisted:
                continue
            rows.append(Action.from_api(self.entity(deed)))
        self.list_rows += len(rows)
        return rows

    def running(self, machine_id: str) -> Deed | None:
        return next((deed for deed in self.by_machine[machine_id] if not deed.final(self.clock.now)), None)

    # ---- what the test asks ----

    def count(self, endpoint: str) -> int:
        return sum(call.endpoint == endpoint for call in self.calls)

    def times(self, endpoint: str) -> list[float]:
        return [call.at for call in self.calls if call.endpoint == endpoint]

    def subjects(self, endpoint: str) -> list[str]:
        return [call.subject for call in self.calls if call.endpoint == endpoint]

    def assert_within_quota(self) -> None:
        """The service's own count, in windows that begin anywhere."""
        for endpoint in {call.endpoint for call in self.calls} - {"download"}:
            times = sorted(self.times(endpoint))
            for limit in DEFAULT_LIMITS.get(endpoint, DEFAULT_LIMITS["default"]):
                for first, last in zip(times, times[limit.calls :], strict=False):
                    assert last - first >= limit.seconds, f"{endpoint}: {limit} exceeded at {first}"


class WorldApi:
    """Stands where Api stands."""

    def __init__(self, world: World, pool: VirtualPool, run: str = "") -> None:
        self.world = world
        self.pool = pool
        self.run = run
        self.session = SimpleNamespace(
            clock=world.clock, budget=world.budget, stream=self.stream, api_calls=0, skew=0.0, now=world.service_time
        )

    def scrub(self, said: Any) -> Any:
        if isinstance(said, dict):
            return {key: self.scrub(value) for key, value in said.items()}
        return said.replace("s3cr3t", "********") if isinstance(said, str) else said

    def machines(self, query: str | None = None) -> list[dict[str, Any]]:
        """Whichever machines are named in the filter, by device ID or name."""
        named = set(re.findall(r"'([^']*)'", query or ""))
        with self._call("machines", query or ""):
            return [
                {"id": machine.id, "computerDnsName": machine.dns_name, "lastSeen": seen}
                for name in self.world.known
                for machine, seen in self.world.known[name]
                if {machine.id, name} & named
            ]

    def machines_by_name_prefix(self, prefixes: Iterable[str]) -> list[dict[str, Any]]:
        return [
            {"id": machine.id, "computerDnsName": machine.dns_name}
            for name in self.world.known
            for machine, _seen in self.world.known[name]
            if name.startswith(tuple(prefixes))
        ]

    def machines_by_ip(self, ip: str, moment: float) -> list[dict[str, Any]]:
        return []

    def actions_of(self, *types: str, since: float | None = None, doing: str = "") -> list[Action]:
        with self._call("machine_actions", ""):
            return [action for action in self.world.listed(since) if action.type in types]

    def action(self, action_id: str) -> Action:
        with self._call("machine_action", action_id):
            deed = self.world.deeds.get(action_id)
            if deed is None or deed.forgotten or self.world.clock.now < deed.created + deed.plan.unseen:
                raise from_reply(404, {"error": {"code": "ResourceNotFound"}}, f"read machine action {action_id}")
            return Action.from_api(self.world.entity(deed))

    def start(self, kind: ActionKind, machine: Machine, comment: str, slot: Any = None) -> Action:
        with self._call(kind.endpoint, machine.label, slot):
            if self.world.running(machine.id):
                body = {"error": {"code": "ActiveRequestAlreadyExists", "message": "Action is already in progress"}}
                raise from_reply(400, body, f"start a collection on {machine.label}")
            plan = self.world.plans[machine.label]
            deed = self.world._begin(machine, comment, self.world.clock.now, plan)
            deed.made_by = self.run
            self.world.accepted[machine.label] += 1
            return Action.from_api(self.world.entity(deed))

    def cancel(self, action_id: str, comment: str, label: str) -> Action:
        with self._call("cancel", label):
            deed = self.world.deeds[action_id]
            if deed.final(self.world.clock.now):
                raise from_reply(400, {"error": {"code": "BadRequest"}}, f"cancel the collection on {label}")
            deed.cancelled_at, deed.cancelled_by = self.world.clock.now + 1, self.run
            return Action.from_api(self.world.entity(deed))

    def package_link(self, action_id: str, label: str, slot: Any = None) -> str:
        with self._call("package_link", label, slot):
            deed, now = self.world.deeds.get(action_id), self.world.clock.now
            ready = deed is not None and deed.status(now) == "Succeeded" and now < deed.expires_at
            if not ready or now < (deed.ends_at or 0.0) + deed.plan.package_after:
                raise from_reply(404, {"error": {"code": "ResourceNotFound"}}, f"get the package link for {label}")
            return f"https://download.example/package.zip?token={action_id}.{now}"

    @contextmanager
    def stream(self, link: str, offset: int) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
        action_id, issued = link.rpartition("token=")[2].split(".", 1)
        deed = self.world.deeds[action_id]
        with self._call("download", deed.machine.label):
            if self.world.clock.now > float(issued) + LINK_LIFE:
                raise ServiceError("The package link was answered with 403.", status=403, code="LinkRefused")
            data = self.world.package(deed)
            offset = offset if offset <= len(data) else 0
            if self.pool.current:
                self.pool.current.latency += deed.plan.download
            yield offset, len(data), self._chunks(data[offset:])

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), 700):
            self.world.step("chunk")
            yield data[start : start + 700]

    @contextmanager
    def _call(self, endpoint: str, subject: str, slot: Any = None) -> Iterator[None]:
        world, job = self.world, self.pool.current
        if endpoint != "download":
            slot = slot or self._slot(endpoint)
        fault = self._fault(endpoint, subject)
        latency = fault.latency if fault and fault.latency is not None else world.latency
        if job:
            job.latency += latency
            world.calls.append(Call(world.clock.now, endpoint, subject, world.clock.now + job.latency))
            if slot:
                world.clock.at(world.clock.now + job.latency, lambda: world.budget.done(slot))
        else:
            world.calls.append(Call(world.clock.now, endpoint, subject, world.clock.now + latency))
        self.session.api_calls += endpoint != "download"
        world.at_work = self.run
        try:
            world.step(f"before {endpoint}")
            if fault and not fault.after:
                raise fault.error
            yield
            if fault:
                raise fault.error
            world.step(f"after {endpoint}")
        finally:
            if not job:
                world.clock.now += latency
                if slot:
                    world.budget.done(slot)

    def _slot(self, endpoint: str) -> Any:
        job = self.pool.current
        while True:
            slot, delay, ticket = self.world.budget.take(endpoint, job.ticket if job else None)
            if slot:
                return slot
            if job:
                job.ticket = ticket
                raise NoSlot(delay)
            self.world.clock.sleep(delay)

    def _fault(self, endpoint: str, subject: str) -> Fault | None:
        now = self.world.clock.now
        for fault in self.world.faults:
            fits = fault.endpoint in (endpoint, "any") and fault.machine in (None, subject)
            if fits and fault.since <= now < fault.until and fault.left:
                fault.left -= 1
                return fault
        return None


class MemoryFolder:
    """Stands where Folder stands, when it is not the disk that is tested."""

    def __init__(self) -> None:
        self.stored: dict[str, Package] = {}
        self.custody = SimpleNamespace(
            run="none",
            asked_by={},
            refresh=History,
            begin=lambda **facts: None,
            append=lambda event, **facts: "",
            claim_start=lambda machine_id, name, comment, sent: None,
        )

    def place(self, machine: Machine, action: Action) -> Path:
        return Path("/nowhere") / action.id

    def existing(self, machine: Machine, action: Action) -> Package | None:
        return self.stored.get(action.id)

    def fetch(self, machine: Machine, action: Action, request: dict[str, Any], open_stream: Stream) -> Package:
        with open_stream(0) as (_start, _size, chunks):
            data = b"".join(chunks)
        digest = hashlib.sha256(data).hexdigest()
        self.stored[action.id] = Package(self.place(machine, action), len(data), digest, "")
        return self.stored[action.id]


class Recorder:
    """An observer that writes down what it is told."""

    def __init__(self, clock: EventClock) -> None:
        self.clock = clock
        self.events: list[tuple[float, str, str, str]] = []
        self.troubles: list[str] = []
        self.ticks: list[float] = []

    def plan(self, plan: object) -> None:
        self.events.append((self.clock.now, "", "plan", ""))

    def device(self, device: Device, what: str, detail: str = "") -> None:
        self.events.append((self.clock.now, device.label, what, detail))

    def trouble(self, text: str) -> None:
        self.troubles.append(text)

    def tick(self, fleet: Progress) -> float:
        self.ticks.append(self.clock.now)
        return 30.0

    def when(self, what: str, label: str | None = None) -> list[float]:
        return [at for at, who, told, _detail in self.events if told == what and label in (None, who)]


@dataclass
class Run:
    """One run of the fleet, as the task would do it."""

    fleet: Fleet
    observer: Recorder
    pool: VirtualPool
    took: float = 0.0

    def __getitem__(self, name: str) -> Device:
        return next(device for device in self.fleet.devices if device.asked == name)

    @property
    def devices(self) -> list[Device]:
        return self.fleet.devices


def prepare(
    world: World,
    names: Iterable[str],
    dest: Path | None = None,
    *,
    folder: Any = None,
    read_only: bool = False,
    observer: Any = None,
    wishes: dict[str, dict[str, Any]] | None = None,
    folders: dict[str, Any] | None = None,
    label: str = "",
    **options: Any,
) -> Run:
    """A fleet that has looked, but not begun. options: of Wish and of Pace. wishes, folders: what a device has of its own.

    label: who made what, for Deed.made_by.
    """
    pace = Pace(**{key: value for key, value in options.items() if key in Pace.__dataclass_fields__})
    asked = {key: value for key, value in options.items() if key in Wish.__dataclass_fields__}
    assert len(asked) + sum(key in Pace.__dataclass_fields__ for key in options) == len(options), options
    pool = VirtualPool(world.clock, pace.downloads + 6)
    if folder is None and dest is not None:
        folder = Folder(str(dest), world.clock, read_only=read_only)
        world.open_folders.append(folder)
    observer = observer or Recorder(world.clock)
    devices = []
    for order, name in enumerate(names):
        wish = Wish(**{"comment": COMMENT, **asked, **(wishes or {}).get(name, {})})
        devices.append(Device(order, name, world.machine(name), wish, (folders or {}).get(name, folder)))
    api: Any = WorldApi(world, pool, label)
    fleet = Fleet(api, devices, pace, pool, observer)
    let_orphans_end(devices, world.clock)
    look(api, devices, pace, all_ages=read_only)
    return Run(fleet, observer, pool)


def carry_out(begun: Run) -> Run:
    """As the task does it: with the run's beginning and end in the logs."""
    fleet = begun.fleet
    for folder in fleet.folders:
        folder.custody.begin(devices=len(fleet.devices), task=fleet.pace.task)
    began = fleet.clock.monotonic()
    try:
        fleet.run()
    finally:
        begun.took = fleet.clock.monotonic() - began
    for folder in fleet.folders:
        with suppress(DefenderError):
            folder.custody.append(RUN_ABORTED if fleet.fatal else RUN_ENDED)
    return begun


def run(world: World, names: Iterable[str], dest: Path | None = None, **kwargs: Any) -> Run:
    """From the first look to the end."""
    began = world.clock.now
    begun = carry_out(prepare(world, names, dest, **kwargs))
    begun.took = world.clock.now - began
    if dest:
        world.open_folders.pop().close()
    return begun


def errors(begun: Run) -> dict[str, str]:
    return {device.asked: device.error.code for device in begun.devices if device.error}


def reply_lost() -> DefenderError:
    return ReplyLost("The reply of api.example did not arrive.", code="BadGateway", tracking_id="track-1")


_DAYS: dict[int, str] = {}


def _date(seconds: int) -> str:
    day, rest = divmod(seconds, 86400)
    text = _DAYS.get(day)
    if text is None:
        import datetime

        moment = datetime.datetime.fromtimestamp(day * 86400, datetime.timezone.utc)
        text = _DAYS[day] = moment.strftime("%Y-%m-%d")
    return f"{text}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def package_bytes(seed: str, size: int = 2000) -> bytes:
    """A zip file, different for each seed, of about that size."""
    filler = b"".join(hashlib.sha256(f"{seed}{block}".encode()).digest() for block in range(size // 32 + 1))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        info = zipfile.ZipInfo("CollectionSummaryReport.xls", (2026, 1, 1, 0, 0, 0))
        package.writestr(info, filler[:size])
    return buffer.getvalue()
