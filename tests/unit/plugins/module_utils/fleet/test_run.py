# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import os
import resource
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence import folder as _evidence
from ansible_collections.secops.defender.plugins.module_utils._evidence import records as _records
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Phase
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import look, plan, predict
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    EvidenceError,
    NetworkError,
    PackageBroken,
    ServiceError,
    from_reply,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    COMMENT,
    Killed,
    MemoryFolder,
    Run,
    World,
    carry_out,
    errors,
    package_bytes,
    prepare,
    reply_lost,
    run,
)


@pytest.fixture
def world() -> World:
    return World()


def _names(count: int) -> list[str]:
    return [f"pc{number:04d}" for number in range(count)]


def _refusal(status: int, code: str, message: str = "It says why") -> ServiceError:
    body = {"error": {"code": code, "message": message, "target": "track-me"}}
    return from_reply(status, body, "start a collection on pc0000")


def _changed(device: Device) -> bool:
    return device.request in ("started", "would_start") or device.wrote


# ---- the whole way ----


def test_one_device_goes_from_its_start_to_its_package(world: World, tmp_path: Path) -> None:
    begun = run(world, ["pc0000"], tmp_path)
    device = begun["pc0000"]
    assert (device.request, device.phase, device.wrote, device.error) == ("started", Phase.DONE, True, None)
    assert device.package and device.package.path.read_bytes() == package_bytes(device.action.id)
    assert [call.endpoint for call in world.calls if call.endpoint != "machine_actions"] == [
        "collect",
        "package_link",
        "download",
    ]
    told = [what for _at, _who, what, _detail in begun.observer.events]
    assert told == ["started", "status", "status", "ready", "done"]


def test_the_record_and_the_log_say_who_asked_for_what(world: World, tmp_path: Path) -> None:
    device = run(world, ["pc0000"], tmp_path)["pc0000"]
    record = json.loads(device.package.path.with_suffix(".json").read_text())
    assert record["request"] == "started"
    assert record["asked_for"] == "pc0000"
    assert record["comment"] == COMMENT
    assert set(record["asked_by"]) >= {"user", "host", "tool"}
    events = [json.loads(line)["event"] for line in (tmp_path / "custody.jsonl").read_text().splitlines()]
    assert events == [
        "run_started",
        "start_requested",
        "action_known",
        "download_started",
        "package_verified",
        "package_stored",
        "run_ended",
    ]


def test_without_wait_a_started_action_is_the_end(world: World) -> None:
    begun = run(world, _names(3))
    assert [device.request for device in begun.devices] == ["started"] * 3
    assert [device.action.status for device in begun.devices] == ["Pending"] * 3
    assert world.count("machine_actions") == 1
    assert begun.took < 5


def test_with_wait_alone_nothing_is_downloaded(world: World) -> None:
    begun = run(world, _names(2), wait=True)
    assert [device.action.status for device in begun.devices] == ["Succeeded"] * 2
    assert world.count("package_link") == 0
    assert 90 <= begun.took < 90 + 2 * 15


# ---- starts ----


def test_starts_go_out_in_the_order_named_and_as_fast_as_the_quota_allows(world: World) -> None:
    names = _names(250)
    begun = run(world, names)
    assert world.subjects("collect") == names
    starts = world.times("collect")
    # Four at a time, 0.3 seconds each: the first hundred at once, then the next as soon as the minute is over.
    assert starts[99] - starts[0] < 10
    assert 120 <= starts[249] - starts[0] < 135
    assert begun.took < 135
    world.assert_within_quota()


def test_no_package_is_waited_for_before_the_last_start(world: World, tmp_path: Path) -> None:
    names = _names(40)
    run(world, names, folder=MemoryFolder())
    assert max(world.times("collect")) < min(world.times("package_link"))


def test_downloads_do_not_wait_for_starts_that_the_quota_holds_back(world: World) -> None:
    run(world, _names(400), folder=MemoryFolder())
    first_link, last_start = min(world.times("package_link")), max(world.times("collect"))
    assert first_link < last_start
    # Ready after 90 seconds, seen at the next poll: nothing else may come in between.
    assert first_link - world.times("collect")[0] < 90 + 2 * 15


def test_starts_do_not_wait_for_slow_downloads(world: World) -> None:
    for name in _names(4):
        world.act(name, age=600.0, collect=90.0, download=5000.0)
    names = _names(150)
    run(world, names, folder=MemoryFolder(), reuse_within=3600.0)
    starts = world.times("collect")
    assert len(starts) == 146
    assert starts[-1] - starts[0] < 75


def test_four_starts_at_once_at_the_most(world: World) -> None:
    world.latency = 5.0
    begun = run(world, _names(20))
    starts = [call for call in world.calls if call.endpoint == "collect"]
    for start in starts:
        assert sum(each.at <= start.at < each.ended for each in starts) <= 4
    assert begun.took < 20 / 4 * 5 + 6


# ---- links ----


def test_links_go_by_the_order_named_among_the_ready_ones(world: World) -> None:
    names = _names(6)
    for name in names:
        world.act(name, age=600.0, collect=90.0)
    run(world, reversed(names), folder=MemoryFolder(), reuse_within=3600.0)
    assert world.subjects("package_link") == names[::-1]


def test_a_device_named_first_goes_first_even_if_it_was_ready_last(world: World) -> None:
    names = _names(8)
    world.plan(names[0], collect=100.0)
    for name in names[1:]:
        world.act(name, age=600.0, collect=90.0)
    run(world, names, folder=MemoryFolder(), reuse_within=3600.0)
    order = world.subjects("package_link")
    links = world.times("package_link")
    ready = 100 + 2 * 15
    taken_before = sum(at - links[0] < ready for at in links) - 1
    assert order.index(names[0]) <= taken_before
    assert order.index(names[0]) < 6


def test_two_links_a_minute_and_each_is_used_at_once(world: World) -> None:
    names = _names(12)
    begun = run(world, names, folder=MemoryFolder())
    world.assert_within_quota()
    links, downloads = world.times("package_link"), world.times("download")
    assert len(links) == len(downloads) == 12
    assert all(download - link <= 1 for link, download in zip(links, downloads, strict=True))
    # The sixth pair is asked for five windows after the first.
    assert links[-1] - links[0] < 5 * 61
    assert begun.took < 90 + 2 * 15 + 5 * 61 + 10


def test_no_link_is_asked_for_while_all_downloads_are_under_way(world: World) -> None:
    for name in _names(5):
        world.act(name, age=600.0, collect=90.0, download=400.0)
    run(world, _names(5), folder=MemoryFolder(), reuse_within=3600.0, downloads=1)
    links = world.times("package_link")
    assert all(later - earlier >= 400 for earlier, later in itertools.pairwise(links))


def test_what_is_stored_already_needs_no_link(world: World, tmp_path: Path) -> None:
    for name in _names(3):
        world.act(name, age=600.0, collect=90.0)
    run(world, _names(3), tmp_path, reuse_within=3600.0)
    world.calls.clear()
    again = run(world, _names(3), tmp_path, reuse_within=3600.0, comment="another request")
    assert [call.endpoint for call in world.calls] == ["machine_actions"]
    assert [device.package is not None for device in again.devices] == [True] * 3
    assert not any(device.wrote for device in again.devices)


