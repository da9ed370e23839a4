# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random histories of runs against what the contract promises of them.

A history is a sequence of episodes in virtual time: runs that come to their end, give up or are killed, alone or beside another
one, in one of two folders or without, with one of two comments, or as a later try of a task; a colleague's actions, packages that
expire, actions that the service forgets, records that are merged, and a control node's clock that steps. Every other history is
of one request alone, so that much happens to the same one. After each first look, every device's decision is held against
fleet_model, after each run every row against what really happened. Some hundred histories are tried; set FLEET_HISTORIES=100000
for a night's worth, with --hypothesis-profile fuzz and a --hypothesis-seed for others than those.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import look_for_packages, plan, predict
from ansible_collections.secops.defender.plugins.module_utils._words.errors import AuthError, NetworkError
from ansible_collections.secops.defender.tests.unit.plugins.fleet_model import (
    Asked,
    Contract,
    Ran,
    decided,
)
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    Crew,
    Deed,
    World,
    carry_out,
    prepare,
    reply_lost,
)

_HISTORIES = int(os.environ.get("FLEET_HISTORIES", "300"))
_NAMES = ("pc01", "pc02")
_COMMENTS = ("Case 1", "Case 2")
# A call takes less; and the last look after a time-out. Seconds.
_MOMENT, _LAST_LOOK = 1.0, 30.0


