# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided for a device: the table of look.py cell by cell, and the ways that lead to its rows."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._fleet import look as _look
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import Begun, decide, predict
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    NetworkError,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    COMMENT,
    Crew,
    Deed,
    Killed,
    Recorder,
    Run,
    World,
    carry_out,
    errors,
    prepare,
    reply_lost,
    run,
)

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture
def world() -> World:
    return World()


# ---- the table ----

_LOGS = ("none", "failed", "reused", "stored", "open")
_RUNS = ("alive", "interrupted", "ended")
_AGES = ("young", "old")
_ACTIONS = ("gone", "pending", "unknown", "fresh", "stale", "bad")
_NEWEST = ("running", "package", "unknown", "none")
_STATUS = {
    "pending": "Pending",
    "running": "InProgress",
    "unknown": "WaitingForApproval",
    "fresh": "Succeeded",
    "package": "Succeeded",
    "stale": "Succeeded",
    "bad": "TimeOut",
}


def _rows(heading: str) -> list[list[str]]:
    """The rows of a table in the docstring."""
    lines = (_look.__doc__ or "").splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(heading)) + 2
    return [line.split() for line in itertools.takewhile(str.strip, lines[first:])]


def _promised(log: str, state: str, age: str, action: str, newest: str) -> str:
    rows = _rows("log ")
    cells = [log, state, age, action]
    fits = [row for row in rows if all(said in ("*", "-", cell) for said, cell in zip(row, cells, strict=False))]
    if fits[0][4] != "anew":
        return fits[0][4]
    return next(what for said, what in _rows("anew,") if said == newest)


def _action(kind: str, number: int) -> Action | None:
    if kind in ("gone", "none"):
        return None
    updated = NOW - (7200.0 if kind == "stale" else 600.0)
    moment = _look_iso(updated)
    entity = {
        "id": f"action-{number}",
        "type": "CollectInvestigationPackage",
        "status": _STATUS[kind],
        "machineId": "a" * 40,
        "creationDateTimeUtc": _look_iso(updated - 100),
        "lastUpdateDateTimeUtc": moment,
    }
    return Action.from_api(entity)


def _look_iso(seconds: float) -> str:
    from ansible_collections.secops.defender.plugins.module_utils._words.models import iso

    return iso(seconds)


@pytest.mark.parametrize("newest", _NEWEST)
@pytest.mark.parametrize("kind", _ACTIONS)
@pytest.mark.parametrize("age", _AGES)
@pytest.mark.parametrize("state", _RUNS)
@pytest.mark.parametrize("log", _LOGS)
def test_every_cell_of_the_table(log: str, state: str, age: str, kind: str, newest: str) -> None:
    own, other = _action(kind, 1), _action(newest, 2)
    begun = Begun(
        alive=state == "alive",
        interrupted=state == "interrupted",
        stored=log == "stored",
        failed=log == "failed",
        reused=log == "reused",
        age=2 * DAY if age == "old" else 60.0,
        action=own,
    )
    wish = Wish("x", reuse_within=3600.0)
    decision = decide(None if log == "none" else begun, [other] if other else [], wish, DAY, NOW)
    said = "wait" if decision.claimed else str(decision.request) if decision.request else "start"
    assert said == _promised(log, state, age, kind, newest)
    if decision.request and said == "resumed":
        assert decision.action is own
    elif decision.request:
        assert decision.action is (own if (log, state) == ("open", "alive") else other)


def test_the_table_has_no_row_that_never_holds() -> None:
    rows = _rows("log ")
    used = set()
    for cells in itertools.product(_LOGS, _RUNS, _AGES, _ACTIONS):
        fits = [n for n, row in enumerate(rows) if all(s in ("*", "-", c) for s, c in zip(row, cells, strict=False))]
        used.add(fits[0])
    # Open with a run that has ended well cannot be: whoever leaves a device open is interrupted.
    assert used == set(range(len(rows)))


@pytest.mark.parametrize(("resume_within", "resumed"), [(0.0, False), (59.0, False), (60.0, True)])
def test_resume_within_0_resumes_nothing(resume_within: float, resumed: bool) -> None:
    begun = Begun(interrupted=True, age=60.0, action=_action("pending", 1))
    assert (decide(begun, [], Wish("x"), resume_within, NOW).request is not None) is resumed


def test_without_reuse_within_no_package_is_too_old_to_be_resumed_and_none_is_reused() -> None:
    stale = _action("stale", 1)
    assert stale
    assert decide(Begun(interrupted=True, action=stale), [], Wish("x"), DAY, NOW).request == "resumed"
    assert decide(None, [stale], Wish("x"), DAY, NOW).request is None