def test_hashing_what_is_stored_already_does_not_silence_the_fleet(world: World, tmp_path: Path) -> None:
    # Each package on disk is read to the end; hundreds of them one after the other would take minutes.
    names = _names(20)
    for name in names:
        world.act(name, age=600.0, collect=90.0)
    folder = _SlowFolder(world)
    observed = run(world, [*names, "new"], folder=folder, reuse_within=3600.0).observer
    gaps = [later - earlier for earlier, later in zip(observed.ticks, observed.ticks[1:], strict=False)]
    assert max(gaps) <= 60
    assert world.times("collect")[0] < 1000 + 60


class _SlowFolder(MemoryFolder):
    """Everything that was made before the run is there already, and takes 20 seconds to read."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def existing(self, machine: Any, action: Any) -> Any:
        if action.requestor != "secops-collector" and action.id not in self.stored:
            self._world.clock.now += 20
            self.stored[action.id] = _evidence.Package(Path("/nowhere"), 1, "0" * 64, "")
        return super().existing(machine, action)


# ---- polls ----


@pytest.mark.parametrize("count", [1, 50, 90])
def test_one_list_call_at_each_poll_whatever_the_size_of_the_fleet(world: World, count: int) -> None:
    for name in _names(count):
        world.plan(name, collect=300.0)
    run(world, _names(count), wait=True, poll_interval=30.0)
    lists = world.times("machine_actions")
    assert len(lists) <= 2 + 300 / 30 + 1
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(lists))
    assert world.count("machine_action") == 0


def test_no_poll_while_nobody_waits(world: World) -> None:
    for name in _names(10):
        world.act(name, age=600.0, collect=90.0)
    run(world, _names(10), folder=MemoryFolder(), reuse_within=3600.0)
    assert world.count("machine_actions") == 1


def test_a_device_that_is_pending_for_hours_costs_only_its_place_in_the_list_call(world: World) -> None:
    world.plan("pc0000", collect=None)
    begun = run(world, _names(20), folder=MemoryFolder(), wait_timeout=6 * 3600.0, poll_interval=60.0)
    assert errors(begun) == {"pc0000": "NotFinishedInTime"}
    assert Counter(call.endpoint for call in world.calls) == {
        "collect": 20,
        "package_link": 19,
        "download": 19,
        "machine_actions": pytest.approx(6 * 60 + 2, abs=6),
    }


def test_an_unknown_status_word_is_not_final(world: World) -> None:
    world.plan("pc0000", between="WaitingForApproval")
    begun = run(world, ["pc0000"], wait=True)
    assert begun["pc0000"].action.status == "Succeeded"
    assert (begun["pc0000"].label, "status", "WaitingForApproval") in [event[1:] for event in begun.observer.events]


def test_a_poll_that_fails_is_made_again(world: World) -> None:
    world.fault("machine_actions", _refusal(400, "ODataError"), left=3, since=world.clock.now + 5)
    begun = run(world, ["pc0000"], wait=True)
    assert not errors(begun)
    assert len(begun.observer.troubles) == 3
    assert "Asking again in 15 seconds." in begun.observer.troubles[0]


def test_a_device_not_finished_in_time_says_that_the_last_look_failed(world: World) -> None:
    world.fault("machine_actions", _refusal(400, "ODataError"), left=-1, since=world.clock.now + 5)
    begun = run(world, ["pc0000"], wait=True, wait_timeout=100.0)
    message = begun["pc0000"].error.message
    assert message.startswith("The collection on pc0000 is still Pending after 100 seconds. The last look failed: ")
    assert "ODataError" in message


def test_an_action_that_the_list_forgets_is_asked_for_by_its_id(world: World) -> None:
    world.plan("pc0000", unlisted=1e9, collect=200.0)
    begun = run(world, ["pc0000"], wait=True)
    assert begun["pc0000"].action.status == "Succeeded"
    assert world.count("machine_action") == 2
    assert world.times("machine_action")[0] - world.times("collect")[0] >= 120


def test_an_action_that_is_gone_fails_its_device(world: World) -> None:
    world.plan("pc0000", unlisted=1e9, unseen=1e9)
    begun = run(world, _names(2), wait=True)
    assert errors(begun) == {"pc0000": "ResourceNotFound"}


def test_asking_singly_fails_quietly_while_the_service_is_in_trouble(world: World) -> None:
    world.plan("pc0000", unlisted=1e9, collect=200.0)
    world.fault("machine_action", reply_lost())
    begun = run(world, ["pc0000"], wait=True)
    assert not errors(begun)
    assert len(begun.observer.troubles) == 1


def test_a_list_without_rows_for_a_while_does_not_stop_the_fleet(world: World) -> None:
    # 300 actions asked for one by one would use up a thread each, and the quota; starts and links must go on.
    for name in _names(300):
        world.plan(name, unlisted=1500.0, collect=90.0)
    for name in ("ready1", "ready2", "ready3"):
        world.act(name, age=600.0, collect=90.0)
    begun = run(
        world,
        ["ready1", "ready2", "ready3", *_names(300)],
        folder=MemoryFolder(),
        reuse_within=3600.0,
        poll_interval=5.0,
    )
    assert not errors(begun)
    starts, links = world.times("collect"), world.times("package_link")
    assert starts[-1] - starts[0] < 3 * 61
    assert links[2] - links[0] < 65
    assert begun.took < 303 * 31


# ---- whose action is it ----


def test_a_running_collection_is_adopted_with_its_id(world: World) -> None:
    theirs = world.act("pc0000")
    begun = run(world, _names(2), wait=True)
    device = begun["pc0000"]
    assert (device.request, device.action.id, device.action.status) == ("already_running", theirs.id, "Succeeded")
    assert world.subjects("collect") == ["pc0001"]


def test_a_collection_that_somebody_starts_in_between_is_adopted_with_its_id(world: World) -> None:
    begun = prepare(world, _names(2), wait=True)
    theirs = world.act("pc0000", age=0.0)
    carry_out(begun)
    device = begun["pc0000"]
    assert (device.request, device.action.id, device.action.status) == ("already_running", theirs.id, "Succeeded")
    assert world.accepted == {"pc0001": 1}


def test_a_running_collection_that_is_older_than_the_first_look_goes_is_adopted(world: World) -> None:
    theirs = world.act("pc0000", age=9 * 86400.0, collect=None)
    begun = run(world, _names(2))
    assert begun["pc0000"].request == "already_running"
    assert begun["pc0000"].action.id == theirs.id


def test_a_running_collection_that_the_list_does_not_show_yet_is_looked_for(world: World) -> None:
    begun = prepare(world, ["pc0000"], wait=True)
    theirs = world.act("pc0000", age=0.0, unlisted=50.0)
    carry_out(begun)
    assert begun["pc0000"].request == "already_running"
    assert begun["pc0000"].action.id == theirs.id
    assert world.count("collect") == 1


def test_a_blocking_action_that_is_never_listed_fails_with_the_refusal(world: World) -> None:
    begun = prepare(world, _names(2))
    world.act("pc0000", age=0.0, unlisted=1e9, collect=None)
    carry_out(begun)
    assert errors(begun) == {"pc0000": "ActiveRequestAlreadyExists"}
    assert begun["pc0001"].request == "started"
    assert 120 <= begun.observer.when("failed")[0] - world.times("collect")[0] < 130


def test_what_blocked_the_start_and_succeeded_meanwhile_is_adopted(world: World) -> None:
    begun = prepare(world, ["pc0000"], wait=True)
    theirs = world.act("pc0000", age=100.0, collect=100.3)
    carry_out(begun)
    device = begun["pc0000"]
    assert (device.request, device.action.id, device.action.status) == ("already_running", theirs.id, "Succeeded")
    assert not world.accepted


def test_what_blocked_the_start_and_failed_meanwhile_is_no_reason_not_to_start(world: World) -> None:
    begun = prepare(world, ["pc0000"], wait=True)
    world.act("pc0000", age=100.0, collect=100.3, end="Failed")
    carry_out(begun)
    device = begun["pc0000"]
    assert (device.request, device.action.status) == ("started", "Succeeded")
    assert world.count("collect") == 2
    assert world.accepted == {"pc0000": 1}


def test_a_package_that_was_there_before_is_not_taken_for_the_one_that_runs(world: World) -> None:
    world.act("pc0000", age=200.0, collect=90.0)
    begun = prepare(world, ["pc0000"], wait=True)
    theirs = world.act("pc0000", age=0.0, unlisted=30.0)
    carry_out(begun)
    assert begun["pc0000"].request == "already_running"
    assert begun["pc0000"].action.id == theirs.id


def test_several_actions_that_failed_do_not_use_up_the_tries(world: World) -> None:
    # The first blocker has failed; the second is not listed yet. Asking again at once would be refused again and again.
    begun = prepare(world, ["pc0000"], wait=True)
    world.act("pc0000", age=100.0, collect=100.3, end="Failed")
    second = world.act("pc0000", age=-1.0, unlisted=60.0)
    carry_out(begun)
    assert begun["pc0000"].request == "already_running"
    assert begun["pc0000"].action.id == second.id
    assert world.count("collect") == 2


# ---- lost replies ----


@pytest.mark.parametrize("lag", [0.0, 5.0, 60.0])
def test_a_start_whose_reply_was_lost_is_found_and_made_once(world: World, lag: float) -> None:
    world.plan("pc0000", unlisted=lag)
    world.fault("collect", reply_lost(), machine="pc0000", after=True)
    begun = run(world, _names(3), wait=True)
    device = begun["pc0000"]
    assert (device.request, device.action.status) == ("started", "Succeeded")
    assert world.accepted == {name: 1 for name in _names(3)}
    assert [call for call in begun.observer.events if call[2] == "reply_lost"]


def test_a_start_that_was_lost_on_the_way_is_asked_for_again(world: World) -> None:
    world.fault("collect", reply_lost(), machine="pc0000")
    begun = run(world, _names(3), wait=True)
    assert not errors(begun)
    assert begun["pc0000"].request == "started"
    assert world.subjects("collect").count("pc0000") == 2
    assert world.accepted == {name: 1 for name in _names(3)}


def test_a_lost_reply_of_an_action_that_ended_at_once_is_found(world: World) -> None:
    world.plan("pc0000", collect=0.5, end=["Failed", "Succeeded"])
    world.fault("collect", reply_lost(), after=True)
    begun = run(world, ["pc0000"], wait=True)
    assert errors(begun) == {"pc0000": "Failed"}
    assert begun["pc0000"].request == "started"
    assert world.accepted == {"pc0000": 1}


def test_a_lost_reply_is_not_mistaken_for_somebody_elses_action(world: World) -> None:
    begun = prepare(world, ["pc0000"], wait=True)
    theirs = world.act("pc0000", age=0.0)
    world.fault("collect", reply_lost())
    carry_out(begun)
    assert begun["pc0000"].request == "already_running"
    assert begun["pc0000"].action.id == theirs.id


def test_an_older_action_with_the_same_comment_is_not_the_one_whose_reply_was_lost(world: World) -> None:
    older = world.act("pc0000", comment=COMMENT, age=200.0, collect=100.0)
    world.fault("collect", reply_lost())
    begun = run(world, ["pc0000"], wait=True)
    assert begun["pc0000"].action.id != older.id
    assert begun["pc0000"].request == "started"


def test_a_start_whose_reply_is_lost_every_time_is_given_up(world: World) -> None:
    world.fault("collect", reply_lost(), machine="pc0000", left=-1)
    begun = run(world, _names(2))
    assert errors(begun) == {"pc0000": "StartUnconfirmed"}
    assert world.subjects("collect").count("pc0000") == 4
    assert "Run again in a few minutes" in begun["pc0000"].error.advice


# ---- refusals ----


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "OsPlatformNotSupported"),
        (400, "ClientVersionNotSupported"),
        (400, "InvalidInput"),
        (403, "Forbidden"),
        (403, "DisabledFeature"),
        (404, "ResourceNotFound"),
    ],
)
def test_another_refusal_fails_that_device_alone(world: World, tmp_path: Path, status: int, code: str) -> None:
    world.fault("collect", _refusal(status, code), machine="pc0001", left=-1)
    begun = run(world, _names(3), tmp_path)
    assert errors(begun) == {"pc0001": code}
    error = begun["pc0001"].error.as_result()
    assert error["tracking_id"] == "track-me"
    assert error["advice"]
    assert begun["pc0001"].request is None
    assert world.subjects("collect").count("pc0001") == 1
    assert begun["pc0000"].package and begun["pc0002"].package
    failed = [json.loads(line) for line in (tmp_path / "custody.jsonl").read_text().splitlines()]
    assert [each["code"] for each in failed if each["event"] == "device_failed"] == [code]


def test_a_refusal_that_repeats_a_secret_is_logged_without_it(world: World, tmp_path: Path) -> None:
    world.fault("collect", _refusal(400, "s3cr3t", "bad token s3cr3t"))
    run(world, ["pc0000"], tmp_path)
    log = (tmp_path / "custody.jsonl").read_text()
    assert "bad token ********" in log and "s3cr3t" not in log


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("Failed", "The collection on pc0000 failed on the device"),
        ("TimeOut", "The collection on pc0000 was not taken up by the device in time"),
        ("Cancelled", "The collection on pc0000 was cancelled"),
    ],
)
def test_an_action_that_ends_without_a_package_says_how_it_ended(world: World, end: str, said: str) -> None:
    world.plan("pc0000", end=end)
    begun = run(world, _names(2), folder=MemoryFolder())
    assert errors(begun) == {"pc0000": end}
    assert begun["pc0000"].error.message == f"{said}."
    assert begun["pc0000"].error.advice
    assert begun["pc0000"].action.status == end
    assert begun["pc0001"].package
    assert world.subjects("package_link") == ["pc0001"]


@pytest.mark.parametrize(
    ("hresult", "info", "said"),
    [
        (-2147024891, None, " (errorHResult 0x80070005)."),
        (0, "No space on the device", ": No space on the device."),
        ("odd", None, "failed on the device."),
    ],
)
def test_what_the_device_says_of_its_failure_is_passed_on(
    world: World, monkeypatch: pytest.MonkeyPatch, hresult: Any, info: Any, said: str
) -> None:
    plain = World.entity
    more = {"errorHResult": hresult, "troubleshootInfo": info}
    monkeypatch.setattr(World, "entity", lambda self, deed: {**plain(self, deed), **more})
    world.plan("pc0000", end="Failed")
    assert run(world, ["pc0000"], wait=True)["pc0000"].error.message.endswith(said)


def test_an_action_that_had_ended_badly_is_no_failure_if_nobody_waits(world: World) -> None:
    world.plan("pc0000", end="Failed", collect=0.0)
    assert not errors(run(world, ["pc0000"]))


# ---- time-outs ----


def test_the_time_to_wait_counts_from_each_devices_own_start(world: World) -> None:
    names = _names(150)
    for name in names:
        world.plan(name, collect=None)
    begun = run(world, names, wait=True, wait_timeout=600.0)
    assert set(errors(begun).values()) == {"NotFinishedInTime"}
    for start, label in zip(world.times("collect"), world.subjects("collect"), strict=True):
        assert begun.observer.when("failed", label)[0] - start == pytest.approx(602.0, abs=3)


def test_the_time_to_wait_counts_from_the_adoption(world: World) -> None:
    world.act("pc0000", age=5000.0, collect=None)
    begun = run(world, ["pc0000"], wait=True, wait_timeout=600.0)
    assert begun.took == pytest.approx(600, abs=15)
    assert errors(begun) == {"pc0000": "NotFinishedInTime"}
    assert world.count("cancel") == 0


def test_the_time_to_wait_does_not_cut_off_the_wait_for_a_link(world: World) -> None:
    begun = run(world, _names(30), folder=MemoryFolder(), wait_timeout=200.0)
    assert not errors(begun)
    assert begun.took > 600


def test_only_what_this_run_started_is_cancelled(world: World) -> None:
    for name in _names(2):
        world.plan(name, collect=None)
    theirs = world.act("pc0001")
    begun = run(world, _names(2), wait=True, wait_timeout=300.0, cancel_on_timeout=True)
    assert errors(begun) == dict.fromkeys(_names(2), "NotFinishedInTime")
    assert world.subjects("cancel") == ["pc0000"]
    assert theirs.cancelled_at is None
    assert "asked to be cancelled" in begun["pc0000"].error.advice
    assert "The action goes on" in begun["pc0001"].error.advice


def test_a_resumed_start_is_not_cancelled(world: World, tmp_path: Path) -> None:
    world.plan("pc0000", collect=None)
    run(world, ["pc0000"], tmp_path, wait_timeout=300.0)
    begun = run(world, ["pc0000"], tmp_path, wait_timeout=300.0, cancel_on_timeout=True)
    assert begun["pc0000"].request == "resumed"
    assert world.count("cancel") == 0


def test_a_cancellation_that_fails_is_said(world: World) -> None:
    world.plan("pc0000", collect=None)
    world.fault("cancel", _refusal(403, "Forbidden"))
    begun = run(world, ["pc0000"], wait=True, wait_timeout=300.0, cancel_on_timeout=True)
    assert errors(begun) == {"pc0000": "NotFinishedInTime"}
    assert begun["pc0000"].error.advice.startswith("Cancelling it failed as well: ")


def test_many_cancellations_do_not_stop_the_fleet(world: World) -> None:
    # 99 devices run out of time at the same moment, and cancelling has no quota left for most of them.
    offline = _names(99)
    for name in offline:
        world.plan(name, collect=None)
    late = [f"late{number}" for number in range(4)]
    for name in late:
        world.plan(name, collect=400.0)
    world.budget.pause("cancel", 3000.0)
    begun = run(world, [*offline, *late], folder=MemoryFolder(), wait_timeout=420.0, cancel_on_timeout=True)
    assert set(errors(begun)) == set(offline)
    assert max(world.times("download")) < 1000 + 600


# ---- reuse ----


def test_a_young_package_is_reused_and_an_old_one_is_not(world: World) -> None:
    young = world.act("pc0000", age=1000.0, collect=90.0)
    world.act("pc0001", age=5000.0, collect=90.0)
    world.act("pc0002", age=1000.0, collect=90.0, end="Failed")
    begun = run(world, _names(3), wait=True, reuse_within=3600.0)
    assert [device.request for device in begun.devices] == ["reused", "started", "started"]
    assert begun["pc0000"].action.id == young.id


def test_the_newest_of_several_packages_is_reused(world: World) -> None:
    world.act("pc0000", age=3000.0, collect=90.0)
    newest = world.act("pc0000", age=1000.0, collect=90.0)
    world.act("pc0000", age=2000.0, collect=90.0)
    assert run(world, ["pc0000"], wait=True, reuse_within=7200.0)["pc0000"].action.id == newest.id


def test_nothing_is_reused_unless_asked(world: World) -> None:
    world.act("pc0000", age=100.0, collect=90.0)
    assert run(world, ["pc0000"], wait=True)["pc0000"].request == "started"


def test_what_runs_goes_before_what_could_be_reused(world: World) -> None:
    world.act("pc0000", age=1000.0, collect=90.0)
    running = world.act("pc0000", age=10.0)
    device = run(world, ["pc0000"], wait=True, reuse_within=3600.0)["pc0000"]
    assert (device.request, device.action.id) == ("already_running", running.id)


# ---- the network ----


@pytest.mark.parametrize("begins", [0.5, 20.0, 95.0, 130.0])
def test_a_network_that_is_gone_for_some_minutes_is_waited_for(world: World, tmp_path: Path, begins: float) -> None:
    begun = prepare(world, _names(8), tmp_path)
    world.outage(begins, begins + 240.0)
    carry_out(begun)
    assert not errors(begun)
    assert all(device.package for device in begun.devices)
    assert world.accepted == {name: 1 for name in _names(8)}


@pytest.mark.parametrize("begins", [0.2, 130.0])
def test_a_network_that_stays_away_ends_the_run_and_the_next_one_picks_it_up(
    world: World, tmp_path: Path, begins: float
) -> None:
    begun = prepare(world, _names(8), tmp_path)
    began = world.clock.now
    world.outage(begins, begins + 2000.0)
    carry_out(begun)
    begun.took = world.clock.now - began
    assert isinstance(begun.fleet.fatal, NetworkError)
    assert 300 < begun.took - begins < 420
    assert set(errors(begun).values()) == {"NetworkError"}
    world.faults.clear()
    world.restart()
    again = run(world, _names(8), tmp_path)
    assert not errors(again)
    assert world.accepted == {name: 1 for name in _names(8)}


def test_a_short_trouble_after_a_long_silence_is_no_reason_to_give_up(world: World) -> None:
    # The quota of an hour is used up, so for three quarters of an hour nothing was sent at all.
    begun = prepare(world, _names(1501))
    world.outage(2900.0, 3620.0)
    world.faults[-1].until = world.clock.now + 3640.0
    carry_out(begun)
    assert not errors(begun)
    assert sum(world.accepted.values()) == 1501


def test_network_troubles_do_not_use_up_the_tries_of_a_start(world: World) -> None:
    begun = prepare(world, ["pc0000"])
    world.outage(0.0, 120.0)
    world.fault("collect", reply_lost())
    carry_out(begun)
    assert not errors(begun)
    assert world.accepted == {"pc0000": 1}


def test_the_order_of_starts_survives_a_network_trouble(world: World) -> None:
    begun = prepare(world, _names(8))
    world.outage(0.0, 5.0)
    carry_out(begun)
    assert world.subjects("collect")[-8:] == _names(8)


# ---- what concerns all ends all ----


@pytest.mark.parametrize("endpoint", ["collect", "machine_actions", "package_link"])
@pytest.mark.parametrize("failure", [AuthError("The app was disabled."), from_reply(401, None, "do anything")])
def test_a_token_that_is_refused_ends_all_and_everything_can_be_resumed(
    world: World, tmp_path: Path, endpoint: str, failure: DefenderError
) -> None:
    begun = prepare(world, _names(5), tmp_path)
    since = 0.0 if endpoint == "collect" else 30.0
    fault = world.fault(endpoint, failure, left=-1, since=world.clock.now + since)
    if endpoint == "collect":
        fault.machine = "pc0003"
    carry_out(begun)
    assert begun.fleet.fatal
    assert set(errors(begun).values()) == {failure.code}
    assert all(device.phase is Phase.DONE for device in begun.devices)
    world.faults.clear()
    world.restart()
    again = run(world, _names(5), tmp_path)
    assert not errors(again)
    assert world.accepted == {name: 1 for name in _names(5)}


def test_a_full_disk_ends_all_and_the_next_run_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = prepare(world, _names(3), tmp_path)
    with monkeypatch.context() as patch:

        def full(file: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(_records, "write_all", full)
        carry_out(begun)
    assert begun.fleet.fatal.code == "DiskFull"
    assert set(errors(begun).values()) == {"DiskFull"}
    world.restart()
    again = run(world, _names(3), tmp_path)
    assert not errors(again)
    assert [device.request for device in again.devices] == ["resumed"] * 3
    assert world.accepted == {name: 1 for name in _names(3)}


def test_nothing_is_started_that_cannot_be_announced(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = prepare(world, _names(3), tmp_path)

    def full(file: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_custody, "_write_all", full)
    begun.fleet.run()
    assert begun.fleet.fatal.code == "DiskFull"
    assert world.count("collect") == 0


def test_a_first_look_that_fails_has_started_nothing(world: World) -> None:
    world.fault("machine_actions", _refusal(403, "Forbidden"))
    with pytest.raises(ServiceError):
        run(world, _names(3))
    assert world.count("collect") == 0


# ---- packages that do not come at once ----


class _Flaky(MemoryFolder):
    """Each device's fetch meets these failures in turn, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self._failures = failures
        self.tries: Counter[str] = Counter()

    def fetch(self, machine: Any, action: Any, request: Any, open_stream: Any) -> Any:
        self.tries[machine.label] += 1
        if self.tries[machine.label] <= len(self._failures):
            with open_stream(0):
                raise self._failures[self.tries[machine.label] - 1]
        return super().fetch(machine, action, request, open_stream)