class History:
    """What happens in one history, and what is asked of it."""

    def __init__(self, top: Path) -> None:
        self.world = World()
        self.top = top
        self.runs: list[Ran] = []
        self.contract = Contract(self.world, self.runs)
        self.world.step = self._passes

    def _passes(self, step: str) -> None:
        """A run that is to be killed at this step is, and what its thread was at is not carried on."""
        ran = next((each for each in self.runs if each.label == self.world.at_work), None)
        if ran and ran.hand and ran.killed_at == step:
            ran.hand.killed_at = min(ran.hand.killed_at, self.world.clock.now)
            raise NetworkError("The process is gone.")

    def play(self, episode: dict[str, Any]) -> None:
        getattr(self, f"_{episode['kind']}")(**{key: value for key, value in episode.items() if key != "kind"})

    # ---- what others do ----

    def _step(self, by: float) -> None:
        self.world.clock.base += by

    def _merge(self, name: str) -> None:
        self.world.merged[name] += 1

    def _expire(self, name: str, before: float = 0.0) -> None:
        """The service keeps no package that is older than some minutes."""
        self.world.clock.now += before
        for deed in self._deeds(name):
            if deed.status(self.world.clock.now) == "Succeeded" and self._age(deed) > 700:
                deed.expires_at = min(deed.expires_at, self.world.clock.now)

    def _forget(self, name: str, before: float = 0.0) -> None:
        self.world.clock.now += before
        for deed in self._deeds(name):
            deed.forgotten = deed.final(self.world.clock.now) and self._age(deed) > 700

    def _colleague(self, name: str, same: bool, age: float, collect: float, end: str) -> None:
        if self.world.running(self.world.machine(name).id) is None:
            comment = _COMMENTS[0] if same else "Other"
            self.world.act(name, comment, age, collect=collect, end=end)

    def _deeds(self, name: str) -> list[Deed]:
        return self.world.by_machine[self.world.machine(name).id]

    def _age(self, deed: Deed) -> float:
        return self.world.clock.now - (deed.ends_at or 0.0)

    # ---- runs ----

    def _fetch(self, name: str, newest_only: bool, max_age: float) -> None:
        """Only a look for what is there already."""
        begun = prepare(self.world, [name], None)
        device = begun.devices[0]
        device.request = device.action = device.error = None
        at = self.world.clock.now
        look_for_packages(begun.fleet.api, begun.devices, begun.observer, max_age, newest_only)
        self.world.restart()
        device = begun.devices[0]
        listed = self.contract.listed(device.machine.id, at)
        young = [
            deed
            for deed in listed
            if deed.status(at) == "Succeeded" and (not max_age or at - (deed.ends_at or 0.0) <= max_age)
        ]
        right = max(young, key=lambda deed: deed.ends_at or 0.0, default=None)
        if listed and (newest_only or listed[0] in young):
            right = listed[0] if listed[0] in young else None
        assert (device.action.id if device.request and device.action else None) == (right.id if right else None)
        assert (device.error is None) is (right is not None)
        assert device.age == (None if right is None else pytest.approx(at - (right.ends_at or 0.0), abs=_MOMENT))

    def _runs(self, runs: list[dict[str, Any]], apart: float, before: float) -> None:
        self.world.clock.now += before
        crew = Crew(self.world.clock)
        for number, each in enumerate(runs):
            self._add(crew, begin=number * apart, **each)
        crew.run()
        beside = self.runs[-len(runs) :]
        for ran in beside:
            if ran.hand and ran.hand.failure and not ran.killed:
                raise ran.hand.failure
        for ran in beside:
            for ask in ran.asked:
                self._check_own_actions(ran, ask.device)
                if not ran.killed:
                    self._check_row(ran, ask.device)
        self.world.restart()

    def _add(self, crew: Crew, begin: float, killed: float | str | None, **asked: Any) -> None:
        ran = Ran(f"run{len(self.runs)}", asked["folder"], asked["comment"].strip(), asked["task"])
        self.runs.append(ran)
        ran.killed_at = killed if isinstance(killed, str) else None
        end = begin + killed if isinstance(killed, float) else float("inf")
        ran.hand = crew.add(lambda: self._work(ran, asked), begin, end)

    def _work(self, ran: Ran, asked: dict[str, Any]) -> None:
        world = self.world
        dest = self.top / asked["folder"] if asked["folder"] else None
        names = list(asked["devices"])
        given = {
            "comment": asked["comment"],
            "resume_within": asked["resume_within"],
            "task": asked["task"],
            "wait": True,
        }
        begun: dict[str, Any] = {"label": ran.label, "wishes": asked["devices"], **given}
        ran.began = world.clock.now
        try:
            if asked["checked"]:
                self._check_mode(ran, names, dest, begun)
            ran.run = prepare(world, names, dest, **begun)
            ran.looked = self._looked()
            for device in ran.run.devices:
                ran.asked.append(self._decided(ran, device))
            for fault in asked["faults"]:
                error = AuthError("The sign-in was revoked.") if fault["error"] == "revoked" else reply_lost()
                world.fault("collect", error, machine=fault["name"], after=fault["error"] == "lost after")
            carry_out(ran.run)
        finally:
            world.faults.clear()
            ran.over = world.clock.now
            for folder in ran.run.fleet.folders if ran.run else []:
                folder.close()

    def _check_mode(self, ran: Ran, names: list[str], dest: Path | None, begun: dict[str, Any]) -> None:
        """It says what a run that looks now would do."""
        ran.run = prepare(self.world, names, dest, read_only=True, **begun)
        ran.looked = self._looked()
        looked = [self._decided(ran, device).device for device in ran.run.devices]
        said = [decided(device) for device in looked]
        ahead = plan(self.world.budget, looked)
        assert ahead.starts == sum(each.word == "start" for each in said)
        predict(looked, ran.run.fleet.pace)
        for device, each in zip(looked, said, strict=True):
            assert device.done
            assert str(device.request) == ("would_start" if each.word == "start" else each.word)
        for folder in ran.run.fleet.folders:
            folder.close()
        ran.run = None

    def _looked(self) -> float:
        return next(call.at for call in reversed(self.world.calls) if call.endpoint == "machine_actions")

    # ---- what is asked of them ----

    def _decided(self, ran: Ran, device: Device) -> Asked:
        """The first look has decided what the contract says."""
        decision = decided(device)
        right = self.contract.expected(ran, device)
        assert decision in right, f"{ran.label}, {device.label}: {decision}, not {right}"
        taken = decision.word in ("resumed", "reused")
        assert (device.age is not None) is taken
        if device.action and taken:
            deed = self.world.deeds[device.action.id]
            begun = deed.ends_at if deed.status(ran.looked) == "Succeeded" else deed.created
            assert device.age == pytest.approx(ran.looked - (begun or 0.0), abs=_MOMENT)
        return Asked(ran, device, self.contract.picked(ran, device) if decision.word == "resumed" else None)

    def _check_own_actions(self, ran: Ran, device: Device) -> None:
        """What it started was to be started, and only that was cancelled."""
        made = [deed for deed in self.world.by_machine[device.machine.id] if deed.made_by == ran.label]
        assert len(made) <= 1
        for deed in made:
            assert deed.comment == ran.comment
            for other in self.runs:
                if other is not ran and ran.folder and (other.folder, other.comment) == (ran.folder, ran.comment):
                    self._check_not_at_it(other, device, deed)
        for deed in self.world.by_machine[device.machine.id]:
            if deed.cancelled_by == ran.label:
                assert deed in made and device.wish.cancel_on_timeout
                assert (deed.cancelled_at or 0.0) - deed.created >= device.wish.wait_timeout

    def _check_not_at_it(self, other: Ran, device: Device, made: Deed) -> None:
        """No other run was at the same request when an action was made."""
        for ask in other.asked:
            same = ask.device.machine.id == device.machine.id and ask.since is not None and ask.since < made.created
            if same and other.over > made.created and not ask.reused and ask.device.action:
                done = ask.device.done and ask.device.ended - self.world.clock.base <= made.created
                stored = ask.device.package is not None
                assert done or stored or self.world.deeds[ask.device.action.id].created > made.created

    def _check_row(self, ran: Ran, device: Device) -> None:
        """No row says more than really was."""
        if device.error:
            self._check_failed(ran, device)
            return
        assert device.action and device.request and device.action.final
        deed = self.world.deeds[device.action.id]
        assert deed.machine.id == device.machine.id
        assert deed.status(ran.over) == device.action.status == "Succeeded"
        if device.folder:
            assert device.package and device.package.path.read_bytes() == self.world.package(deed)
        word = str(device.request)
        if word == "started":
            alike = device.reply_lost and deed.comment == ran.comment and deed.created >= ran.looked - 300
            assert deed.made_by == ran.label or alike
        elif word == "already_running":
            assert deed.made_by != ran.label
        else:
            assert deed.status(ran.looked) in (("Succeeded",) if word == "reused" else (deed.status(ran.looked),))
            assert device.age is not None and deed.created <= ran.began
        assert (device.age is None) is (word in ("started", "already_running"))

    def _check_failed(self, ran: Ran, device: Device) -> None:
        error = device.error
        assert error and ran.run
        deed = self.world.deeds[device.action.id] if device.action else None
        if error.code in ("Failed", "TimeOut", "Cancelled"):
            assert deed and deed.status(ran.over) == error.code
        elif error.code == "NotFinishedInTime":
            assert deed
            followed = ran.run.observer.when(str(device.request), device.label)[-1]
            waited = device.ended - self.world.clock.base - followed
            assert device.wish.wait_timeout <= waited <= device.wish.wait_timeout + _LAST_LOOK
            assert (deed.ends_at or float("inf")) > followed + device.wish.wait_timeout - _MOMENT
        else:
            # Nothing is known of it; and no start is left out because of a mistake.
            lost = device.reply_lost and error.code in ("StartUnconfirmed", "ResourceNotFound")
            assert lost or ran.run.fleet.fatal or error.code == "StartedElsewhere", f"{error.code}: {error}"