def _made(number: int, created: float, updated: float, status: str = "Succeeded") -> Action:
    """An action that was asked for, and changed last, so many seconds ago."""
    return Action.from_api(
        {
            "id": f"action-{number}",
            "type": "CollectInvestigationPackage",
            "status": status,
            "machineId": "a" * 40,
            "creationDateTimeUtc": _look_iso(NOW - created),
            "lastUpdateDateTimeUtc": _look_iso(NOW - updated),
        }
    )


@pytest.mark.parametrize("within", [99.0, 100.0, 101.0])
def test_reuse_within_is_held_against_the_package_and_not_against_its_action(within: float) -> None:
    """A device that was offline takes an action up days later; its package is of then. At the very age it still counts."""
    package = _made(1, created=2 * DAY, updated=100.0)
    wish = Wish("x", reuse_within=within)
    young = within >= 100.0
    assert decide(None, [package], wish, DAY, NOW).action is (package if young else None)
    resumed = decide(Begun(interrupted=True, action=package), [], wish, DAY, NOW)
    assert resumed.request == ("resumed" if young else None)


def test_of_several_packages_the_one_that_ended_last_is_reused() -> None:
    quick = _made(2, created=3000.0, updated=2900.0)
    slow = _made(1, created=5000.0, updated=100.0)
    assert decide(None, [quick, slow], Wish("x", reuse_within=3600.0), DAY, NOW).action is slow
    assert decide(None, [quick, slow], Wish("x", reuse_within=3600.0), DAY, NOW).request == "reused"


@pytest.mark.parametrize("status", ["Pending", "InProgress"])
def test_what_runs_goes_before_what_could_be_reused(status: str) -> None:
    running = _made(1, created=9000.0, updated=9000.0, status=status)
    package = _made(2, created=300.0, updated=100.0)
    decision = decide(None, [package, running], Wish("x", reuse_within=3600.0), DAY, NOW)
    assert decision.request == "already_running" and decision.action is running


@pytest.mark.parametrize("status", ["Failed", "TimeOut", "Cancelled", "Expired"])
def test_what_has_no_package_is_never_reused(status: str) -> None:
    ended = _made(1, created=300.0, updated=100.0, status=status)
    older = _made(2, created=900.0, updated=600.0)
    wish = Wish("x", reuse_within=3600.0)
    assert decide(None, [ended], wish, DAY, NOW).request is None
    assert decide(None, [ended, older], wish, DAY, NOW).action is older


# ---- the ways to its rows ----


def _kill_at(world: World, seconds: float) -> None:
    def killed() -> None:
        raise Killed

    world.clock.at(world.clock.now + seconds, killed)


def _killed(world: World, dest: Path, names: list[str] | None = None, after: float = 30.0, **options: Any) -> None:
    """A run that is killed after so many seconds."""
    _kill_at(world, after)
    with pytest.raises(Killed):
        run(world, names or ["pc01"], dest, **options)
    world.restart()


def _killed_before_its_link(world: World, dest: Path, **options: Any) -> None:
    """A run that is killed when its action is known and its package is ready."""

    def killed(step: str) -> None:
        if step == "before package_link":
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(world, "step", killed)
        run(world, ["pc01"], dest, **options)
    world.restart()


def _living(world: World, dest: Path, names: list[str] | None = None, after: float = 30.0, **options: Any) -> Run:
    """A run that has come so far, and is still there."""
    begun = prepare(world, names or ["pc01"], dest, **options)
    _kill_at(world, after)
    with pytest.raises(Killed):
        carry_out(begun)
    world.clock.restart()
    return begun