@pytest.mark.parametrize(
    "failure",
    [
        PackageBroken("What was downloaded is no valid zip file: it is HTML."),
        reply_lost(),
        ServiceError("The package link was answered with 403.", status=403, code="LinkRefused"),
        ServiceError("The package link was answered with 500.", status=500),
    ],
)
def test_a_download_that_goes_wrong_is_tried_again_with_a_new_link(world: World, failure: Exception) -> None:
    folder = _Flaky(failure, failure, failure)
    begun = run(world, ["pc0000"], folder=folder)
    assert not errors(begun)
    assert world.count("package_link") == 4
    assert len(begun.observer.when("retry")) == 3
    world.assert_within_quota()


def test_a_download_that_goes_wrong_every_time_fails_that_device_alone(world: World) -> None:
    failure = PackageBroken("What was downloaded is no valid zip file: it is HTML.", advice="Collect anew.")
    folder = _Flaky(*[failure] * 9)
    folder.tries["pc0001"] = 9
    begun = run(world, _names(2), folder=folder)
    assert errors(begun) == {"pc0000": "PackageBroken"}
    assert begun["pc0000"].error.message == (
        "The package of pc0000 was not stored: What was downloaded is no valid zip file: it is HTML."
    )
    assert folder.tries["pc0000"] == 4
    assert begun["pc0000"].action.status == "Succeeded"


