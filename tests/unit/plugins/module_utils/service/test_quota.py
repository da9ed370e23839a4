# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import heapq
import itertools
import math
import multiprocessing
import os
import pathlib
import pwd
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._service import quota as _quota
from ansible_collections.secops.defender.plugins.module_utils._service.quota import (
    DEFAULT_LIMITS,
    ENDPOINTS,
    Budget,
    Limit,
    default_folder,
    parse_quotas,
    schedule,
)
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

Limits = tuple[Limit, ...]
LINKS: Limits = (Limit(2, 60.0), Limit(120, 3600.0))


def budget_of(
    limits: Limits,
    clock: Clock,
    folder: pathlib.Path | None = None,
    scope: str = "tenant/app/host",
    warnings: list[str] | None = None,
) -> Budget:
    return Budget(scope, {"default": limits}, clock, folder, warnings.append if warnings is not None else pytest.fail)


# Many callers, on a clock that only moves when told


@dataclass
class Caller:
    budget: Budget
    asks_at: float
    durations: Sequence[float]
    late: float = 0.0
    gap: float = 0.0
    ticket: int | None = None
    made: int = 0


@dataclass
class Call:
    caller: int
    sent: float
    replied: float = float("inf")


@dataclass
class Play:
    """What happens when the callers do as the sessions of as many processes would."""

    clock: VirtualClock
    callers: Sequence[Caller]
    calls: list[Call] = field(default_factory=list)

    def run(self) -> list[Call]:
        order = itertools.count()
        events: list[tuple[float, int, Callable[[], None]]] = []

        def at(moment: float, what: Callable[[], None]) -> None:
            heapq.heappush(events, (moment, next(order), what))

        def ask(number: int) -> None:
            caller = self.callers[number]
            slot, delay, caller.ticket = caller.budget.take("machines", caller.ticket)
            if slot is None:
                assert delay > 0
                at(self.clock.now + delay + caller.late, lambda: ask(number))
                return
            call = Call(number, self.clock.now)
            self.calls.append(call)
            duration = caller.durations[caller.made]
            caller.made += 1

            def reply() -> None:
                call.replied = self.clock.now
                caller.budget.done(slot)
                if caller.made < len(caller.durations):
                    at(self.clock.now + caller.gap, lambda: ask(number))

            at(self.clock.now + duration, reply)

        start = self.clock.now
        for number, caller in enumerate(self.callers):
            at(start + caller.asks_at, functools.partial(ask, number))
        for _step in range(50_000):
            if not events:
                return self.calls
            self.clock.now, _number, what = heapq.heappop(events)
            what()
        raise AssertionError("somebody never gets a slot")


def assert_within(limits: Sequence[Limit], calls: Sequence[Call]) -> None:
    """However the service times each call between its sending and its reply, no window holds more than allowed.

    Of the calls in one window let the last one sent be this one: all others got their reply less than a window before it
    was sent, or later. So there must be fewer of those than the limit. A window that ticks is one of them.
    """
    ordered = sorted(calls, key=lambda call: call.sent)
    for limit in limits:
        for number, call in enumerate(ordered):
            near = sum(other.replied > call.sent - limit.seconds for other in ordered[:number])
            assert near < limit.calls, f"{near + 1} calls may fall into one window of {limit}"


# Multiples of a power of two, so that times add up exactly and a window's edge is tested to the last bit.
_TIMES = st.integers(0, 64 * 40).map(lambda number: number / 64)
_WINDOWS = st.integers(1, 64 * 20).map(lambda number: number / 64)
_LIMITS = st.lists(st.builds(Limit, st.integers(1, 6), _WINDOWS), min_size=1, max_size=3).map(tuple)


@st.composite
def _crowd(draw: st.DrawFn) -> tuple[Limits, int, list[dict[str, Any]]]:
    limits: Limits = draw(_LIMITS)
    # A call that takes longer than the shortest window counts as given up: see test_a_call_that_is_never_done.
    durations = st.integers(0, int(min(limit.seconds for limit in limits) * 64)).map(lambda number: number / 64)
    caller = st.fixed_dictionaries(
        {
            "asks_at": _TIMES,
            "durations": st.lists(durations, min_size=1, max_size=4),
            "late": st.sampled_from([0.0, 0.0, 0.015625, 1.0, 30.0]),
            "gap": _TIMES,
        }
    )
    return limits, draw(st.integers(1, 3)), draw(st.lists(caller, min_size=1, max_size=8))


_SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@_SLOW
@given(_crowd())
def test_never_over_the_limit(crowd: tuple[Limits, int, list[dict[str, Any]]]) -> None:
    limits, processes, callers = crowd
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock()
        budgets = [budget_of(limits, clock, pathlib.Path(folder)) for _each in range(processes)]
        made = Play(
            clock, [Caller(budgets[number % processes], **caller) for number, caller in enumerate(callers)]
        ).run()
    assert len(made) == sum(len(caller["durations"]) for caller in callers)
    assert_within(limits, made)