_DEVICE_OPTIONS = st.fixed_dictionaries(
    {
        "reuse_within": st.sampled_from([0.0, 0.0, 3600.0, 200_000.0]),
        "wait_timeout": st.sampled_from([3600.0, 200.0]),
        "cancel_on_timeout": st.booleans(),
    }
)
_FAULTS = st.fixed_dictionaries(
    {"name": st.sampled_from(_NAMES), "error": st.sampled_from(["lost", "lost after", "revoked"])}
)
_KILLED = st.one_of(
    st.none(),
    st.floats(0.2, 0.8),
    st.floats(0.8, 3.0),
    st.floats(3.0, 400.0),
    st.sampled_from(["before package_link", "chunk"]),
)
_WANTED: dict[str, st.SearchStrategy[Any]] = {
    "folder": st.sampled_from(["a"] * 6 + ["b", None]),
    "comment": st.sampled_from([_COMMENTS[0]] * 5 + [_COMMENTS[1], f"{_COMMENTS[0]} "]),
    "devices": st.dictionaries(st.sampled_from(_NAMES), _DEVICE_OPTIONS, min_size=1),
    "resume_within": st.sampled_from([86400.0, 86400.0, 3600.0, 0.0]),
    "task": st.sampled_from([None, None, None, "try"]),
    "killed": _KILLED,
    "faults": st.lists(_FAULTS, max_size=1),
    "checked": st.booleans(),
}
_RUN = st.fixed_dictionaries(_WANTED)
_PAUSES = st.sampled_from([0.0, 1.0, 60.0, 900.0, 7200.0, 90_000.0])
_RUNS = st.fixed_dictionaries(
    {
        "kind": st.just("runs"),
        "runs": st.lists(_RUN, min_size=1, max_size=3),
        "apart": st.sampled_from([0.0, 0.1, 0.7, 5.0, 100.0]),
        "before": _PAUSES,
    }
)
_NAME = st.sampled_from(_NAMES)
_FETCH = st.fixed_dictionaries(
    {
        "kind": st.just("fetch"),
        "name": _NAME,
        "newest_only": st.booleans(),
        "max_age": st.sampled_from([0.0, 3600.0, 200_000.0]),
    }
)
_EPISODES = st.one_of(
    st.fixed_dictionaries({"kind": st.just("step"), "by": st.sampled_from([-200.0, 200.0, -90_000.0, 90_000.0])}),
    st.fixed_dictionaries({"kind": st.just("merge"), "name": _NAME}),
    st.fixed_dictionaries({"kind": st.just("expire"), "name": _NAME}),
    st.fixed_dictionaries({"kind": st.just("forget"), "name": _NAME}),
    _FETCH,
    st.fixed_dictionaries(
        {
            "kind": st.just("colleague"),
            "name": _NAME,
            "same": st.booleans(),
            "age": st.sampled_from([0.0, 100.0, 10_000.0, 300_000.0]),
            "collect": st.sampled_from([20.0, 300.0, 250_000.0]),
            "end": st.sampled_from(["Succeeded", "Succeeded", "Failed"]),
        }
    ),
)
_SAME_RUN = st.fixed_dictionaries(
    {
        **_WANTED,
        "folder": st.just("a"),
        "comment": st.just(_COMMENTS[0]),
        "devices": st.fixed_dictionaries({_NAMES[0]: _DEVICE_OPTIONS}),
        "faults": st.just([]),
        "checked": st.just(False),
    }
)
_SAME = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("runs"), "runs": st.tuples(_SAME_RUN), "apart": st.just(0.0), "before": _PAUSES}
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["expire", "expire", "forget"]), "name": st.just(_NAMES[0]), "before": _PAUSES}
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
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    devices=st.lists(_DEVICES, min_size=len(_NAMES), max_size=len(_NAMES)),
    episodes=st.one_of(
        st.lists(st.one_of(_RUNS, _RUNS, _EPISODES), min_size=3, max_size=8), st.lists(_SAME, min_size=4, max_size=8)
    ),
    last=st.one_of(_RUN, _SAME_RUN),
    before=_PAUSES,
    fetch=_FETCH,
)
def test_no_row_says_more_than_was_and_no_request_is_started_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[dict[str, Any]],
    episodes: list[dict[str, Any]],
    last: dict[str, Any],
    before: float,
    fetch: dict[str, Any],
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    top = tmp_path / "history"
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    history = History(top)
    for name, device in zip(_NAMES, devices, strict=True):
        history.world.plan(name, **device)
    whole = {"kind": "runs", "runs": [{**last, "killed": None}], "apart": 0.0, "before": before}
    for episode in [*episodes, whole, fetch]:
        history.play(episode)