def test_a_package_that_is_not_there_yet_is_asked_for_again(world: World) -> None:
    world.plan("pc0000", package_after=30.0)
    begun = run(world, ["pc0000"], folder=MemoryFolder())
    assert not errors(begun)
    assert world.count("package_link") > 1


@pytest.mark.parametrize("status", [400, 403])
def test_a_link_that_is_refused_for_good_is_not_asked_for_again(world: World, tmp_path: Path, status: int) -> None:
    world.fault("package_link", from_reply(status, None, "get the package link for pc0000"), machine="pc0000", left=-1)
    begun = run(world, _names(2), tmp_path)
    assert set(errors(begun)) == {"pc0000"}
    assert world.subjects("package_link").count("pc0000") == 1
    # Once the permission is there, the same request goes on.
    world.faults.clear()
    world.restart()
    assert run(world, _names(2), tmp_path)["pc0000"].request == "resumed"


def test_a_link_to_a_strange_host_is_given_up_at_once(world: World) -> None:
    world.fault("package_link", ServiceError("The link leads elsewhere.", code="LinkNotTrusted"), left=-1)
    begun = run(world, ["pc0000"], folder=MemoryFolder())
    assert errors(begun) == {"pc0000": "LinkNotTrusted"}
    assert world.count("package_link") == 1