def test_weeks_later_nothing_is_resumed(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 21 * DAY
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "started"


def test_what_is_resumed_says_its_age(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 3600.0
    device = run(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "resumed" and device.age == pytest.approx(3600.0 - 60.0, abs=5)
    assert run(world, ["pc01"], tmp_path, reuse_within=2 * 3600.0, comment="x")["pc01"].age == pytest.approx(
        3540, abs=9
    )
    assert run(world, ["pc01"], tmp_path)["pc01"].age is None


@pytest.mark.parametrize("after", [0.4, 30.0], ids=["its reply never came", "its action was known"])
def test_resume_within_is_counted_from_the_request_that_is_picked_up(
    world: World, tmp_path: Path, after: float
) -> None:
    """Whoever has taken the same package in between, and to whom it happened too, makes it no younger."""
    _killed(world, tmp_path, after=after)
    world.clock.now += 3600.0
    _killed_before_its_link(world, tmp_path, resume_within=0.0, reuse_within=7200.0)
    world.clock.now += 20 * 3600.0
    _killed_before_its_link(world, tmp_path)
    assert prepare(world, ["pc01"], tmp_path)["pc01"].request == "resumed"
    world.restart()
    world.clock.now += 3.5 * 3600.0
    assert prepare(world, ["pc01"], tmp_path)["pc01"].request is None


def test_of_several_requests_the_latest_is_picked_up_and_its_own_age_counts(world: World, tmp_path: Path) -> None:
    """The one before it has led to nothing that is known; it does not make the later one older."""
    world.fault("collect", NetworkError("Gone."), left=1000)
    _killed(world, tmp_path, after=1.0)
    world.faults.clear()
    world.clock.now += 20 * 3600.0
    _killed(world, tmp_path, after=0.4)
    world.clock.now += 20 * 3600.0
    device = run(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "resumed" and world.accepted == {"pc01": 1}
    # The earlier one has what it wanted: nothing of it is left to be picked up.
    assert all(overtaken for _action, overtaken in _open(tmp_path, world))


def test_reuse_within_bounds_what_is_resumed(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 3600.0
    assert run(world, ["pc01"], tmp_path, reuse_within=1.0)["pc01"].request == "started"


def test_what_an_interrupted_run_had_merely_reused_is_decided_anew(world: World, tmp_path: Path) -> None:
    world.act("pc01", age=600.0, collect=90.0, download=100.0)
    _killed(world, tmp_path, reuse_within=3600.0)
    again = run(world, ["pc01"], tmp_path)["pc01"]
    assert again.request == "started"


def test_what_a_living_run_has_stored_is_closed(world: World, tmp_path: Path) -> None:
    world.plan("offline", collect=None)
    living = _living(world, tmp_path, ["pc01", "offline"], after=300.0)
    assert living["pc01"].package
    other = run(world, ["pc01"], tmp_path)["pc01"]
    assert other.request == "started" and other.action.id != living["pc01"].action.id
    assert run(world, ["pc01"], tmp_path, reuse_within=3600.0)["pc01"].request == "reused"


def test_what_an_orphan_has_stored_is_resumed_as_soon_as_it_knows_that_it_is_one(world: World, tmp_path: Path) -> None:
    world.plan("offline", collect=None)
    orphan = _living(world, tmp_path, ["pc01", "offline"], after=300.0)

    def notices() -> None:
        orphan.fleet.folders[0].custody.append("run_aborted", code="MasterGone", message="")
        orphan.fleet.folders[0].close()

    world.clock.at(world.clock.now + 1.0, notices)
    again = run(world, ["pc01"], tmp_path)["pc01"]
    assert again.request == "resumed" and again.action.id == orphan["pc01"].action.id


def test_who_asks_for_something_else_waits_for_no_orphan(world: World, tmp_path: Path) -> None:
    world.plan("offline", collect=None)
    _living(world, tmp_path, ["pc01", "offline"], after=300.0)
    began = world.clock.now
    prepare(world, ["pc02"], tmp_path)
    prepare(world, ["pc01"], tmp_path, comment="something else")
    assert world.clock.now < began + 1.0


def test_what_a_living_run_still_follows_is_running_already(world: World, tmp_path: Path) -> None:
    living = _living(world, tmp_path)
    world.clock.now += 200.0
    # It has succeeded meanwhile, and waits for its link.
    device = run(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "already_running" and device.action.id == living["pc01"].action.id
    assert device.package and world.accepted == {"pc01": 1} and device.age is None


def test_what_a_living_run_follows_is_not_resumed_from_another_that_was_killed_since(
    world: World, tmp_path: Path
) -> None:
    world.plan("pc01", collect=1000.0)
    living = _living(world, tmp_path)
    _kill_at(world, 30.0)
    with pytest.raises(Killed):
        run(world, ["pc01"], tmp_path)
    world.clock.restart()
    # It alone is gone: its folder was opened last.
    world.open_folders.pop().close()
    device = prepare(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "already_running" and device.action.id == living["pc01"].action.id


@pytest.mark.parametrize("collect", [1.0, 90.0])
def test_what_a_living_run_is_about_to_start_is_followed(world: World, tmp_path: Path, collect: float) -> None:
    world.plan("pc01", collect=collect)
    world.latency = 5.0
    first = prepare(world, ["pc01"], tmp_path)
    second = prepare(world, ["pc01"], tmp_path)
    crew = Crew(world.clock)
    crew.add(lambda: carry_out(first))
    crew.add(lambda: carry_out(second), begin=2.0)
    crew.run()
    assert not errors(first) and not errors(second)
    assert (first["pc01"].request, second["pc01"].request) == ("started", "already_running")
    assert first["pc01"].action.id == second["pc01"].action.id
    assert world.accepted == {"pc01": 1}


def test_check_mode_says_what_a_living_run_is_about_to_start(world: World, tmp_path: Path) -> None:
    living = prepare(world, ["pc01"], tmp_path)
    living.fleet.folders[0].custody.begin()
    living.fleet.folders[0].custody.claim_start(world.machine("pc01").id, "pc01", COMMENT)
    said = prepare(world, ["pc01"], tmp_path, read_only=True)
    ahead = _look.plan(world.budget, said.devices)
    assert (ahead.starts, ahead.running, ahead.links) == (0, 1, 1)
    predict(said.devices, said.fleet.pace)
    assert said["pc01"].request == "already_running" and not said["pc01"].wrote


def test_a_start_that_another_run_never_makes_is_not_made_here_either(world: World, tmp_path: Path) -> None:
    living = prepare(world, ["pc01"], tmp_path)
    living.fleet.folders[0].custody.begin()
    living.fleet.folders[0].custody.claim_start(world.machine("pc01").id, "pc01", COMMENT)
    begun = run(world, ["pc01", "pc02"], tmp_path)
    assert errors(begun) == {"pc01": "StartedElsewhere"} and world.accepted == {"pc02": 1}
    # Its process ends: then it is known that nothing was started.
    world.restart()
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "started"


def test_killed_and_run_again_at_once_finds_what_is_ready_meanwhile(world: World, tmp_path: Path) -> None:
    names = [f"pc{number:02}" for number in range(8)]
    for name in names:
        world.plan(name, collect=20.0)
    world.latency = 2.0
    # Four replies are out when it is killed.
    _killed(world, tmp_path, names, after=3.0)
    world.clock.now += 30.0
    again = run(world, names, tmp_path)
    assert not errors(again)
    assert world.accepted == {name: 1 for name in names}
    assert {str(device.request) for device in again.devices} == {"resumed", "started"}


def test_a_run_that_left_one_device_unfinished_is_picked_up_as_a_whole(world: World, tmp_path: Path) -> None:
    world.plan("slow", collect=1000.0)
    run(world, ["pc01", "slow"], tmp_path, wait_timeout=300.0)
    again = run(world, ["pc01", "slow"], tmp_path)
    assert [device.request for device in again.devices] == ["resumed", "resumed"]
    # Now all of it has come to its end.
    assert [device.request for device in run(world, ["pc01", "slow"], tmp_path).devices] == ["started", "started"]


def test_what_nobody_picks_up_stays_open_until_a_later_request_has_its_package(world: World, tmp_path: Path) -> None:
    world.plan("pc01", collect=[10.0, 900.0, 10.0])
    _killed(world, tmp_path, after=5.0)
    world.clock.now += 3600.0
    _killed(world, tmp_path, resume_within=0.0)
    first, second = (deed.id for deed in world.deeds.values())
    assert _open(tmp_path, world) == [(first, False), (second, False)]
    world.clock.now += 3600.0
    assert run(world, ["pc01"], tmp_path, resume_within=0.0)["pc01"].request == "started"
    assert _open(tmp_path, world) == [(first, True), (second, True)]


@pytest.mark.parametrize(("end", "request_"), [("run_aborted", "resumed"), (None, "resumed"), ("run_ended", "started")])
def test_who_was_told_of_no_end_gets_what_was_stored(
    world: World, tmp_path: Path, end: str | None, request_: str
) -> None:
    """Everything was there when the run gave up or was killed; only a run that says that it has ended is one."""
    first = prepare(world, ["pc01"], tmp_path)
    first.fleet.folders[0].custody.begin()
    first.fleet.run()
    assert first["pc01"].package
    if end:
        first.fleet.folders[0].custody.append(end)
    world.restart()
    again = run(world, ["pc01"], tmp_path)["pc01"]
    assert again.request == request_ and (again.action.id == first["pc01"].action.id) is (request_ == "resumed")


def test_a_run_whose_unfinished_device_has_its_package_since_is_no_longer_interrupted(
    world: World, tmp_path: Path
) -> None:
    """A later run has collected from it, though not by picking it up."""
    world.plan("slow", collect=1000.0)
    run(world, ["pc01", "slow"], tmp_path, wait_timeout=300.0)
    world.clock.now += 3600.0
    assert run(world, ["slow"], tmp_path, resume_within=0.0)["slow"].request == "started"
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "started"


@pytest.mark.parametrize(
    ("change", "request_"),
    [
        pytest.param({}, "resumed", id="its own"),
        pytest.param({"comment": f" {COMMENT}\n"}, "resumed", id="blanks around its comment"),
        pytest.param({"comment": f"{COMMENT}!"}, None, id="another comment"),
        pytest.param({"created": -299.0}, "resumed", id="made a little before, by a clock that is off"),
        pytest.param({"created": -301.0}, None, id="made before it was asked for"),
    ],
)
def test_what_a_request_without_a_reply_led_to_is_known_by_comment_and_time(
    world: World, tmp_path: Path, change: dict[str, Any], request_: str | None
) -> None:
    _killed(world, tmp_path, after=0.4)
    (deed,) = world.deeds.values()
    deed.comment, deed.created = change.get("comment", deed.comment), deed.created + change.get("created", 0.0)
    world.clock.now += 3600.0
    device = prepare(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == request_ and (device.action is not None) is (request_ is not None)


def test_of_several_that_fit_a_request_without_a_reply_the_nearest_is_its_own(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path, after=0.4)
    (own,) = world.deeds.values()
    world.clock.now += 3600.0
    world.act("pc01", comment=COMMENT, age=1800.0)
    world.act("pc01", comment=COMMENT, age=3600.0 + 250.0)
    device = prepare(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "resumed" and device.action.id == own.id


def test_a_request_without_a_reply_led_to_nothing_that_an_earlier_one_had(world: World, tmp_path: Path) -> None:
    first = run(world, ["pc01"], tmp_path)["pc01"]
    world.fault("collect", NetworkError("Gone."), left=1000)
    _killed(world, tmp_path, after=1.0)
    world.faults.clear()
    device = prepare(world, ["pc01"], tmp_path)["pc01"]
    assert first.action and device.request is None and device.action is None


def test_a_trailing_space_in_the_comment_is_the_same_request(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    assert run(world, ["pc01"], tmp_path, comment=f"{COMMENT} \n")["pc01"].request == "resumed"
    assert {deed.comment for deed in world.deeds.values()} == {COMMENT}


def test_an_action_with_an_unknown_status_word_is_for_the_service_to_decide(world: World) -> None:
    world.act("done", age=600.0, collect=None, between="Expired").ends_at = world.clock.now - 300
    world.deeds[next(iter(world.deeds))].end = "Expired"
    world.act("busy", age=600.0, collect=900.0, between="WaitingForApproval")
    begun = run(world, ["done", "busy"], wait=True)
    assert world.subjects("collect")[:2] == ["done", "busy"]
    assert begun["busy"].request == "already_running" and begun["busy"].action.status == "Succeeded"


def test_a_question_that_fails_in_the_first_look_fails_its_device_alone(world: World, tmp_path: Path) -> None:
    for name in ("pc01", "pc02"):
        world.plan(name, unlisted=600.0)
    _killed(world, tmp_path, ["pc01", "pc02"])
    deed = next(deed for deed in world.deeds.values() if deed.machine.dns_name == "pc01")
    world.fault("machine_action", ValueError("²"), machine=deed.id)
    begun = run(world, ["pc01", "pc02"], tmp_path)
    assert errors(begun) == {"pc01": "UnexpectedError"} and begun["pc02"].request == "resumed"
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "resumed"
    assert world.accepted == {"pc01": 1, "pc02": 1}


@pytest.mark.parametrize("failure", [NetworkError("Gone."), ServiceError("No.", status=401, code="Unauthorized")])
def test_what_concerns_all_in_the_first_look_is_raised(world: World, tmp_path: Path, failure: Exception) -> None:
    world.plan("pc01", unlisted=600.0)
    _killed(world, tmp_path)
    world.fault("machine_action", failure)
    with pytest.raises(type(failure)):
        prepare(world, ["pc01"], tmp_path)


def test_a_first_look_that_fails_unexpectedly_is_an_error_that_says_so(world: World) -> None:
    world.fault("machine_actions", TypeError("NoneType"))
    with pytest.raises(Exception, match="TypeError: NoneType") as caught:
        prepare(world, ["pc01"])
    assert getattr(caught.value, "code", None) == "UnexpectedError"


# ---- packages that are kept no more, or come broken ----


def _expired(world: World, name: str, age: float = 3600.0) -> Deed:
    deed = world.act(name, age=age, collect=90.0)
    deed.expires_at = world.clock.now
    return deed


def test_a_reused_package_that_has_expired_is_collected_anew(world: World, tmp_path: Path) -> None:
    old = _expired(world, "pc01")
    begun = run(world, ["pc01"], tmp_path, reuse_within=2 * 3600.0)
    device = begun["pc01"]
    assert not errors(begun) and device.request == "started" and device.action.id != old.id
    assert device.age is None and device.package
    assert world.count("package_link") == 2


@pytest.mark.parametrize(("kept", "request_"), [(False, "started"), (True, "reused")])
@pytest.mark.parametrize("wait", [False, True])
def test_a_package_that_is_reused_without_a_folder_is_there(
    world: World, wait: bool, kept: bool, request_: str
) -> None:
    old = _expired(world, "pc01")
    if kept:
        old.expires_at = float("inf")
    begun = prepare(world, ["pc01"], wait=wait, reuse_within=2 * 3600.0)
    assert _look.plan(world.budget, begun.devices).links == 1
    device = carry_out(begun)["pc01"]
    assert not errors(begun) and device.request == request_ and (device.action.id == old.id) is kept
    assert not device.package and not device.wrote
    assert world.count("package_link") == 1 and world.count("download") == 0


def test_a_resumed_package_that_has_expired_is_collected_anew_once(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 3600.0
    for deed in world.deeds.values():
        deed.expires_at = world.clock.now
    device = run(world, ["pc01"], tmp_path)["pc01"]
    assert device.request == "started" and device.package and world.accepted == {"pc01": 2}


def _open(dest: Path, world: World) -> list[tuple[str, bool]]:
    with Folder(str(dest), world.clock, read_only=True).custody as custody:
        return [(each.action_id or "?", each.overtaken) for each in custody.history.open_requests()]


@pytest.mark.parametrize("word", ["resumed", "reused"])
def test_what_was_collected_anew_instead_of_an_expired_package_leaves_nothing_open(
    world: World, tmp_path: Path, word: str
) -> None:
    """Otherwise it is named for ever, and the run that has finished all of it counts as interrupted."""
    if word == "resumed":
        _killed(world, tmp_path)
    else:
        _expired(world, "pc01")
    world.clock.now += 3600.0
    for deed in world.deeds.values():
        deed.expires_at = world.clock.now
    begun = run(world, ["pc01"], tmp_path, reuse_within=3 * 3600.0)
    assert [what for _at, _who, what, _said in begun.observer.events][:2] == [word, "ready"]
    assert begun["pc01"].request == "started" and begun["pc01"].package
    assert _open(tmp_path, world) == []
    # The same request once more is a new one.
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "started"


def test_what_is_collected_anew_stays_named_until_it_is_there(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 3600.0
    for deed in world.deeds.values():
        deed.expires_at = world.clock.now
    _killed(world, tmp_path)
    newest = world.by_machine[world.machine("pc01").id][-1]
    assert [action for action, overtaken in _open(tmp_path, world) if not overtaken] == [newest.id]
    again = run(world, ["pc01"], tmp_path)["pc01"]
    assert again.request == "resumed" and again.action.id == newest.id
    assert _open(tmp_path, world) == []


def test_a_package_that_is_not_there_yet_is_not_one_that_has_expired(world: World, tmp_path: Path) -> None:
    world.plan("pc01", package_after=130.0)
    _killed(world, tmp_path)
    world.clock.now += 180.0
    begun = run(world, ["pc01"], tmp_path)
    assert world.count("package_link") > 1 and world.accepted == {"pc01": 1}
    assert not errors(begun) and begun["pc01"].request == "resumed"


def test_a_link_that_is_refused_once_was_too_slow_and_its_package_has_not_expired(world: World, tmp_path: Path) -> None:
    _killed(world, tmp_path)
    world.clock.now += 3600.0
    world.fault("download", ServiceError("No.", status=403, code="LinkRefused"))
    begun = run(world, ["pc01"], tmp_path)
    assert not errors(begun) and begun["pc01"].request == "resumed" and world.accepted == {"pc01": 1}


def test_a_package_that_became_ready_here_has_not_expired_while_it_waited_for_its_link(
    world: World, tmp_path: Path
) -> None:
    """The service still makes it available; only what was ready long before this run can have gone."""
    names = [*(f"pc{number:02}" for number in range(26)), "late"]
    world.plan("late", package_after=DAY)
    _killed(world, tmp_path, names)
    begun = run(world, names, tmp_path)
    assert list(errors(begun)) == ["late"] and begun["late"].request == "resumed"
    assert world.times("package_link")[-1] - world.times("package_link")[0] > 700
    assert world.accepted == dict.fromkeys(names, 1)


def test_what_was_picked_up_and_has_failed_is_over_and_is_asked_anew(world: World, tmp_path: Path) -> None:
    world.plan("pc01", end=["Failed", "Succeeded"])
    _killed(world, tmp_path)
    begun = run(world, ["pc01"], tmp_path)
    assert errors(begun) == {"pc01": "Failed"} and begun["pc01"].request == "resumed"
    assert _open(tmp_path, world) == []
    again = run(world, ["pc01"], tmp_path)
    assert not errors(again) and again["pc01"].request == "started"
    assert _open(tmp_path, world) == []
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "started"


def test_an_expired_package_is_not_collected_anew_by_who_only_fetches(world: World, tmp_path: Path) -> None:
    _expired(world, "pc01")
    begun = _fetch(world, tmp_path)
    assert errors(begun) == {"pc01": "PackageExpired"} and world.count("package_link") == 1
    assert world.count("collect") == 0


def _fetch(world: World, dest: Path, newest_only: bool = True, max_age: float = 0.0) -> Run:
    begun = prepare(world, ["pc01"], dest)
    device = begun["pc01"]
    device.request = device.action = None
    observer = Recorder(world.clock)
    _look.look_for_packages(begun.fleet.api, begun.devices, observer, max_age, newest_only)
    begun.observer.troubles += observer.troubles
    return carry_out(begun)


@pytest.mark.parametrize(("end", "collect"), [("Succeeded", None), ("Failed", 10.0)])
def test_the_newest_action_decides_what_is_fetched(
    world: World, tmp_path: Path, end: str, collect: float | None
) -> None:
    older = world.act("pc01", age=21 * DAY, collect=90.0)
    newest = world.act("pc01", age=600.0, collect=collect, end=end)
    begun = _fetch(world, tmp_path)
    assert errors(begun) == {"pc01": "NoPackage"}
    said = begun["pc01"].error.message
    for deed in (older, newest):
        assert deed.id in said
    assert said.count("20") >= 2
    begun = _fetch(world, tmp_path, newest_only=False)
    assert begun["pc01"].package and begun["pc01"].action.id == older.id
    assert begun["pc01"].age == pytest.approx(21 * DAY, abs=100)
    assert len(begun.observer.troubles) == 1


def test_the_package_of_the_newest_action_is_fetched_although_an_older_one_ended_later(
    world: World, tmp_path: Path
) -> None:
    world.act("pc01", age=2 * DAY, collect=2 * DAY - 60.0)
    newest = world.act("pc01", age=3600.0, collect=90.0)
    begun = _fetch(world, tmp_path)
    assert not errors(begun) and begun["pc01"].package and begun["pc01"].action.id == newest.id


def test_behind_a_newer_action_without_one_the_newest_package_is_fetched(world: World, tmp_path: Path) -> None:
    ended_last = world.act("pc01", age=2 * DAY, collect=2 * DAY - 60.0)
    world.act("pc01", age=3600.0, collect=90.0)
    world.act("pc01", age=600.0, collect=10.0, end="Failed")
    begun = _fetch(world, tmp_path, newest_only=False)
    assert begun["pc01"].action.id == ended_last.id and begun["pc01"].age == pytest.approx(60.0, abs=5)


@pytest.mark.parametrize(("max_age", "fetched"), [(3599.0, False), (3600.0, True)])
def test_max_age_is_held_against_the_package_and_not_against_its_action(
    world: World, tmp_path: Path, max_age: float, fetched: bool
) -> None:
    """However long its device was away; at the very age it still counts."""
    world.latency = 0.0
    world.act("pc01", age=3600.0 + 3 * DAY, collect=3 * DAY)
    assert (_fetch(world, tmp_path, max_age=max_age)["pc01"].package is not None) is fetched


def test_a_package_that_is_too_old_is_not_fetched(world: World, tmp_path: Path) -> None:
    world.act("pc01", age=21 * DAY, collect=90.0)
    begun = _fetch(world, tmp_path, max_age=20 * DAY)
    assert errors(begun) == {"pc01": "NoPackage"}


@pytest.mark.parametrize(("copies", "links"), [("same", 2), ("other", 4)])
def test_a_package_that_is_broken_twice_in_the_same_way_costs_two_links(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: str, links: int
) -> None:
    count = itertools.count()
    monkeypatch.setattr(
        World, "package", lambda self, deed: b"no zip" + (b"" if copies == "same" else str(next(count)).encode())
    )
    begun = run(world, ["pc01"], tmp_path)
    assert errors(begun) == {"pc01": "PackageBroken"}
    assert world.count("package_link") == links
    assert ("A second copy was the same" in begun["pc01"].error.message) is (copies == "same")


# ---- nothing is taken for its own that is not ----


def test_an_action_of_another_machine_is_not_followed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = World.entity

    def entity(self: World, deed: Deed) -> dict[str, Any]:
        return {**plain(self, deed), **({"machineId": "b" * 40} if deed.machine.dns_name == "pc01" else {})}

    monkeypatch.setattr(World, "entity", entity)
    begun = run(world, ["pc01", "pc02"], tmp_path)
    assert errors(begun) == {"pc01": "WrongMachine"}
    assert re.search(r"pc01 \([0-9a-f]{40}\).*b{40}", begun["pc01"].error.message)
    assert begun["pc01"].action is None and begun["pc02"].package


def test_an_old_action_with_the_same_comment_is_not_what_a_lost_reply_told_of(world: World) -> None:
    """The first look did not go back so far; because of the other device, the later ones do."""
    old = world.act("pc01", comment=COMMENT, age=5 * DAY, collect=90.0)
    begun = prepare(world, ["pc01", "pc02"], wait=True)
    world.act("pc02", age=0.0, collect=300.0, unlisted=20.0)
    world.fault("collect", reply_lost(), machine="pc01")
    carry_out(begun)
    assert not errors(begun) and begun["pc02"].request == "already_running"
    assert begun["pc01"].request == "started" and begun["pc01"].action.id != old.id
    assert world.accepted == {"pc01": 1}


@pytest.mark.parametrize(("age", "collect"), [(5 * DAY, 90.0), (300.0, 200.0)])
def test_an_old_action_is_not_what_has_refused_a_start(world: World, age: float, collect: float) -> None:
    """What has is not listed yet. The old one has a package; the first look did not go back to it, or has met it."""
    world.act("pc01", age=age, collect=collect)
    begun = prepare(world, ["pc01"], wait=True)
    running = world.act("pc01", age=0.0, collect=300.0, unlisted=20.0)
    carry_out(begun)
    assert begun["pc01"].request == "already_running" and begun["pc01"].action.id == running.id


def test_what_has_refused_a_start_and_has_failed_since_is_not_followed(world: World) -> None:
    begun = prepare(world, ["pc01"], wait=True)
    refusing = world.act("pc01", age=0.0, collect=0.2, end="Failed")
    carry_out(begun)
    assert world.count("collect") == 2
    assert not errors(begun) and begun["pc01"].request == "started" and begun["pc01"].action.id != refusing.id


def test_of_two_that_could_have_refused_a_start_it_is_the_newer(world: World) -> None:
    begun = prepare(world, ["pc01"], wait=True)
    world.act("pc01", age=1.0, collect=0.5, end="Failed")
    refusing = world.act("pc01", age=0.0, collect=0.2)
    carry_out(begun)
    assert begun["pc01"].request == "already_running" and begun["pc01"].action.id == refusing.id
    assert world.count("collect") == 1


def test_blanks_around_the_services_comment_do_not_hide_what_a_lost_reply_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = World.entity

    def entity(self: World, deed: Deed) -> dict[str, Any]:
        return {**plain(self, deed), "requestorComment": f" {deed.comment}\n"}

    monkeypatch.setattr(World, "entity", entity)
    world.fault("collect", reply_lost(), after=True)
    begun = run(world, ["pc01"], wait=True)
    assert not errors(begun) and begun["pc01"].request == "started" and world.accepted == {"pc01": 1}


def test_what_was_cancelled_for_its_time_out_is_over(world: World, tmp_path: Path) -> None:
    world.plan("pc01", collect=[None, 90.0])
    begun = run(world, ["pc01"], tmp_path, wait_timeout=300.0, cancel_on_timeout=True)
    assert errors(begun) == {"pc01": "NotFinishedInTime"} and world.count("cancel") == 1
    world.clock.now += 60.0
    assert _open(tmp_path, world) == []
    assert prepare(world, ["pc01"], tmp_path)["pc01"].request is None


def test_a_package_that_is_a_copy_of_anothers_is_never_picked_up(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its run was killed, and although it was kept and recorded."""
    same = world.package(world.act("else", age=600.0))
    monkeypatch.setattr(World, "package", lambda self, deed: same)
    first = prepare(world, ["pc01", "pc02"], tmp_path, downloads=1)
    first.fleet.folders[0].custody.begin()
    first.fleet.run()
    assert errors(first) == {"pc02": "DuplicatePackage"} and first["pc02"].package
    world.restart()
    again = prepare(world, ["pc01", "pc02"], tmp_path)
    assert (again["pc01"].request, again["pc02"].request) == ("resumed", None)


def test_what_is_matched_by_its_comment_alone_is_never_cancelled(world: World) -> None:
    world.plan("pc01", collect=None)
    world.fault("collect", reply_lost(), after=True)
    begun = run(world, ["pc01"], wait=True, wait_timeout=300.0, cancel_on_timeout=True)
    assert errors(begun) == {"pc01": "NotFinishedInTime"} and world.count("cancel") == 0
    assert "The action goes on" in begun["pc01"].error.advice


def test_a_colleagues_action_with_the_same_comment_is_never_cancelled(world: World) -> None:
    begun = prepare(world, ["pc01"], wait=True, wait_timeout=300.0, cancel_on_timeout=True)
    world.act("pc01", comment=COMMENT, age=0.0, collect=None)
    carry_out(begun)
    assert begun["pc01"].request == "already_running" and world.count("cancel") == 0


def test_retries_of_one_task_pick_up_what_the_first_try_has_stored(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.plan("bad", end=["Failed", "Succeeded"])
    names = ["pc01", "bad"]
    first = prepare(world, names, tmp_path, task="task-1")
    carry_out(first)
    assert errors(first) == {"bad": "Failed"}
    run_id = first.fleet.folders[0].custody.run
    world.restart()
    for task, words in (("task-2", "started"), ("task-1", "resumed")):
        folder = Folder(str(tmp_path), world.clock, read_only=True)
        vars(folder.custody.refresh().runs[run_id])["task"] = "task-1"
        monkeypatch.setattr(folder.custody, "refresh", lambda folder=folder: folder.custody.history)
        again = prepare(world, names, folder=folder, task=task)
        predict(again.devices, again.fleet.pace)
        assert again["pc01"].request == ("would_start" if words == "started" else words)
        assert again["bad"].request == "would_start"