@_SLOW
@given(_LIMITS, st.integers(1, 30), st.integers(0, 64), st.integers(1, 3))
def test_no_slower_than_the_bound(limits: Limits, calls: int, sixtyfourths: int, processes: int) -> None:
    """N calls at once end as soon as the limits and the calls' own durations let them."""
    duration = min(sixtyfourths / 64, *(limit.seconds for limit in limits))
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock()
        budgets = [budget_of(limits, clock, pathlib.Path(folder)) for _each in range(processes)]
        made = Play(clock, [Caller(budgets[number % processes], 0.0, [duration]) for number in range(calls)]).run()
    stretched = [Limit(limit.calls, limit.seconds + duration) for limit in limits]
    bound = schedule([], stretched, 1000.0, calls)[-1]
    assert max(call.sent for call in made) <= bound
    assert_within(limits, made)


@_SLOW
@given(
    _LIMITS,
    st.lists(st.tuples(_TIMES, st.integers(0, 64)), min_size=2, max_size=12, unique_by=lambda each: each[0]),
    st.integers(1, 4),
)
def test_who_asks_first_is_served_first(limits: Limits, askers: list[tuple[float, int]], processes: int) -> None:
    shortest = min(limit.seconds for limit in limits)
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock()
        budgets = [budget_of(limits, clock, pathlib.Path(folder)) for _each in range(processes)]
        callers = [
            Caller(budgets[number % processes], asks_at, [shortest * duration / 64])
            for number, (asks_at, duration) in enumerate(askers)
        ]
        made = Play(clock, callers).run()
    assert [call.caller for call in made] == sorted(range(len(callers)), key=lambda number: callers[number].asks_at)


def test_a_busy_process_does_not_starve_another(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(2, 60.0),)
    greedy = [Caller(budget_of(limits, clock, tmp_path), 0.0, [1.0] * 10) for _each in range(6)]
    modest = Caller(budget_of(limits, clock, tmp_path), 0.5, [1.0])
    made = Play(clock, [*greedy, modest]).run()
    # Six were before it; at two a minute it is the seventh.
    assert [call.caller for call in made].index(6) == 6


def test_hours_limit_is_kept_too(clock: VirtualClock) -> None:
    budget = budget_of(LINKS, clock)
    made = Play(clock, [Caller(budget, 0.0, [0.5] * 130) for _each in range(2)]).run()
    assert_within(LINKS, made)
    stretched = [Limit(limit.calls, limit.seconds + 0.5) for limit in LINKS]
    assert 2 * 3600 <= max(call.sent for call in made) - 1000.0 <= schedule([], stretched, 0.0, 260)[-1]


def test_buckets_do_not_disturb_each_other(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0),)
    budget = budget_of(limits, clock, tmp_path)
    for other in (
        lambda: budget.take("machines"),
        lambda: budget.take("collect"),
        lambda: budget_of(limits, clock, tmp_path, scope="tenant/other app/host").take("machines"),
    ):
        slot, _delay, _ticket = other()
        assert slot is not None
    assert budget.take("machines")[0] is None
    assert budget_of(limits, clock, tmp_path).take("machines")[0] is None


def test_each_endpoint_has_its_limits(clock: VirtualClock) -> None:
    budget = Budget("scope", DEFAULT_LIMITS, clock)
    assert budget.limits("package_link") == LINKS
    assert budget.limits("collect") == budget.limits("machines") == (Limit(100, 60.0), Limit(1500, 3600.0))
    assert [budget.take("package_link")[0] is None for _each in range(3)] == [False, False, True]
    assert sum(budget.take("machines")[0] is not None for _each in range(120)) == 100


def test_who_waits_for_long_says_so_every_half_minute(clock: VirtualClock) -> None:
    said: list[str] = []
    budget = Budget("scope", {"default": (Limit(1, 95.0),)}, clock, say=said.append)
    budget.done(budget.acquire("machines"))
    assert said == []
    budget.acquire("machines")
    assert said == [f"Waiting {left} for the quota of machines." for left in ("2 min", "65 s", "35 s")]


# Crashes


def test_a_call_that_is_never_done_holds_its_slot_for_a_lease(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0), Limit(100, 3600.0))
    slot, _delay, _ticket = budget_of(limits, clock, tmp_path).take("machines")
    assert slot
    clock.now += 1
    other = budget_of(limits, clock, tmp_path)
    began = clock.now
    other.acquire("machines")
    # The lease is the shortest window, and a window follows it.
    assert clock.now == 1000.0 + 60.0 + 60.0
    assert clock.now - began < 120.0