def _lock(world: World, final: Path, seconds: float) -> None:
    """As another run does while it downloads."""
    file = os.open(f"{final}.part", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    world.clock.at(world.clock.now + seconds, lambda: os.close(file))


def test_a_package_that_another_run_is_downloading_is_waited_for_without_asking_for_links(
    world: World, tmp_path: Path
) -> None:
    theirs = world.act("pc0000", age=600.0, collect=90.0)
    folder = _evidence.Folder(str(tmp_path), world.clock)
    action = Action.from_api(world.entity(theirs))
    final = folder.place(world.machine("pc0000"), action)
    final.parent.mkdir(mode=0o700)
    _lock(world, final, 100.0)
    begun = run(world, ["pc0000"], tmp_path, reuse_within=3600.0)
    assert not errors(begun)
    assert world.count("package_link") == 1
    assert begun["pc0000"].package


def test_a_package_that_another_run_is_downloading_costs_the_others_no_link(world: World, tmp_path: Path) -> None:
    names = _names(5)
    theirs, *_others = [world.act(name, age=600.0, collect=90.0) for name in names]
    folder = _evidence.Folder(str(tmp_path), world.clock)
    final = folder.place(world.machine(names[0]), Action.from_api(world.entity(theirs)))
    final.parent.mkdir(mode=0o700)
    _lock(world, final, 400.0)
    begun = run(world, names, tmp_path, reuse_within=3600.0, poll_interval=5.0)
    assert not errors(begun)
    links = world.times("package_link")
    assert world.subjects("package_link") == [*names[1:], names[0]]
    assert links[3] - links[0] < 65


def test_an_altered_package_fails_its_device_and_is_not_touched(world: World, tmp_path: Path) -> None:
    for name in _names(2):
        world.act(name, age=600.0, collect=90.0)
    path = run(world, _names(2), tmp_path, reuse_within=3600.0)["pc0000"].package.path
    path.write_bytes(b"altered")
    again = run(world, _names(2), tmp_path, reuse_within=3600.0, comment="again")
    assert errors(again) == {"pc0000": "EvidenceAltered"}
    assert path.read_bytes() == b"altered"


def test_a_package_that_cannot_be_read_fails_its_device_alone(world: World, tmp_path: Path) -> None:
    for name in _names(2):
        world.act(name, age=600.0, collect=90.0)
    path = run(world, _names(2), tmp_path, reuse_within=3600.0)["pc0000"].package.path
    path.unlink()
    path.mkdir()
    again = run(world, _names(2), tmp_path, reuse_within=3600.0, comment="again")
    assert set(errors(again)) == {"pc0000"}
    assert again["pc0001"].package


# ---- devices with a wish and a folder of their own ----


def test_one_fleet_fills_several_folders_with_a_comment_for_each(world: World, tmp_path: Path) -> None:
    names = _names(6)
    folders = {name: _evidence.Folder(str(tmp_path / name), world.clock) for name in names[:4]}
    wishes = {name: {"comment": f" case {name} "} for name in names}
    begun = prepare(world, names, folders=folders, wishes=wishes)
    begun.fleet.run()
    assert not errors(begun)
    assert begun.fleet.folders == list(folders.values())
    for name in names[:4]:
        assert begun[name].package.path.is_relative_to(tmp_path / name)
        log = (tmp_path / name / "custody.jsonl").read_text()
        assert f'"comment":"case {name}"' in log and log.count('"package_stored"') == 1
    assert [deed.comment for deed in world.deeds.values()] == [f"case {name}" for name in names]
    # Those without a folder did not wait, unless the whole fleet does.
    assert [begun[name].action.status for name in names[4:]] == ["Pending"] * 2
    assert all(
        later - earlier >= 14
        for earlier, later in zip(*[world.times("machine_actions")[i:] for i in (1, 2)], strict=False)
    )


def test_each_device_has_its_own_time_to_wait(world: World) -> None:
    for name in _names(3):
        world.plan(name, collect=None)
    wishes = {name: {"wait_timeout": 100.0 * number} for number, name in enumerate(_names(3), 1)}
    wishes["pc0001"]["cancel_on_timeout"] = True
    begun = run(world, _names(3), wait=True, wishes=wishes)
    failed = [begun.observer.when("failed", name)[0] - 1000 for name in _names(3)]
    assert failed == [pytest.approx(100.0 * number, abs=5) for number in (1, 2, 3)]
    assert world.subjects("cancel") == ["pc0001"]


def test_a_folder_that_is_full_ends_its_own_devices_only(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _names(4)
    full, fine = (_evidence.Folder(str(tmp_path / name), world.clock) for name in ("full", "fine"))

    def no_space(*_args: Any, **_facts: Any) -> Any:
        raise EvidenceError("The evidence folder is full.", code="DiskFull")

    begun = prepare(world, names, folders=dict(zip(names, (full, fine, full, fine), strict=True)))
    monkeypatch.setattr(full.custody, "append", no_space)
    monkeypatch.setattr(full.custody, "claim_start", no_space)
    begun.fleet.run()
    assert errors(begun) == {"pc0000": "DiskFull", "pc0002": "DiskFull"}
    assert begun["pc0001"].package and begun["pc0003"].package
    assert begun.fleet.fatal is None and set(begun.fleet.lost_folders) == {full}
    assert world.accepted == {"pc0001": 1, "pc0003": 1}


def test_two_devices_may_share_one_action_and_its_link(world: World, tmp_path: Path) -> None:
    deed = world.act("pc0000", age=600.0, collect=900.0)
    begun = prepare(world, ["pc0000", "pc0001"], tmp_path)
    first, second = begun.devices
    second.machine, second.asked = first.machine, deed.id
    second.action, second.request, second.phase = first.action, first.request, first.phase
    begun.fleet.run()
    assert not errors(begun)
    assert first.package.path == second.package.path
    assert world.count("package_link") == 1


# ---- mistakes in this collection ----


@pytest.mark.parametrize("endpoint", ["collect", "package_link", "download"])
def test_an_unexpected_exception_is_the_failure_of_its_device(world: World, tmp_path: Path, endpoint: str) -> None:
    world.fault(endpoint, ValueError("invalid literal for int(): '²' s3cr3t"), machine="pc0001", left=-1)
    begun = run(world, _names(3), tmp_path)
    assert errors(begun) == {"pc0001": "UnexpectedError"}
    said = str(begun["pc0001"].error)
    assert "ValueError: invalid literal" in said and "as a bug" in said and "s3cr3t" not in said
    assert begun["pc0000"].package and begun["pc0002"].package
    # The next run takes it up where it was.
    world.faults.clear()
    again = run(world, ["pc0001"], tmp_path)
    assert not errors(again) and world.accepted["pc0001"] == 1


def test_a_look_that_fails_unexpectedly_is_made_again(world: World) -> None:
    world.fault("machine_actions", TypeError("NoneType"), left=3, since=world.clock.now + 5)
    begun = run(world, _names(2), wait=True)
    assert not errors(begun)
    assert len(begun.observer.troubles) == 3


@pytest.mark.parametrize("endpoint", ["machine_action", "cancel"])
def test_a_question_that_fails_unexpectedly_ends_nothing(world: World, endpoint: str) -> None:
    world.plan("pc0000", collect=None if endpoint == "cancel" else 200.0, unlisted=1e9)
    world.fault(endpoint, KeyError("id"))
    begun = run(world, ["pc0000"], wait=True, wait_timeout=600.0, cancel_on_timeout=True)
    assert errors(begun) == ({"pc0000": "NotFinishedInTime"} if endpoint == "cancel" else {})


# ---- what never comes back ----


def test_a_device_is_given_up_on_time_although_a_look_hangs(world: World) -> None:
    world.plan("pc0000", collect=None)
    world.fault("machine_actions", TypeError("never"), left=1, since=world.clock.now + 5, latency=1e6)
    begun = run(world, ["pc0000"], wait=True, wait_timeout=100.0)
    assert errors(begun) == {"pc0000": "NotFinishedInTime"} and 100 <= begun.took <= 112


def test_a_start_that_is_looked_for_ends_although_the_look_hangs(world: World, tmp_path: Path) -> None:
    world.fault("collect", reply_lost(), after=True)
    hanging = world.fault("machine_actions", TypeError("never"), left=-1, since=world.clock.now + 0.35, latency=1e6)
    begun = run(world, ["pc0000"], tmp_path)
    assert errors(begun) == {"pc0000": "StartUnconfirmed"} and begun.took < 500
    hanging.left = 0
    world.restart()
    assert run(world, ["pc0000"], tmp_path)["pc0000"].request == "resumed"


# ---- check mode ----

_SCENES = ("fine", "slow", "running", "recent", "old", "failed_before", "begun", "stored", "interrupted_start")


def _scene(world: World, name: str, kind: str, dest: Path | None) -> None:
    """What a device's state is before the run; none of these devices fails."""
    if kind == "slow":
        world.plan(name, collect=400.0)
    elif kind == "running":
        world.act(name, age=30.0, collect=200.0)
    elif kind == "recent":
        world.act(name, age=600.0, collect=90.0)
    elif kind == "old":
        world.act(name, age=90_000.0, collect=90.0)
    elif kind == "failed_before":
        world.act(name, age=600.0, collect=90.0, end="Failed")
    elif kind in ("begun", "stored", "interrupted_start") and dest:
        _interrupt(world, name, kind, dest)


def _interrupt(world: World, name: str, kind: str, dest: Path) -> None:
    stop_at = {"begun": "after collect", "stored": "", "interrupted_start": "before collect"}[kind]

    def step(here: str) -> None:
        if here == stop_at:
            raise Killed

    world.step = step
    try:
        begun = prepare(world, [name], dest)
        begun.fleet.run()  # no run_ended: the process was killed
    except Killed:
        pass
    world.step = lambda here: None
    world.restart()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(_SCENES), min_size=1, max_size=6),
    dest=st.booleans(),
    wait=st.booleans(),
    reuse=st.sampled_from([0.0, 3600.0, 200_000.0]),
)
@example(kinds=list(_SCENES), dest=True, wait=False, reuse=0.0)
@example(kinds=list(_SCENES), dest=True, wait=False, reuse=3600.0)
def test_check_mode_says_what_the_run_then_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str], dest: bool, wait: bool, reuse: float
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    tmp_path = tmp_path / "example"
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    world = World()
    folder = tmp_path / "evidence" if dest else None
    for number, kind in enumerate(kinds):
        _scene(world, f"pc{number}", kind, folder)
    names = [f"pc{number}" for number in range(len(kinds))]
    before = sorted(tmp_path.rglob("*"))
    log = (folder / "custody.jsonl").read_bytes() if folder and folder.exists() else b""
    world.calls.clear()

    said = prepare(world, names, folder, read_only=True, wait=wait, reuse_within=reuse)
    ahead = plan(world.budget, said.devices).as_result()
    predict(said.devices, said.fleet.pace)
    assert {call.endpoint for call in world.calls} <= {"machine_actions", "machine_action"}
    assert sorted(tmp_path.rglob("*")) == before
    assert not log or (folder and (folder / "custody.jsonl").read_bytes() == log)

    world.calls.clear()
    done = run(world, names, folder, wait=wait, reuse_within=reuse)
    assert not errors(done)
    expected = ["started" if device.request == "would_start" else device.request for device in said.devices]
    assert [device.request for device in done.devices] == expected
    assert [_changed(device) for device in done.devices] == [_changed(device) for device in said.devices]
    assert ahead["starts"] == world.count("collect")
    assert ahead["links"] == world.count("package_link")
    assert done.took >= ahead["seconds"]


