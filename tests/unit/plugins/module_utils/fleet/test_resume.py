# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random histories of runs against what the contract promises of them.

A history is a sequence of episodes in virtual time: runs that come to their end or are killed, alone or beside another one, in
one of two folders or without, with one of two comments; a colleague's actions, packages that expire, records that are merged,
and a control node's clock that steps. After each run every row is held against what really happened, which the model knows from
the service and from the runs' own memory, and never from the custody log. Some hundred histories are tried; set
FLEET_HISTORIES=100000 for a night's worth.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    Crew,
    Deed,
    Hand,
    Killed,
    Run,
    World,
    carry_out,
    prepare,
    reply_lost,
)

_HISTORIES = int(os.environ.get("FLEET_HISTORIES", "300"))
_NAMES = ("pc01", "pc02")
_COMMENTS = ("Case 1", "Case 2")
# How far apart the two clocks may be in a history, and what a look may take. Seconds.
_SLACK = 700.0
# Failures that end a request; after any other one the next run takes it up.
_ENDED = {"Failed", "TimeOut", "Cancelled", "ResourceNotFound"}
_FOLLOWED = ("started", "already_running", "resumed")


@dataclass
class Ran:
    """One run, as it really was. began, looked, over: seconds of the service's clock."""

    label: str
    folder: str | None
    comment: str
    options: dict[str, Any]
    began: float
    run: Run | None = None
    hand: Hand | None = None
    looked: float = 0.0
    over: float = float("inf")
    # By name: whether the device's action was final, and its package there, when the run looked.
    seen: dict[str, list[tuple[Deed, str, float]]] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        return self.hand is not None and isinstance(self.hand.failure, Killed)

    @property
    def interrupted(self) -> bool:
        return self.killed or any(self.left_open(device) for device in self.devices)

    @property
    def devices(self) -> list[Device]:
        return self.run.devices if self.run else []

    def device(self, name: str) -> Device | None:
        return next((device for device in self.devices if device.asked == name), None)

    def left_open(self, device: Device) -> bool:
        if device.error:
            cancelled = "asked to be cancelled" in device.error.advice
            return device.error.code not in _ENDED and not cancelled
        return not device.done