def test_a_ticket_that_is_never_used_costs_one_slot_at_most(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0),)
    dying = budget_of(limits, clock, tmp_path)
    slot = dying.acquire("machines")
    dying.done(slot)
    assert dying.take("machines")[2] is not None
    clock.now += 1
    other = budget_of(limits, clock, tmp_path)
    other.acquire("machines")
    assert clock.now <= 1000.0 + 60.0 + 60.0


def test_many_dead_tickets_are_swept_away(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0),)
    dying = budget_of(limits, clock, tmp_path)
    dying.done(dying.acquire("machines"))
    for _each in range(5):
        dying.take("machines")
    # Each lapses a little after its owner should have asked again; the last should have after five minutes.
    clock.now += 5 * 60 + 4
    slot, delay, _ticket = budget_of(limits, clock, tmp_path).take("machines")
    assert slot is not None and delay == 0.0


def test_an_owner_who_comes_late_is_served_all_the_same(clock: VirtualClock) -> None:
    budget = budget_of((Limit(1, 60.0),), clock)
    budget.done(budget.acquire("machines"))
    _slot, delay, first = budget.take("machines")
    _slot, _delay, second = budget.take("machines")
    # It overslept so long that its ticket has lapsed, and another one's is due.
    clock.now += 2 * delay
    slot, _delay, _ticket = budget.take("machines", second)
    assert slot is not None
    budget.done(slot)
    slot, delay, third = budget.take("machines", first)
    assert slot is None and third not in (None, first, second) and delay == 60.0
    clock.now += delay
    assert budget.take("machines", third)[0] is not None


def test_waiting_ends_when_the_task_does(clock: VirtualClock) -> None:
    budget = budget_of((Limit(1, 60.0),), clock)
    budget.acquire("machines")
    clock.stop()
    with pytest.raises(Stopped):
        budget.acquire("machines")


# 429


def test_a_pause_holds_everyone_on_this_computer(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(100, 60.0),)
    first, second = budget_of(limits, clock, tmp_path), budget_of(limits, clock, tmp_path)
    first.pause("machines", 17.0)
    assert second.forecast("machines", 1) == 17.0
    assert second.take("collect")[0] is not None
    began = clock.now
    second.acquire("machines")
    assert clock.now - began == 17.0


def test_the_longest_pause_counts(clock: VirtualClock) -> None:
    budget = budget_of((Limit(100, 60.0), Limit(1500, 3600.0)), clock)
    for seconds in (10.0, 30.0, 5.0):
        budget.pause("machines", seconds)
    assert budget.forecast("machines", 1) == 30.0
    for _each in range(2):
        clock.now += 30.0
        assert budget.forecast("machines", 1) == 0.0
    # The service did not say: the shortest window.
    budget.pause("machines", None)
    assert budget.forecast("machines", 1) == 60.0


# Forecast


@_SLOW
@given(_LIMITS, st.lists(_TIMES, max_size=6), st.integers(0, 20), st.none() | _TIMES)
def test_forecast_is_what_acquiring_then_takes(
    limits: Limits, gaps: list[float], calls: int, pause: float | None
) -> None:
    clock = VirtualClock()
    budget = budget_of(limits, clock)
    for gap in gaps:
        clock.now += gap
        budget.done(budget.acquire("machines"))
    if pause is not None:
        budget.pause("machines", pause)
    began, expected = clock.now, budget.forecast("machines", calls)
    for _each in range(calls):
        budget.done(budget.acquire("machines"))
    assert clock.now - began == expected


def test_forecast_of_a_fleet(clock: VirtualClock) -> None:
    budget = Budget("scope", DEFAULT_LIMITS, clock)
    assert budget.forecast("package_link", 0) == budget.forecast("package_link", -1) == 0.0
    assert budget.forecast("package_link", 2) == 0.0
    assert budget.forecast("package_link", 10) == 4 * 60
    assert budget.forecast("package_link", 121) == 3600.0
    assert budget.forecast("collect", 2000) == 3600.0 + 4 * 60


# Time


def test_steps_of_the_wall_clock_do_not_matter(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0),)
    first = budget_of(limits, clock, tmp_path)
    first.done(first.acquire("machines"))
    for step in (86_400.0, -900_000.0):
        clock.base += step
        assert budget_of(limits, clock, tmp_path).forecast("machines", 1) == 60.0
        assert first.forecast("machines", 1) == 60.0


def _restart(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, off_for: float, wall_error: float = 0.0, boot: str = "second"
) -> None:
    wall = clock.wall() + off_for + wall_error
    clock.now = 5.0
    clock.base = wall - clock.now
    monkeypatch.setattr(_quota, "_boot_id", lambda started: boot)