# ---- thousands ----


def test_ten_thousand_packages_take_what_the_quota_needs_and_little_of_this_computer() -> None:
    world, names = World(), _names(10_000)
    memory, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    begun = run(world, names, folder=MemoryFolder())
    cpu = time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert not errors(begun)
    assert world.accepted == Counter(names)
    assert begun.took <= 1.05 * len(names) * 30
    calls = sum(call.endpoint != "download" for call in world.calls)
    assert calls / len(names) <= 2.1
    assert begun.pool.most_at_once <= 10
    world.assert_within_quota()
    assert cpu < 60
    # In KiB. The double's own bookkeeping is most of it.
    assert memory < 200_000


# ---- killed at any moment ----


class _Steps:
    """Counts the moments at which a process could end, and ends it at one of them."""

    def __init__(self, stop_at: int) -> None:
        self.taken = 0
        self._stop_at = stop_at

    def __call__(self, name: str) -> None:
        self.taken += 1
        if self.taken >= self._stop_at:
            raise Killed(name)


def _patch_files(patch: pytest.MonkeyPatch, world: World, torn: float) -> None:
    """Each write, sync and rename is a moment at which the process can end; a log line may be half written."""

    def write_all(file: int, data: bytes) -> None:
        try:
            world.step("log line")
        except Killed:
            os.write(file, data[: int(len(data) * torn)])
            raise
        os.write(file, data)

    def rename(source: str, target: str, **folders: int) -> None:
        world.step("before rename")
        os.replace(source, target, **folders)
        world.step("after rename")

    patch.setattr(_custody, "_write_all", write_all)
    patch.setattr(os, "fsync", lambda file: world.step("fsync"))
    patch.setattr(os, "rename", rename)