class Model:
    """A history, and what the contract says of it."""

    def __init__(self, top: Path) -> None:
        self.world = World()
        self.top = top
        self.runs: list[Ran] = []

    # ---- episodes ----

    def play(self, episode: dict[str, Any]) -> None:
        getattr(self, f"_{episode['kind']}")(episode)

    def _step(self, episode: dict[str, Any]) -> None:
        steps = self.world.clock.base - self.world.base + episode["by"]
        if abs(steps) <= 240:
            self.world.clock.base += episode["by"]

    def _merge(self, episode: dict[str, Any]) -> None:
        self.world.merged[episode["name"]] += 1

    def _expire(self, episode: dict[str, Any]) -> None:
        now = self.world.clock.now
        for deed in self.world.by_machine[self.world.machine(episode["name"]).id]:
            if deed.status(now) == "Succeeded" and (deed.ends_at or now) < now - 700:
                deed.expires_at = min(deed.expires_at, now)

    def _colleague(self, episode: dict[str, Any]) -> None:
        machine = self.world.machine(episode["name"])
        if self.world.running(machine.id) is None:
            self.world.act(
                episode["name"], _COMMENTS[0] if episode["same"] else "Other", 0.0, collect=episode["collect"]
            )

    def _runs(self, episode: dict[str, Any]) -> None:
        self.world.clock.now += episode["before"]
        crew = Crew(self.world.clock)
        for number, each in enumerate(episode["runs"]):
            self._add(crew, each, 0.0 if number == 0 else episode["apart"])
        crew.run()
        beside = self.runs[-len(episode["runs"]) :]
        for ran in beside:
            failure = ran.hand.failure if ran.hand else None
            if failure and not ran.killed:
                raise failure
        for ran in beside:
            self._check(ran)
        self.world.restart()

    def _add(self, crew: Crew, asked: dict[str, Any], begin: float) -> None:
        world, options = self.world, dict(asked["options"])
        ran = Ran(f"run{len(self.runs)}", asked["folder"], asked["comment"].strip(), options, 0.0)
        self.runs.append(ran)
        dest = self.top / asked["folder"] if asked["folder"] else None

        def work() -> None:
            ran.began = world.clock.now
            try:
                ran.run = prepare(
                    world, asked["names"], dest, label=ran.label, comment=asked["comment"], wait=True, **options
                )
                ran.looked = world.clock.now
                for fault in asked["faults"]:
                    world.fault("collect", reply_lost(), machine=fault["name"], after=fault["after"])
                carry_out(ran.run)
            except Killed:
                if ran.run:
                    ran.run.pool.dead = True
                raise
            finally:
                ran.over = world.clock.now
                if ran.run:
                    for folder in ran.run.fleet.folders:
                        folder.close()

        ran.hand = crew.add(work, begin, float("inf") if asked["killed"] is None else begin + asked["killed"])

    # ---- what the contract says ----

    def _check(self, ran: Ran) -> None:
        for deed in self.world.deeds.values():
            if deed.made_by == ran.label:
                self._check_start(ran, deed)
        if not ran.killed:
            for device in ran.devices:
                self._check_row(ran, device)

    def _check_row(self, ran: Ran, device: Device) -> None:
        """No row says more than really was."""
        if device.error is None:
            assert device.action and device.request
        if device.action is None or device.request is None:
            return
        deed = self.world.deeds[device.action.id]
        assert deed.machine.id == device.machine.id
        getattr(self, f"_check_{device.request}")(ran, device, deed)
        taken = str(device.request) in ("resumed", "reused")
        assert (device.age is not None) is taken
        if device.age is not None:
            begun = deed.created if deed.status(ran.looked) != "Succeeded" else deed.ends_at or 0.0
            assert device.age == pytest.approx(ran.looked - begun, abs=_SLACK)
        if device.package:
            assert device.action.status == "Succeeded"
            assert device.package.path.read_bytes() == self.world.package(deed)

    def _check_started(self, ran: Ran, device: Device, deed: Deed) -> None:
        lost = device.reply_lost and deed.comment == ran.comment and deed.created >= ran.began - 300
        assert deed.made_by == ran.label or lost

    def _check_already_running(self, ran: Ran, device: Device, deed: Deed) -> None:
        ended = min(deed.ends_at or float("inf"), deed.cancelled_at or float("inf"))
        beside = [
            other
            for other in self.runs
            if other is not ran
            and self._same(other, ran)
            and other.over >= ran.began
            and (deed.made_by == other.label or self._touched(other, deed))
        ]
        assert ended >= ran.began or beside

    def _check_reused(self, ran: Ran, device: Device, deed: Deed) -> None:
        assert ran.options["reuse_within"] > 0
        assert deed.status(ran.looked) == "Succeeded"
        assert ran.looked - (deed.ends_at or 0.0) <= ran.options["reuse_within"] + _SLACK

    def _check_resumed(self, ran: Ran, device: Device, deed: Deed) -> None:
        left = [
            other
            for other in self.runs
            if self._same(other, ran)
            and other.over <= ran.looked
            and (self._touched(other, deed) or self._unanswered(other, deed))
        ]
        assert any(other.interrupted for other in left)
        assert ran.options["resume_within"] > 0
        assert ran.looked - left[0].over <= ran.options["resume_within"] + _SLACK
        if ran.options["reuse_within"] and deed.status(ran.began) == "Succeeded":
            assert ran.began - (deed.ends_at or 0.0) <= ran.options["reuse_within"] + _SLACK

    def _check_start(self, ran: Ran, made: Deed) -> None:
        """No device is started twice for the same request."""
        if ran.folder is None:
            return
        name = str(made.machine.dns_name)
        before = [
            other
            for other in self.runs
            if other is not ran
            and self._same(other, ran)
            and other.began < made.created
            and self._deeds_of(other, name, made)
        ]
        for other in before:
            device = other.device(name)
            assert not (other.over > made.created and device and not device.done), "a living run was at it"
        over = [other for other in before if other.over <= ran.looked]
        if not over:
            return
        latest = max(over, key=lambda each: each.over)
        device = latest.device(name)
        assert device
        for deed in self._deeds_of(latest, name, made):
            assert not self._must_be_resumed(ran, latest, device, deed), f"{deed.id} was to be picked up"

    def _must_be_resumed(self, ran: Ran, latest: Ran, device: Device, deed: Deed) -> bool:
        ended = deed.ends_at or float("inf")
        first = next(other for other in self.runs if self._same(other, ran) and self._touched(other, deed))
        return (
            (latest.killed or latest.left_open(device))
            and not (device.error and device.error.code in _ENDED)
            and ran.looked - first.began + _SLACK <= ran.options["resume_within"]
            and deed.status(ran.looked) in ("Pending", "InProgress", "Succeeded")
            and deed.end == "Succeeded"
            and deed.cancelled_at is None
            and deed.expires_at > ran.over
            and (not ran.options["reuse_within"] or ran.looked - ended + _SLACK <= ran.options["reuse_within"])
        )

    def _same(self, one: Ran, other: Ran) -> bool:
        return one.folder is not None and (one.folder, one.comment) == (other.folder, other.comment)

    def _touched(self, ran: Ran, deed: Deed) -> bool:
        """Whether it started it, or followed it."""
        device = ran.device(str(deed.machine.dns_name))
        followed = device and device.action and device.action.id == deed.id and str(device.request) in _FOLLOWED
        return deed.made_by == ran.label or bool(followed)

    def _unanswered(self, ran: Ran, deed: Deed) -> bool:
        """Whether it was killed before it knew what came of its request: comment and time are all that tells then."""
        device = ran.device(str(deed.machine.dns_name))
        unknown = ran.killed and (device is None or device.action is None)
        return bool(unknown) and deed.comment == ran.comment and deed.created >= ran.began - 300

    def _deeds_of(self, ran: Ran, name: str, made: Deed) -> list[Deed]:
        """What it had to do with on that device before another action was made."""
        found = self.world.by_machine[made.machine.id]
        return [deed for deed in found if deed is not made and deed.created < made.created and self._touched(ran, deed)]