def test_a_restart_of_the_computer_forgets_nothing(
    clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quota, "_boot_id", lambda started: "first")
    limits = (Limit(2, 60.0), Limit(3, 3600.0))
    before = budget_of(limits, clock, tmp_path)
    for _each in range(2):
        before.done(before.acquire("machines"))
    before.pause("collect", 100.0)
    _restart(clock, monkeypatch, off_for=20.0)
    after = budget_of(limits, clock, tmp_path)
    assert after.forecast("machines", 1) == pytest.approx(40.0, abs=1e-3)
    assert after.forecast("machines", 2) == pytest.approx(3580.0, abs=1e-3)
    assert after.forecast("collect", 1) == pytest.approx(80.0, abs=1e-3)
    # Once is enough.
    assert budget_of(limits, clock, tmp_path).forecast("machines", 1) == pytest.approx(40.0, abs=1e-3)


def test_after_a_restart_nobody_waits_any_more(
    clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quota, "_boot_id", lambda started: "first")
    limits = (Limit(1, 60.0),)
    before = budget_of(limits, clock, tmp_path)
    before.done(before.acquire("machines"))
    for _each in range(20):
        before.take("machines")
    _restart(clock, monkeypatch, off_for=20.0)
    after = budget_of(limits, clock, tmp_path)
    began = clock.now
    after.acquire("machines")
    assert clock.now - began == pytest.approx(40.0, abs=1e-3)


@pytest.mark.parametrize("wall_error", [-1_700_000_000.0, 1_700_000_000.0])
def test_a_computer_that_does_not_know_the_time_after_a_restart(
    clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, wall_error: float
) -> None:
    monkeypatch.setattr(_quota, "_boot_id", lambda started: "first")
    limits = (Limit(1, 60.0),)
    before = budget_of(limits, clock, tmp_path)
    before.done(before.acquire("machines"))
    before.take("machines")
    before.pause("machines", 30.0)
    _restart(clock, monkeypatch, off_for=20.0, wall_error=wall_error)
    # What is known is worth nothing, but it must not hold up anybody for years either.
    assert budget_of(limits, clock, tmp_path).forecast("machines", 1) <= 3600.0
    began = clock.now
    budget_of(limits, clock, tmp_path).acquire("machines")
    assert clock.now - began <= 3600.0


def test_boot_id_without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    assert _quota._boot_id(1_800_000_010.0) == _quota._boot_id(1_800_000_060.0)
    assert _quota._boot_id(1_800_000_010.0) != _quota._boot_id(1_800_000_310.0)


# Files that are not as they should be