_DEVICES = st.fixed_dictionaries(
    {
        "collect": st.sampled_from([2.0, 90.0, 300.0]),
        "unlisted": st.sampled_from([0.0, 0.0, 1.5]),
        "fault": st.sampled_from(["", "", "lost_reply", "lost_request", "busy", "reset"]),
    }
)


def _play(world: World, names: list[str], dest: Path, torn: float, stops: list[int], patch: pytest.MonkeyPatch) -> Run:
    """Runs that are killed after so many steps each, then one that is not."""
    for stop in stops:
        with patch.context() as patched:
            _patch_files(patched, world, torn)
            world.step = _Steps(stop)
            try:
                run(world, names, dest)
            except Killed:
                pass
        world.step = lambda name: None
        world.restart()
        world.clock.now += 20.0
        _no_wrong_file(world, dest)
    with patch.context() as patched:
        patched.setattr(os, "fsync", lambda file: None)
        return run(world, names, dest)


def _no_wrong_file(world: World, dest: Path) -> None:
    for path in dest.rglob("*.zip"):
        deed = world.deeds[path.stem.partition("_")[2]]
        assert path.read_bytes() == world.package(deed)
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["sha256"] == hashlib.sha256(world.package(deed)).hexdigest()


def _prepare_faults(world: World, name: str, kind: str) -> None:
    if kind == "lost_reply":
        world.fault("collect", reply_lost(), machine=name, after=True)
    elif kind == "lost_request":
        world.fault("collect", reply_lost(), machine=name)
    elif kind == "busy":
        world.act(name, age=30.0, collect=60.0)
    elif kind == "reset":
        world.fault("download", reply_lost(), machine=name, after=True)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    devices=st.lists(_DEVICES, min_size=1, max_size=4),
    stops=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    torn=st.sampled_from([0.0, 0.3, 0.999, 1.0]),
)
def test_whenever_runs_are_killed_nothing_is_lost_or_done_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[dict[str, Any]],
    stops: list[int],
    torn: float,
) -> None:
    tmp_path = tmp_path / "example"
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    world, names = World(), [f"pc{number}" for number in range(len(devices))]
    for name, device in zip(names, devices, strict=True):
        world.plan(name, collect=device["collect"], unlisted=device["unlisted"])
        _prepare_faults(world, name, device["fault"])

    done = _play(world, names, tmp_path, torn, stops, monkeypatch)

    assert not errors(done)
    # A run that had come to its end before it was killed was a request of its own.
    requests = (tmp_path / "custody.jsonl").read_bytes().count(b'"event":"run_ended"')
    assert all(count <= requests for count in world.accepted.values()), world.accepted
    for one in done.devices:
        assert one.package.path.read_bytes() == world.package(world.deeds[one.action.id])
        assert not list(one.package.path.parent.glob(f"{one.package.path.stem}*.part"))
    _no_wrong_file(world, tmp_path)
    for name in names:
        assert 1 <= len(list((tmp_path / name).glob("*.zip"))) <= requests
    # The run that came through ended the request: the same task is a new one now.
    world.clock.now += 1000.0
    again = run(world, names, tmp_path)
    assert [device.request for device in again.devices] == ["started"] * len(names)


def test_a_request_that_was_killed_before_it_was_sent_is_not_answered_by_an_older_package(
    world: World, tmp_path: Path
) -> None:
    older = run(world, ["pc0000"], tmp_path)["pc0000"].action.id
    _interrupt(world, "pc0000", "interrupted_start", tmp_path)
    again = run(world, ["pc0000"], tmp_path)["pc0000"]
    assert again.action.id != older
    assert again.request == "started"


def test_a_request_that_found_its_package_stored_by_another_is_ended_as_well(world: World, tmp_path: Path) -> None:
    run(world, ["pc0000"], tmp_path)
    reused = run(world, ["pc0000"], tmp_path, comment="second", reuse_within=3600.0)
    assert reused["pc0000"].request == "reused"
    # That run ended well: the same task is a new request.
    assert run(world, ["pc0000"], tmp_path, comment="second")["pc0000"].request == "started"


