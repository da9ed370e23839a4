# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Package
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Plan, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.look import plan
from ansible_collections.secops.defender.plugins.module_utils._words.errors import from_reply
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter, size
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    Killed,
    MemoryFolder,
    World,
    prepare,
    reply_lost,
    run,
)


class Screen:
    """What was shown at which verbosity, and when."""

    verbosity = 4

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.shown: list[tuple[float, int, str]] = []
        self.to_stderr: list[bool] = []

    def display(self, text: str, stderr: bool = False) -> None:
        self.shown.append((self._clock.now, 0, text))
        self.to_stderr.append(stderr)

    def v(self, text: str) -> None:
        self.shown.append((self._clock.now, 1, text))

    def vvv(self, text: str) -> None:
        self.shown.append((self._clock.now, 3, text))

    def warning(self, text: str) -> None:
        self.shown.append((self._clock.now, -1, text))

    def lines(self, verbosity: int = 0) -> list[str]:
        return [text for _at, level, text in self.shown if level == verbosity]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def screen(world: World) -> Screen:
    return Screen(world.clock)


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def reporter(world: World, screen: Screen, secrets: Secrets) -> DisplayReporter:
    display: Any = screen
    return DisplayReporter(display, secrets, world.clock.monotonic)


def _watched(world: World, names: list[str], reporter: DisplayReporter, **options: Any) -> Any:
    begun = prepare(world, names, folder=MemoryFolder(), observer=reporter, **options)
    reporter.plan(plan(world.budget, begun.devices))
    begun.fleet.run()
    return begun


def _names(count: int) -> list[str]:
    return [f"pc{number:04d}.contoso.com" for number in range(count)]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Plan(1, 1), "1 device: 1 to start"),
        (Plan(3, 0, 3), "3 devices: none to start, 3 running already"),
        (
            Plan(200, 150, 20, 180, 61.0, 5341.0),
            "200 devices: 150 to start, 20 running already, 180 to download; by the quota starts take at least 61 s, "
            "package links at least 1 h 30 min",
        ),
        (Plan(2, 0, 0, 2, 0.0, 0.4), "2 devices: none to start, 2 to download"),
    ],
)
def test_the_plan_is_one_line(reporter: DisplayReporter, screen: Screen, plan: Plan, text: str) -> None:
    reporter.plan(plan)
    assert screen.lines() == [f"secops.defender: {text}"]


def test_a_small_fleet_sees_each_package(world: World, reporter: DisplayReporter, screen: Screen) -> None:
    _watched(world, _names(3), reporter)
    stored = [line for line in screen.lines() if "package verified" in line]
    assert len(stored) == 3
    assert stored[0].startswith("secops.defender: pc0000.contoso.com: package verified, 2.1 KiB, SHA-256 ")


def test_a_large_fleet_sees_packages_only_when_asked_for(
    world: World, reporter: DisplayReporter, screen: Screen
) -> None:
    _watched(world, _names(31), reporter)
    assert not [line for line in screen.lines() if "package verified" in line]
    assert len([line for line in screen.lines(1) if "package verified" in line]) == 31


def test_a_single_device_is_seen_at_work_and_its_package_with_path_and_hash(
    world: World, reporter: DisplayReporter, screen: Screen
) -> None:
    begun = _watched(world, _names(1), reporter)
    package = begun.devices[0].package
    (stored,) = [line for line in screen.lines() if "package verified" in line]
    assert str(package.path) in stored and package.sha256 in stored
    moments = [at for at, level, _text in screen.shown if level == 0]
    assert moments[1] - moments[0] <= 10


def test_a_watched_fleet_is_never_silent_and_never_a_flood(
    world: World, reporter: DisplayReporter, screen: Screen
) -> None:
    names = _names(2000)
    for number in range(0, 2000, 100):
        world.plan(names[number], end="Failed")

    def enough() -> None:
        raise Killed

    began = world.clock.now
    world.clock.at(began + 3 * 3600, enough)
    with pytest.raises(Killed):
        _watched(world, names, reporter)
    moments = [began] + [at for at, level, _text in screen.shown if level == 0] + [world.clock.now]
    assert max(later - earlier for earlier, later in itertools.pairwise(moments)) <= 60
    # Two a minute, one for the plan, and one for each of the twenty that failed.
    assert 300 < len(moments) <= 3 * 120 + 1 + 20 + 2


def test_every_line_is_short_and_about_something_that_can_be_found(
    world: World, reporter: DisplayReporter, screen: Screen
) -> None:
    names = _names(8)
    long = {"error": {"code": "BadRequest", "message": "x" * 5000, "target": "t"}}
    world.plan(names[0], end="Failed")
    world.plan(names[1], collect=None)
    world.plan(names[5], unlisted=1e9, unseen=1e9)
    world.fault("collect", from_reply(400, long, f"start a collection on {names[2]}"), machine=names[2])
    world.fault("collect", reply_lost(), machine=names[3], after=True)
    world.fault("package_link", from_reply(403, long, f"get the package link for {names[4]}"), machine=names[4])
    _watched(world, names, reporter, wait_timeout=600.0)
    assert all(len(text) <= 1000 and "\n" not in text for _at, _level, text in screen.shown)
    devices = [line for line in screen.lines() if not line.startswith("secops.defender: 8 devices: ")]
    for number in (0, 1, 2, 4, 5):
        assert [line for line in devices if names[number] in line], names[number]
    assert all("pc000" in line for line in devices)