def test_a_damaged_file_is_set_aside(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "quota"
    folder.mkdir()
    (folder / "quota-1.sqlite3").write_bytes(b"this is no database, and long enough to be one " * 100)
    warnings: list[str] = []
    limits = (Limit(1, 60.0),)
    first = budget_of(limits, clock, folder, warnings=warnings)
    first.acquire("machines")
    assert len(warnings) == 1 and "was damaged" in warnings[0] and "set aside" in warnings[0]
    assert (folder / "quota-1.corrupt").exists()
    # The new one is shared again.
    assert budget_of(limits, clock, folder).take("machines")[0] is None


def test_a_file_cut_short_is_begun_anew(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    (tmp_path / "quota-1.sqlite3").touch()
    limits = (Limit(1, 60.0),)
    budget_of(limits, clock, tmp_path).acquire("machines")
    assert budget_of(limits, clock, tmp_path).take("machines")[0] is None


def test_calls_from_the_future_count_as_just_made(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    limits = (Limit(1, 60.0),)
    budget = budget_of(limits, clock, tmp_path)
    budget.done(budget.acquire("machines"))
    with sqlite3.connect(tmp_path / "quota-1.sqlite3") as store:
        store.execute("UPDATE call SET at = at + 1e6")
    store.close()
    began = clock.now
    budget_of(limits, clock, tmp_path).acquire("machines")
    assert clock.now - began == 60.0


def test_a_file_damaged_while_in_use(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    warnings: list[str] = []
    budget = budget_of((Limit(1, 60.0),), clock, tmp_path, warnings=warnings)
    slot = budget.acquire("machines")
    (tmp_path / "quota-1.sqlite3").write_bytes(b"x" * 50_000)
    budget.done(slot)
    budget.forecast("machines", 1)
    budget.acquire("machines")
    assert len(warnings) == 1 and "not shared" in warnings[0] and "quota_dir" in warnings[0]


def test_a_file_of_another_making(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    with sqlite3.connect(tmp_path / "quota-1.sqlite3") as other:
        other.execute("CREATE TABLE call (something TEXT)")
    other.close()
    warnings: list[str] = []
    budget = budget_of((Limit(1, 60.0),), clock, tmp_path, warnings=warnings)
    assert budget.take("machines")[0] is not None and budget.take("machines")[0] is None
    assert len(warnings) == 1 and "not shared" in warnings[0]


def _unusable(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    occupied = tmp_path / "occupied"
    (occupied / "quota-1.sqlite3").mkdir(parents=True)
    folders = [blocked, blocked / "below", occupied]
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        folders += [closed, closed / "below"]
    return folders


def test_folders_that_cannot_be_used(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    for folder in _unusable(tmp_path):
        warnings: list[str] = []
        budget = budget_of((Limit(2, 60.0),), clock, folder, warnings=warnings)
        began = clock.now
        for _each in range(4):
            budget.done(budget.acquire("machines"))
        assert clock.now - began == 60.0
        assert len(warnings) == 1
        assert str(folder) in warnings[0] and "Do not run several at once" in warnings[0] and "quota_dir" in warnings[0]


def test_a_read_only_file(clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget_of((Limit(1, 60.0),), clock, tmp_path)
    connect = sqlite3.connect

    def read_only(path: Any, **options: Any) -> sqlite3.Connection:
        # For a superuser the permissions of a file say nothing.
        return connect(f"file:{path}?mode=ro" if path != ":memory:" else path, uri=path != ":memory:", **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    warnings: list[str] = []
    budget = budget_of((Limit(1, 60.0),), clock, tmp_path, warnings=warnings)
    budget.acquire("machines")
    assert budget.take("machines")[0] is None
    assert len(warnings) == 1 and "readonly" in warnings[0]


def test_a_locked_file(clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quota, "_BUSY_SECONDS", 0.05)
    limits = (Limit(1, 60.0),)
    warnings: list[str] = []
    running = budget_of(limits, clock, tmp_path, warnings=warnings)
    holder = sqlite3.connect(tmp_path / "quota-1.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    starting = budget_of(limits, clock, tmp_path, warnings=warnings)
    for budget in (running, starting):
        assert budget.take("machines")[0] is not None and budget.take("machines")[0] is None
    assert len(warnings) == 2 and all("locked" in warning for warning in warnings)
    holder.close()


def test_a_short_lock_is_waited_for(tmp_path: pathlib.Path) -> None:
    budget = budget_of((Limit(1, 60.0),), Clock(), tmp_path)
    holder = sqlite3.connect(tmp_path / "quota-1.sqlite3", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.1, lambda: holder.execute("COMMIT")).start()
    assert budget.take("machines")[0] is not None
    holder.close()


def test_the_folder_is_private(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    budget_of((Limit(1, 60.0),), clock, tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.delenv("ANSIBLE_HOME", raising=False)
    assert default_folder() == pathlib.Path.home() / ".ansible" / "secops.defender"
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "secops.defender"


@pytest.mark.parametrize("home", [None, "", " "])
def test_default_folder_without_a_home(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("ANSIBLE_HOME", raising=False)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    account = pwd.getpwuid(os.getuid()).pw_dir
    assert default_folder() == pathlib.Path(account) / ".ansible" / "secops.defender"

    def nobody(number: int) -> Any:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert default_folder() is None
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "secops.defender"


def test_shorter_windows_of_one_task_do_not_make_others_forget(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    """Both count the calls of one app: what one task limits otherwise, the service does not."""
    usual = budget_of((Limit(2, 60.0), Limit(4, 3600.0)), clock, tmp_path)
    for _each in range(4):
        usual.done(usual.acquire("machines"))
    began = clock.now
    odd = budget_of((Limit(10, 1.0),), clock, tmp_path)
    clock.now += 100
    odd.done(odd.acquire("machines"))
    assert usual.take("machines")[1] == pytest.approx(3600.0 + 1000.0 - clock.now, abs=1.0)
    assert began - 1000.0 == 60.0


def test_a_file_that_is_lost_on_the_way_does_not_lose_what_this_process_did(
    clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quota, "_BUSY_SECONDS", 0.05)
    warnings: list[str] = []
    budget = budget_of(LINKS, clock, tmp_path, warnings=warnings)
    first, under_way = budget.acquire("machines"), budget.acquire("machines")
    budget.done(first)
    budget.pause("collect", 500.0)
    with sqlite3.connect(tmp_path / "quota-1.sqlite3") as other:
        other.execute("BEGIN EXCLUSIVE")
        # The service counts the two that were made, whoever has the file.
        slot, delay, _ticket = budget.take("machines")
        assert slot is None and delay == 60.0 and len(warnings) == 1
        budget.done(under_way)
        assert budget.take("machines")[0] is None
        assert budget.take("collect")[1] == 500.0
        clock.now += 70
        assert budget.take("machines")[0] is not None


def test_what_is_remembered_of_own_calls_is_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quota, "_MANY", 10)
    budget = budget_of((Limit(1000, 60.0),), clock)
    for _each in range(50):
        budget.done(budget.acquire("machines"))
    assert len(budget._own) <= 11


# Several nodes


class ChancyClock(VirtualClock):
    """Every node has a chance of its own."""

    chance = 0.0

    def jitter(self, seconds: float) -> float:
        return seconds * (0.5 + self.chance / 2)


def test_nodes_that_begin_together_do_not_call_together(tmp_path: pathlib.Path) -> None:
    made: list[float] = []
    for node, chance in enumerate((0.1, 0.4, 0.8)):
        clock = ChancyClock()
        clock.chance = chance
        limits = parse_quotas({"package_link": ["2/60"]}, 1 / 3)
        budget = Budget(f"{node}", limits, clock, tmp_path / str(node), pytest.fail)
        for _each in range(3):
            budget.done(budget.acquire("package_link"))
            made.append(clock.now - 1000.0)
        # Another task of this node goes on by what the node has made.
        again = Budget(f"{node}", limits, clock, tmp_path / str(node), pytest.fail)
        again.done(again.acquire("package_link"))
        assert clock.now - 1000.0 == pytest.approx(made[-1] + 92.7)
    # Within a window of 90 seconds and a little room, by chance; and then each window.
    assert made == pytest.approx(
        [9.27 + 92.7 * each for each in (0, 1, 2)]
        + [37.08 + 92.7 * each for each in (0, 1, 2)]
        + [74.16 + 92.7 * each for each in (0, 1, 2)]
    )


def test_nodes_that_are_refused_together_do_not_come_back_together() -> None:
    ends = []
    for chance in (0.0, 0.5, 1.0):
        clock = ChancyClock()
        clock.chance = chance
        budget = Budget("x", parse_quotas({"package_link": ["2/60"]}, 1 / 3), clock)
        budget.pause("package_link", 60.0)
        ends.append(budget.forecast("package_link", 1))
    # But soon after: what a node waits in vain, no other one uses.
    assert ends == pytest.approx([60.0, 60.139, 60.278], abs=0.001)


class RandomClock(VirtualClock):
    def __init__(self, chances: random.Random) -> None:
        super().__init__()
        self._chances = chances

    def jitter(self, seconds: float) -> float:
        return seconds * self._chances.uniform(0.5, 1.0)


@dataclass
class Service:
    """Two links a minute and 120 an hour for all nodes together, by windows that slide or that tick. Refusals do not count."""

    ticks: bool
    given: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0

    def ask(self, now: float, node: int) -> float:
        """0.0 if a link is given, otherwise what C(Retry-After) says, in whole seconds."""
        waits = [0.0]
        for limit in LINKS:
            window = limit.seconds
            since = now - now % window if self.ticks else now - window
            inside = [at for at, _node in self.given if at >= since and (self.ticks or at > since)]
            if len(inside) >= limit.calls:
                waits.append((since + window if self.ticks else inside[-limit.calls] + window) - now)
        if max(waits) <= 0.0:
            self.given.append((now, node))
            return 0.0
        self.refused += 1
        return float(math.ceil(max(waits)))


def share_links(nodes: int, links: int, seed: int, ticks: bool) -> tuple[Service, list[float]]:
    """So many nodes that know nothing of each other get so many links each; when each has its last, from the beginning."""
    chances, service = random.Random(f"{nodes} {links} {seed} {ticks}"), Service(ticks)
    budgets = []
    for node in range(nodes):
        clock = RandomClock(chances)
        budgets.append((clock, Budget(f"{node}", parse_quotas(None, 1 / nodes), clock)))
    # They begin together, as slices do, at any moment of the service's windows.
    began = 10_000.0 + chances.uniform(0, 3600.0)
    left = dict.fromkeys(range(nodes), links)
    ahead: list[tuple[float, int, int | None]] = [(began + chances.uniform(0, 2.0), node, None) for node in left]
    heapq.heapify(ahead)
    while ahead:
        now, node, ticket = heapq.heappop(ahead)
        clock, budget = budgets[node]
        clock.now = now
        slot, delay, ticket = budget.take("package_link", ticket)
        if slot is None:
            heapq.heappush(ahead, (now + max(delay, 0.001), node, ticket))
            continue
        # The call takes its time on the way, and its reply as well.
        wait = service.ask(now + chances.uniform(0.05, 0.3), node)
        clock.now = now + chances.uniform(0.3, 0.6)
        budget.done(slot)
        if wait:
            budget.pause("package_link", wait)
        else:
            left[node] -= 1
        if left[node]:
            heapq.heappush(ahead, (clock.now, node, None))
    return service, [max(at for at, each in service.given if each == node) - began for node in left]


@pytest.mark.parametrize("ticks", [False, True], ids=["slides", "ticks"])
@pytest.mark.parametrize("links", [5, 20, 60])
@pytest.mark.parametrize("nodes", [3, 4, 10])
def test_slices_share_what_the_service_gives_and_none_starves(nodes: int, links: int, ticks: bool) -> None:
    # What no program can beat: two links at once, and two more a minute, whoever asks. 120 an hour is the same rate.
    least, window = (math.ceil(nodes * links / 2) - 1) * 60.0, nodes * 30.0
    for seed in range(5):
        service, ends = share_links(nodes, links, seed, ticks)
        # A node that knows of no other begins anywhere in its window, and finds its place within the next one.
        late = 0.1 * least if links >= 20 else 1.4 * window
        assert max(ends) <= least + late, seed
        # Finding it takes some refusals at the beginning; they do not go on as long as there are links.
        assert service.refused <= 4 * nodes, seed
        # Each has its share all the time.
        assert min(ends) >= 0.8 * least, seed
        for node in range(nodes):
            times = [at for at, each in service.given if each == node]
            assert max(after - before for before, after in itertools.pairwise(times)) <= 2 * window + 60.0, (seed, node)


def test_a_share_of_whole_calls_waits_for_nothing(clock: VirtualClock) -> None:
    for share in (1.0, 0.5):
        budget = Budget("x", parse_quotas({"package_link": ["2/60"]}, share), clock)
        assert budget.take("package_link")[0] is not None
        assert Budget("x", parse_quotas(None, 0.1), clock).take("machines")[0] is not None


def test_old_calls_are_forgotten(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    budget = budget_of((Limit(5, 60.0),), clock, tmp_path)
    for _each in range(700):
        budget.done(budget.acquire("machines"))
    # The longest documented window is an hour, and a call may be under way for another minute.
    store = sqlite3.connect(tmp_path / "quota-1.sqlite3")
    assert store.execute("SELECT count(*) FROM call").fetchone()[0] <= 5 * 62
    store.close()


# Real threads and processes


def _measure(budget: Budget, number: int, calls: int, hold: float) -> list[Call]:
    made = []
    for _each in range(calls):
        slot = budget.acquire("machines")
        call = Call(number, time.monotonic())
        time.sleep(hold)
        call.replied = time.monotonic()
        budget.done(slot)
        made.append(call)
    return made


def test_threads_on_one_budget(tmp_path: pathlib.Path) -> None:
    limits = (Limit(40, 0.25),)
    budget = budget_of(limits, Clock(), tmp_path)
    made: list[Call] = []
    threads = [
        threading.Thread(target=lambda number=number: made.extend(_measure(budget, number, 15, 0.001)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 120
    assert_within(limits, made)


def _process(folder: pathlib.Path, limits: Limits, number: int, calls: int, results: Any) -> None:
    warnings: list[str] = []
    made = _measure(budget_of(limits, Clock(), folder, warnings=warnings), number, calls, 0.005)
    results.put((warnings, [(call.sent, call.replied) for call in made]))


def test_processes_on_one_file(tmp_path: pathlib.Path) -> None:
    limits = (Limit(20, 0.5),)
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    processes = [context.Process(target=_process, args=(tmp_path, limits, number, 15, results)) for number in range(4)]
    began = time.monotonic()
    for process in processes:
        process.start()
    made: list[Call] = []
    for number in range(4):
        warnings, times = results.get(timeout=30)
        assert not warnings
        made.extend(Call(number, *each) for each in times)
    for process in processes:
        process.join(30)
    assert len(made) == 60
    assert_within(limits, made)
    # Sixty calls need two full windows after the first twenty; each call's own time and the computer's load come on top.
    assert 1.0 <= time.monotonic() - began < 10.0


# Options


@pytest.mark.parametrize(
    ("quotas", "name", "limits"),
    [
        (None, "package_link", LINKS),
        ({}, "default", (Limit(100, 60.0), Limit(1500, 3600.0))),
        ({"package_link": ["4/60"]}, "package_link", (Limit(4, 60.0),)),
        ({"package_link": "4/60"}, "package_link", (Limit(4, 60.0),)),
        ({"default": [" 5 / 0.5 ", "7/60"]}, "default", (Limit(5, 0.5), Limit(7, 60.0))),
        ({"machines": ["9999999/1"]}, "machines", (Limit(9_999_999, 1.0),)),
    ],
)
def test_quotas(quotas: Any, name: str, limits: Limits) -> None:
    assert parse_quotas(quotas)[name] == limits


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_may_have_a_quota(name: str) -> None:
    parsed = parse_quotas({name: ["3/60"]})
    assert parsed[name] == (Limit(3, 60.0),)
    assert parsed["default"] == DEFAULT_LIMITS["default"]


@pytest.mark.parametrize(
    "texts",
    [[], None, "", "2", "2/", "/60", "0/60", "2/0", "2/0.0", "-2/60", "2/-60", "2/60s", "2.5/60", "12345678/60", 5, 2 / 60, ["2/60", 5],
     ["2/60", None], ["2/60", "x"], {"2": "60"}, ("2/60",), "2/60,120/3600", [["2/60"]]],
)  # fmt: skip
def test_quotas_that_are_none(texts: Any) -> None:
    with pytest.raises(OptionsError, match=r"quotas\.package_link is") as caught:
        parse_quotas({"package_link": texts})
    assert "['2/60', '120/3600']" in caught.value.advice


def test_quotas_of_an_unknown_class() -> None:
    with pytest.raises(OptionsError, match="unknown endpoint class 'package_links'") as caught:
        parse_quotas({"package_links": ["2/60"]})
    assert "package_link," in caught.value.advice


@pytest.mark.parametrize("share", [0, -0.5, 1.01, 2, float("nan"), float("inf")])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(OptionsError, match="quota_share is"):
        parse_quotas(None, share)


@pytest.mark.parametrize(
    ("limit", "part", "shared"),
    [
        (Limit(100, 60.0), 1.0, Limit(100, 60.0)),
        (Limit(100, 60.0), 0.5, Limit(50, 60.0)),
        (Limit(100, 60.0), 1 / 3, Limit(33, 60.0)),
        (Limit(100, 60.0), 0.29, Limit(29, 60.0)),
        (Limit(2, 60.0), 0.5, Limit(1, 60.0)),
        # Less than one call a window: one call in a longer one, with a little room.
        (Limit(2, 60.0), 0.25, Limit(1, 123.6)),
        (Limit(2, 60.0), 0.1, Limit(1, 309.0)),
    ],
)
def test_shares(limit: Limit, part: float, shared: Limit) -> None:
    assert limit.share(part).calls == shared.calls
    assert limit.share(part).seconds == pytest.approx(shared.seconds)
    assert parse_quotas({"machines": [f"{limit.calls}/{limit.seconds:g}"]}, part)["machines"] == (limit.share(part),)


@given(st.builds(Limit, st.integers(1, 10_000), st.floats(0.1, 10_000)), st.floats(0.001, 1.0))
def test_shares_add_up_to_no_more_than_the_whole(limit: Limit, part: float) -> None:
    shared = limit.share(part)
    assert 1 <= shared.calls <= limit.calls and shared.seconds >= limit.seconds
    assert shared.calls / shared.seconds <= limit.calls / limit.seconds * part * (1 + 1e-6)
    # Nothing is given away beyond the rounding to whole calls.
    assert shared.calls + 1 > limit.calls * part


class OtherComputer(VirtualClock):
    """The same time of day, on a computer that has run for another while."""

    def __init__(self, clock: VirtualClock, longer: float) -> None:
        super().__init__()
        self._clock = clock
        self._longer = longer

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._longer

    def wall(self) -> float:
        return self._clock.wall()


@pytest.mark.parametrize("longer", [99_000.0, -900.0])
def test_computers_share_a_file_however_long_they_run(
    clock: VirtualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, longer: float
) -> None:
    limits = (Limit(1, 60.0),)
    monkeypatch.setattr(_quota, "_boot_id", lambda started: "one")
    one = budget_of(limits, clock, tmp_path)
    monkeypatch.setattr(_quota, "_boot_id", lambda started: "two")
    two = budget_of(limits, OtherComputer(clock, longer), tmp_path)
    one.done(one.acquire("machines"))
    slot, delay, ticket = two.take("machines")
    assert slot is None and abs(delay - 60.0) < 0.001
    clock.sleep(60.001)
    slot, _delay, _ticket = two.take("machines", ticket)
    assert slot
    two.done(slot)
    slot, delay, _ticket = one.take("machines")
    assert slot is None and abs(delay - 60.0) < 0.001


def test_a_file_that_another_process_has_locked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private budget begins with what this process knows of its own calls and pauses (K3)."""
    monkeypatch.setattr(_quota, "_BUSY_SECONDS", 0.2)
    clock, limits = VirtualClock(), (Limit(3, 60.0),)
    warnings: list[str] = []
    budget = budget_of(limits, clock, tmp_path, warnings=warnings)
    for _each in range(2):
        budget.done(budget.acquire("machines"))
    budget.pause("alerts", 50.0)
    holding = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1], isolation_level=None); store.execute('BEGIN EXCLUSIVE'); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holding, str(tmp_path / "quota-1.sqlite3")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"locked\n"
        began = clock.now
        assert budget.take("machines")[0] is not None
        assert budget.take("machines")[0] is None and len(warnings) == 1 and "locked" in warnings[0]
        budget.acquire("alerts")
        assert clock.now - began == 50.0
        budget.acquire("machines")
        assert clock.now - began == 60.0
        holder.communicate()