def test_a_failed_device_is_started_anew_by_the_next_run(world: World, tmp_path: Path) -> None:
    world.plan("pc0000", end=["Failed", "Succeeded"])
    assert errors(run(world, ["pc0000"], tmp_path)) == {"pc0000": "Failed"}
    again = run(world, ["pc0000"], tmp_path)
    assert again["pc0000"].request == "started"
    assert not errors(again)


def test_a_device_not_finished_in_time_is_taken_up_by_the_next_run(world: World, tmp_path: Path) -> None:
    world.plan("pc0000", collect=1000.0)
    assert errors(run(world, ["pc0000"], tmp_path, wait_timeout=300.0)) == {"pc0000": "NotFinishedInTime"}
    again = run(world, ["pc0000"], tmp_path)
    assert again["pc0000"].request == "resumed"
    assert world.accepted == {"pc0000": 1}


def test_an_interrupted_request_of_long_ago_is_forgotten(world: World, tmp_path: Path) -> None:
    _interrupt(world, "pc0000", "begun", tmp_path)
    world.clock.now += 4 * 86400
    assert run(world, ["pc0000"], tmp_path)["pc0000"].request == "started"


def test_an_interrupted_request_whose_action_is_gone_is_made_anew(world: World, tmp_path: Path) -> None:
    world.plan("pc0000", collect=None)
    _interrupt_after_known(world, tmp_path)
    world.deeds.clear()
    world.by_machine.clear()
    world.plan("pc0000")
    assert run(world, ["pc0000"], tmp_path)["pc0000"].request == "started"


def test_an_interrupted_request_whose_action_is_not_listed_is_asked_for_by_its_id(world: World, tmp_path: Path) -> None:
    world.plan("pc0000", unlisted=100.0)
    _interrupt_after_known(world, tmp_path)
    again = run(world, ["pc0000"], tmp_path)
    assert again["pc0000"].request == "resumed"
    assert world.accepted == {"pc0000": 1}


def _interrupt_after_known(world: World, dest: Path) -> None:
    begun = prepare(world, ["pc0000"], dest)

    def killed() -> None:
        raise Killed

    world.clock.at(world.clock.now + 5, killed)
    with pytest.raises(Killed):
        begun.fleet.run()
    world.restart()


# What others do meanwhile, and what stays out of reach


def _kill_after_the_start(world: World, tmp_path: Path) -> None:
    def step(name: str) -> None:
        if name == "after collect":
            raise Killed

    world.step = step
    with pytest.raises(Killed):
        run(world, ["pc01"], tmp_path)
    world.step = lambda name: None
    world.restart()


def test_a_killed_request_is_resumed_although_another_run_has_met_its_action(world: World, tmp_path: Path) -> None:
    _kill_after_the_start(world, tmp_path)
    assert run(world, ["pc01"], tmp_path, comment="Somebody else's")["pc01"].request == "already_running"
    world.restart()
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "resumed"
    assert sum(world.accepted.values()) == 1


@pytest.mark.parametrize("trouble", [NetworkError("Gone."), ServiceError("No.", status=403, code="Forbidden")])
def test_a_device_that_is_looked_for_does_not_hold_up_the_run_for_ever(
    world: World, tmp_path: Path, trouble: DefenderError
) -> None:
    world.fault("collect", reply_lost(), after=True)
    listing = world.fault("machine_actions", trouble, left=-1, since=world.clock.now + 0.35)
    begun = run(world, ["pc01"], tmp_path)
    assert begun["pc01"].error and begun.took < 900
    listing.left = 0
    world.restart()
    assert run(world, ["pc01"], tmp_path)["pc01"].request == "resumed"
    assert sum(world.accepted.values()) == 1


def test_a_download_host_out_of_reach_does_not_use_up_the_links(world: World, tmp_path: Path) -> None:
    world.plan("pc02", collect=None)
    world.fault("download", NetworkError("The download host cannot be reached."), left=-1)
    begun = run(world, ["pc01", "pc02"], tmp_path, wait_timeout=3 * 3600.0)
    assert begun.fleet.fatal and begun.took < 600 and world.count("package_link") < 20


@pytest.mark.parametrize("status", [408, 429])
def test_a_download_that_is_put_off_is_tried_again(world: World, tmp_path: Path, status: int) -> None:
    world.fault("download", ServiceError("Later.", status=status))
    assert run(world, ["pc01"], tmp_path)["pc01"].package


def test_check_mode_predicts_no_package_of_a_request_that_has_failed(world: World, tmp_path: Path) -> None:
    world.plan("pc01", end="Failed")
    _kill_after_the_start(world, tmp_path)
    world.clock.now += 600
    begun = prepare(world, ["pc01"], tmp_path, read_only=True)
    predict(begun.devices, begun.fleet.pace)
    assert begun["pc01"].request == "resumed" and not begun["pc01"].wrote
    assert errors(begun) == {"pc01": "Failed"}


def test_check_mode_names_an_altered_package_at_its_device_alone(world: World, tmp_path: Path) -> None:
    package = run(world, ["pc01", "pc02"], tmp_path)["pc01"].package
    assert package
    package.path.write_bytes(b"x")
    world.restart()
    begun = prepare(world, ["pc01", "pc02"], tmp_path, read_only=True, reuse_within=3600.0)
    predict(begun.devices, begun.fleet.pace)
    assert errors(begun) == {"pc01": "EvidenceAltered"}


def test_a_comment_that_ends_in_half_a_character_is_recorded(world: World, tmp_path: Path) -> None:
    package = run(world, ["pc01"], tmp_path, comment="Alert \ud83d")["pc01"].package
    assert package and json.loads(package.path.with_suffix(".json").read_bytes())["comment"] == "Alert \ud83d"


@pytest.mark.parametrize("cancel", [False, True])
def test_a_collection_that_ends_between_two_looks_is_in_time(world: World, tmp_path: Path, cancel: bool) -> None:
    world.plan("pc01", collect=2.0)
    begun = run(world, ["pc01"], tmp_path, wait_timeout=5.0, poll_interval=15.0, cancel_on_timeout=cancel)
    assert begun["pc01"].package and begun["pc01"].ready - begun["pc01"].accepted < 8


def test_a_collection_that_does_not_end_is_given_up_on_time(world: World) -> None:
    world.plan("pc01", collect=None)
    begun = run(world, ["pc01"], wait=True, wait_timeout=5.0, poll_interval=15.0)
    assert errors(begun) == {"pc01": "NotFinishedInTime"} and begun.took < 8


def test_check_mode_sees_what_runs_however_old_it_is(world: World) -> None:
    world.plan("pc01", collect=None)
    world.act("pc01", age=5 * 86400.0)
    begun = prepare(world, ["pc01"])
    look(begun.fleet.api, begun.devices, begun.fleet.pace, all_ages=True)
    predict(begun.devices, begun.fleet.pace)
    assert begun["pc01"].request == "already_running"


@pytest.mark.parametrize(("days", "request_"), [(4.1, "reused"), (4.4, None)])
def test_a_young_package_of_an_old_action_is_taken_as_check_mode_says(
    world: World, days: float, request_: str | None
) -> None:
    age = days * 86400.0
    world.act("pc01", age=age, collect=age - 1800.0)
    begun = prepare(world, ["pc01"], reuse_within=4 * 3600.0)
    assert begun["pc01"].request == request_
    begun["pc01"].action = begun["pc01"].request = None
    look(begun.fleet.api, begun.devices, begun.fleet.pace, all_ages=True)
    assert begun["pc01"].request == request_