_OPTIONS = st.fixed_dictionaries(
    {
        "reuse_within": st.sampled_from([0.0, 0.0, 3600.0]),
        "resume_within": st.sampled_from([86400.0, 86400.0, 3600.0, 0.0]),
        "wait_timeout": st.sampled_from([3600.0, 200.0]),
        "cancel_on_timeout": st.booleans(),
    }
)
_FAULTS = st.fixed_dictionaries({"name": st.sampled_from(_NAMES), "after": st.booleans()})
_RUN = st.fixed_dictionaries(
    {
        "folder": st.sampled_from(["a"] * 6 + ["b", None]),
        "comment": st.sampled_from([_COMMENTS[0]] * 5 + [_COMMENTS[1], f"{_COMMENTS[0]} "]),
        "names": st.lists(st.sampled_from(_NAMES), min_size=1, max_size=2, unique=True),
        "options": _OPTIONS,
        "killed": st.one_of(st.none(), st.floats(0.2, 0.8), st.floats(0.8, 3.0), st.floats(3.0, 400.0)),
        "faults": st.lists(_FAULTS, max_size=1),
    }
)
_PAUSES = st.sampled_from([0.0, 1.0, 60.0, 900.0, 7200.0, 90_000.0])
_RUNS = st.fixed_dictionaries(
    {
        "kind": st.just("runs"),
        "runs": st.lists(_RUN, min_size=1, max_size=2),
        "apart": st.sampled_from([0.0, 0.1, 0.7, 5.0, 100.0]),
        "before": _PAUSES,
    }
)
_EPISODES = st.one_of(
    _RUNS,
    st.fixed_dictionaries({"kind": st.just("step"), "by": st.sampled_from([-200.0, 200.0])}),
    st.fixed_dictionaries({"kind": st.just("merge"), "name": st.sampled_from(_NAMES)}),
    st.fixed_dictionaries({"kind": st.just("expire"), "name": st.sampled_from(_NAMES)}),
    st.fixed_dictionaries(
        {
            "kind": st.just("colleague"),
            "name": st.sampled_from(_NAMES),
            "same": st.booleans(),
            "collect": st.sampled_from([20.0, 300.0]),
        }
    ),
)
_DEVICES = st.fixed_dictionaries(
    {
        "collect": st.sampled_from([5.0, 90.0, 400.0]),
        "unlisted": st.sampled_from([0.0, 0.0, 1.5]),
        "end": st.sampled_from([["Succeeded"], ["Succeeded"], ["Failed", "Succeeded"]]),
    }
)


@settings(
    max_examples=_HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    devices=st.lists(_DEVICES, min_size=len(_NAMES), max_size=len(_NAMES)),
    episodes=st.lists(st.one_of(_RUNS, _EPISODES), min_size=1, max_size=6),
    last=_RUN,
    before=_PAUSES,
)
def test_no_row_says_more_than_was_and_no_request_is_started_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[dict[str, Any]],
    episodes: list[dict[str, Any]],
    last: dict[str, Any],
    before: float,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    top = tmp_path / "history"
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    model = Model(top)
    for name, device in zip(_NAMES, devices, strict=True):
        model.world.plan(name, **device)
    for episode in [*episodes, {"kind": "runs", "runs": [{**last, "killed": None}], "apart": 0.0, "before": before}]:
        model.play(episode)