def test_whoever_asks_for_more_sees_each_step(world: World, reporter: DisplayReporter, screen: Screen) -> None:
    world.fault("collect", reply_lost(), after=True)
    _watched(world, _names(1), reporter)
    texts = [line.removeprefix("secops.defender: pc0000.contoso.com: ") for line in screen.lines(1)]
    assert texts[0].startswith("the reply to the start was lost, looking whether it was carried out")
    assert texts[1] == "collection started"
    assert texts[-1] == "package is ready"


def test_the_summary_counts_and_says_how_long_it_takes_at_least(
    world: World, reporter: DisplayReporter, screen: Screen
) -> None:
    _watched(world, _names(120), reporter)
    summaries = [line for line in screen.lines() if "left" in line]
    assert summaries[0] == ("secops.defender: 120 devices: 20 to start, 100 running, 0 done; at least 59 min left")
    assert "secops.defender: 120 devices: 116 waiting for a link, 4 done; at least 58 min left" in summaries
    # Whoever waits for a link is not said to be downloading.
    assert not any("downloading" in line for line in summaries)


def test_no_secret_is_shown_at_any_verbosity(reporter: DisplayReporter, screen: Screen, secrets: Secrets) -> None:
    secrets.add("s3cr3t-s3cr3t")
    text = "it is s3cr3t-s3cr3t"
    device = Device(0, "pc01", Machine("a" * 40, "pc01"), Wish())
    reporter.trouble(text)
    reporter.say(text)
    reporter.detail(text)
    reporter.http(text)
    reporter.warn(text)
    for what in ("failed", "retry", "status"):
        reporter.device(device, what, text)
    assert len(screen.shown) == 8
    assert not [shown for shown in screen.shown if "s3cr3t" in shown[2]]


def test_no_name_steers_the_terminal(reporter: DisplayReporter, screen: Screen) -> None:
    device = Device(0, "pc01", Machine("a" * 40, "pc\x1b[2J01\n"), Wish())
    reporter.device(device, "ready")
    reporter.warn("pc\x1b[2J01\n")
    assert [text.isprintable() for _at, _level, text in screen.shown] == [True, True]


def test_a_secret_at_the_edge_of_a_long_line_is_not_shown_in_part(
    reporter: DisplayReporter, screen: Screen, secrets: Secrets
) -> None:
    secrets.add("s3cr3t-s3cr3t")
    reporter.trouble("x" * 975 + "s3cr3t-s3cr3t")
    assert "s3cr" not in screen.lines()[0]


@pytest.mark.parametrize(("devices", "shown"), [(1, 0), (2, 1)])
def test_the_end_of_several_is_said_and_that_of_one_is_in_its_result(
    reporter: DisplayReporter, screen: Screen, devices: int, shown: int
) -> None:
    reporter.plan(Plan(devices, devices))
    screen.shown.clear()
    reporter.end("2 devices: 2 started.")
    assert screen.lines() == ["secops.defender: 2 devices: 2 started."] * shown


def test_what_is_not_known_is_not_shown(reporter: DisplayReporter, screen: Screen) -> None:
    device = Device(0, "pc01", Machine("a" * 40, "pc01"), Wish())
    reporter.device(device, "something new")
    reporter.device(device, "done")
    device.package = Package(Path("/x"), 1, "0" * 64, "")
    reporter.device(device, "done")
    assert len(screen.shown) == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (15 << 20, "15.0 MiB"),
        (2 << 30, "2.0 GiB"),
        (1 << 42, "4096.0 GiB"),
    ],
)
def test_sizes_are_said_as_a_person_says_them(count: int, text: str) -> None:
    assert size(count) == text


def test_a_fleet_that_nobody_watches_needs_no_reporter(world: World) -> None:
    assert run(world, _names(1)).devices[0].request == "started"


@pytest.mark.parametrize(
    ("callback", "stderr"),
    [("default", False), ("awx_display", False), ("community.general.yaml", False), ("ansible.posix.json", True)],
)
def test_standard_output_is_left_to_a_callback_that_is_for_programs(
    screen: Screen, reporter: DisplayReporter, monkeypatch: pytest.MonkeyPatch, callback: str, stderr: bool
) -> None:
    monkeypatch.setattr("ansible.constants.DEFAULT_STDOUT_CALLBACK", callback)
    reporter.say("text")
    assert screen.to_stderr == [stderr]
